"""What a result was measured on."""
import json, os, platform, subprocess


def first_line(*arguments):
    """What a program says of itself; nothing if it is not there."""
    try:
        return subprocess.run(arguments, capture_output=True, text=True).stdout.split("\n")[0].strip()
    except FileNotFoundError:
        return ""


def mount(path):
    """Device, type and options of the file system that holds path."""
    real = os.path.realpath(path)
    with open("/proc/mounts") as mounts:
        mounted = [line.split()[:4] for line in mounts]
    device, _, kind, options = max((one for one in mounted if (real + "/").startswith(one[1].rstrip("/") + "/")), key=lambda one: len(one[1]))
    return {"file_system": kind, "device": device, "mount_options": options}


def cpu():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine(directory):
    """`directory`: where the measured files are."""
    return {"cpu": cpu(), "cpus": os.cpu_count(), "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "kernel": platform.release().split("-")[0], "python": platform.python_version(), "cc": first_line("cc", "--version"),
            "load": [round(one, 2) for one in os.getloadavg()], **mount(directory)}


def calibration(program, directory):
    """What the disk and the CPU do by themselves, from peers/calibrate.c."""
    return json.loads(subprocess.run([program, os.path.join(directory, "calibrate")], capture_output=True, check=True).stdout)


def commit(directory):
    """Of the sources; with a + behind it if what was measured may be something else."""
    git = lambda *arguments: first_line("git", "-C", directory, *arguments)
    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
