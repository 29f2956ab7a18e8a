internal import CText
package import ProvenanceModel

// Compact JSON in pure ASCII, as Python's `json.dumps(value, separators=(",", ":"))` prints it (Format/record.md).
//
// Every function takes the place to write to and returns the place behind what it wrote, so that the pointer stays in a register. Room is asked for
// once per string or other value: what a value needs, and `slack` for the punctuation behind it.

typealias OutPointer = UnsafeMutablePointer<UInt8>

/// More than any number, timestamp or word takes, with the punctuation around it and what a copy may store behind its end.
let slack = 64

@inline(__always)
func write(_ byte: UInt8, to out: OutPointer) -> OutPointer {
  out.pointee = byte
  return out + 1
}

/// Bytes as they are.
@inline(__always)
func copy(_ text: StaticString, to out: OutPointer) -> OutPointer {
  out.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
  return out + text.utf8CodeUnitCount
}

@inline(__always)
func copy(_ bytes: UnsafeRawBufferPointer, to out: OutPointer) -> OutPointer {
  if let base = bytes.baseAddress { UnsafeMutableRawPointer(out).copyMemory(from: base, byteCount: bytes.count) }
  return out + bytes.count
}

// MARK: Values

extension ByteBuffer {
  /// - Parameters:
  ///   - keepingNulls: false leaves out members that are null, in objects at any depth; elements stay.
  ///   - depth: how deep `value` stands in its record.
  /// - Throws: `LogError` `tooLarge` if it nests deeper than a record may; nothing is appended then.
  package mutating func append(_ value: JSONValue, keepingNulls: Bool = true, depth: Int = 0) throws(LogError) {
    let start = count
    do throws(LogError) {
      commit(upTo: try write(value, keepingNulls, depth, to: room(for: slack)))
    } catch {
      truncate(to: start)
      throw error
    }
  }

  private mutating func write(_ value: JSONValue, _ keepingNulls: Bool, _ depth: Int, to start: OutPointer) throws(LogError) -> OutPointer {
    switch value {
    case .string(let string): return write(string, to: start)
    case .integer(let integer): return LogFormat.write(integer, to: room(for: slack, behind: start))
    case .double(let double): return LogFormat.write(double, to: room(for: slack, behind: start))
    case .bool(true): return copy("true", to: room(for: slack, behind: start))
    case .bool(false): return copy("false", to: room(for: slack, behind: start))
    case .null: return copy("null", to: room(for: slack, behind: start))
    case .object(let object): return try write(object, keepingNulls, depth, to: start)
    case .largeInteger(let integer):
      let digits = Array(integer.digits.utf8)
      let out = room(for: digits.count + slack, behind: start)
      return digits.withUnsafeBytes { copy($0, to: out) }
    case .array(let elements):
      try checkDepth(depth)
      var out = LogFormat.write(UInt8(ascii: "["), to: room(for: slack, behind: start))
      for index in elements.indices {
        if index > 0 { out = LogFormat.write(UInt8(ascii: ","), to: out) }
        out = try write(elements[index], keepingNulls, depth + 1, to: out)
      }
      return LogFormat.write(UInt8(ascii: "]"), to: room(for: slack, behind: out))
    }
  }

  /// An object that stands `depth` levels deep in its record.
  mutating func write(_ object: JSONObject, _ keepingNulls: Bool, _ depth: Int, to start: OutPointer) throws(LogError) -> OutPointer {
    try checkDepth(depth)
    var out = LogFormat.write(UInt8(ascii: "{"), to: room(for: slack, behind: start))
    let (keys, values) = (object.keys, object.values)
    out = try keys.withUnsafeBufferPointer { keys throws(LogError) in
      try values.withUnsafeBufferPointer { values throws(LogError) in
        var out = out
        var isFirst = true
        for index in keys.indices {
          if !keepingNulls, case .null = values[index] { continue }
          if !isFirst { out = LogFormat.write(UInt8(ascii: ","), to: out) }
          isFirst = false
          out = LogFormat.write(UInt8(ascii: ":"), to: write(keys[index], to: out))
          out = try write(values[index], keepingNulls, depth + 1, to: out)
        }
        return out
      }
    }
    return LogFormat.write(UInt8(ascii: "}"), to: room(for: slack, behind: out))
  }

  /// With its quotes.
  mutating func write(_ string: JSONString, to start: OutPointer) -> OutPointer {
    let out = LogFormat.write(UInt8(ascii: "\""), to: start)
    return LogFormat.write(UInt8(ascii: "\""), to: writeEscaped(string, to: out))
  }

  /// Without quotes.
  @inline(__always)
  mutating func writeEscaped(_ string: JSONString, to start: OutPointer) -> OutPointer {
    switch string.storage {
    case .text(let text):
      // Swift's own strings are contiguous.
      return text.utf8.withContiguousStorageIfAvailable { writeEscaped($0, to: start) }!
    case .surrogates(let bytes):
      return bytes.withUnsafeBufferPointer { writeEscaped($0, to: start) }
    }
  }

  /// WTF-8 to the inside of a JSON string.
  @inline(__always)
  mutating func writeEscaped(_ bytes: UnsafeBufferPointer<UInt8>, to start: OutPointer) -> OutPointer {
    // One byte of UTF-8 becomes at most six of JSON.
    let out = room(for: bytes.count * 6 + slack, behind: start)
    guard let base = bytes.baseAddress else { return out }
    let plain = ckprov_copy_plain(out, base, bytes.count)
    return plain == bytes.count ? out + plain : writeEscapedRest(base + plain, base + bytes.count, to: out + plain)
  }
}

private func checkDepth(_ depth: Int) throws(LogError) {
  guard depth < JSONParser.depthMax else { throw LogError(.tooLarge, "nested deeper than \(JSONParser.depthMax) levels; flatten it") }
}

/// As Python's `json` prints floats.
func write(_ value: Double, to out: OutPointer) -> OutPointer {
  if let end = writeShort(value, to: out) { return end }
  if value.isNaN { return copy("NaN", to: out) }
  if value.isInfinite { return value < 0 ? copy("-Infinity", to: out) : copy("Infinity", to: out) }
  var text = pythonRepr(value)
  return text.withUTF8 { copy(UnsafeRawBufferPointer($0), to: out) }
}

/// Floats with up to six places, as most have: a decimal of up to 15 digits that reads as `value` is the shortest one that does, since no two such decimals
/// read as the same float. `nil` if there is none.
private func writeShort(_ value: Double, to start: OutPointer) -> OutPointer? {
  let magnitude = value.magnitude
  guard 1e-3..<1e9 ~= magnitude else { return nil }
  var power: Int64 = 1
  for places in 0...6 {
    // Exact: both below 2^53. The division rounds once, as reading the decimal does.
    let scaled = Int64((magnitude * Double(power)).rounded())
    if Double(scaled) / Double(power) == magnitude {
      let (whole, fraction) = scaled.quotientAndRemainder(dividingBy: power)
      let out = write(UInt8(ascii: "."), to: write(UInt64(whole), isNegative: value < 0, to: start))
      return writeDigits(UInt64(fraction), count: max(places, 1), to: out)
    }
    power *= 10
  }
  return nil
}

func write(_ value: Int64, to out: OutPointer) -> OutPointer {
  write(value.magnitude, isNegative: value < 0, to: out)
}

@inline(__always)
private func write(_ magnitude: UInt64, isNegative: Bool, to start: OutPointer) -> OutPointer {
  let out = isNegative ? write(UInt8(ascii: "-"), to: start) : start
  if magnitude < 10 { return write(UInt8(truncatingIfNeeded: 0x30 + magnitude), to: out) }
  return writeDigits(magnitude, count: digitCount(magnitude), to: out)
}

private func digitCount(_ value: UInt64) -> Int {
  // log10(2) is a little above 1233 / 4096.
  let guess = ((64 - value.leadingZeroBitCount) * 1233) >> 12
  return value < powersOfTen[guess] ? guess : guess + 1
}

private let powersOfTen: InlineArray<20, UInt64> = [
  1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000, 100_000_000_000, 1_000_000_000_000,
  10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000, 10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000,
  10_000_000_000_000_000_000,
]

/// The last `count` decimal digits of `value`, two at a time.
private func writeDigits(_ value: UInt64, count: Int, to out: OutPointer) -> OutPointer {
  let pairs: StaticString =
    "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"
  var rest = value
  var place = count
  while place >= 2 {
    let pair = Int(truncatingIfNeeded: rest % 100) * 2
    rest /= 100
    place -= 2
    out[place] = pairs.utf8Start[pair]
    out[place + 1] = pairs.utf8Start[pair + 1]
  }
  if place == 1 { out[0] = UInt8(truncatingIfNeeded: 0x30 + rest % 10) }
  return out + count
}

/// With its quotes.
func write(_ timestamp: Timestamp, to out: OutPointer) -> OutPointer {
  out[0] = UInt8(ascii: "\"")
  timestamp.write(to: out + 1)
  out[28] = UInt8(ascii: "\"")
  return out + 29
}

// MARK: Strings

/// What is not plain, and what follows it.
private func writeEscapedRest(_ start: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, to out: OutPointer) -> OutPointer {
  var (from, out) = (start, out)
  while from < end {
    (from, out) = writeEscapedScalar(from, to: out)
    let plain = ckprov_copy_plain(out, from, end - from)
    from += plain
    out += plain
  }
  return out
}

/// One code point, escaped if need be.
func writeEscapedScalar(_ from: UnsafePointer<UInt8>, to out: OutPointer) -> (UnsafePointer<UInt8>, OutPointer) {
  let first = from[0]
  if first < 0x80 {
    switch first {
    case UInt8(ascii: "\""): return (from + 1, copy("\\\"", to: out))
    case UInt8(ascii: "\\"): return (from + 1, copy("\\\\", to: out))
    case 0x20...0x7E: return (from + 1, write(first, to: out))
    case 0x08: return (from + 1, copy("\\b", to: out))
    case 0x09: return (from + 1, copy("\\t", to: out))
    case 0x0A: return (from + 1, copy("\\n", to: out))
    case 0x0C: return (from + 1, copy("\\f", to: out))
    case 0x0D: return (from + 1, copy("\\r", to: out))
    default: return (from + 1, writeUnit(UInt32(first), to: out))
    }
  }
  if first < 0xE0 { return (from + 2, writeUnit(UInt32(first & 0x1F) << 6 | UInt32(from[1] & 0x3F), to: out)) }
  if first < 0xF0 {
    return (from + 3, writeUnit(UInt32(first & 0x0F) << 12 | UInt32(from[1] & 0x3F) << 6 | UInt32(from[2] & 0x3F), to: out))
  }
  let scalar = UInt32(first & 0x07) << 18 | UInt32(from[1] & 0x3F) << 12 | UInt32(from[2] & 0x3F) << 6 | UInt32(from[3] & 0x3F)
  let high = writeUnit(0xD7C0 + scalar >> 10, to: out)
  return (from + 4, writeUnit(0xDC00 | scalar & 0x3FF, to: high))
}

/// `\u` and four lower-case hex digits.
private func writeUnit(_ unit: UInt32, to out: OutPointer) -> OutPointer {
  func digit(_ shift: UInt32) -> UInt8 {
    let value = UInt8(truncatingIfNeeded: unit >> shift & 0xF)
    return value < 10 ? 0x30 + value : 0x57 + value
  }
  out[0] = UInt8(ascii: "\\")
  out[1] = UInt8(ascii: "u")
  out[2] = digit(12)
  out[3] = digit(8)
  out[4] = digit(4)
  out[5] = digit(0)
  return out + 6
}
