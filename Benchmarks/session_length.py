#!/usr/bin/env python3
"""What one more action costs in a session that already has n of them, and how fast a whole file goes through the pipe.

Needs `pip install conceptkernel==1.3.0 pyyaml` and a release build. Prints a table to standard error and JSON to standard
output; README.md says what is measured and how.
"""
import argparse, contextlib, json, os, shutil, statistics, subprocess, sys, tempfile, time

from cklib.prov import ProvChain
from machine import machine

URN = "ckp://Kernel#Bench:v1.0"
REFERENCE, PROCESS, POWER = "cklib.prov", "ckprov-log process", "ckprov-log power"
JSON_LINE, JSON_LINE_SYNC = "json line", "json line + fdatasync"


def action(i):
    """About 900 bytes of compact JSON, as an action of a deployment has them."""
    state = {"replicas": 3, "image": "registry.local/widgets:%06d" % i, "ready": True, "load": 0.25, "zone": "eu-1"}
    return {"action_type": "deploy.apply", "outcome": "verified", "kernel": "Bench",
            "intent": {"target": "prod", "widgets": ["alpha", "beta", "gamma"], "reason": "roll out build %d to every zone" % i},
            "evidence": {"command": "apply --server-side -f widgets.yaml", "exit_code": 0, "output": "widget configured; " * 22},
            "before_state": state, "after_state": dict(state, image="registry.local/widgets:%06d" % (i + 1), load=0.5)}


class Reference:
    """ProvChain itself. The n actions that stand before the measured ones are put into its list without writing the file n times."""

    def __init__(self, directory, n):
        self.chain = ProvChain(directory, "bench", URN)
        self.chain._flush = lambda *arguments, **named: None
        self.record(range(n))
        del self.chain._flush

    def record(self, numbers):
        times = []
        for i in numbers:
            one = action(i)
            start = time.perf_counter()
            self.chain.record_action(**one)
            times.append(time.perf_counter() - start)
        return times

    def end(self):
        pass


class Log:
    """`ckprov-log record --ack`: one line goes in, its seq is waited for."""

    def __init__(self, directory, n, durability):
        arguments = [options.command, "record", "--storage-dir", directory, "--label", "bench", "--kernel-urn", URN, "--ack",
                     "--durability", durability, "--view", "never"]
        self.program = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.answers = os.fdopen(os.dup(self.program.stdout.fileno()), "rb")
        self.answers.readline()
        self.record(range(n))

    def record(self, numbers):
        times = []
        for i in numbers:
            one = action(i)
            start = time.perf_counter()
            self.program.stdin.write(json.dumps(one, separators=(",", ":")).encode() + b"\n")
            seq = self.answers.readline()
            times.append(time.perf_counter() - start)
            assert seq == b"%d\n" % (i + 1), seq
        return times

    def end(self):
        self.program.stdin.close()
        assert self.program.wait() == 0


class JSONLine:
    """The least that one could do: a line of JSON appended to a file, with no checksum, no lock, no projection."""

    def __init__(self, directory, n, syncs):
        self.file = open(os.path.join(directory, "lines"), "wb", buffering=0)
        self.syncs = False
        self.record(range(n))
        self.syncs = syncs

    def record(self, numbers):
        times = []
        for i in numbers:
            one = action(i)
            start = time.perf_counter()
            self.file.write(json.dumps(one, separators=(",", ":")).encode() + b"\n")
            if self.syncs:
                os.fdatasync(self.file.fileno())
            times.append(time.perf_counter() - start)
        return times

    def end(self):
        self.file.close()


SUBJECTS = {
    REFERENCE: Reference,
    PROCESS: lambda directory, n: Log(directory, n, "process"),
    POWER: lambda directory, n: Log(directory, n, "power"),
    JSON_LINE: lambda directory, n: JSONLine(directory, n, False),
    JSON_LINE_SYNC: lambda directory, n: JSONLine(directory, n, True),
}


@contextlib.contextmanager
def directory():
    path = tempfile.mkdtemp(prefix="ckprov-bench-", dir=options.directory)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def one_more_action(name, n):
    """Median seconds of the actions that follow the first n - 1."""
    with directory() as path, open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # cklib prints a line an action
        subject = SUBJECTS[name](path, n - 1)
        times = subject.record(range(n - 1, n - 1 + options.actions))
        subject.end()
    return statistics.median(times)


def bulk(durability):
    """Seconds to record a file, from the start of the program to its end: the session is closed and synced by then."""
    with directory() as path:
        lines = os.path.join(path, "actions.jsonl")
        with open(lines, "w") as file:
            for i in range(options.bulk):
                file.write(json.dumps(action(i), separators=(",", ":")) + "\n")
        with open(lines, "rb") as file:
            start = time.perf_counter()
            subprocess.run([options.command, "record", "--storage-dir", path, "--label", "bench", "--kernel-urn", URN, "--durability",
                            durability, "--view", "never"], stdin=file, stdout=subprocess.DEVNULL, check=True)
            return time.perf_counter() - start


def main():
    times = {name: {n: [] for n in options.lengths} for name in SUBJECTS}
    seconds = {"process": [], "power": []}
    for number in range(options.rounds):
        print("round %d of %d" % (number + 1, options.rounds), file=sys.stderr)
        for n in options.lengths:
            for name in SUBJECTS:
                times[name][n].append(one_more_action(name, n))
        for durability in seconds:
            seconds[durability].append(bulk(durability))

    medians = {name: {n: statistics.median(of[n]) for n in of} for name, of in times.items()}
    print("\n%-24s" % "microseconds an action" + "".join("%12s" % ("n = %d" % n) for n in options.lengths), file=sys.stderr)
    for name in SUBJECTS:
        print("%-24s" % name + "".join("%12.0f" % (medians[name][n] * 1e6) for n in options.lengths), file=sys.stderr)
    size = len(json.dumps(action(0), separators=(",", ":"))) + 1
    for durability, runs in seconds.items():
        rate = options.bulk / statistics.median(runs)
        print("bulk, %-18s%12.0f actions/s, %.0f MB/s" % (durability, rate, rate * size / 1e6), file=sys.stderr)

    def spread(values):
        return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}

    json.dump({
        "benchmark": "session_length", "date": time.strftime("%Y-%m-%d"), "machine": machine(options.directory),
        "setting": {"line_bytes": size, "actions_per_round": options.actions, "rounds": options.rounds, "bulk_actions": options.bulk},
        "seconds_per_action": {name: {str(n): spread(of[n]) for n in of} for name, of in times.items()},
        "times_as_fast_as_cklib.prov": {
            name: {str(n): round(statistics.median([a / b for a, b in zip(times[REFERENCE][n], times[name][n])]), 2) for n in options.lengths}
            for name in (PROCESS, POWER)},
        "bulk": {durability: {"seconds": spread(runs), "actions_per_second": round(options.bulk / statistics.median(runs))}
                 for durability, runs in seconds.items()},
    }, sys.stdout, indent=2)
    print()


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
here = os.path.dirname(os.path.abspath(__file__))
parser.add_argument("--command", default=os.path.join(here, "..", ".build", "release", "ckprov-log"), help="default: the release build")
parser.add_argument("--directory", help="a directory on the disk to measure; default: the system's for temporary files")
parser.add_argument("--lengths", type=int, nargs="+", default=[1, 10, 100, 300, 1000], metavar="N")
parser.add_argument("--actions", type=int, default=10, help="measured after the first n - 1, each round (default %(default)s)")
parser.add_argument("--rounds", type=int, default=9, help="default %(default)s")
parser.add_argument("--bulk", type=int, default=50_000, help="actions of the bulk runs (default %(default)s)")
options = parser.parse_args()
if __name__ == "__main__":
    main()
