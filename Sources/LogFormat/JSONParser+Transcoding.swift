package import ProvenanceModel

// JSON text straight into the form that is stored, in one pass: no value is built. Only an object with equal keys takes the way through values.

extension JSONParser {
  /// Reads the next value and appends its canonical bytes; members that are null are kept, and `metNullMember` tells of them.
  ///
  /// - Throws: `LogError` `invalidInput` or `tooLarge` with offset and reason; nothing is appended then.
  package mutating func transcode(to buffer: inout ByteBuffer) throws(LogError) {
    let start = self
    // The longest that a byte can become is six (DEL), but for short floats such as 1e15.
    let out = buffer.room(for: (remaining + 4) * 6 + 32)
    var keys = KeyStack()
    let end = try transcodeValue(to: out, &keys)
    if keys.foundEqual {
      self = start
      let json = try value().compactJSON()
      buffer.append(json)
    } else {
      buffer.commit(upTo: end)
    }
  }

  private mutating func transcodeValue(to out: OutPointer, _ keys: inout KeyStack) throws(LogError) -> OutPointer {
    switch next() {
    case UInt8(ascii: "\"")?: return try transcodeString(to: out)
    case UInt8(ascii: "{")?: return try transcodeObject(to: out, &keys)
    case UInt8(ascii: "[")?:
      try enter()
      var end = write(UInt8(ascii: "["), to: out)
      var isFirst = true
      while try nextElement(isFirst: isFirst) {
        if !isFirst { end = write(UInt8(ascii: ","), to: end) }
        isFirst = false
        end = try transcodeValue(to: end, &keys)
      }
      return write(UInt8(ascii: "]"), to: end)
    default:
      if let end = try transcodeInteger(to: out) { return end }
      return write(try value(), to: out)
    }
  }

  private mutating func transcodeObject(to out: OutPointer, _ keys: inout KeyStack) throws(LogError) -> OutPointer {
    try enter()
    let frame = keys.beginObject()
    var end = write(UInt8(ascii: "{"), to: out)
    var isFirst = true
    while try nextMember(isFirst: isFirst) {
      if !isFirst { end = write(UInt8(ascii: ","), to: end) }
      isFirst = false
      let keyStart = end
      end = try transcodeString(to: end)
      keys.add(UnsafeRawBufferPointer(start: keyStart, count: end - keyStart), to: frame)
      try takeColon()
      end = write(UInt8(ascii: ":"), to: end)
      if next() == UInt8(ascii: "n") { noteNullMember() }
      end = try transcodeValue(to: end, &keys)
    }
    keys.endObject(frame)
    return write(UInt8(ascii: "}"), to: end)
  }

  /// Digits are their own canonical form, but for `-0`; `nil` if this is no integer, with nothing taken.
  private mutating func transcodeInteger(to out: OutPointer) throws(LogError) -> OutPointer? {
    guard let digits = try integerText() else { return nil }
    if digits.count == 2, digits[0] == UInt8(ascii: "-"), digits[1] == 0x30 { return write(UInt8(ascii: "0"), to: out) }
    UnsafeMutableRawPointer(out).copyMemory(from: digits.baseAddress!, byteCount: digits.count)
    return out + digits.count
  }

  /// The string whose opening quote is next.
  private mutating func transcodeString(to start: OutPointer) throws(LogError) -> OutPointer {
    let opening = position
    advance(by: 1)
    var out = write(UInt8(ascii: "\""), to: start)
    while true {
      out = copyPlain(to: out)
      guard let byte = current else { throw LogError(.invalidInput, "this string has no closing quote", offset: UInt64(opening)) }
      switch byte {
      case UInt8(ascii: "\""):
        advance(by: 1)
        return write(byte, to: out)
      case UInt8(ascii: "\\"): out = try transcodeEscape(to: out)
      case 0..<0x20: throw failure("a control character must be escaped")
      default:
        // DEL, or a code point beyond ASCII; the text was found to be UTF-8.
        let scalar = base(at: position).assumingMemoryBound(to: UInt8.self)
        let (behind, end) = writeEscapedScalar(scalar, to: out)
        advance(by: behind - scalar)
        out = end
      }
    }
  }

  /// Surrogates need no pairing here: a pair is stored as the two escapes that it is.
  private mutating func transcodeEscape(to out: OutPointer) throws(LogError) -> OutPointer {
    if let unit = unit(at: position) {
      advance(by: 6)
      return writeCodeUnit(unit, to: out)
    }
    var content: [UInt8] = []
    try appendEscape(to: &content)
    return content.withUnsafeBufferPointer { writeEscaped($0, to: out) }
  }
}

/// The keys of the objects that are open, to find equal ones: their canonical bytes are equal if they are.
private struct KeyStack {
  private var spans: [UnsafeRawBufferPointer] = []
  /// For objects of many keys, where comparing each with each would take too long.
  private var tables: [Int: Set<KeyBytes>] = [:]
  private(set) var foundEqual = false

  private static let fewKeys = 16

  func beginObject() -> Int { spans.count }

  mutating func endObject(_ frame: Int) {
    if spans.count - frame > Self.fewKeys { tables[frame] = nil }
    spans.removeSubrange(frame...)
  }

  mutating func add(_ key: UnsafeRawBufferPointer, to frame: Int) {
    defer { spans.append(key) }
    let count = spans.count - frame
    if count < Self.fewKeys {
      for index in frame..<spans.count where spans[index].count == key.count && isEqual(spans[index], key) { foundEqual = true }
      return
    }
    if count == Self.fewKeys { tables[frame] = Set(spans[frame...].map(KeyBytes.init)) }
    if !tables[frame, default: []].insert(KeyBytes(bytes: key)).inserted { foundEqual = true }
  }
}

/// Two keys of the same length, quotes included.
@inline(__always)
private func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  var at = 0
  while a.count - at >= 8 {
    if a.loadUnaligned(fromByteOffset: at, as: UInt64.self) != b.loadUnaligned(fromByteOffset: at, as: UInt64.self) { return false }
    at += 8
  }
  while at < a.count {
    if a[at] != b[at] { return false }
    at += 1
  }
  return true
}

private struct KeyBytes: Hashable {
  let bytes: UnsafeRawBufferPointer

  static func == (a: KeyBytes, b: KeyBytes) -> Bool { a.bytes.count == b.bytes.count && isEqual(a.bytes, b.bytes) }

  func hash(into hasher: inout Hasher) { hasher.combine(bytes: bytes) }
}
