package import ProvenanceModel

/// Prints compact JSON as Python's `json.dumps(value, indent=2)` prints the same value: only white space is added.
///
/// It works piecewise: `write` fills what room it is given and goes on where it stopped, so that the output of one record, which may be a thousand
/// times its size, never has to be in memory.
package struct Reindenter {
  /// Room that every call must offer: the longest thing that is written in one go.
  package static let roomMin = 2 * (JSONParser.depthMax + 8) + 16

  private var position = 0
  private var level: Int
  private let baseLevel: Int
  private var inString = false

  /// `level`: how many levels deep the value stands in what is being printed.
  package init(level: Int) {
    self.level = level
    baseLevel = level
  }

  /// Writes as much as fits.
  /// - Parameter json: the same bytes at every call: compact JSON, without white space.
  /// - Returns: the bytes written, and whether the value is finished.
  /// - Throws: `LogError` `corrupt` if brackets do not match or go deeper than any record may.
  package mutating func write(
    _ json: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
  ) throws(LogError) -> (count: Int, isFinished: Bool) {
    precondition(room.count >= Self.roomMin)
    let start = room.baseAddress!.assumingMemoryBound(to: UInt8.self)
    let last = start + room.count - Self.roomMin
    var out = start
    while position < json.count {
      guard out <= last else { return (out - start, false) }
      if inString {
        out = try copyString(json, to: out, limit: start + room.count)
        continue
      }
      let byte = json[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        out = put(byte, to: out)
        inString = true
      case UInt8(ascii: "{"), UInt8(ascii: "["):
        out = put(byte, to: out)
        // In ASCII the closing bracket is the opening one plus two.
        if position < json.count, json[position] == byte + 2 {
          out = put(byte + 2, to: out)
          position += 1
        } else {
          level += 1
          guard level - baseLevel <= JSONParser.depthMax else { throw LogError(.corrupt, "a record is nested deeper than it may be") }
          out = newLine(to: out)
        }
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        level -= 1
        guard level >= baseLevel else { throw LogError(.corrupt, "a record's brackets do not match") }
        out = put(byte, to: newLine(to: out))
      case UInt8(ascii: ","):
        out = newLine(to: put(byte, to: out))
      case UInt8(ascii: ":"):
        out = put(0x20, to: put(byte, to: out))
      case 0x21...0x7E:
        out = put(byte, to: out)
      default: throw LogError(.corrupt, "a record holds a byte that no record may hold")
      }
    }
    guard level == baseLevel, !inString else { throw LogError(.corrupt, "a record ends before its JSON does") }
    return (out - start, true)
  }

  @inline(__always)
  private func put(_ byte: UInt8, to out: OutPointer) -> OutPointer {
    out.pointee = byte
    return out + 1
  }

  private func newLine(to out: OutPointer) -> OutPointer {
    out[0] = 0x0A
    (out + 1).update(repeating: 0x20, count: 2 * level)
    return out + 1 + 2 * level
  }

  /// Copies up to and including the closing quote, or as much as fits.
  private mutating func copyString(_ json: UnsafeRawBufferPointer, to start: OutPointer, limit: OutPointer) throws(LogError) -> OutPointer {
    var out = start
    let ones: UInt64 = 0x0101_0101_0101_0101
    while limit - out >= 16, json.count - position >= 8 {
      let word = json.loadUnaligned(fromByteOffset: position, as: UInt64.self)
      let quote = word ^ ones &* 0x22
      let backslash = word ^ ones &* 0x5C
      let flags = (((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | word | (word &- ones &* 0x20)) & (ones &* 0x80)
      UnsafeMutableRawPointer(out).storeBytes(of: word, as: UInt64.self)
      if flags == 0 {
        position += 8
        out += 8
        continue
      }
      let plain = UInt64(littleEndian: flags).trailingZeroBitCount / 8
      position += plain
      out += plain
      if json[position] == UInt8(ascii: "\"") {
        position += 1
        inString = false
        return put(UInt8(ascii: "\""), to: out)
      }
      guard json[position] == UInt8(ascii: "\\") else { break }
      guard position + 1 < json.count else { break }
      out = put(json[position + 1], to: put(json[position], to: out))
      position += 2
    }
    while limit - out >= 2, position < json.count {
      let byte = json[position]
      guard 0x20...0x7E ~= byte else { throw LogError(.corrupt, "a record holds a byte that no record may hold") }
      position += 1
      out = put(byte, to: out)
      if byte == UInt8(ascii: "\"") {
        inString = false
        return out
      }
      if byte == UInt8(ascii: "\\"), position < json.count {
        out = put(json[position], to: out)
        position += 1
      }
    }
    return out
  }
}
