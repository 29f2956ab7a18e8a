"""How fast a recorded session is read: as Session JSON, as JSON Lines, or to check it. Programs as a whole, from their start to their end."""
import os, sys

from harness import HERE, Case, need_module, need_program
from recording import OURS


def cases(harness):
    lines = harness.payloads("typical", harness.options.read_bytes)
    places = {}
    for form in ("raw", "sealed"):
        path = os.path.join(harness.work, "read-" + form)
        os.mkdir(path)
        # A file that is not full is not compressed while its session is open; once that is closed, it is.
        session = harness.record(path, lines, *(["--no-close", "--segment-size", "1G"] if form == "raw" else []))
        places[form] = (path, session)
    document, kept_lines = (os.path.join(harness.work, name) for name in ("session.json", "session.jsonl"))
    path, session = places["sealed"]
    for subcommand, output in (("project", document), ("cat", kept_lines)):
        with open(output, "wb") as file:
            file.write(harness.run([harness.command, subcommand, "--storage-dir", path, session]))
    # As cklib has it, for cklib.
    os.makedirs(os.path.join(harness.work, "storage", "sessions"), exist_ok=True)
    os.replace(document, legacy := os.path.join(harness.work, "storage", "sessions", session + ".json"))
    document = legacy

    def ours(subcommand, form):
        path, session = places[form]
        return OURS + "%s, %s" % (subcommand, "LZ4" if form == "sealed" else "raw"), [harness.command, subcommand, "--storage-dir", path, session]

    def python(module, *arguments):
        need_module(module)
        return [sys.executable, *arguments]

    def jq(*arguments):
        need_program("jq")
        return ["jq", *arguments, document]

    def case(name, size, *subjects):
        """`size`: bytes of what comes out, the same for all."""
        def measure(arguments):
            arguments = arguments() if callable(arguments) else arguments
            result = harness.timed(arguments)
            result["bytes_per_second"] = size / result["seconds"]
            return result
        return Case(name, "bytes_per_second", [(subject, lambda arguments=arguments: measure(arguments)) for subject, arguments in subjects])

    readers = os.path.join(HERE, "peers", "readers.py")
    get_session = "import sys, cklib.prov; assert cklib.prov.get_session(*sys.argv[1:])"
    yield case("Session JSON", os.path.getsize(document),
               ours("project", "raw"), ours("project", "sealed"),
               ("jq .", lambda: jq(".")),
               ("orjson, loads + dumps", lambda: python("orjson", readers, "orjson", document)),
               ("Python json, load + dumps", lambda: python("json", readers, "json", document)),
               ("cat (coreutils)", ["cat", document]))
    yield case("JSON Lines", os.path.getsize(kept_lines),
               ours("cat", "raw"), ours("cat", "sealed"),
               ("jq -c .actions[]", lambda: jq("-c", ".actions[]")),
               ("orjson, loads + dumps", lambda: python("orjson", readers, "orjson-lines", document)),
               ("Python json, load + dumps", lambda: python("json", readers, "json-lines", document)),
               ("simdjson, minify", lambda: [harness.compiled("simdjson"), "minify", document]),
               ("cat (coreutils)", ["cat", kept_lines]))
    yield case("parsed and checked", os.path.getsize(kept_lines),
               ours("verify", "raw"), ours("verify", "sealed"),
               ("simdjson, parse", lambda: [harness.compiled("simdjson"), "lines", kept_lines]),
               ("cklib.prov get_session", lambda: python("cklib.prov", "-c", get_session, harness.work, session)),
               ("sha256sum (coreutils)", ["sha256sum", kept_lines]))
