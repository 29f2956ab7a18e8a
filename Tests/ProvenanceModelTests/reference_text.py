#!/usr/bin/env python3
"""Answers the text tests of ProvenanceModel with Python's own words and with the reference's.

The reference is cklib of the PyPI package conceptkernel 1.3.0 on Python 3.11 (Unicode 14.0).

    reference_text.py probe         prints "ready" if all of this is here, else what is missing
    reference_text.py answer        one question a line on standard input, one answer a line on standard output
    reference_text.py code-points   one byte for each code point: 1 printable, 2 matches \\d, 4 isdigit(), 16 * its decimal digit
    reference_text.py tables        prints Sources/ProvenanceModel/PythonPrintable.swift

A question is a JSON array [kind, argument, ...], in pure ASCII. An answer is {"ok": value} or {"error": text}, also pure ASCII.
"""

import json
import re
import struct
import sys
import unicodedata

CODE_POINTS = range(0x110000)


def probe():
    if unicodedata.unidata_version != "14.0.0":
        return "this Python has Unicode %s, not 14.0.0" % unicodedata.unidata_version
    try:
        import cklib.prov
        import cklib.urn
    except ImportError as error:
        return "cklib is missing: %s" % error
    return "ready"


# ------------------------------------------------------------------ answers

def name_from_urn(urn):
    from cklib.prov import ProvChain
    return ProvChain._name_from_urn(urn)


def kernel_urn(kernel):
    """The two lines of record_action that make the URN of a kernel."""
    from cklib.urn import build_kernel_urn
    return kernel if kernel.startswith("ckp://") else build_kernel_urn(kernel)


def diff(before, after):
    """The two lines of record_action that call _compute_state_diff."""
    from cklib.prov import _compute_state_diff
    return _compute_state_diff(before, after) if before and after else None


def as_float(bits):
    return struct.unpack(">d", bytes.fromhex(bits))[0]


def answer(kind, *arguments):
    import cklib.urn
    direct = {
        "float": lambda bits: repr(as_float(bits)),
        "int": lambda bits: str(int(as_float(bits))),
        "str": lambda value: "%s" % (value,),
        "diff": diff,
        "name": name_from_urn,
        "kernel": kernel_urn,
        "types": lambda: [sorted(cklib.urn.CONTINUANT_TYPES), sorted(cklib.urn.OCCURRENT_TYPES)],
    }
    return (direct.get(kind) or getattr(cklib.urn, kind))(*arguments)


def answer_all(lines):
    for line in lines:
        try:
            result = {"ok": answer(*json.loads(line))}
        except ValueError as error:
            result = {"error": str(error)}
        sys.stdout.write(json.dumps(result) + "\n")


# ------------------------------------------------------------------ code points

def code_point_flags():
    decimals = set(re.findall(r"\d", "".join(map(chr, CODE_POINTS))))
    for character in map(chr, CODE_POINTS):
        flags = character.isprintable() | character.isdigit() << 2
        yield flags | 2 | int(character) << 4 if character in decimals else flags


def boundaries(holds):
    """Where a property begins and ends to hold, in turn; it does not hold for code point 0."""
    found = []
    for code_point in CODE_POINTS:
        if holds(chr(code_point)) != (len(found) % 2 == 1):
            found.append(code_point)
    return found


def table(name, comment, numbers):
    rows, row = [], "   "
    for number in numbers:
        text = " 0x%X," % number
        if len(row) + len(text) > 130:
            rows.append(row)
            row = "   "
        row += text
    rows.append(row)
    return "  /// %s\n  private static let %s: [UInt32] = [\n%s\n  ]\n" % (comment, name, "\n".join(rows))


def tables():
    return HEADER + "\n".join([
        table("printable", "Where `str.isprintable()` begins and ceases to hold, in turn.", boundaries(str.isprintable)),
        table("digits", "Where `str.isdigit()` begins and ceases to hold, in turn.", boundaries(str.isdigit)),
        table(
            "decimalZeros", r"The zeros of all scripts, each followed by its 1 to 9: what matches `\d`, and what `int()` reads.",
            [c for c in CODE_POINTS if unicodedata.decimal(chr(c), None) == 0]),
    ]) + "}\n"


HEADER = """\
// Made by `python3 Tests/ProvenanceModelTests/reference_text.py tables`, on Python 3.11. Do not edit.

/// Code points as Python 3.11 knows them, which is Unicode 14.0, whatever the system's version of it.
package enum PythonCodePoints {
  package static func isPrintable(_ codePoint: UInt32) -> Bool { isInside(printable, codePoint) }

  /// As `str.isdigit()` has it: also superscripts and the like, which `int()` refuses.
  package static func isDigit(_ codePoint: UInt32) -> Bool { isInside(digits, codePoint) }

  /// 0 to 9 for what the pattern `\\d` matches.
  package static func decimalDigit(_ codePoint: UInt32) -> UInt8? {
    let index = countUpTo(codePoint, in: decimalZeros)
    guard index > 0, codePoint - decimalZeros[index - 1] < 10 else { return nil }
    return UInt8(codePoint - decimalZeros[index - 1])
  }

  private static func isInside(_ boundaries: [UInt32], _ codePoint: UInt32) -> Bool {
    countUpTo(codePoint, in: boundaries) % 2 == 1
  }

  /// How many of the ascending `numbers` are not above `limit`.
  private static func countUpTo(_ limit: UInt32, in numbers: [UInt32]) -> Int {
    var (low, high) = (0, numbers.count)
    while low < high {
      let middle = (low + high) / 2
      if numbers[middle] <= limit { low = middle + 1 } else { high = middle }
    }
    return low
  }

"""


def main(mode):
    if mode == "probe":
        print(probe())
    elif mode == "answer":
        answer_all(sys.stdin)
    elif mode == "code-points":
        sys.stdout.buffer.write(bytes(code_point_flags()))
    elif mode == "tables":
        sys.stdout.write(tables())
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
