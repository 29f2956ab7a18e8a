"""How many actions a second are recorded, and how long each call takes; whether the syncs that a durability needs are really made."""
import os, re

from harness import Case, need_program

NAMES = {"lines": "JSON Lines, C", "sqlite": "SQLite", "leveldb": "LevelDB", "rocksdb": "RocksDB", "lmdb": "LMDB", "nats": "NATS JetStream",
         "json": "JSON Lines, Python json", "orjson": "JSON Lines, Python orjson", "cklib": "cklib.prov"}
OURS = "ckprov-log "
ENGINES = ["lines", "sqlite", "leveldb", "rocksdb", "lmdb", "nats"]


def ours(harness, form, **options):
    return OURS + form, lambda: harness.bench(form=form, **options)


def peer(harness, name, **options):
    return NAMES[name], lambda: harness.peer(name, **options)


def pipe(harness, size, durability):
    """`record` with a file as its input, from its start to its end: the session is closed and synced by then."""
    def measure():
        lines = harness.payloads(size, harness.options.file_bytes)
        with open(lines, "rb") as file:
            actions = sum(1 for _ in file)
        with harness.directory() as path:
            result = harness.timed([harness.command, *harness.record_arguments(path), "--durability", durability], stdin=lines)
            found = harness.json([harness.command, "stats", "--storage-dir", path, "--json"])["actions"]
        if found != actions:
            raise RuntimeError("record was given %d actions, %d are there" % (actions, found))
        result.update(actions=actions, actions_per_second=actions / result["seconds"],
                      bytes_per_second=(os.path.getsize(lines) - actions) / result["seconds"])
        return result
    return OURS + "record, whole file", measure


def one_caller(durability):
    """The cases of a durability class: each size, by actions a commit."""
    def cases(harness):
        for size in harness.options.sizes:
            for batch in harness.options.batches:
                if batch > 1 and size == "large":
                    continue  # 16 MiB a commit says nothing that the rest does not
                options = {"input": harness.payloads(size), "durability": durability, "batch": batch, "duration": harness.options.seconds}
                subjects = [ours(harness, form, **options) for form in ("raw", "values", "lines")]
                if batch > 1:
                    subjects.append(pipe(harness, size, durability))
                subjects += [peer(harness, name, **options) for name in ENGINES + ["json", "orjson"]]
                if batch == 1 and durability == "process":
                    subjects.append(peer(harness, "cklib", **options))
                yield Case("%s, %s a commit" % (size, format(batch, ",")), "actions_per_second", subjects)
    return cases


def callers(harness):
    """Many at once who each want their action on stable storage: sharing one store (group commit), or each with one of its own. And how far the processors go with
    many sessions: each caller with its own, beside one caller alone."""
    threads = harness.options.threads
    for stores in (1, threads):
        options = {"input": harness.payloads("typical"), "durability": "power", "threads": threads, "duration": harness.options.seconds}
        subjects = [ours(harness, "raw", sessions=stores, **options)]
        subjects += [peer(harness, name, stores=stores, **options) for name in ENGINES]
        yield Case("%d callers, %s" % (threads, "one store" if stores == 1 else "a store each"), "actions_per_second", subjects)
    options = {"input": harness.payloads("typical"), "durability": "process", "duration": harness.options.seconds}
    yield Case("process, %d callers, a session each, beside one" % threads, "actions_per_second", [
        (OURS + "raw, %d sessions" % threads, lambda: harness.bench(form="raw", sessions=threads, threads=threads, **options)),
        (OURS + "raw, one session", lambda: harness.bench(form="raw", **options))])


def syncs(harness):
    """System calls that sync, for each action more: 1 where a subject keeps what `power` promises to a single caller."""
    counts = (20, 60)

    def subject(durability, run):
        def measure():
            need_program("strace")
            found = []
            for count in counts:
                trace = os.path.join(harness.work, "strace")
                run(["strace", "-f", "-qq", "-o", trace, "-e", "trace=fdatasync,fsync,msync"], count)
                with open(trace) as file:
                    found.append(len(re.findall(r"\b(?:fdatasync|fsync|msync)\(", file.read())))
            each = (found[1] - found[0]) / (counts[1] - counts[0])
            if durability == "power" and each < 0.9:
                raise RuntimeError("%.2f syncs an action: it acknowledges before they are on stable storage" % each)
            return {"syncs_per_action": each}
        return measure

    def cases(durability):
        options = {"input": harness.payloads("typical"), "durability": durability, "duration": 60}
        subjects = [(OURS + "raw", subject(durability, lambda wrapper, count: harness.bench(wrapper, form="raw", count=count, **options)))]
        for name in ENGINES + ["json"]:
            if name != "nats":  # its server does it
                subjects.append((NAMES[name], subject(durability, lambda wrapper, count, name=name: harness.peer(name, wrapper, count=count, **options))))
        return Case(durability, "syncs_per_action", subjects)

    return [cases("process"), cases("power")]
