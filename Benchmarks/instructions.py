#!/usr/bin/env python3
"""Instructions and allocations per action, counted by callgrind: what a change costs, on any machine, however busy it is.

    python3 Benchmarks/instructions.py            compares with instructions.json; exit code 1 if something costs more than its tolerance allows
    python3 Benchmarks/instructions.py --update   writes what was counted there

Needs valgrind, strip, and a release build.
"""
import argparse, json, os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXPECTED = os.path.join(HERE, "instructions.json")
TOLERANCE = 0.03
ALLOCATORS = {"malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc"}
# From COUNT actions to twice as many: what starting and ending takes cancels out.
COUNT = 4000


def counted(command, directory):
    """Instructions, and calls of an allocator, of one run."""
    out = os.path.join(directory, "callgrind.out")
    run = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=" + out] + command, stdout=subprocess.DEVNULL,
                         stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit("%s failed:\n%s" % (" ".join(command), run.stderr[-2000:]))
    names, callee, calls = {}, None, 0
    with open(out, errors="replace") as lines:
        for line in lines:
            if line.startswith(("fn=", "cfn=")):
                number, name = re.match(r"c?fn=\((\d+)\)(?: (.*))?", line).groups()
                if name:
                    names[number] = name.strip()
                callee = names[number] if line.startswith("c") else None
            elif line.startswith("calls=") and callee in ALLOCATORS:
                calls += int(line[6:].split()[0])
    return int(re.search(r"Collected : (\d+)", run.stderr)[1]), calls


def per_action(command, directory):
    few, many = counted(command(COUNT), directory), counted(command(2 * COUNT), directory)
    return {"instructions": round((many[0] - few[0]) / COUNT), "allocations": round((many[1] - few[1]) / COUNT, 3)}


def is_worse(now, was):
    # Fewer than one in a hundred actions: what grows with the logarithm of their number.
    return now["instructions"] > was["instructions"] * (1 + TOLERANCE) or now["allocations"] > was["allocations"] + 0.01


def bench(program, directory, form, batch):
    def command(count):
        return [program, "bench", "--storage-dir", directory, "--form", form, "--batch", str(batch), "--count", str(count), "--duration", "3600", "--no-seal",
                "--json"]
    return command


def reading(program, directory, *arguments):
    """Over a session of so many actions that was left open, in one file that is not sealed: to project it takes two passes."""
    def command(count):
        storage = os.path.join(directory, "raw%d" % count)
        if not os.path.exists(storage):
            lines = [json.dumps({"action_type": "deploy.apply", "outcome": "verified", "intent": {"target": "prod-%d" % (i % 7), "replicas": i % 12},
                                 "evidence": {"status": "ready", "ratio": i / 1000, "ports": [80, 443, 8000 + i % 999],
                                              "log": ["container %d healthy after %d probes" % (i * 7919 % 10007, i % 13)] * 12},
                                 "generated_at": "2026-03-14T20:00:00.%06dZ" % i, "note": "n"}, separators=(",", ":")) for i in range(count)]
            subprocess.run([program, "record", "--storage-dir", storage, "--session-id", "s", "--label", "l", "--kernel-urn", "ckp://Kernel#K:v1.0",
                            "--view", "never", "--no-close"], input="\n".join(lines), text=True, check=True, stdout=subprocess.DEVNULL)
        return [program, arguments[0], "--storage-dir", storage] + list(arguments[1:])
    return command


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--command", default=".build/release/ckprov-log")
    options = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="ckprov-instructions-")
    try:
        # What valgrind 3.19 makes of the debug information of Swift's compiler ends it.
        program = os.path.join(directory, "ckprov-log")
        subprocess.run(["strip", "--strip-debug", "-o", program, options.command], check=True)
        subjects = {
            "record, prepared payloads": bench(program, directory, "raw", 1),
            "record, prepared payloads, 64 a call": bench(program, directory, "raw", 64),
            "record, Swift values": bench(program, directory, "values", 1),
            "record, JSON Lines": bench(program, directory, "lines", 1),
            "project": reading(program, directory, "project", "s"),
            "cat": reading(program, directory, "cat", "s"),
            "verify": reading(program, directory, "verify", "s"),
        }
        found = {name: per_action(command, directory) for name, command in subjects.items()}
        if options.update:
            with open(EXPECTED, "w") as file:
                json.dump(found, file, indent=2)
                file.write("\n")
        with open(EXPECTED) as file:
            expected = json.load(file)
        # The sync in the background comes once a second, so that a busy machine adds some: never fewer. What seems worse is counted again.
        for name in found:
            for _ in range(2):
                if is_worse(found[name], expected[name]):
                    found[name] = min(found[name], per_action(subjects[name], directory), key=lambda count: count["instructions"])
    finally:
        shutil.rmtree(directory)
    failed = False
    for name, now in found.items():
        worse = is_worse(now, expected[name])
        failed = failed or worse
        print("%-40s %7d instructions (%+.1f %%)  %7.3f allocations %s" % (
            name, now["instructions"], (now["instructions"] / expected[name]["instructions"] - 1) * 100, now["allocations"], "WORSE" if worse else ""))
    sys.exit(failed)


if __name__ == "__main__":
    main()
