#!/usr/bin/env python3
"""The oracle of the differential tests: the reference itself, run under set clocks.

The reference is `cklib.prov` of the PyPI package conceptkernel 1.3.0 on Python 3.11 (it needs pyyaml).
Nothing of it is written again here: this script makes inputs, sets the clocks that the reference reads,
and prints what the reference left behind.

    reference.py generate --seed S --count N [--all-timestamps]   random sessions, JSON Lines
    reference.py fixtures DIR                                     named sessions, a file each: Fixtures/
    reference.py text --seed S --count N                          JSON texts and what Python makes of them
    reference.py list DIR                                         list_sessions, indented
    reference.py get DIR ID                                       get_session, indented
    reference.py record DIR --label L --kernel-urn U ... < LINES  a session file made by the reference

A session is {"session_id", "label", "kernel_urn", "kernel_action", "started_at", "steps", "live", "expected"}:
"expected" is the text of the session file after the last step, "live" what went to standard error, a string an
action. A step is one of

  - {"line": TEXT, "clock": TS}: a line as the command `record` takes it. TEXT's generated_at or ended_at is the
    reading of the clock if it is there, "clock" otherwise.
  - {"verified_action": {...}, "clocks": [TS], "sleeps": [seconds], "result": bool}: a call of verified_action whose
    functions follow "attempts": a TEXT is the JSON of a state, null no state or no fault, and an object a fault
    that is raised. "attempts" has one entry for every allowed attempt, reached or not; "clocks" one for every
    action recorded.

Session K depends on the seed and K alone. With --all-timestamps every line carries its timestamp, verified_action does
not occur, and the header's texts can be arguments of a program.

A text is {"json", "canonical", "str", "error"}: what json.dumps (without white space) and str() make of the value, and
a null error; for what is no JSON only {"json", "error"}.
"""

import argparse
import contextlib
import functools
import io
import json
import multiprocessing
import os
import random
import shutil
import struct
import sys
import tempfile
import time
import types
import uuid
import zlib
from datetime import datetime, timedelta, timezone
from importlib import metadata
from unittest import mock

import cklib.prov

TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


# ------------------------------------------------------------------ the reference, under a set clock

class Clock(datetime):
    """The `datetime` that the reference sees: now() is the last reading that was set."""

    reading: "Clock"

    @classmethod
    def now(cls, tz=None):
        return cls.reading

    @classmethod
    def set(cls, timestamp):
        cls.reading = cls.strptime(timestamp, TIMESTAMP_FORMAT).replace(tzinfo=timezone.utc)


# What scripted functions raise: exceptions of classes that bear these very names.
FAULTS = {name: type(name, (Exception,), {}) for name in ("ActionFault", "TimeoutFault", "VerifyFault")}


class Oracle:
    """One session of the reference, driven step by step."""

    def __init__(self, storage_dir, header):
        Clock.set(header["started_at"])
        cklib.prov.datetime = Clock
        cklib.prov._time = types.SimpleNamespace(time=lambda: Clock.reading.timestamp())
        cklib.prov.uuid = types.SimpleNamespace(uuid4=lambda: header["session_id"])
        self.live = []
        self.chain = cklib.prov.ProvChain(
            storage_dir, header["label"], header["kernel_urn"], header["kernel_action"])

    def run(self, step):
        if "line" in step:
            self.run_line(json.loads(step["line"]), step["clock"])
        else:
            self.run_verified_action(step)

    def run_line(self, line, clock):
        if "close" in line:
            Clock.set(line["close"].get("ended_at", clock))
            self.chain.close(line["close"].get("outcome", ""))
        else:
            self.record(line.pop("generated_at", clock), line)

    def record(self, timestamp, arguments):
        Clock.set(timestamp)
        standard_error = io.StringIO()
        with contextlib.redirect_stderr(standard_error):
            # By the class: run_verified_action sets an attribute of this name.
            cklib.prov.ProvChain.record_action(self.chain, **arguments)
        self.live.append(standard_error.getvalue().removesuffix("\n"))

    def run_verified_action(self, step):
        """Runs the step; cuts its "clocks" to those that were read, and adds "sleeps" and "result"."""
        call, clocks, sleeps = step["verified_action"], iter(step["clocks"]), []
        replies = iter(scripted_replies(call))

        def reply():
            answer = next(replies)
            if isinstance(answer, dict):
                raise FAULTS[answer.get("type", "VerifyFault")](answer.get("message", ""))
            return json.loads(answer) if isinstance(answer, str) else answer

        actions_before = self.chain.action_count
        self.chain.record_action = lambda **arguments: self.record(next(clocks), arguments)
        with mock.patch.object(time, "sleep", sleeps.append):
            step["result"] = cklib.prov.verified_action(
                reply, reply, self.chain, call["action_type"], call["kernel"],
                via_edge=call["via_edge"],
                intent=None if call["intent"] is None else json.loads(call["intent"]),
                max_attempts=call["max_attempts"],
                settle_delay=call["settle_delay"],
                capture_state_fn=reply if call["captures"] else None)
        del self.chain.record_action
        step["clocks"] = step["clocks"][:self.chain.action_count - actions_before]
        step["sleeps"] = sleeps

    def take_file(self):
        """The text of the session file, which is then removed."""
        with open(self.chain.file_path, encoding="ascii", newline="") as file:
            text = file.read()
        os.remove(self.chain.file_path)
        return text


def scripted_replies(call):
    """What the functions of a verified_action answer, in the order in which they are called."""
    for attempt in call["attempts"]:
        if call["captures"]:
            yield attempt["before"]
        yield attempt["action"]
        if attempt["action"] is None:
            if call["captures"]:
                yield attempt["after"]
            yield attempt["verify"]


def judged(storage_dir, session):
    """The session with "live" and "expected" as the reference gives them."""
    oracle = Oracle(storage_dir, session)
    for step in session["steps"]:
        oracle.run(step)
    return session | {"live": oracle.live, "expected": oracle.take_file()}


@contextlib.contextmanager
def scratch_directory():
    directory = tempfile.mkdtemp(prefix="reference-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


# ------------------------------------------------------------------ values, as JSON that is still to be spelled

class Token(str):
    """A number or a literal, written as it stands. A plain str is a string, a list an array."""


class Object(list):
    """An object: pairs of key and value, in order; a key may occur twice."""


def tokens(text):
    return [Token(word) for word in text.split()]


SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def spelled(r, node):
    """JSON text of a value, in one of the many spellings that mean the same."""
    style = r.random()
    if style < 0.4:
        gap = lambda: ""
    elif style < 0.8:
        gap = lambda: " " if r.random() < 0.5 else ""
    else:
        gap = lambda: "".join(r.choices(" \t\r", k=r.randrange(3)))

    def spell(node):
        if isinstance(node, Token):
            return node
        if isinstance(node, str):
            return spelled_string(r, node)
        if isinstance(node, Object):
            members = (gap() + spell(key) + gap() + ":" + gap() + spell(value) + gap() for key, value in node)
            return "{" + (",".join(members) or gap()) + "}"
        return "[" + (",".join(gap() + spell(element) + gap() for element in node) or gap()) + "]"

    return gap() + spell(node) + gap()


def spelled_string(r, text):
    share_escaped = r.choice((0, 0, 0, 0.1, 1))
    out = []
    for character in text:
        surrogate = "\ud800" <= character <= "\udfff"
        if character in SHORT_ESCAPES and r.random() < 0.7:
            out.append(SHORT_ESCAPES[character])
        elif character == "/" and r.random() < 0.3:
            out.append("\\/")
        elif character < " " or character in '"\\' or surrogate or r.random() < share_escaped:
            digits = character.encode("utf-16-be", "surrogatepass").hex()
            digits = r.choice((digits, digits.upper()))
            out += ["\\u" + digits[at:at + 4] for at in range(0, len(digits), 4)]
        else:
            out.append(character)
    return '"' + "".join(out) + '"'


# ------------------------------------------------------------------ random values

ODD_CHARACTERS = (
    "\"\\'/\0\x01\x1b\x1f\x7f\b\f\n\r\t {}[]:,|"
    "\x80\x85\x9f\xa0\xad\xe9\u0301\u030a\u0378\u061c\u061d\u1680\u1c89\u1e9e\u200b\u200d\u2028\u2029\u202e\u20c0\u2ffc"
    "\u3000\uac00\ue000\uf8ff\ufdd0\ufe0f\ufeff\ufffd\uffff"
    "\U00010000\U00010570\U00011f00\U0001f1e6\U0001f600\U0001fae0\U0001fae8\U0001fffe\U00031350\U000e0001\U0010ffff"
    "\ud800\udbff\udc00\udfff\ud83d\ude00")

# Neighbours here are equal to Unicode, or sort differently by code point and by UTF-16, or mean something elsewhere.
WORDS = [
    "", " ", "a", "b", "A", "aa", "a.b", "state", "status", "count", "10", "9", "True", "None", "no change", "\xe9",
    "e\u0301", "\xc5", "\u212b", "A\u030a", "\u03a9", "\u2126", "\uac01", "\u1100\u1161\u11a8", "\ue000", "\uffff",
    "\U00010000", "\U0001f600", "\ud800", "\udfff", "\ud83da", "\ude00\ud83d", "\ud83d\U0001f600", "\r\n", "\r", "\n",
    "it's", 'say "hi"', "both ' and \"", "back\\slash", "\x7f", "a\0b", "\u0301", "k\u200d", "a: 1 -> 2 | b",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001fae0", "\U0001fae8", "generated_at", "close"]

NUMBERS = tokens(
    "0 -0 0.0 -0.0 1 -1 1.0 0.1 0.3 1e5 1.0e5 1E5 1e+5 1e-5 0.0001 0.00001 1e15 1e16 1E16 1e17 123456789012345680.0"
    " 9999999999999998 9999999999999998.0 1e22 1e23 5e-324 2e-324 3e-324 2.2250738585072011e-308 1.7976931348623157e308"
    " 1.7976931348623159e308 1E400 -1E400 1e-400 -1e-400 NaN Infinity -Infinity 4.35 2.675 1.1e0 100e-2"
    " 9007199254740991 9007199254740992 9007199254740993 9007199254740993.0 -9007199254740993"
    " 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809"
    " 18446744073709551615 18446744073709551616 340282366920938463463374607431768211456")

# Values that Python holds equal, and their near misses.
FAMILIES = [
    tokens("1 1.0 true 1e0 10e-1 1.00000000000000000001"),
    tokens("0 -0 0.0 -0.0 false 1e-400 -1e-400"),
    tokens("1 2 1.0000000000000002 true false null"),
    tokens("9007199254740992 9007199254740992.0 9007199254740993 9007199254740993.0 9007199254740994"),
    tokens("9223372036854775807 9223372036854775808 9223372036854775807.0 9.223372036854775807e18"),
    tokens("18446744073709551615 18446744073709551616 18446744073709551616.0 1.8446744073709552e19"),
    tokens("1e16 10000000000000000 10000000000000001 1E+16"),
    tokens("1e23 100000000000000000000000 99999999999999991611392 99999999999999991611393"),
    tokens("Infinity 1e400 1E400 1e308") + [Token("1" + "0" * 308), Token("1" + "0" * 309), Token("9" * 400)],
    tokens("-Infinity -1e999 -1e308"),
    tokens("NaN NaN null"),
    tokens("5e-324 2e-324 3e-324 0"),
    tokens("0.1 0.10000000000000001 0.1000000000000000055511151231257827 0.10000000000000002"),
    tokens("null null false 0") + ["", [], Object()],
    tokens("1 1.0 true") + ["1", "True", [Token("1")], [Token("true")]],
    ["\xe9", "e\u0301"], ["\u212b", "\xc5", "A\u030a"], ["\U0001f600", "\ud83d", "\ude00"], ["a", "A", "a\0", ""],
    [Object([("a", Token("null"))]), Object(), [], [Token("null")]],
]


def random_character(r):
    kind = r.random()
    if kind < 0.5:
        return chr(r.randrange(0x20, 0x7f))
    if kind < 0.75:
        return r.choice(ODD_CHARACTERS)
    if kind < 0.87:
        return chr(r.randrange(0x3000))
    return chr(r.randrange(0x20000 if kind < 0.97 else 0x110000))


def random_string(r):
    if r.random() < 0.5:
        return r.choice(WORDS)
    length = r.randrange(6) if r.random() < 0.9 else r.randrange(60)
    # Through JSON and back, so that a high and a low surrogate which have met are one character, as in a line.
    return json.loads(json.dumps("".join(random_character(r) for _ in range(length))))


def random_double(r):
    return struct.unpack("<d", r.randbytes(8))[0]


def random_number(r):
    kind = r.random()
    if kind < 0.35:
        return r.choice(NUMBERS)
    if kind < 0.5:
        return Token(r.randrange(-1000, 1000))
    if kind < 0.65:
        return Token(json.dumps(random_double(r)))
    if kind < 0.72:
        number = random_double(r)
        return Token("%.*e" % (r.randrange(25), number)) if abs(number) < 1e308 else Token("1e308")
    if kind < 0.8:
        return Token("%d%se%d" % (r.randrange(-99, 99), r.choice(("", ".0", ".50")), r.randrange(-330, 320)))
    if kind < 0.88:
        return Token("%d.%0*d" % (r.randrange(-10**r.randrange(1, 18), 10**3), r.randrange(1, 18), r.randrange(10**6)))
    if kind < 0.95:
        return Token(r.choice((1, -1)) * 2**r.randrange(40, 130) + r.randrange(-2, 3))
    digits = r.choice((20, 40, 309, 310)) if kind < 0.997 else r.choice((4299, 4300))
    return Token(r.choice(("", "-")) + r.choice("123456789") + "".join(r.choices("0123456789", k=digits - 1)))


def random_value(r, depth=0):
    kind = r.random()
    if kind < 0.3:
        return random_number(r)
    if kind < 0.55:
        return random_string(r)
    if kind < 0.7 or depth > 3:
        return Token(r.choice(("null", "true", "false")))
    if kind < 0.83:
        return [random_value(r, depth + 1) for _ in range(r.randrange(4))]
    if kind < 0.997:
        return random_object(r, depth + 1)
    node = random_number(r)
    for _ in range(r.randrange(5, 90)):
        node = [node] if r.random() < 0.5 else Object([(r.choice(WORDS), node)])
    return node


def random_object(r, depth=0):
    members = Object((random_string(r), random_value(r, depth)) for _ in range(r.randrange(5)))
    return with_doubled_keys(r, members, depth)


def with_doubled_keys(r, members, depth=0):
    """The object, at times with one of its keys given once more, before or behind."""
    if members and r.random() < 0.15:
        members.insert(r.randrange(len(members) + 1), (r.choice(members)[0], random_value(r, depth)))
    return members


def random_pair(r, depth=0):
    """Two values to compare: equal in another shape, nearly equal, or strangers."""
    kind = r.random()
    if kind < 0.4 or depth > 3:
        family = r.choice(FAMILIES)
        return r.choice(family), r.choice(family)
    if kind < 0.55:
        node = random_value(r, depth)
        return node, node
    if kind < 0.65:
        return random_value(r, depth), random_value(r, depth)
    pairs = [random_pair(r, depth + 1) for _ in range(r.randrange(1, 4))]
    if r.random() < 0.4:
        pairs = [(old, old) for old, _ in pairs]
    if kind < 0.8:
        before, after = [list(side) for side in zip(*pairs)]
    else:
        keys = r.sample(WORDS, len(pairs))
        before, after = [Object(zip(keys, side)) for side in zip(*pairs)]
        r.shuffle(after)
    if r.random() < 0.1:
        after.pop()
    return before, after


def random_states(r):
    """A state before and a state after: the same keys for the most part, and values that belong together."""
    before, after = Object(), Object()
    unchanged = r.random() < 0.15
    for key in {random_string(r): None for _ in range(r.choice((0, 1, 1, 2, 3, 4, 6)))}:
        old, new = random_pair(r)
        side = 1 if unchanged else r.random()
        if side > 0.1:
            before.append((key, old))
        if not 0.1 <= side < 0.2:
            after.append((key, old if unchanged else new))
    r.shuffle(after)
    return with_doubled_keys(r, before), with_doubled_keys(r, after)


# ------------------------------------------------------------------ random sessions

KERNELS = [
    "", "", "CK.Task", "CK.Lib", "my kernel", "K\xe9rnel", "Ke\u0301rnel", "a/b", "/", "a/b/c-1", "X-123", "-123",
    "-", "Kernel#", "Kernel#A", "AKernel#B:v2", "ckp://Kernel#CK.Task:v1.0", "ckp://Kernel#CK.Task:v2.1",
    "ckp://Kernel#", "ckp://", "ckp://Action#CK.Task/task.create-1773518402000", "ckp:/Kernel#A", "CKP://Kernel#A",
    "ckp://\u0301", "ckp://Kernel#\u0301A:\u0301v1", "a:b", "A.Kernel.Whose.Name.Is.Longer.Than.The.Column",
    "\U0001f600", "\ue000", "\uffff", "\ud800", "\u4e2d\u6587", " ", "\n", "\0"]
KERNEL_URNS = [
    "ckp://Kernel#CK.Task:v1.0", "ckp://Kernel#CK.Task:v1.0", "ckp://Kernel#LOCAL.Widgets:v3.5",
    "ckp://Kernel#NoVersion", "ckp://Kernel#AKernel#B:v1", "ckp://Kernel#Kernel#A:v1", "ckp://Kernel#:v1.0",
    "ckp://Kernel#", "Kernel#", "Kernel#A", "", "plain", "ckp://Task#T001", "ckp://",
    "ckp://Kernel#A:v1.0?x=Kernel#B", "x:yKernel#A", "ckp://kernel#A:v1", "ckp://Kernel#a/b-123:v1",
    "ckp://Kernel#\u0301A:v1", "ckp://Kernel#A:\u0301v1", "ckp://Kernel\u0301#A:v1", "ckp://\u0301Kernel#A",
    "ckp://Kernel#K\xe9:v1", "ckp://Kernel#\U0001f600:v1", "ckp://Kernel#\ud800:v1.0", "-Kernel#A"]
ACTION_TYPES = [
    "task.create", "widget.deploy", "deploy/apply", "a/b/c", "", "/", "x-123", "-123", "task.create-1773518402000",
    "with space", "longer.than.the.twenty-four.columns", "\xe9t\xe9", "\U0001f600", "\ud83d", "new\nline", "session",
    "%s", "e\u0301"]
OUTCOMES = [
    "verified", "verified", "verified", "verified", "verified", "failed", "failed", "failed", "retry", "retry",
    "skipped", "Verified", "", "complete", "unknown.outcome", "\xe9", "\ud800"]
CLOSE_OUTCOMES = ["complete", "failed", "partial", "in_progress", "aborted", "", "", "\xe9", "verified"]
EDGES = ["COMPOSES", "EXTENDS", "REQUIRES", "TRIGGERS", "", "\u4e2d"]
SPECIAL_READINGS = [
    "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.000999Z", "1970-01-01T00:00:00.001000Z",
    "1969-12-31T23:59:59.999001Z", "1969-12-31T23:59:59.999000Z", "1969-12-31T23:59:59.500000Z",
    "1000-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z", "2255-06-05T23:47:34.740993Z",
    "2000-02-29T23:59:59.999999Z", "2038-01-19T03:14:08.000000Z"]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def random_timestamp(r):
    kind = r.random()
    if kind < 0.04:
        return r.choice(SPECIAL_READINGS)
    if kind < 0.06:
        return formatted(EPOCH + timedelta(microseconds=r.randrange(-3000, 3000)))
    years = (2020, 2031) if kind < 0.8 else (1000, 1970) if kind < 0.87 else (1970, 10000)
    micros = 1000 * r.randrange(1000) if r.random() < 0.3 else r.randrange(10**6)
    return formatted(datetime(r.randrange(*years), r.randint(1, 12), r.randint(1, 28),
                              r.randrange(24), r.randrange(60), r.randrange(60), micros))


def timestamp_after(r, timestamp):
    """A reading for an ended_at: near the start in most cases, before it in some."""
    if r.random() < 0.3:
        return random_timestamp(r)
    micros = r.choice((0, 1, -1, -999, -1000, -1001, 999, 1000, 1001000, 4350000, -1001000,
                       1000 * r.randrange(100000), r.randrange(10**10), -r.randrange(10**8)))
    try:
        moment = datetime.strptime(timestamp, TIMESTAMP_FORMAT) + timedelta(microseconds=micros)
    except OverflowError:
        return timestamp
    return formatted(moment) if moment.year >= 1000 else timestamp


def formatted(moment):
    return moment.strftime(TIMESTAMP_FORMAT)


def mostly(r, choices, share=0.85):
    return r.choice(choices) if r.random() < share else random_string(r)


def random_action_line(r, always_stamped):
    members = [
        ("action_type", mostly(r, ACTION_TYPES)),
        ("outcome", mostly(r, OUTCOMES, 0.95))]
    optional = [("kernel", mostly(r, KERNELS)), ("note", random_string(r)),
                ("via_edge", mostly(r, EDGES) if r.random() < 0.7 else Token("null"))]
    before, after = random_states(r)
    payloads = {"intent": random_object(r), "evidence": random_object(r), "before_state": before, "after_state": after}
    for key, value in payloads.items():
        optional.append((key, value if r.random() < 0.95 else Token("null")))
    attempt = r.choice(tokens("1 1 2 2 3 0 -0 -1 9223372036854775807 -9223372036854775808"))
    optional.append(("attempt", attempt))
    members += [member for member in optional if r.random() < (0.85 if member[0].endswith("_state") else 0.5)]
    if always_stamped or r.random() < 0.3:
        members.append(("generated_at", random_timestamp(r)))
    r.shuffle(members)
    return spelled(r, Object(members))


def random_close_line(r, started_at, always_stamped):
    members = []
    if r.random() < 0.4:
        members.append(("outcome", mostly(r, CLOSE_OUTCOMES, 0.95)))
    if always_stamped or r.random() < 0.4:
        members.append(("ended_at", timestamp_after(r, started_at)))
    r.shuffle(members)
    return spelled(r, Object([("close", Object(members))]))


def random_message(r):
    """An error's text: any string but with lone surrogates, which no Swift error can carry."""
    return random_string(r).encode("utf-16", "surrogatepass").decode("utf-16", "ignore")


def random_verified_action(r):
    captures = r.random() < 0.6
    max_attempts = r.choice((0, 1, 2, 3, 3, 3, 5))
    attempts = []
    for _ in range(max_attempts):
        before, after = [r.choice((state, state, state, None, {"raises": True})) for state in random_states(r)]
        before, after = [spelled(r, state) if isinstance(state, Object) else state for state in (before, after)]
        fault = {"type": r.choice(list(FAULTS)), "message": random_message(r)}
        attempts.append({
            "before": before if captures else None,
            "action": fault if r.random() < 0.25 else None,
            "after": after if captures else None,
            "verify": {"message": random_message(r)} if r.random() < 0.2 else r.random() < 0.35})
    call = {"action_type": mostly(r, ACTION_TYPES), "kernel": mostly(r, KERNELS),
            "via_edge": mostly(r, EDGES) if r.random() < 0.5 else None,
            "intent": spelled(r, random_object(r)) if r.random() < 0.7 else None,
            "max_attempts": max_attempts, "settle_delay": r.choice((0.5, 0.5, 0, 0.25, 1.5, 0.001)),
            "attempts": attempts, "captures": captures}
    return {"verified_action": call, "clocks": [random_timestamp(r) for _ in attempts]}


def random_session(seed, number, all_timestamps):
    r = random.Random("session/%s/%d" % (seed, number))
    header = {"label": mostly(r, ["deploy-widgets", "my operation", "", "caf\xe9"], 0.5),
              "kernel_urn": mostly(r, KERNEL_URNS, 0.9),
              "kernel_action": mostly(r, ["", "", "task.create", "deploy/apply"], 0.7)}
    if all_timestamps:
        header = {key: as_command_line_argument(text) for key, text in header.items()}
    started_at = random_timestamp(r)
    steps, size = [], 0
    for _ in range(r.randrange(9) if r.random() < 0.99 else r.randrange(9, 30)):
        kind = r.random()
        if kind < 0.08 and not all_timestamps:
            steps.append(random_verified_action(r))
        elif kind < 0.15:
            steps.append(line_step(random_close_line(r, started_at, all_timestamps), timestamp_after(r, started_at)))
        else:
            steps.append(line_step(random_action_line(r, all_timestamps), random_timestamp(r)))
        size += len(json.dumps(steps[-1]))
        if size > 25_000:
            break
    if r.random() < 0.7:
        steps.append(line_step(random_close_line(r, started_at, all_timestamps), timestamp_after(r, started_at)))
    return {"session_id": session_id(seed, number), **header, "started_at": started_at, "steps": steps}


def random_judged_session(scratch, seed, all_timestamps, number):
    # A directory for each process: under a clock in the future the reference's retention removes what it finds.
    return judged(os.path.join(scratch, str(os.getpid())), random_session(seed, number, all_timestamps))


def line_step(text, clock):
    return {"line": text, "clock": clock}


def session_id(seed, number):
    """Eight hex digits, different for every session of a seed: the factor is odd."""
    return "%08x" % ((zlib.crc32(str(seed).encode()) + 0x9e3779b1 * number) % 2**32)


def as_command_line_argument(text):
    """The text without what an argument of a program can't hold: NUL and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "ignore").decode("utf-8")


# ------------------------------------------------------------------ texts

INVALID_TEXTS = [
    "", " ", "\ufeff1", "\ufeff{}", "nan", "NAN", "-NaN", "+NaN", "inf", "infinity", "-infinity", "Infinit", "True",
    "None", "nul", "nulll", "01", "-01", "00", "1.", ".5", "-.5", "+1", "-", "--1", "- 1", "1e", "1e+", "1E-", "1.e5",
    "1.5e", "0x10", "1_000", "1,000", "\u0661", "\uff11", '"', '"a', '"\\', '"\\"', '"\\u', '"\\u1', '"\\u12"',
    '"\\u123"', '"\\u12g4"', '"\\u+123"', '"\\u 123"', '"\\u0x12"', '"\\u\uff11234"', '"\\ud83d\\u"',
    '"\\ud83d\\ude0"', '"\\ud83d\\ug000"', '"\\x41"', '"\\\'"', '"\\a"', '"\\v"', '"\\0"', '"\\U00000041"', "'a'",
    '"\n"', '"\t"', '"\r"', '"\0"', '"\x1f"', '"a\x01b"', "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,,2]",
    "[1}", "{", "}", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '{,"a":1}', '{"a" 1}', '{"a":1 "b":2}',
    "{a:1}", "{'a':1}", "{1:1}", "{null:1}", '{"a":1]', '{"a":}', '{"a":,}', '{"a"::1}', "1 2", "{} {}", '{}"a"',
    "[]]", "null,", "1\ufeff", "\xa01", "\u20281", "1\x0b", "\x0c1", "/* c */ 1", "1 // c", "tru\\u0065", "1" * 4301,
    "-" + "1" * 4301, "[" + "9" * 5000 + "]", '{"a":' + "0" * 5000 + "}"]
VALID_TEXTS = [
    '"\x7f"', '"\x80\x85\u2028\u2029\ufeff"', '"\\/"', '"/"', '"\\uD83D\\uDE00"', '"\\ud83d"', '"\\ude00\\ud83d"',
    '"\\ud83d\\ud83d\\ude00"', '"\\ud83dx\\ude00"', '"\\ud83d\\n"', '"\\ud83d\\\\ude00"', '"\\ud83d\\u0041"',
    '{"a":1,"b":2,"a":3}', '{"a":1,"\\u0061":2}', '{"":{"":[]}}', '{"\xe9":1,"e\u0301":2}', "\t\r\n 1 \n", "[ ]",
    "{ }", "[[]]", "1" * 4300, "-" + "1" * 4300, "1" * 4301 + ".0", "1" * 5000 + "e-4990", "0." + "1" * 5000,
    "1e99999999999999999999", "1e-99999999999999999999", "-0", "-0.0", "-0e0", "0e5", "1E400", "-1E400", "NaN",
    "[NaN,Infinity,-Infinity]", "[" * 100 + "]" * 100, *NUMBERS]
TYPED_BY_ACCIDENT = '"\\{}[]:,.-+0e1uNaN \t\n\0\x7f\ufeff\xe9'


def random_text(seed, number):
    """The fixed texts first, then random ones, some of them damaged: whether one is JSON, Python says."""
    fixed = VALID_TEXTS + INVALID_TEXTS
    if number < len(fixed):
        return fixed[number]
    r = random.Random("text/%s/%d" % (seed, number))
    kind = r.random()
    if kind < 0.2:
        return json.dumps(random_double(r))
    if kind < 0.3:
        return spelled(r, random_number(r))
    if kind < 0.4:
        node = random_value(r)
    else:
        node = random_object(r) if kind < 0.7 else [*random_pair(r), random_value(r)]
    text = spelled(r, node)
    if kind > 0.8:
        at = r.randrange(len(text) + 1)
        cut = r.choice((0, 0, 1, 1, 2, len(text)))
        text = text[:at] + (r.choice(TYPED_BY_ACCIDENT) if r.random() < 0.6 else "") + text[at + cut:]
    return text


def judged_text(text):
    try:
        value = json.loads(text)
    except ValueError as error:
        return {"json": text, "error": str(error)}
    return {"json": text, "canonical": json.dumps(value, separators=(",", ":")), "str": str(value), "error": None}


# ------------------------------------------------------------------ named sessions

def second(number):
    return "2024-03-05T06:07:%02d.250000Z" % number


def actions(*members, outcome="verified"):
    """One action for each text, which is the rest of its line's object."""
    return [line_step('{"action_type":"task.create","outcome":"%s"%s}' % (outcome, text and "," + text), second(number))
            for number, text in enumerate(members, 1)]


def diffs(*states):
    return actions(*['"before_state":%s,"after_state":%s' % pair for pair in states])


def close(members="", clock=second(59)):
    return line_step('{"close":{%s}}' % members, clock)


def stamped(*timestamps):
    return actions(*['"generated_at":"%s"' % timestamp for timestamp in timestamps])


def outcomes(*words):
    return [step for word in words for step in actions("", outcome=word)]


def verified(attempts, **options):
    call = {"action_type": "widget.deploy", "kernel": "", "via_edge": None, "intent": '{"target":"prod","gone":null}',
            "max_attempts": 3, "settle_delay": 0.5, "attempts": attempts,
            "captures": any("before" in attempt or "after" in attempt for attempt in attempts)} | options
    quiet = {"before": None, "action": None, "after": None, "verify": True}
    call["attempts"] = [quiet | attempt for attempt in attempts]
    return {"verified_action": call, "clocks": [second(number) for number, _ in enumerate(attempts, 1)]}


def named_sessions():
    """(name, about, header where it matters, steps)"""
    fault = {"type": "TimeoutFault", "message": "no answer: caf\xe9"}
    return [
        ("text-escapes", "ASCII only with lower-case escapes, DEL escaped, the slash not, and the short escapes.",
         {"label": "caf\xe9 \x7f \U0001f600"},
         actions(r'"note":"\"\\\/\b\f\n\r\t\u0000\u001F\u007f\u0041"',
                 '"note":"raw: \x7f / \x80 \xe9 \u2028 \ufeff \U0001f600"', r'"evidence":{"\u00E9":"\uD83D\uDE00"}')),
        ("text-lone-surrogates", "Lone surrogates survive; a high and a low one that meet are one character.",
         {"label": "\ud800", "kernel_urn": "ckp://Kernel#\udfff:v1.0"},
         actions(r'"note":"\ud83d\ud83d\ude00\ude00"',
                 r'"kernel":"\udc00","evidence":{"\ud83d":"\ud83dx","\ude00\ud83d":"\ud83d\\ude00"}')),
        ("text-canonical-equivalents",
         "Keys and kernels that only Unicode holds equal are different, sorted by code point.", {},
         actions(r'"kernel":"\u00e9","intent":{"\u00e9":1,"e\u0301":2,"\u212b":3,"\u00c5":4,"A\u030a":5}',
                 r'"kernel":"e\u0301"', r'"kernel":"\uffff"', r'"kernel":"\ud83d\ude00"')
         + diffs((r'{"\u00e9":1,"v":"\u00e9"}', r'{"e\u0301":1,"v":"e\u0301"}'))),
        ("text-white-space-and-escaped-keys",
         "White space around everything, keys and timestamps spelled with escapes.", {},
         [line_step(' { "\\u0061ction_type"\t:\r"t" , "out\\u0063ome" : "verified" ,'
                    '"intent":{ } , "evidence":{"e":[ ]\t}, "generated_at":"\\u0032024-03-05T06:07:08.000001Z"\r} \r',
                    second(1)),
          line_step('{"\\u0063lose"\t: { }\t} ', second(2))]),
        ("numbers-integers", "Integers of any size up to 4,300 digits; -0 is the integer 0.", {},
         actions('"evidence":{"a":[0,-0,9007199254740993,9223372036854775807,9223372036854775808,'
                 '-9223372036854775809,18446744073709551616]}',
                 '"evidence":{"largest":%s}' % ("7" * 4300), '"attempt":9223372036854775807',
                 '"attempt":-9223372036854775808', '"attempt":-0')),
        ("numbers-floats", "Floats as Python's repr lays them out.", {},
         actions('"evidence":{"a":[1.0,-0.0,1e5,1.0E+5,1e15,1e16,123456789012345680.0,9007199254740993.0,'
                 '1e22,1e23,0.1,0.0001,1e-4,0.00001,1e-5]}',
                 '"evidence":{"b":[5e-324,2e-324,3e-324,2.2250738585072011e-308,1.7976931348623157e308,100e-2,'
                 '2.675,0.30000000000000004]}')),
        ("numbers-not-finite", "NaN and the infinities are read and written; a float too large is infinity.", {},
         actions('"evidence":{"a":[NaN,Infinity,-Infinity,1E400,-1e400,1e-400,-1e-400]}')),
        ("doubled-keys", "Of two equal keys the last value stands, in the place of the first.", {},
         actions(r'"intent":{"a":1,"b":2,"\u0061":3},'
                 '"evidence":{"x":{"k":1,"l":[{"m":1,"n":2,"m":3}],"k":null},"y":0,"x":{"z":1}}',
                 '"evidence":{"l":[{"m":1,"n":2,"m":3}],"k":{"":1,"a":2,"":null}}')
         + diffs(('{"a":1,"b":1,"a":2}', '{"a":2,"b":1}'))),
        ("null-dropped",
         "Keys with null go, in objects in arrays too; elements stay, and so do all other empty values.",
         {"kernel_action": ""},
         actions('"via_edge":null,"intent":null,"evidence":{"a":null,"b":[null,{"c":null,"d":[null]}],'
                 '"e":"","f":0,"g":false,"h":{},"i":[]}',
                 '"via_edge":"","note":"","intent":{},"evidence":{"only":null}')),
        ("null-in-the-diff", "The diff is made before nulls are dropped.", {},
         diffs(('{"a":null}', '{"a":1}'), ('{"a":1}', '{"b":1}'), ('{"a":null}', '{"b":null}'),
               ('{"a":null}', '{"a":[]}'), ('{"a":[{"k":null}]}', '{"a":"x"}'))),
        ("payload-key-order", "Payload keys keep the order in which they came; a line's own keys may come in any.", {},
         [line_step('{"note":"n","before_state":{"z":1,"a":2,"10":3,"9":4},"outcome":"verified",'
                    '"after_state":{"9":4,"10":3,"a":2,"z":1},"evidence":{"b":1,"a":{"y":1,"x":2}},'
                    '"via_edge":"COMPOSES","kernel":"CK.Lib","attempt":2,"action_type":"t","intent":{"q":1}}', second(1))]),
        ("kernel-name-of-two", "The name ends at the second Kernel#, and at the first colon.",
         {"kernel_urn": "ckp://Kernel#AKernel#B:v1"}, actions("")),
        ("kernel-urn-without-kernel", "A URN without Kernel# is its own name, and passes as a kernel.",
         {"kernel_urn": "ckp://Task#T001:v1"}, actions("")),
        ("kernel-urn-empty", "An empty URN and an empty kernel are legal.", {"kernel_urn": "", "label": ""},
         actions("", '"kernel":""')),
        ("kernel-names-as-passed",
         "Kernels are listed as they were passed, sorted by code point, however they look in the action URN.", {},
         actions('"kernel":"a/b"', '"kernel":"X-123"', '"kernel":"Kernel#"', '"kernel":"ckp://Kernel#CK.Task:v1.0"',
                 '"kernel":"ckp://Kernel#CK.Task:v2.0"', '"kernel":"Kernel#A:v1"', r'"kernel":"\ue000"',
                 r'"kernel":"\ud83d\ude00"', '"kernel":"with space"', '"kernel":"CK.Task"')
         + [line_step('{"action_type":"x/y-123","outcome":"verified","kernel":"a/b/c"}', second(20)),
            line_step('{"action_type":"","outcome":""}', second(21))]),
        ("kernel-combining-marks", "A combining mark behind ckp://, Kernel# or a colon hides none of them.",
         {"kernel_urn": "ckp://Kernel#\u0301A:\u0301v1"},
         actions("", r'"kernel":"ckp://\u0301X"', r'"kernel":"Kernel#\u0301B:\u0301c"')),
        ("urn-milliseconds", "Milliseconds come from a double, towards zero; at 0 the suffix is absent.",
         {"started_at": "1970-01-01T00:00:00.000000Z"},
         stamped("1970-01-01T00:00:00.000999Z", "1969-12-31T23:59:59.999001Z", "1969-12-31T23:59:59.999000Z",
                 "1970-01-01T00:00:01.001000Z", "1970-01-01T00:00:04.350000Z", "2024-03-05T06:07:08.009000Z",
                 "2024-03-05T06:07:08.999999Z", "1000-01-01T00:00:00.000001Z")),
        ("far-future", "Beyond 2255 a double no longer holds every microsecond.",
         {"started_at": "9999-12-31T23:59:59.999999Z"},
         stamped("2255-06-05T23:47:34.740993Z", "5138-11-16T09:46:39.999999Z",
                 "9999-12-31T23:59:59.998999Z") + [close(clock="9999-12-31T23:59:59.999999Z")]),
        ("diff-number-equality", "Integers, floats and booleans compare by exact value, inside containers too.", {},
         diffs(('{"a":1,"b":1.0,"c":true,"d":[1,{"k":0}]}', '{"c":1.0,"d":[true,{"k":-0.0}],"b":true,"a":1.0}'),
               ('{"a":9007199254740993}', '{"a":9007199254740992.0}'),
               ('{"a":9007199254740992}', '{"a":9007199254740992.0}'),
               ('{"a":1e23}', '{"a":100000000000000000000000}'), ('{"a":1e400,"b":1}', '{"a":%s,"b":2}' % ("9" * 400)),
               ('{"a":true,"b":"1","c":0}', '{"a":2,"b":1,"c":null}'))),
        ("diff-nan", "NaN differs from itself at the top and equals itself in a container.", {},
         diffs(('{"a":NaN,"b":[NaN],"c":{"k":[NaN]}}', '{"a":NaN,"b":[NaN],"c":{"k":[NaN]}}'),
               ('{"b":[NaN,1]}', '{"b":[NaN,true]}'), ('{"b":[NaN,1]}', '{"b":[NaN,2]}'))),
        ("diff-containers",
         "Two containers that differ are changed; against anything else a container is printed as Python prints it.",
         {},
         diffs(('{"a":[1],"b":{"k":1,"l":2},"c":{}}', '{"a":[2],"b":{"l":2,"k":1},"c":[]}'),
               (r'{"a":{"a":1,"b":[null,"x\u0027s",true,1e16,-0.0,1E400,NaN]}}', '{"a":0}'),
               (r'{"a":["\"","\u0027","\"\u0027","\\","\n\r\t\b\f\u0000\u007f"]}', '{"a":""}'),
               (r'{"a":["\u00a0\u00ad\u0085\u00e9","\u0301","\u200b\u2028\u3000\ufeff"]}', '{"a":"plain \\u200b\\n"}'),
               ('{"a":[[],{},[{}]]}', '{"a":false}'))),
        ("diff-unicode-14",
         "What is printable is settled by Unicode 14.0: later characters, private use and lone surrogates are escaped.",
         {},
         diffs((r'{"a":["\u0378\ue000\uffff\ufdd0","\ud83e\udee0","\ud83e\udee8","\u2ffc\u1c89",'
                r'"\ud803\udf00 \ud83d \udc00","\udbff\udfff"]}', '{"a":1}'))),
        ("diff-key-order", "The keys of a diff are sorted by code point, not by UTF-16 and not by Unicode.", {},
         diffs((r'{"b":1,"\ud83d\ude00":1,"\ue000":1,"\uffff":1,"\ud83d":1,"\u00e9":1,"e\u0301":1,'
                r'"a":1,"":1,"A":1,"10":1,"9":1,"\r\n":1}', '{"A":2}'))),
        ("diff-needs-two-states", "No diff with a missing, null or empty state; equal states give `no change`.", {},
         diffs(("{}", '{"a":1}'), ('{"a":1}', "{}"), ("null", '{"a":1}'), ('{"a":1}', '{"a":1.0}'),
               ('{"a":null}', '{"b":null}')) + actions('"after_state":{"a":1}')),
        ("outcome-failed", "Failed without verified is failed.", {}, outcomes("failed", "retry") + [close()]),
        ("outcome-partial", "Failed with verified is partial; an empty outcome counts as none.", {},
         outcomes("failed", "verified") + [close('"outcome":""')]),
        ("outcome-complete", "Only retries and unknown outcomes are complete.", {},
         outcomes("retry", "retry", "odd", "Failed", "skipped") + [close()]),
        ("outcome-given", "A given outcome wins, whatever it is.", {},
         outcomes("failed") + [close('"outcome":"in_progress"')]),
        ("outcome-no-actions", "A session without actions closes as complete.", {}, [close()]),
        ("open-session", "A session that nothing was done with is in progress, without ended_at and duration_ms.", {},
         []),
        ("duration-rounding", "1.001 s are 1000 ms: double arithmetic, towards zero.", {},
         [close('"ended_at":"2024-03-05T06:07:01.001000Z"')]),
        ("duration-negative", "A session may end before it starts; its duration goes towards zero.", {},
         [close('"ended_at":"2024-03-05T06:06:58.998001Z"')]),
        ("duration-zero", "A duration of less than a millisecond is 0, which is kept.", {},
         [close('"ended_at":"2024-03-05T06:06:59.999001Z"')]),
        ("action-after-close", "An action after close makes the session in progress again.", {},
         outcomes("verified") + [close()] + outcomes("failed")),
        ("closed-twice", "Closing again is allowed, and the last one counts.", {},
         outcomes("verified") + [close('"outcome":"aborted"')] + outcomes("failed")
         + [close(), close(clock="2024-03-05T07:00:00.000000Z")]),
        ("live-lines",
         "Padded by code points and never cut; `?` for an unknown outcome; a diff goes before a note.", {},
         [line_step('{"action_type":"%s","outcome":"%s","kernel":"%s","note":"%s","attempt":%d,'
                    '"generated_at":"2024-03-05T23:59:59.%06dZ"}' % row, second(1)) for row in (
             ("t", "verified", "K", "", 1, 999999), ("t", "failed", "K", "why", 2, 100),
             ("t", "retry", "\U0001f600e\u0301", "", 0, 123000),
             ("t", "skipped", "ckp://Kernel#A:v9", "n", -1, 499), ("t", "unknown.outcome", "plain", "n", 1, 999499),
             ("a.type.of.more.than.24.characters", "failed", "A.Kernel.Of.More.Than.24.Characters", "n", 10, 0))]
         + actions('"before_state":{"a":1},"after_state":{"a":2},"note":"unseen"', r'"note":"two\nlines\u001b[0m"')),
        ("verified-action-retries", "Settling before each check, and again between tries, not after the last.", {},
         [verified([{"verify": False}] * 3),
          verified([{"verify": False}, {"verify": True}, {}], kernel="CK.Lib", via_edge="COMPOSES"), close()]),
        ("verified-action-faults",
         "A fault is always failed and followed by a retry; one in the action has no after_state and no settling.", {},
         [verified([{"before": '{"n":1}', "after": '{"n":2}', "action": fault},
                    {"before": '{"n":1}', "after": '{"n":2}', "verify": {"message": "can't tell"}},
                    {"before": '{"n":1}', "after": '{"n":1}'}]),
          verified([{"action": {"type": "ActionFault", "message": ""}}, {"verify": {"message": ""}}], max_attempts=2,
                   settle_delay=0, intent=None), close()]),
        ("verified-action-captures", "A capture that fails or gives nothing is no state.", {},
         [verified([{"before": {"raises": True}, "after": '{"n":2}', "verify": False},
                    {"before": '{"n":1}', "after": {"raises": True}, "verify": False},
                    {"before": None, "after": '{"n":3}'}]),
          verified([{"before": '{"n":1}', "after": '{"n":[null]}'}], max_attempts=1)]),
        ("verified-action-no-attempts", "Nothing is tried, nothing is recorded, and the answer is false.", {},
         [verified([], max_attempts=0)]),
    ]


def write_fixtures(directory):
    os.makedirs(directory, exist_ok=True)
    with scratch_directory() as storage_dir:
        for name, about, header, steps in named_sessions():
            session = {"name": name, "about": about, "session_id": "%08x" % zlib.crc32(name.encode()),
                       "label": "fixture",
                       "kernel_urn": "ckp://Kernel#CK.Task:v1.0", "kernel_action": "task.create",
                       "started_at": "2024-03-05T06:07:00.000000Z"} | header
            with open(os.path.join(directory, name + ".json"), "w", encoding="ascii") as file:
                file.write(json.dumps(judged(storage_dir, session | {"steps": steps}), indent=1) + "\n")


# ------------------------------------------------------------------ the command

def record_session(options):
    """Records standard input and prints the file's path. Only lines close it; no session is removed for its age."""
    now = lambda: formatted(datetime.now(timezone.utc))
    cklib.prov.ProvChain._enforce_retention = lambda chain: None
    oracle = Oracle(options.directory, {
        "session_id": options.session_id or uuid.uuid4().hex[:8], "started_at": options.started_at or now(),
        "label": options.label, "kernel_urn": options.kernel_urn, "kernel_action": options.kernel_action})
    for line in sys.stdin.buffer.read().decode("utf-8").split("\n"):
        if line.strip(" \t\r"):
            oracle.run_line(json.loads(line), now())
    print(oracle.chain.file_path)


def write_json_lines(values):
    for value in values:
        sys.stdout.write(json.dumps(value) + "\n")


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("generate", "text"):
        command = commands.add_parser(name)
        command.add_argument("--seed", required=True)
        command.add_argument("--count", type=int, required=True)
    commands.choices["generate"].add_argument(
        "--all-timestamps", action="store_true",
        help="a timestamp in every line, no verified_action, headers that fit a command line")
    for name in ("fixtures", "list", "get", "record"):
        commands.add_parser(name).add_argument("directory")
    commands.choices["get"].add_argument("id")
    record = commands.choices["record"]
    record.add_argument("--label", required=True)
    record.add_argument("--kernel-urn", required=True)
    record.add_argument("--kernel-action", default="")
    record.add_argument("--session-id", help="at most eight characters, default random")
    record.add_argument("--started-at", help="YYYY-MM-DDTHH:MM:SS.ffffffZ, default now")
    options = parser.parse_args()
    if len(getattr(options, "session_id", None) or "") > 8:
        parser.error("the reference's session ids have at most eight characters")
    return options


def check_reference():
    if sys.version_info[:2] != (3, 11) or metadata.version("conceptkernel") != "1.3.0":
        sys.exit("reference.py: the reference is conceptkernel 1.3.0 on Python 3.11, not %s on %s"
                 % (metadata.version("conceptkernel"), sys.version.split()[0]))
    sys.set_int_max_str_digits(4300)


def main():
    options = parsed_arguments()
    check_reference()
    if options.command == "generate":
        with scratch_directory() as storage_dir:
            task = functools.partial(random_judged_session, storage_dir, options.seed, options.all_timestamps)
            with multiprocessing.Pool() as pool:
                write_json_lines(pool.imap(task, range(options.count), chunksize=16))
    elif options.command == "text":
        write_json_lines(judged_text(random_text(options.seed, number)) for number in range(options.count))
    elif options.command == "fixtures":
        write_fixtures(options.directory)
    elif options.command == "list":
        print(json.dumps(cklib.prov.list_sessions(options.directory), indent=2))
    elif options.command == "get":
        print(json.dumps(cklib.prov.get_session(options.directory, options.id), indent=2))
    else:
        record_session(options)


if __name__ == "__main__":
    main()
