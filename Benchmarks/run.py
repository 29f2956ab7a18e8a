#!/usr/bin/env python3
"""Measures ckprov-log and its peers on the same actions and the same disk, in turn. README.md says what is measured and how to read it."""
import argparse, contextlib, json, os, signal, statistics, sys, time

import device, machine, maintenance, reading, recording, resume, session_length
from harness import HERE, Harness, Skipped
from payloads import SIZES
from recording import OURS

GROUPS = {"length": session_length.cases, "process": recording.one_caller("process"), "power": recording.one_caller("power"),
          "callers": recording.callers, "reading": reading.cases, "resume": resume.cases, "maintenance": maintenance.cases, "device": device.cases, "syncs": recording.syncs}


def numbers(result, prefix=""):
    """The numbers of a result, those of inner objects by `outer.inner`."""
    flat = {}
    for key, value in result.items():
        if isinstance(value, dict):
            flat.update(numbers(value, prefix + key + "."))
        elif isinstance(value, (int, float)):
            flat[prefix + key] = value
    return flat


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "low_quartile": low, "high_quartile": high, "least": min(values), "greatest": max(values)}


class Table:
    """What the rounds of a case gave, by subject."""

    def __init__(self, case):
        self.case = case
        self.rounds = {name: [] for name, _ in case.subjects}  # None where a round has nothing
        self.versions, self.skipped, self.failed = {}, {}, {}

    def measure(self, number):
        """A round; each begins with another subject."""
        first = number % len(self.case.subjects)
        for name, measure in self.case.subjects[first:] + self.case.subjects[:first]:
            result = None
            if name not in self.skipped and name not in self.failed:
                try:
                    result = measure()
                except Skipped as reason:
                    self.skipped[name] = str(reason)
                except Exception as error:
                    self.failed[name] = "%s: %s" % (type(error).__name__, error)
            if result and result.get("version"):
                self.versions[name] = result["version"]
            self.rounds[name].append(numbers(result) if result else None)

    def times_as_good(self, name):
        """How many times as good the first subject is: the median of the rounds' own ratios."""
        first = next(iter(self.rounds))
        pairs = [(ours[self.case.metric], its[self.case.metric]) for ours, its in zip(self.rounds[first], self.rounds[name]) if ours and its]
        ratios = [ours / its if self.case.is_rate else its / ours for ours, its in pairs if ours and its]
        return statistics.median(ratios) if ratios else None

    def object(self):
        subjects = {}
        for name, rounds in self.rounds.items():
            done = [one for one in rounds if one]
            if done:
                subjects[name] = {"version": self.versions.get(name), "times_as_good_is_the_first": self.times_as_good(name),
                                  "measured": {key: spread([one[key] for one in done]) for key in done[0]},
                                  "rounds": [one and one[self.case.metric] for one in rounds]}
        return {"metric": self.case.metric, "first": next(iter(self.rounds)), "subjects": subjects, "skipped": self.skipped, "failed": self.failed}


UNITS = {"actions_per_second": ("actions/s", 1), "bytes_per_second": ("MB/s", 1e6), "seconds_per_action": ("us", 1e-6), "seconds": ("ms", 1e-3)}


def print_table(group, name, of):
    if not of["subjects"]:
        return
    unit, size = UNITS.get(of["metric"], (of["metric"], 1))
    number = lambda value: format(value / size, ",.0f" if value / size >= 100 else ",.2f")
    print("\n%s: %s\n%-44s%14s%27s%10s" % (group, name, "", unit, "quartiles", "x"))
    for subject, result in of["subjects"].items():
        main = result["measured"][of["metric"]]
        times = result["times_as_good_is_the_first"]
        more = [label % (result["measured"][key]["median"] / scale) for key, label, scale in (
            ("latency_us.p50", "p50 %.1f us", 1), ("latency_us.p99", "p99 %.1f us", 1), ("cpu_seconds", "CPU %.2f s", 1),
            ("resident_bytes", "%.0f MiB", 1 << 20), ("compactions", "%.0f compactions", 1)) if key in result["measured"] and key != of["metric"]]
        print("%-44s%14s%27s%10s  %s" % (subject, number(main["median"]), number(main["low_quartile"]) + " - " + number(main["high_quartile"]),
                                         "%.2f" % times if times else "", ", ".join(more)))
    print("x: how many times as good %s is" % of["first"])


def run(harness):
    """The result, as it is kept."""
    options = harness.options
    about = machine.machine(harness.work)
    speeds = {}
    with contextlib.suppress(Skipped):  # without a compiler, which the peers report
        speeds = machine.calibration(harness.compiled("calibrate"), harness.work)
    for title, values in ("machine", about), ("calibration", speeds):
        print("%s: %s" % (title, ", ".join("%s %s" % (key, value) for key, value in values.items())))
    result = {"date": time.strftime("%Y-%m-%d"), "commit": machine.commit(HERE), "machine": about, "calibration": speeds,
              "setting": {"rounds": 0, "seconds": options.seconds, "seed": options.seed, "threads": options.threads,
                          "payload_bytes": {size: SIZES[size] for size in options.sizes}, "file_bytes": options.file_bytes,
                          "read_bytes": options.read_bytes, "longest": options.longest}, "groups": {}}
    tables = {group: [Table(case) for case in GROUPS[group](harness)] for group in options.only}
    said = set()
    for number in range(options.rounds):
        start = time.monotonic()
        for group in options.only:
            for table in tables[group]:
                table.measure(number)
                for what, reasons in ("skipped", table.skipped), ("FAILED", table.failed):
                    for name, reason in reasons.items():
                        line = "%s: %s: %s" % (name, what, reason.replace("\n", " "))
                        if line not in said:
                            said.add(line)
                            print(line, flush=True)
        result["setting"]["rounds"] = number + 1
        result["machine"]["load_at_end"] = [round(one, 2) for one in os.getloadavg()]
        result["groups"] = {group: {table.case.name: table.object() for table in tables[group]} for group in options.only}
        if options.output:
            with open(options.output, "w") as file:
                json.dump(result, file, indent=1)
                file.write("\n")
        print("round %d of %d: %.0f s" % (number + 1, options.rounds, time.monotonic() - start), flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split(". ")[0] + ".", epilog="Groups: %s." % ", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, default=9, help="each measures every subject once; default %(default)s")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="GROUP", help="default: all groups")
    parser.add_argument("--seconds", type=float, default=1, help="of a measurement (default %(default)s)")
    parser.add_argument("--directory", help="a directory on the disk to measure; default: the system's for temporary files")
    parser.add_argument("-o", "--output", metavar="FILE", help="keeps the result as JSON, such as in Benchmarks/results")
    parser.add_argument("--command", default=os.path.join(HERE, "..", ".build", "release", "ckprov-log"), help="default: the release build")
    parser.add_argument("--seed", type=int, default=1, help="of the actions")
    parser.add_argument("--quick", action="store_true", help="runs everything once and so briefly that the numbers mean nothing")
    options = parser.parse_args()
    options.sizes, options.threads, options.lengths, options.actions = list(SIZES), 64, [1, 10, 100, 1000, 10_000], 10
    options.batches, options.device_counts, options.file_bytes = [1, 1000], (1024, 8192), 32 << 20
    options.read_bytes, options.longest = 256 << 20, 10_000_000
    if options.quick:
        options.rounds, options.seconds, options.sizes, options.threads, options.lengths, options.actions = 1, 0.02, ["typical"], 8, [1, 10], 3
        options.batches, options.device_counts, options.file_bytes = [1, 10], (16, 64), 1 << 18
        options.read_bytes, options.longest = 1 << 18, 1000
        if not options.directory and os.path.isdir("/dev/shm"):
            options.directory = "/dev/shm"  # no disk to wait for
    if not os.access(options.command, os.X_OK):
        parser.error("no %s: run `swift build -c release`, or name it with --command" % os.path.relpath(options.command))
    if options.output and not os.path.isdir(os.path.dirname(os.path.abspath(options.output))):
        parser.error("no directory for %s" % options.output)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # mounts and servers go away on the way out
    harness = Harness(options)
    with contextlib.ExitStack() as stack:
        stack.callback(harness.end)
        result = run(harness)
    failures = []
    for group, cases in result["groups"].items():
        for name, of in cases.items():
            print_table(group, name, of)
            failures += ["%s: %s: %s" % (group, name, subject) for subject in of["failed"]]
    if failures:
        print("\nfailed:\n" + "\n".join(failures))
    return 1 if any(": " + OURS in failure for failure in failures) else 0


if __name__ == "__main__":
    sys.exit(main())
