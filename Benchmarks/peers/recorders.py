#!/usr/bin/env python3
"""The peers in Python, which take and print what those in C do (peer.h): json or orjson (encode, then write), cklib.prov (ProvChain.record_action)."""
import argparse, contextlib, json, os, platform, sys, time


class Lines:
    """Values encoded and appended to a file; then fdatasync."""

    def __init__(self, encode):
        self.encode = encode
        self.path = os.path.join(options.directory, "lines")
        self.file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o666)

    def append(self, actions):
        os.write(self.file, b"".join([self.encode(action) + b"\n" for action in actions]))
        if options.durability == "power":
            os.fdatasync(self.file)

    def count(self):
        os.close(self.file)
        with open(self.path, "rb") as file:
            return sum(1 for _ in file)


class Reference:
    """Writes the whole session anew for each action; it syncs nothing."""

    def __init__(self):
        import cklib.prov
        assert options.durability == "process"
        self.module = cklib.prov
        self.chain = cklib.prov.ProvChain(options.directory, "bench", "ckp://Kernel#Bench:v1.0")

    def append(self, actions):
        for action in actions:
            self.chain.record_action(**action)

    def count(self):
        return len(self.module.get_session(options.directory, self.chain.session_id)["actions"])


def main():
    with open(options.input, "rb") as file:
        lines = [line.rstrip(b"\n") for line in file]
    actions = [json.loads(line) for line in lines]
    if options.peer == "json":
        peer, version = Lines(lambda action: json.dumps(action, separators=(",", ":")).encode()), platform.python_version()
    elif options.peer == "orjson":
        import orjson
        peer, version = Lines(orjson.dumps), orjson.__version__
    else:
        import importlib.metadata
        peer, version = Reference(), importlib.metadata.version("conceptkernel")
    number = size = 0
    times = []
    with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):  # cklib prints a line an action
        start = before = time.perf_counter()
        while before < start + options.duration and number < options.count:
            batch = range(number, number + options.batch)
            peer.append([actions[i % len(actions)] for i in batch])
            now = time.perf_counter()
            times.append(now - before)
            before = now
            number += options.batch
    seconds = before - start
    size = sum(len(lines[i % len(lines)]) for i in range(number))
    found = peer.count()
    assert found == number, (found, number)
    times.sort()
    quantile = lambda part: round(times[min(int(len(times) * part), len(times) - 1)] * 1e6, 3)
    json.dump({"version": version, "durability": options.durability, "threads": 1, "stores": 1, "batch": options.batch, "payload_bytes": size / number,
               "actions": number, "seconds": seconds, "actions_per_second": number / seconds, "bytes_per_second": size / seconds,
               "latency_us": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "p999": quantile(0.999), "max": quantile(1)}}, sys.stdout)


parser = argparse.ArgumentParser()
parser.add_argument("peer", choices=["json", "orjson", "cklib"])
parser.add_argument("--input", required=True)
parser.add_argument("--directory", required=True)
parser.add_argument("--durability", choices=["process", "power"], default="process")
parser.add_argument("--batch", type=int, default=1)
parser.add_argument("--duration", type=float, default=1)
parser.add_argument("--count", type=int, default=sys.maxsize)
options = parser.parse_args()
main()
