"""What a recording program feels of maintenance: its longest calls, without and with sealing and compaction beside it."""
import contextlib, itertools, os, shutil, threading

from harness import Case
from recording import OURS

SEGMENT_SIZE = "2M"  # 32 times as often as by default


@contextlib.contextmanager
def compacting(harness, pristine):
    """Another process compacts copies of the session in `pristine`, one after the other. The number of times.

    The copies are made before and removed after: copying and removing delay a sync more than compacting does, and nobody does that all the time.
    """
    times = [0]
    is_over = threading.Event()
    problem = []

    def compact(copies):
        try:
            for copy, level in itertools.cycle(itertools.product(copies, "19")):
                if is_over.is_set():
                    return
                harness.run([harness.command, "compact", "--level", level, "--storage-dir", copy])
                times[0] += 1
        except Exception as error:
            problem.append(error)

    with harness.directory() as path:
        copies = [shutil.copytree(pristine, os.path.join(path, str(number))) for number in range(3 + int(6 * harness.options.seconds))]
        beside = threading.Thread(target=compact, args=(copies,))
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
    # One full file of the default size; a closed session is compressed already.
    harness.record(pristine, harness.payloads("typical", 2 * harness.options.file_bytes), "--no-close")
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
