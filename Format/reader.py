#!/usr/bin/env python3
"""A reader for ckprov-log, format version 1, written from README, directory, segment, frame and record.md.

    reader.py jsonl LOGDIR      every action payload, a line each
    reader.py session LOGDIR    the Session JSON
    reader.py frames LOGDIR     one JSON object a line for each frame

Exit codes: 0 all is well (also with a torn tail), 65 corruption or something missing, 66 no such log, 69 a version or
feature that is not known here. What is whole before the damage is printed. Sealed files need the package lz4.
"""
import json, os, re, struct, sys
from collections import namedtuple

MAGIC, SEALED_MAGIC, SKIPPABLE = b"\x89CKPL\r\n\x1a", b"\x89CKPS\r\n\x1a", 0x184D2A5C
HEADER, FRAME, TRAILER = map(struct.Struct, ("<8sHHIIIQQQQII64s", "<IIIIQ", "<QQQQIIIIIHH8sII"))
Header = namedtuple("Header", "magic version length features compatible salt first_sequence first_action "
                              "size last last_salt last_crc session_id")    # from size to last_crc: the predecessor
Trailer = namedtuple("Trailer", "raw_size first last next_seq chunks closing_length index_crc salt last_crc "
                                "version zero magic features crc")
Frame = namedtuple("Frame", "length payload_crc unsynced sequence kind crc size")    # size: with header and padding
STARTED, ACTION, CLOSED, CHECKPOINT, MARK = 1, 2, 3, 4, 5
LIMITS = {STARTED: 262_144, ACTION: 64 << 20, CLOSED: 262_144, CHECKPOINT: 1_048_576}
MEMBERS = {STARTED: "session_id urn label kernel_action started_at was_associated_with",
           ACTION: "seq action_type outcome urn kernel via_edge intent evidence before_state after_state diff_summary "
                   "attempt generated_at note", CLOSED: "ended_at duration_ms outcome"}
TYPES = {"seq": int, "attempt": int, "duration_ms": int,    # all others: str
         "intent": dict, "evidence": dict, "before_state": dict, "after_state": dict}
OPTIONAL = {"via_edge", "intent", "evidence", "before_state", "after_state", "diff_summary"}


class Stop(Exception):
    """Reading ends here; the arguments are the exit code and the reason."""


def require(right, otherwise):
    if not right:
        raise Stop(65, otherwise)


def check_version(version, features):
    if version != 1 or features:
        raise Stop(69, f"format version {version}, incompatible features {features:#x}; known are 1 and 0x0")


CRC_TABLE = list(range(256))
for _ in range(8):
    CRC_TABLE = [crc >> 1 ^ (0x82F63B78 if crc & 1 else 0) for crc in CRC_TABLE]


def crc32c(seed, data, table=CRC_TABLE):
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[crc & 255 ^ byte]
    return crc ^ 0xFFFFFFFF


def segment_header(data, pos):
    """The segment header at offset pos of a file's raw bytes, or None if none with a right CRC stands there."""
    if data[pos:pos + 8] == MAGIC and pos + 136 <= len(data):
        header = Header._make(HEADER.unpack_from(data, pos))
        end = pos + header.length
        if 136 <= header.length <= 4096 and header.length % 8 == 0 and end <= len(data):
            return header if crc32c(0, data[pos:end - 4]) == int.from_bytes(data[end - 4:end], "little") else None


def frame_header(data, pos, salt):
    """The frame header at pos, or None if none with a right CRC stands there. The payload is not looked at."""
    if pos + 24 <= len(data):
        length, crc, payload_crc, unsynced, tail = FRAME.unpack_from(data, pos)
        if length <= 64 << 20 and tail >> 56 and crc32c(salt, data[pos:pos + 4] + data[pos + 8:pos + 24]) == crc:
            return Frame(length, payload_crc, unsynced, tail & (1 << 56) - 1, tail >> 56, crc, 24 + (length + 7 & ~7))


def vouched_for(sequence, data, pos, segment):
    """Whether anything from pos on says that the frame with this sequence was on stable storage."""
    for pos in range(pos, len(data), 8):
        header, frame = segment_header(data, pos), frame_header(data, pos, segment.salt)
        if header and header.session_id == segment.session_id and header.first_sequence > sequence:
            return True
        if frame and frame.unsynced != 0xFFFFFFFF and frame.sequence - frame.unsynced > sequence:
            return True
    return False


def read_sealed(path):
    """Of a sealed file: raw bytes, why there are no more, trailer and closing checkpoint (None if damaged)."""
    import lz4.frame
    data, fault = bytearray(), None
    try:
        with lz4.frame.open(path) as file:
            while piece := file.read(65_536):
                data += piece
    except (RuntimeError, EOFError) as error:
        fault = f"the file cannot be unpacked to its end: {error}"
    with open(path, "rb") as file:
        blob = file.read()
    if blob[-16:-8] == SEALED_MAGIC and crc32c(0, blob[-72:-4]) == int.from_bytes(blob[-4:], "little"):
        trailer = Trailer._make(TRAILER.unpack(blob[-72:]))
        check_version(trailer.version, trailer.features)
        closing = len(blob) - 72 - trailer.closing_length
        start = closing - 64 * trailer.chunks
        if start >= 8 and struct.pack("<II", SKIPPABLE, len(blob) - start) == blob[start - 8:start]:
            if crc32c(0, blob[start:-72]) == trailer.index_crc:
                return bytes(data), fault, trailer, blob[closing:-72]
    return bytes(data), fault, None, None


def parse(kind, payload):
    """The JSON value of a payload of one of the kinds up to CHECKPOINT."""
    try:
        value = json.loads(payload)
        compact = json.dumps(value, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise Stop(65, f"the payload is no JSON: {error}")
    require(compact == payload and len(payload) <= LIMITS[kind], "the payload is not compact, or too long")
    names = MEMBERS[kind].split() if kind in MEMBERS else value
    require(list(value) == [name for name in names if name in value or name not in OPTIONAL]
            and all(type(value[name]) is TYPES.get(name, str) for name in names if name in value and kind in MEMBERS), "")
    return value


class Session:
    """The state of a session after the frames so far."""

    def __init__(self):
        self.started, self.closed, self.actions, self.next_seq, self.kernels = None, None, 0, 1, set()
        self.outcomes = dict.fromkeys(("verified", "failed", "retry", "skipped", "other"), 0)

    def take(self, kind, value):
        if kind == STARTED:
            self.started, agent = value, value["was_associated_with"]
            self.kernels = {re.split("Kernel#|:", agent.split("Kernel#", 1)[1])[0] if "Kernel#" in agent else agent}
        elif kind == CLOSED:
            self.closed = value
        elif kind == ACTION:
            urn = rf"ckp://Action#(.*)/{re.escape(value['action_type'])}(--?[0-9]+)?"
            urn = re.fullmatch(urn, value["urn"], re.DOTALL)
            require(urn, "no kernel name can be read out of the urn")
            self.kernels.add(urn[1])
            self.actions, self.next_seq, self.closed = self.actions + 1, value["seq"] + 1, None
            self.outcomes[value["outcome"] if value["outcome"] in self.outcomes else "other"] += 1

    def summary(self, complete):
        return {"session": self.started, "closed": self.closed, "actions": self.actions, "next_seq": self.next_seq,
                "outcomes": self.outcomes, "kernels": sorted(self.kernels) if complete else [],
                "kernels_complete": complete}

    def json(self, actions):
        order = "session_id urn label kernel_action started_at ended_at was_associated_with duration_ms outcome"
        members = {**self.started, **(self.closed or {"outcome": "in_progress"})}
        members = {key: members[key] for key in order.split() if key in members}
        return json.dumps({**members, "kernels_involved": sorted(self.kernels), "actions": actions}, indent=2)


class Log:
    """The walk from frame to frame. It stands in the file `name` at `pos`, where the frame `sequence` is expected."""

    def __init__(self, path):
        self.path, self.name, self.pos, self.sequence, self.session = path, path, 0, 0, Session()
        self.header, self.predecessor = None, (0, 0, 0, 0)    # the segment so far: size, last sequence, salt, last CRC
        self.differs = False    # a checkpoint from the frames

    def warn(self, text):
        print(f"reader.py: {self.name}: offset {self.pos}, sequence {self.sequence}: {text}", file=sys.stderr)

    def frames(self):
        """Yields (file name, offset, frame, payload, JSON value of the payload) for every frame."""
        names = {name for name in os.listdir(self.path) if re.fullmatch(r"[0-9]{20}\.seg(\.lz4)?", name)}
        if not names:
            raise Stop(66, "a log without a file")
        paths = [self.path.rstrip("/"), *(os.path.join(self.path, name) for name in names | {"lock"})]
        require(not any(map(os.path.islink, paths)), "the log, its lock or a file in it is a symbolic link")
        self.waiting = {int(name[:20]) for name in names}    # the files that are still to be read
        while self.waiting:
            number = min(self.waiting)
            data, *sealed = self.read_file(f"{number:020}.seg", names)
            require(number == self.sequence, "frames are missing before this file, or it overlaps with another")
            yield from self.file_frames(data, sealed and sealed[0])
            self.judge_end(data, *sealed)

    def read_file(self, name, names):
        """The raw bytes, and for a sealed file the rest of read_sealed. One with a damaged index is the second choice."""
        self.name, self.pos, path = name + ".lz4", 0, os.path.join(self.path, name)
        if self.name in names:
            sealed = read_sealed(path + ".lz4")
            if not sealed[2]:
                self.warn("the index is damaged and not used; a raw file of this number is read instead")
            if sealed[2] or name not in names:
                return sealed
        self.name = name
        with open(path, "rb") as file:
            return [file.read()]

    def file_frames(self, data, fault):
        while True:
            pos, header = self.pos, segment_header(data, self.pos)
            if header and self.is_continued_by(header):
                self.header, start, self.pos = header, pos, pos + header.length
                self.waiting.discard(header.first_sequence)    # a narrower file that is left from a merge is not read
                continue
            require(pos, fault or "no whole segment header, or not the one that continues the log: its predecessor is "
                                  f"{header and header[8:12]}, and should be {self.predecessor}")
            frame = frame_header(data, pos, self.header.salt)
            if self.sequence in self.waiting or not frame or frame.sequence != self.sequence:
                return
            payload = data[pos + 24:pos + 24 + frame.length]
            if pos + frame.size > len(data) or crc32c(self.header.salt, payload) != frame.payload_crc:
                return
            yield self.name, pos, frame, payload, self.take(frame, payload)
            self.pos = pos + frame.size
            self.predecessor = (self.pos - start, frame.sequence, self.header.salt, frame.crc)
            self.sequence += 1

    def is_continued_by(self, header):
        check_version(header.version, header.features)
        session_id, directory = header.session_id.rstrip(b"\0"), os.path.basename(os.path.abspath(self.path))
        return (header.first_sequence == self.sequence and header[8:12] == self.predecessor
                and header.first_action >= self.session.next_seq and session_id + b".log" == os.fsencode(directory))

    def take(self, frame, payload):
        """Checks what is in a frame and brings the state up to date. Returns the JSON value of the payload."""
        kind, first = frame.kind, frame.sequence == self.header.first_sequence
        if MARK < kind < 128:
            raise Stop(69, f"frame kind {kind}")
        require((kind == CHECKPOINT or not first) and (kind == STARTED) == (frame.sequence == 1), f"kind {kind} here")
        if kind == MARK:
            back = (0).to_bytes(8, "little"), (self.pos - self.checkpoint_pos).to_bytes(8, "little")
            require(payload in back, "the mark does not point at the newest checkpoint")
        if kind >= MARK:
            return None
        value = parse(kind, payload)
        if kind == ACTION:
            least = max(self.session.next_seq, self.header.first_action)
            require(least <= value["seq"] < (1 << 63) - 1, f"the seq is not in order")
        self.session.take(kind, value)
        if kind == CHECKPOINT:
            self.checkpoint_pos, self.checkpoint = self.pos, value
        if kind == STARTED or kind == CHECKPOINT and self.sequence > 0:    # the very first one tells of what follows it
            self.compare(self.checkpoint)
        return value

    def compare(self, checkpoint):
        state = self.session.summary(checkpoint.get("kernels_complete") is not False)
        if any(checkpoint.get(key) != state[key] for key in state):
            self.warn("the checkpoint differs from what the frames say")
            self.differs = True

    def judge_end(self, data, sealed, number):
        """At self.pos stands no whole frame: the end of the file, a torn tail, or corruption?"""
