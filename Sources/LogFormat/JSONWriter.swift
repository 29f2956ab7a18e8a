internal import ProvenanceModel

// Compact JSON in pure ASCII, as Python's `json.dumps(value, separators=(",", ":"))` prints it (Format/record.md).
//
// Every function takes the place to write to and returns the place behind what it wrote, so that the pointer stays in a register; the room is
// reserved before, by the `encodedSizeMax` of the whole.

typealias OutPointer = UnsafeMutablePointer<UInt8>

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

func copy(_ bytes: [UInt8], to out: OutPointer) -> OutPointer {
  bytes.withUnsafeBufferPointer { if let base = $0.baseAddress { out.update(from: base, count: $0.count) } }
  return out + bytes.count
}

// MARK: Values

/// An upper bound of what `write(_:to:)` needs for `value`, which stands `depth` levels deep in its record.
/// - Throws: `LogError` `tooLarge` if it nests deeper than a record may.
func encodedSizeMax(_ value: JSONValue, depth: Int) throws(LogError) -> Int {
  switch value {
  case .null, .bool: return 5
  case .integer: return 20
  case .largeInteger(let integer): return integer.digits.utf8.count
  case .double: return 32
  case .string(let string): return encodedSizeMax(string)
  case .array(let elements):
    try checkDepth(depth)
    var size = 2
    for index in elements.indices { size += 1 + (try encodedSizeMax(elements[index], depth: depth + 1)) }
    return size
  case .object(let object): return try encodedSizeMax(object, depth: depth)
  }
}

func encodedSizeMax(_ object: JSONObject, depth: Int) throws(LogError) -> Int {
  try checkDepth(depth)
  var size = 2
  for index in object.keys.indices {
    size += 2 + encodedSizeMax(object.keys[index]) + (try encodedSizeMax(object.values[index], depth: depth + 1))
  }
  return size
}

private func checkDepth(_ depth: Int) throws(LogError) {
  guard depth < JSONParser.depthMax else { throw LogError(.tooLarge, "nested deeper than \(JSONParser.depthMax) levels; flatten it") }
}

/// One byte of UTF-8 becomes at most six of JSON; the writer may also store up to 8 bytes at once.
func encodedSizeMax(_ string: JSONString) -> Int { string.byteCount * 6 + 10 }

/// `keepingNulls` false leaves out members that are null, in objects at any depth; elements stay.
func write(_ value: JSONValue, keepingNulls: Bool = false, to start: OutPointer) -> OutPointer {
  var out = start
  switch value {
  case .null: return copy("null", to: out)
  case .bool(true): return copy("true", to: out)
  case .bool(false): return copy("false", to: out)
  case .integer(let integer): return write(integer, to: out)
  case .largeInteger(let integer): return copy(Array(integer.digits.utf8), to: out)
  case .double(let double): return write(double, to: out)
  case .string(let string): return write(string, to: out)
  case .array(let elements):
    out = write(UInt8(ascii: "["), to: out)
    for index in elements.indices {
      if index > 0 { out = write(UInt8(ascii: ","), to: out) }
      out = write(elements[index], keepingNulls: keepingNulls, to: out)
    }
    return write(UInt8(ascii: "]"), to: out)
  case .object(let object): return write(object, keepingNulls: keepingNulls, to: out)
  }
}

func write(_ object: JSONObject, keepingNulls: Bool = false, to start: OutPointer) -> OutPointer {
  var out = write(UInt8(ascii: "{"), to: start)
  let first = out
  for index in object.keys.indices {
    if case .null = object.values[index], !keepingNulls { continue }
    if out != first { out = write(UInt8(ascii: ","), to: out) }
    out = write(object.keys[index], to: out)
    out = write(UInt8(ascii: ":"), to: out)
    out = write(object.values[index], keepingNulls: keepingNulls, to: out)
  }
  return write(UInt8(ascii: "}"), to: out)
}

/// As Python's `json` prints floats.
func write(_ value: Double, to out: OutPointer) -> OutPointer {
  if value.isNaN { return copy("NaN", to: out) }
  if value.isInfinite { return value < 0 ? copy("-Infinity", to: out) : copy("Infinity", to: out) }
  var text = pythonRepr(value)
  return text.withUTF8 {
    out.update(from: $0.baseAddress!, count: $0.count)
    return out + $0.count
  }
}

func write(_ value: Int64, to start: OutPointer) -> OutPointer {
  let out = value < 0 ? write(UInt8(ascii: "-"), to: start) : start
  var rest = value.magnitude
  var count = 1
  var power: UInt64 = 10
  while rest >= power {
    count += 1
    let (next, overflow) = power.multipliedReportingOverflow(by: 10)
    if overflow { break }
    power = next
  }
  for place in stride(from: count - 1, through: 0, by: -1) {
    out[place] = UInt8(truncatingIfNeeded: 0x30 + rest % 10)
    rest /= 10
  }
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

/// With its quotes.
@inline(__always)
func write(_ string: JSONString, to out: OutPointer) -> OutPointer {
  write(UInt8(ascii: "\""), to: writeEscaped(string, to: write(UInt8(ascii: "\""), to: out)))
}

/// Without quotes.
@inline(__always)
func writeEscaped(_ string: JSONString, to out: OutPointer) -> OutPointer {
  switch string.storage {
  case .text(let text):
    return text.utf8Span.span.withUnsafeBufferPointer { writeEscaped($0, to: out) }
  case .surrogates(let bytes):
    return bytes.withUnsafeBufferPointer { writeEscaped($0, to: out) }
  }
}

/// WTF-8 to the inside of a JSON string. Runs of eight bytes that need no escape are copied as one word.
func writeEscaped(_ bytes: UnsafeBufferPointer<UInt8>, to start: OutPointer) -> OutPointer {
  guard var from = bytes.baseAddress else { return start }
  let end = from + bytes.count
  var out = start
  while from < end {
    if end - from >= 8 {
      let word = UnsafeRawPointer(from).loadUnaligned(as: UInt64.self)
      if isPlain(word) {
        UnsafeMutableRawPointer(out).storeBytes(of: word, as: UInt64.self)
        from += 8
        out += 8
        continue
      }
    } else if bytes.count >= 8 {
      // The rest, with the bytes before it that were plain and have been copied as they are.
      let word = UnsafeRawPointer(end - 8).loadUnaligned(as: UInt64.self)
      if isPlain(word) {
        let rest = end - from
        UnsafeMutableRawPointer(out + rest - 8).storeBytes(of: word, as: UInt64.self)
        return out + rest
      }
    }
    (from, out) = writeEscapedScalar(from, to: out)
  }
  return out
}

/// No byte of `word` is below 0x20, above 0x7E, a quote or a backslash. (A borrow can only taint bytes above one that is flagged itself.)
@inline(__always)
private func isPlain(_ word: UInt64) -> Bool {
  let ones: UInt64 = 0x0101_0101_0101_0101
  let flags = word | (word &+ ones) | (word &- ones &* 0x20) | ((word ^ ones &* 0x22) &- ones) | ((word ^ ones &* 0x5C) &- ones)
  return flags & (ones &* 0x80) == 0
}

/// One UTF-16 code unit, escaped if need be.
func writeCodeUnit(_ unit: UInt32, to out: OutPointer) -> OutPointer {
  guard unit < 0x80 else { return writeUnit(unit, to: out) }
  var byte = UInt8(unit)
  return writeEscapedScalar(&byte, to: out).1
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
