#!/usr/bin/env python3
"""readers.py json|orjson FILE: reads a Session JSON and prints it indented. readers.py json-lines|orjson-lines FILE: prints its actions as JSON Lines."""
import sys

what, path = sys.argv[1:]
with open(path, "rb") as file:
    text = file.read()
if what.startswith("orjson"):
    import orjson
    session = orjson.loads(text)
    indented = lambda: orjson.dumps(session, option=orjson.OPT_INDENT_2)
    encode = orjson.dumps
else:
    import json
    session = json.loads(text)
    indented = lambda: json.dumps(session, indent=2).encode()
    encode = lambda action: json.dumps(action, separators=(",", ":")).encode()
out = sys.stdout.buffer
if what.endswith("-lines"):
    for action in session["actions"]:
        out.write(encode(action) + b"\n")
else:
    out.write(indented())
