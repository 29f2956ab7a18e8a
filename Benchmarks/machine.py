"""What a result was measured on."""
import os, platform, tempfile


def file_system(path):
    """The type of the file system that holds path."""
    with open("/proc/mounts") as mounts:
        points = [line.split()[1:3] for line in mounts]
    real = os.path.realpath(path)
    return max((len(point), kind) for point, kind in points if (real + "/").startswith(point.rstrip("/") + "/"))[1]


def machine(directory):
    """`directory`: where the measured files were; None for the system's directory for temporary files."""
    with open("/proc/cpuinfo") as cpus:
        model = next((line.split(":")[1].strip() for line in cpus if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release().split("-")[0], "python": platform.python_version(),
            "file_system": file_system(directory or tempfile.gettempdir())}
