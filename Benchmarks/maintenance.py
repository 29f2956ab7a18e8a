#!/usr/bin/env python3
"""What recording feels of maintenance: the latency of single actions, without and with sealing and compaction beside them.

Needs a release build. Prints a table to standard error and JSON to standard output; README.md says what is measured and how.
"""
import argparse, json, os, random, shutil, statistics, subprocess, sys, tempfile, threading, time

from machine import machine

URN = "ckp://Kernel#Bench:v1.0"
WORDS = ["".join(random.Random(i).choices("abcdefghijklmnopqrstuvwxyz", k=3 + i % 8)) for i in range(4000)]


def line(numbers, i):
    """An action of about 900 bytes as it is kept, with words that differ, so that LZ4 has work to do."""
    text = lambda size: " ".join(numbers.choices(WORDS, k=size // 7))
    state = {"replicas": numbers.randint(1, 9), "image": "registry.local/%s:%06d" % (numbers.choice(WORDS), i), "load": round(numbers.random(), 4)}
    action = {"action_type": "deploy.apply", "outcome": "verified", "intent": {"target": "prod", "reason": text(80)},
              "evidence": {"command": "apply -f %s.yaml" % numbers.choice(WORDS), "exit_code": 0, "output": text(160)},
              "before_state": state, "after_state": dict(state, load=round(numbers.random(), 4)), "note": text(40)}
    return json.dumps(action, separators=(",", ":")).encode() + b"\n"


def record(directory, lines, segment_size):
    """Seconds of each action, from the line to its seq."""
    arguments = [options.command, "record", "--storage-dir", directory, "--label", "bench", "--kernel-urn", URN, "--ack", "--view", "never",
                 "--segment-size", segment_size]
    program = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    with os.fdopen(os.dup(program.stdout.fileno()), "rb") as answers:
        answers.readline()
        times = []
        for number, one in enumerate(lines):
            start = time.perf_counter()
            program.stdin.write(one)
            seq = answers.readline()
            times.append(time.perf_counter() - start)
            assert seq == b"%d\n" % (number + 1), seq
    program.stdin.close()
    assert program.wait() == 0
    return times


def run(lines, busy, with_maintenance):
    """Without: one file, nothing beside it. With: a file is full, and sealed, every 2 MiB, and another process compacts the directory over and over."""
    path = tempfile.mkdtemp(prefix="ckprov-bench-", dir=options.directory)
    try:
        shutil.copytree(busy, path, dirs_exist_ok=True)
        is_over = threading.Event()
        compactions = 0

        def compact():
            nonlocal compactions
            while not is_over.is_set():
                for level in "1", "9":
                    result = subprocess.run([options.command, "compact", "--level", level, "--storage-dir", path], capture_output=True)
                    assert result.returncode in (0, 75), result.stderr
                    compactions += 1

        beside = threading.Thread(target=compact) if with_maintenance else None
        if beside:
            beside.start()
        times = record(path, lines, "2M" if with_maintenance else "1G")
        is_over.set()
        if beside:
            beside.join()
        return times, compactions
    finally:
        shutil.rmtree(path)


def main():
    numbers = random.Random(options.seed)
    lines = [line(numbers, i) for i in range(options.actions)]
    quantile = lambda times, part: sorted(times)[int(len(times) * part)]
    rounds = []
    busy = tempfile.mkdtemp(prefix="ckprov-bench-", dir=options.directory)
    try:
        # What is compacted beside the recording, besides its own files.
        for _ in range(4):
            subprocess.run([options.command, "record", "--storage-dir", busy, "--label", "bench", "--kernel-urn", URN, "--view", "never"],
                           input=b"".join(lines[:20_000]), stdout=subprocess.DEVNULL, check=True)
        for number in range(options.rounds):
            one = {}
            for name in ("without", "with") if number % 2 == 0 else ("with", "without"):
                times, compactions = run(lines, busy, name == "with")
                one[name] = {"p50": statistics.median(times), "p99": quantile(times, 0.99), "greatest": max(times), "compactions": compactions}
            one["ratio_of_p99"] = one["with"]["p99"] / one["without"]["p99"]
            rounds.append(one)
            print("round %d: p99 %.0f us without, %.0f us with, ratio %.2f; %d compactions" % (
                number + 1, one["without"]["p99"] * 1e6, one["with"]["p99"] * 1e6, one["ratio_of_p99"], one["with"]["compactions"]), file=sys.stderr)
    finally:
        shutil.rmtree(busy)
    ratio = statistics.median(one["ratio_of_p99"] for one in rounds)
    print("median of the ratios: %.2f" % ratio, file=sys.stderr)
    json.dump({"benchmark": "maintenance", "date": time.strftime("%Y-%m-%d"), "machine": machine(options.directory),
               "setting": {"actions": options.actions, "seed": options.seed, "mean_line_bytes": round(statistics.mean(map(len, lines)))},
               "median_ratio_of_p99": round(ratio, 3), "rounds": rounds}, sys.stdout, indent=2)
    print()


parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
here = os.path.dirname(os.path.abspath(__file__))
parser.add_argument("--command", default=os.path.join(here, "..", ".build", "release", "ckprov-log"), help="default: the release build")
parser.add_argument("--directory", help="a directory on the disk to measure; default: the system's for temporary files")
parser.add_argument("--actions", type=int, default=30_000, help="a run (default %(default)s)")
parser.add_argument("--rounds", type=int, default=9, help="default %(default)s")
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()
if __name__ == "__main__":
    main()
