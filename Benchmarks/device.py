"""How many bytes reach the disk for each byte of payload that is kept on stable storage, counted by a loop device of their own."""
import contextlib, os, subprocess

from harness import Case, Skipped
from recording import NAMES, OURS

SECTOR = 512  # of /sys/block/*/stat, whatever the device's is


@contextlib.contextmanager
def ext4(harness):
    """A directory on a new file system, and a function that returns how many bytes have been written to it."""
    if os.geteuid() != 0:
        raise Skipped("only root can make a loop device")
    image, point = os.path.join(harness.work, "image"), os.path.join(harness.work, "mounted")
    with open(image, "wb") as file:
        file.truncate(4 << 30)
    os.makedirs(point, exist_ok=True)
    loop = None

    def run(*arguments):
        try:
            return subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
        except FileNotFoundError:
            raise Skipped("no " + arguments[0]) from None
        except subprocess.CalledProcessError as error:
            raise Skipped("%s: %s" % (arguments[0], error.stderr.strip())) from None

    try:
        loop = run("losetup", "--find", "--show", image)
        # All of its tables now; else the kernel writes them while others are counted.
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", loop)
        run("mount", loop, point)
        try:
            def written():
                os.sync()
                with open("/sys/block/%s/stat" % os.path.basename(loop)) as file:
                    return int(file.read().split()[6]) * SECTOR
            yield point, written
        finally:
            run("umount", point)
    finally:
        if loop:
            run("losetup", "--detach", loop)
        os.remove(image)


def cases(harness):
    """Of two runs the difference: what opening costs is in both. What a store writes when it is closed, and opened to count, is in it."""
    for threads in (1, harness.options.threads):
        counts = [count - count % threads for count in harness.options.device_counts]
        options = {"input": harness.payloads("typical"), "durability": "power", "threads": threads, "duration": 600}

        def subject(run, options=options, counts=counts):
            def measure():
                bytes_written, bytes_kept = [], []
                with ext4(harness) as (point, written):
                    for count in counts:
                        directory = os.path.join(point, str(count))
                        os.mkdir(directory)
                        before = written()
                        result = run(directory=directory, count=count, **options)
                        bytes_written.append(written() - before)
                        bytes_kept.append(result["actions"] * result["payload_bytes"])
                return {"device_bytes_per_payload_byte": (bytes_written[1] - bytes_written[0]) / (bytes_kept[1] - bytes_kept[0])}
            return measure

        subjects = [(OURS + "raw", subject(lambda **all: harness.bench(form="raw", **all)))]
        for name in ("lines", "sqlite", "leveldb", "rocksdb", "lmdb"):
            subjects.append((NAMES[name], subject(lambda name=name, **all: harness.peer(name, **all))))
        yield Case("%d caller%s" % (threads, "s" if threads > 1 else ""), "device_bytes_per_payload_byte", subjects)
