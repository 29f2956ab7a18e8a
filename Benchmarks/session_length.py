"""What one more action costs in a session that already has n of them, called from Python."""
import contextlib, json, os, statistics, subprocess, time

from harness import Case, need_module
from payloads import URN


class Reference:
    """ProvChain itself. The actions that stand before the measured ones are put into its list without writing the file each time."""

    def __init__(self, harness, directory):
        need_module("cklib.prov")
        from cklib.prov import ProvChain
        self.chain = ProvChain(directory, "bench", URN)

    def prepare(self, actions):
        self.chain._flush = lambda *arguments, **named: None
        for action in actions:
            self.record(action)
        del self.chain._flush

    def record(self, action):
        self.chain.record_action(**action)

    def end(self):
        pass


class Log:
    """`ckprov-log record --ack`: one line goes in, its seq is waited for. Two switches between processes are in it.

    With the id of a session, and how many actions it has: goes on with it, and leaves it open.
    """

    def __init__(self, harness, directory, durability, session=None, seq=0):
        arguments = [*harness.record_arguments(directory), "--ack", "--durability", durability]
        if session:
            arguments = ["record", "--storage-dir", directory, "--resume", session, "--no-close", *arguments[-3:]]
        self.program = subprocess.Popen([harness.command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.answers = os.fdopen(os.dup(self.program.stdout.fileno()), "rb")
        self.answers.readline()
        self.seq = seq

    def prepare(self, actions):
        for action in actions:
            self.record(action)

    def record(self, action):
        self.program.stdin.write(json.dumps(action, separators=(",", ":")).encode() + b"\n")
        self.seq += 1
        if self.answers.readline() != b"%d\n" % self.seq:
            raise RuntimeError("record did not acknowledge action %d" % self.seq)

    def end(self):
        self.program.stdin.close()
        if self.program.wait() != 0:
            raise RuntimeError("record ended with %d" % self.program.returncode)
        self.answers.close()
        self.program.stdout.close()


class JSONLine:
    """The least that one could do: a line of JSON appended to a file, with no checksum, no lock, no projection."""

    def __init__(self, harness, directory, syncs):
        self.file = open(os.path.join(directory, "lines"), "wb", buffering=0)
        self.syncs = syncs

    def prepare(self, actions):
        for action in actions:
            self.file.write(json.dumps(action, separators=(",", ":")).encode() + b"\n")

    def record(self, action):
        self.file.write(json.dumps(action, separators=(",", ":")).encode() + b"\n")
        if self.syncs:
            os.fdatasync(self.file.fileno())

    def end(self):
        self.file.close()


SUBJECTS = {
    "ckprov-log record, process": lambda harness, directory: Log(harness, directory, "process"),
    "ckprov-log record, power": lambda harness, directory: Log(harness, directory, "power"),
    "cklib.prov": Reference,
    "JSON Lines, Python json": lambda harness, directory: JSONLine(harness, directory, False),
    "JSON Lines, Python json, fdatasync": lambda harness, directory: JSONLine(harness, directory, True),
}


def cases(harness):
    with open(harness.payloads("typical"), "rb") as file:
        actions = [json.loads(line) for line in file]

    def timed(subject, n):
        """The median of a few actions, the first of which is the n-th."""
        times = []
        for i in range(n - 1, n - 1 + harness.options.actions):
            start = time.perf_counter()
            subject.record(actions[i % len(actions)])
            times.append(time.perf_counter() - start)
        subject.end()
        return {"seconds_per_action": statistics.median(times)}

    def measure(make, n):
        with harness.directory() as path, open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # cklib prints a line an action
            subject = make(harness, path)
            subject.prepare(actions[i % len(actions)] for i in range(n - 1))
            return timed(subject, n)

    for n in harness.options.lengths:
        yield Case("n = %s" % format(n, ","), "seconds_per_action",
                   [(name, lambda make=make, n=n: measure(make, n)) for name, make in SUBJECTS.items()])

    long = {}

    def measure_long(durability):
        """Each time goes on with the same session, which is recorded once."""
        if not long:
            long["path"], long["n"] = os.path.join(harness.work, "long"), harness.options.longest
            os.mkdir(long["path"])
            program = subprocess.Popen([harness.command, *harness.record_arguments(long["path"]), "--no-close"],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            lines = [json.dumps(action, separators=(",", ":")).encode() + b"\n" for action in actions]
            whole, rest = divmod(long["n"] - 1, len(lines))
            for _ in range(whole):
                program.stdin.write(b"".join(lines))
            long["session"] = program.communicate(b"".join(lines[:rest]))[0].decode().split()[0]
            if program.returncode != 0:
                raise RuntimeError("record ended with %d" % program.returncode)
        with harness.directory(long["path"]):
            result = timed(Log(harness, long["path"], durability, long["session"], long["n"] - 1), long["n"])
        long["n"] += harness.options.actions
        return result

    yield Case("n = %s" % format(harness.options.longest, ","), "seconds_per_action",
               [("ckprov-log record, %s" % durability, lambda durability=durability: measure_long(durability)) for durability in ("process", "power")])
