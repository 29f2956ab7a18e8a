"""What a recording program feels of maintenance: its longest calls, without and with sealing and compaction beside it."""
import contextlib, os, shutil, threading

from harness import Case
from recording import OURS

SEGMENT_SIZE = "2M"  # 32 times as often as by default


@contextlib.contextmanager
def compacting(harness, pristine):
    """Another process compacts copies of the sessions in `pristine` over and over. The number of times."""
    times = [0]
    is_over = threading.Event()
    problem = []

    def compact(path):
        try:
            while not is_over.is_set():
                shutil.copytree(pristine, path)
                for level in "1", "9":
                    if not is_over.is_set():
                        harness.run([harness.command, "compact", "--level", level, "--storage-dir", path])
                        times[0] += 1
                shutil.rmtree(path)
        except Exception as error:
            problem.append(error)

    with harness.directory() as path:
        beside = threading.Thread(target=compact, args=(os.path.join(path, "busy"),))
        beside.start()
        try:
            yield times
        finally:
            is_over.set()
            beside.join()
    if problem:
        raise problem[0]


def cases(harness):
    pristine = os.path.join(harness.work, "to compact")
    os.mkdir(pristine)
    for _ in range(4):
        harness.record(pristine, harness.payloads("typical", harness.options.file_bytes // 8), "--no-close")  # a closed session is compressed already
    for durability in ("process", "power"):
        options = {"form": "raw", "input": harness.payloads("typical"), "durability": durability, "duration": harness.options.seconds}

        def beside(options=options, **more):
            with compacting(harness, pristine) as times:
                before = times[0]
                result = harness.bench(**options, **more)
                return dict(result, compactions=times[0] - before)

        yield Case(durability, "latency_us.p99", [
            (OURS + "alone", lambda options=options: harness.bench(**options)),
            (OURS + "sealing every " + SEGMENT_SIZE, lambda options=options: harness.bench(segment_size=SEGMENT_SIZE, **options)),
            (OURS + "compact beside it", beside),
            (OURS + "sealing every %s, compact beside it" % SEGMENT_SIZE, lambda beside=beside: beside(segment_size=SEGMENT_SIZE)),
        ])
