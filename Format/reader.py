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
from datetime import datetime, timedelta

MAGIC, SEALED_MAGIC = b"\x89CKPL\r\n\x1a", b"\x89CKPS\r\n\x1a"
HEADER, FRAME, TRAILER, ENTRY = map(
    struct.Struct, ("<8xHHIIIQQQQII64s", "<IIIIQ", "<QQQQIIIIIH10xI4x", "<QI12xQQqq4xI"))
Header = namedtuple("Header", "version length features compatible salt first_sequence first_action "
                              "size last last_salt last_crc session_id")    # from size to last_crc: the predecessor
Frame = namedtuple("Frame", "length payload_crc unsynced sequence kind crc size")    # size: with header and padding
STARTED, ACTION, CLOSED, CHECKPOINT, MARK = 1, 2, 3, 4, 5
LIMITS = {STARTED: 262_144, ACTION: 64 << 20, CLOSED: 262_144, CHECKPOINT: 1_048_576}
MEMBERS = {STARTED: "session_id urn label kernel_action started_at was_associated_with",
           ACTION: "seq action_type outcome urn kernel via_edge intent evidence before_state after_state diff_summary "
                   "attempt generated_at note", CLOSED: "ended_at duration_ms outcome"}
OPTIONAL = {"via_edge", "intent", "evidence", "before_state", "after_state", "diff_summary"}
TYPES = dict(seq=int, attempt=int, duration_ms=int, intent=dict, evidence=dict, before_state=dict, after_state=dict)
KNOWN = "only format version 1 without incompatible features is known"


class Stop(Exception):
    """Reading ends here. The arguments are the exit code and the reason."""


def require(right, otherwise, code=65):
    if not right:
        raise Stop(code, otherwise)


CRC_TABLE = list(range(256))
for _ in range(8):
    CRC_TABLE = [crc >> 1 ^ (crc & 1) * 0x82F63B78 for crc in CRC_TABLE]


def crc32c(seed, data, table=CRC_TABLE):
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[crc & 255 ^ byte]
    return crc ^ 0xFFFFFFFF


def segment_header(data, pos):
    """The segment header at offset pos of a file's raw bytes, or None if none with a right CRC stands there."""
    if data[pos:pos + 8] == MAGIC and pos + 136 <= len(data):
        header = Header._make(HEADER.unpack_from(data, pos))
        whole, crc = data[pos:pos + header.length - 4], data[pos + header.length - 4:pos + header.length]
        if header.length in range(136, 4097, 8) and struct.pack("<I", crc32c(0, whole)) == crc:
            require((header.version, header.features) == (1, 0), KNOWN, 69)
            return header


def frame_header(data, pos, salt):
    """The frame header at pos, or None if none with a right CRC stands there. The payload is not looked at."""
    if pos + 24 <= len(data):
        length, crc, payload_crc, unsynced, tail = FRAME.unpack_from(data, pos)
        if length <= LIMITS[ACTION] and tail >> 56 and crc32c(salt, data[pos:pos + 4] + data[pos + 8:pos + 24]) == crc:
            return Frame(length, payload_crc, unsynced, tail & (1 << 56) - 1, tail >> 56, crc, 24 + (length + 7 & ~7))


def read_file(path):
    """Raw bytes; of a sealed file also why there are no more of them, what the trailer says of them (raw size; first,
    last sequence; next seq; last salt, CRC), the entries of its index, and the closing checkpoint. These are None if
    damaged."""
    with open(path, "rb") as file:
        blob, fault, data = file.read(), None, bytearray()
    if path.endswith(".seg"):
        return blob, None, None, None, None
    import lz4.frame
    try:
        with lz4.frame.open(path) as file:
            for piece in iter(file.read1, b""):
                data += piece
    except (RuntimeError, EOFError) as error:
        fault = f"the file cannot be unpacked to its end: {error}"
    if blob[-16:-8] == SEALED_MAGIC and crc32c(0, blob[-72:-4]) == int.from_bytes(blob[-4:], "little"):
        *told, chunks, closing, index_crc, salt, crc, version, features = TRAILER.unpack(blob[-72:])
        require((version, features) == (1, 0), KNOWN, 69)
        if crc32c(0, blob[-72 - closing - 64 * chunks:-72]) == index_crc:
            entries = list(ENTRY.iter_unpack(blob[-72 - closing - 64 * chunks:-72 - closing]))
            return bytes(data), fault, (*told, salt, crc), entries, blob[-72 - closing:-72]
    return bytes(data), fault, None, None, None


def parse(kind, payload):
    """The JSON value of a payload. That it is in the ranges and no deeper than record.md says is relied on."""
    try:
        value = json.loads(payload)
        right = type(value) is dict and json.dumps(value, separators=(",", ":")).encode() == payload
    except (ValueError, RecursionError):
        right = False
    require(right and len(payload) <= LIMITS[kind], "the payload is not an object in compact JSON, or is too long")
    if kind in MEMBERS:
        names = [name for name in MEMBERS[kind].split() if name in value or name not in OPTIONAL]
        right = list(value) == names and all(type(value[name]) is TYPES.get(name, str) for name in names)
        require(right, f"the members of the payload are not those of kind {kind}")
    return value


class Log:
    """The walk from frame to frame: it stands in file `name` at offset `pos`, where frame `sequence` is expected."""

    def __init__(self, path):
        self.path, self.name, self.pos, self.sequence, self.code = path, path, 0, 0, 0
        self.id = os.path.basename(os.path.abspath(path)).removesuffix(".log").encode().ljust(64, b"\0")
        self.header, self.predecessor = None, (0, 0, 0, 0)    # the segment so far: size, last sequence, salt, last CRC
        self.session, self.closed, self.actions, self.next_seq, self.kernels = None, None, 0, 1, set()
        self.outcomes = dict.fromkeys(("verified", "failed", "retry", "skipped", "other"), 0)

    def report(self, code, text):
        print(f"reader.py: {self.name}: offset {self.pos}, sequence {self.sequence}: {text}", file=sys.stderr)
        self.code = code or self.code

    def frames(self):
        """Yields (file name, offset, frame, payload, JSON value of the payload) for every frame."""
        names = {name for name in os.listdir(self.path) if re.fullmatch(r"[0-9]{20}\.seg(\.lz4)?", name)}
        require(names, "a log without a file", 66)
        paths = [self.path.rstrip("/"), *(os.path.join(self.path, name) for name in names | {"lock"})]
        require(not any(map(os.path.islink, paths)), "the log, its lock or a file in it is a symbolic link")
        self.numbers = {int(name[:20]) for name in names}    # of the files that are still to be read
        while self.numbers:
            number, self.pos = min(self.numbers), 0
            for self.name in sorted((n for n in names if int(n[:20]) == number), reverse=True):    # sealed first
                data, fault, told, entries, closing = read_file(os.path.join(self.path, self.name))
                if told or self.name.endswith(".seg"):
                    break
                self.report(0, "the index is damaged and not used")
            require(number == self.sequence, "frames before this file are missing, or are in two files")
            yield from self.file_frames(data, fault)
            if self.name.endswith(".lz4"):
                require(self.pos == len(data) and not fault, fault or "corruption: no whole frame in a sealed file")
            if told:
                found = self.pos, number, self.sequence - 1, self.next_seq, *self.predecessor[2:]
                require(told == found, f"the trailer says {told}, and the frames {found}")
                self.check_index(entries)
                self.compare(parse(CHECKPOINT, closing))
            self.judge_end(data[self.pos:])

    def file_frames(self, data, fault):
        """The frames of one file, up to where no whole frame stands that continues the log."""
        self.seen = []    # of each frame: offset, sequence, next seq, salt; generated_at of an action
        while True:
            pos, header = self.pos, segment_header(data, self.pos)
            expected = self.sequence, *self.predecessor, self.id
            if header and (header.first_sequence, *header[7:]) == expected and header.first_action == self.next_seq:
                self.header, start, self.pos = header, pos, pos + header.length
                self.numbers.discard(self.sequence)    # of this file, or of one that was merged into it
                continue
            require(pos, fault or f"no header that continues the log: {header}, expected was {expected}")
            frame = frame_header(data, pos, self.header.salt)
            if self.sequence in self.numbers or not frame or frame.sequence != self.sequence:
                return
            payload = data[pos + 24:pos + 24 + frame.length]
            if pos + frame.size > len(data) or crc32c(self.header.salt, payload) != frame.payload_crc:
                return
            next_seq, value = self.next_seq, self.take(frame, payload)
            time = value["generated_at"] if frame.kind == ACTION else None
            self.seen.append((pos, frame.sequence, next_seq, self.header.salt, time))
            yield self.name, pos, frame, payload, value
            self.pos, self.sequence = pos + frame.size, self.sequence + 1
            self.predecessor = self.pos - start, frame.sequence, self.header.salt, frame.crc

    def check_index(self, entries):
        """What the entries of a sealed file's index say of the frames in the chunks, compared with what was seen."""
        for start, length, *told in entries:
            sequence, next_seq, salt = next(seen[1:4] for seen in self.seen if seen[0] >= start)
            times = [datetime.strptime(seen[4], "%Y-%m-%dT%H:%M:%S.%fZ") for seen in self.seen
                     if start <= seen[0] < start + length and seen[4]]
            times = [(time - datetime(1970, 1, 1)) // timedelta(microseconds=1) for time in times]
            found = [sequence, next_seq, min(times, default=(1 << 63) - 1), max(times, default=-1 << 63), salt]
            require(told == found, f"the index says {told} of the chunk at {start}, and it holds {found}")

    def judge_end(self, rest):
        """The end of the file, a torn tail, or corruption? rest is what stands behind the last whole frame."""
        first, doubtful = self.header.first_sequence, rest.rstrip(b"\0")
        require(self.sequence > first + (first == 0), "corruption: the segment was synced with this frame")
        require(self.sequence in self.numbers or not self.numbers, "damaged or missing: the next file vouches for this")
        if doubtful and not self.numbers:
            for pos in range(0, len(rest), 8):
                header, frame = segment_header(rest, pos), frame_header(rest, pos, self.header.salt)
                below = header.first_sequence if header and header.session_id == self.id else 0
                if frame and frame.unsynced != 0xFFFFFFFF:
                    below = frame.sequence - frame.unsynced
                require(self.sequence >= below, f"corruption: what stands {pos} bytes further on vouches for this")
            self.report(0, f"torn tail: {len(doubtful)} bytes are in doubt and not used")

    def take(self, frame, payload):
        """Checks what is in a frame and brings the state up to date. Returns the JSON value of the payload."""
        kind, first = frame.kind, frame.sequence == self.header.first_sequence
        require(kind <= MARK or kind >= 128, f"frame kind {kind} is not known", 69)
        right = kind == CHECKPOINT if first else (kind == STARTED) == (frame.sequence == 1)
        require(right, f"a frame of kind {kind} cannot stand here")
        if kind >= MARK:
            checkpoints = [distance.to_bytes(8, "little") for distance in (0, self.pos - self.checkpoint_pos)]
            return require(kind > MARK or payload in checkpoints, "the mark does not point at the newest checkpoint")
        value = parse(kind, payload)
        if kind == STARTED:
            self.session, agent = value, value["was_associated_with"]
            self.kernels = {re.split("Kernel#|:", agent.split("Kernel#", 1)[1])[0] if "Kernel#" in agent else agent}
        elif kind == ACTION:
            form = rf"ckp://Action#(.*)/{re.escape(value['action_type'])}(--?[0-9]+)?"
            urn, least = re.fullmatch(form, value["urn"], re.DOTALL), max(self.next_seq, self.header.first_action)
            require(urn and least <= value["seq"] < (1 << 63) - 1, "no kernel in the urn, or the seq does not grow")
            self.actions, self.next_seq, self.closed = self.actions + 1, value["seq"] + 1, None
            self.outcomes[value["outcome"] if value["outcome"] in self.outcomes else "other"] += 1
            self.kernels.add(urn[1])
        elif kind == CLOSED:
            self.closed = value
        else:
            self.checkpoint_pos, self.checkpoint = self.pos, value
        if kind == STARTED or kind == CHECKPOINT and self.session:    # the very first one tells of what follows it
            self.compare(self.checkpoint)
        return value

    def compare(self, checkpoint):
        complete = checkpoint.get("kernels_complete") is not False
        state = {"session": self.session, "closed": self.closed, "actions": self.actions, "next_seq": self.next_seq,
                 "outcomes": self.outcomes, "kernels": sorted(self.kernels) if complete else [],
                 "kernels_complete": complete}
        if any(checkpoint.get(key) != state[key] for key in state):
            self.report(65, "the checkpoint differs from what the frames say")

    def session_json(self, actions):
        order = "session_id urn label kernel_action started_at ended_at was_associated_with duration_ms outcome"
        members = {**self.session, **(self.closed or {"outcome": "in_progress"})}
        members = {key: members[key] for key in order.split() if key in members}
        return json.dumps({**members, "kernels_involved": sorted(self.kernels), "actions": actions}, indent=2)


def main(command, path):
    log, actions = Log(path), []
    try:
        for name, offset, frame, payload, value in log.frames():
            if command == "frames":
                print(json.dumps({"file": name, "offset": offset, "sequence": frame.sequence, "kind": frame.kind,
                                  "length": frame.length, "unsynced": frame.unsynced}))
            elif frame.kind == ACTION and command == "jsonl":
                print(payload.decode())
            elif frame.kind == ACTION:
                actions.append(value)
    except Stop as stop:
        log.report(*stop.args)
    except OSError as error:
        log.report(66 if log.name == path else 65, error)
    if command == "session" and log.session:
        print(log.session_json(actions), end="")
    return log.code


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("jsonl", "session", "frames"):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
