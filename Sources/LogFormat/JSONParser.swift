package import ProvenanceModel

/// JSON text, read as Python's `json.loads` reads it: NaN and infinities, lone surrogates, integers of up to 4,300 digits, the last of two equal
/// keys in the place of the first. Deeper than `depthMax` levels is refused.
///
/// It pulls: a caller may read a whole value, or walk through an object or array itself and see where each part stands.
package struct JSONParser {
  /// Levels of objects and arrays in one record, the record itself included.
  package static let depthMax = 512

  private let bytes: UnsafeRawBufferPointer
  /// Offset of the next byte.
  package private(set) var position = 0
  private(set) var depth: Int
  package var metNullMember = false
  /// Offset of the key that was read last.
  package private(set) var keyOffset = 0

  /// `bytes` outlive the parser. `depth` is how deep the text stands already.
  /// - Throws: `LogError` `invalidInput` with the offset of the first byte that is not UTF-8.
  package init(_ bytes: UnsafeRawBufferPointer, depth: Int = 0) throws(LogError) {
    self.bytes = bytes
    self.depth = depth
    do {
      _ = try UTF8Span(validating: bytes.assumingMemoryBound(to: UInt8.self).span)
    } catch {
      throw LogError(.invalidInput, "not UTF-8", offset: UInt64(error.byteOffsets.lowerBound))
    }
  }

  // MARK: Values

  package mutating func value() throws(LogError) -> JSONValue {
    skipSpace()
    switch peek() {
    case UInt8(ascii: "{"): return .object(try object())
    case UInt8(ascii: "["): return .array(try array())
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "n") where take("null"): return .null
    case UInt8(ascii: "t") where take("true"): return .bool(true)
    case UInt8(ascii: "f") where take("false"): return .bool(false)
    case UInt8(ascii: "N") where take("NaN"): return .double(.nan)
    case UInt8(ascii: "I") where take("Infinity"): return .double(.infinity)
    case UInt8(ascii: "-") where take("-Infinity"): return .double(-.infinity)
    case nil: throw failure("the text ends where a value is expected")
    case let byte? where byte == UInt8(ascii: "-") || 0x30...0x39 ~= byte: return try number()
    default: throw failure("a value is expected here")
    }
  }

  private mutating func object() throws(LogError) -> JSONObject {
    var keys: [JSONString] = []
    var values: [JSONValue] = []
    try enter()
    while let key = try nextKey(isFirst: keys.isEmpty) {
      keys.append(key)
      let value = try value()
      if case .null = value { metNullMember = true }
      values.append(value)
    }
    return JSONObject(keys: keys, values: values)
  }

  private mutating func array() throws(LogError) -> [JSONValue] {
    var elements: [JSONValue] = []
    try enter()
    while try nextElement(isFirst: elements.isEmpty) { elements.append(try value()) }
    return elements
  }

  // MARK: Walking

  /// Takes the `{` or `[` that the caller has seen.
  package mutating func enter() throws(LogError) {
    guard depth < Self.depthMax else { throw failure("nested deeper than \(Self.depthMax) levels", .tooLarge) }
    depth += 1
    position += 1
  }

  /// The next key of the object that was entered, with its colon taken; `nil` when the object has ended.
  package mutating func nextKey(isFirst: Bool) throws(LogError) -> JSONString? {
    guard try nextMember(isFirst: isFirst) else { return nil }
    let key = try string()
    try takeColon()
    return key
  }

  /// Goes to the opening quote of the next key; false when the object has ended.
  mutating func nextMember(isFirst: Bool) throws(LogError) -> Bool {
    guard try goesOn(until: UInt8(ascii: "}"), isFirst: isFirst, "',' or '}'") else { return false }
    skipSpace()
    guard peek() == UInt8(ascii: "\"") else { throw failure("a key in double quotes is expected here") }
    keyOffset = position
    return true
  }

  mutating func takeColon() throws(LogError) {
    skipSpace()
    guard peek() == UInt8(ascii: ":") else { throw failure("':' is expected here") }
    position += 1
    skipSpace()
  }

  /// Whether the array that was entered has another element; when not, its `]` was taken.
  package mutating func nextElement(isFirst: Bool) throws(LogError) -> Bool {
    try goesOn(until: UInt8(ascii: "]"), isFirst: isFirst, "',' or ']'")
  }

  private mutating func goesOn(until close: UInt8, isFirst: Bool, _ expected: StaticString) throws(LogError) -> Bool {
    skipSpace()
    if peek() == close {
      position += 1
      depth -= 1
      return false
    }
    if isFirst { return true }
    guard peek() == UInt8(ascii: ",") else { throw failure("\(expected) is expected here") }
    position += 1
    skipSpace()
    if peek() == close { throw failure("a comma must be followed by something") }
    return true
  }

  /// Nothing but white space follows.
  package mutating func end() throws(LogError) {
    skipSpace()
    guard position == bytes.count else { throw failure("nothing more is expected here") }
  }

  /// The next byte that is no white space; `nil` at the end.
  package mutating func next() -> UInt8? {
    skipSpace()
    return peek()
  }

  package func failure(_ reason: String, _ code: LogError.Code = .invalidInput) -> LogError {
    LogError(code, reason, offset: UInt64(position))
  }

  // MARK: Tokens

  var remaining: Int { bytes.count - position }

  mutating func advance(by count: Int) { position += count }

  func base(at offset: Int) -> UnsafeRawPointer { bytes.baseAddress! + offset }

  mutating func noteNullMember() { metNullMember = true }

  @inline(__always)
  private func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

  @inline(__always)
  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func take(_ word: StaticString) -> Bool {
    let size = word.utf8CodeUnitCount
    guard bytes.count - position >= size, bytes[position..<position + size].elementsEqual(UnsafeRawBufferPointer(start: word.utf8Start, count: size))
    else { return false }
    position += size
    return true
  }

  private func digitsEnd(_ from: Int) -> Int {
    var end = from
    while end < bytes.count, 0x30...0x39 ~= bytes[end] { end += 1 }
    return end
  }

  private func tooManyDigits(_ count: Int) -> LogError {
    failure("an integer of \(count) digits is over the limit of \(LargeInteger.digitsMax)", .tooLarge)
  }

  private mutating func number() throws(LogError) -> JSONValue {
    let start = position
    var at = position
    if bytes[at] == UInt8(ascii: "-") { at += 1 }
    let figures = at
    at = at < bytes.count && bytes[at] == 0x30 ? at + 1 : digitsEnd(at)
    guard at > figures else { throw failure("a digit is expected behind '-'") }
    var isInteger = true
    if at < bytes.count, bytes[at] == UInt8(ascii: "."), digitsEnd(at + 1) > at + 1 {
      isInteger = false
      at = digitsEnd(at + 1)
    }
    if at < bytes.count, bytes[at] | 0x20 == UInt8(ascii: "e") {
      let sign = at + 1 < bytes.count && (bytes[at + 1] == UInt8(ascii: "-") || bytes[at + 1] == UInt8(ascii: "+")) ? 1 : 0
      if digitsEnd(at + 1 + sign) > at + 1 + sign {
        isInteger = false
        at = digitsEnd(at + 1 + sign)
      }
    }
    if isInteger, at - figures > LargeInteger.digitsMax { throw tooManyDigits(at - figures) }
    position = at
    if isInteger, at - start <= 18 { return .integer(small(start..<at)) }
    let text = String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<at]), as: UTF8.self)
    if isInteger { return JSONValue(integer: text)! }
    guard let double = Double(text) else { throw LogError(.invalidInput, "not a number", offset: UInt64(start)) }
    return .double(double)
  }

  private func small(_ range: Range<Int>) -> Int64 {
    let isNegative = bytes[range.lowerBound] == UInt8(ascii: "-")
    var value: Int64 = 0
    for index in (isNegative ? range.dropFirst() : range) { value = value * 10 + Int64(bytes[index] - 0x30) }
    return isNegative ? -value : value
  }

  /// A string, its opening quote being the next byte.
  package mutating func string() throws(LogError) -> JSONString {
    let start = position + 1
    position = start
    let plainEnd = endOfPlain(from: start)
    if plainEnd < bytes.count, bytes[plainEnd] == UInt8(ascii: "\"") {
      position = plainEnd + 1
      return JSONString(String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<plainEnd]), as: UTF8.self))
    }
    var content: [UInt8] = []
    while true {
      let end = endOfPlain(from: position)
      content.append(contentsOf: bytes[position..<end])
      position = end
      guard end < bytes.count else { throw LogError(.invalidInput, "this string has no closing quote", offset: UInt64(start - 1)) }
      switch bytes[end] {
      case UInt8(ascii: "\""):
        position += 1
        return JSONString(wtf8: content)
      case UInt8(ascii: "\\"): try appendEscape(to: &content)
      default: throw failure("a control character must be escaped")
      }
    }
  }

  /// Offset of the next quote, backslash or control character.
  private func endOfPlain(from start: Int) -> Int {
    var at = start
    let ones: UInt64 = 0x0101_0101_0101_0101
    while bytes.count - at >= 8 {
      let word = bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      let quote = word ^ ones &* 0x22
      let backslash = word ^ ones &* 0x5C
      // Bytes of 0x80 and more are no control characters: `& ~word` leaves them out.
      let flags = ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash) | ((word &- ones &* 0x20) & ~word)
      if flags & (ones &* 0x80) != 0 { break }
      at += 8
    }
    while at < bytes.count, bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\""), bytes[at] != UInt8(ascii: "\\") { at += 1 }
    return at
  }

  mutating func appendEscape(to content: inout [UInt8]) throws(LogError) {
    guard position + 1 < bytes.count else { throw failure("the text ends within an escape") }
    let simple: UInt8
    switch bytes[position + 1] {
    case UInt8(ascii: "\""): simple = UInt8(ascii: "\"")
    case UInt8(ascii: "\\"): simple = UInt8(ascii: "\\")
    case UInt8(ascii: "/"): simple = UInt8(ascii: "/")
    case UInt8(ascii: "b"): simple = 0x08
    case UInt8(ascii: "f"): simple = 0x0C
    case UInt8(ascii: "n"): simple = 0x0A
    case UInt8(ascii: "r"): simple = 0x0D
    case UInt8(ascii: "t"): simple = 0x09
    case UInt8(ascii: "u"):
      try appendUnicodeEscape(to: &content)
      return
    default: throw failure("no such escape")
    }
    content.append(simple)
    position += 2
  }

  /// A high and a low surrogate in a row are one code point; any other surrogate stands for itself.
  private mutating func appendUnicodeEscape(to content: inout [UInt8]) throws(LogError) {
    guard let unit = unit(at: position) else { throw failure("'\\u' must be followed by four hex digits") }
    position += 6
    if 0xD800...0xDBFF ~= unit, let low = self.unit(at: position), 0xDC00...0xDFFF ~= low {
      position += 6
      content.appendWTF8(0x10000 + (unit - 0xD800) << 10 + (low - 0xDC00))
    } else {
      content.appendWTF8(unit)
    }
  }

  func unit(at offset: Int) -> UInt32? {
    guard bytes.count - offset >= 6, bytes[offset] == UInt8(ascii: "\\"), bytes[offset + 1] == UInt8(ascii: "u") else { return nil }
    var unit: UInt32 = 0
    for digit in bytes[offset + 2..<offset + 6] {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): unit = unit << 4 | UInt32(digit - 0x30)
      case UInt8(ascii: "a")...UInt8(ascii: "f"), UInt8(ascii: "A")...UInt8(ascii: "F"): unit = unit << 4 | UInt32((digit | 0x20) - 0x57)
      default: return nil
      }
    }
    return unit
  }
}

extension JSONValue {
  /// One JSON text.
  /// - Throws: `LogError` `invalidInput` or `tooLarge` with the offset and the reason.
  package init(json bytes: UnsafeRawBufferPointer) throws(LogError) {
    var parser = try JSONParser(bytes)
    self = try parser.value()
    try parser.end()
  }

  /// Compact JSON in pure ASCII, as Python's `json.dumps(value, separators=(",", ":"))`.
  /// - Throws: `LogError` `tooLarge` if it nests deeper than a record may.
  package func compactJSON(keepingNulls: Bool = true) throws(LogError) -> [UInt8] {
    var buffer = ByteBuffer(capacity: 1024)
    try buffer.append(self, keepingNulls: keepingNulls)
    return Array(buffer.bytes)
  }
}

extension RawJSON {
  /// From JSON text in UTF-8 whose value is an object: it is checked, and brought into the form that is stored.
  /// - Throws: `LogError` `invalidInput` or `tooLarge` with the offset and the reason.
  package init(json bytes: UnsafeRawBufferPointer) throws(LogError) {
    // A payload stands one level deep in its record.
    var parser = try JSONParser(bytes, depth: 1)
    var buffer = ByteBuffer(capacity: 0)
    try self.init(&parser, scratch: &buffer)
    try parser.end()
  }

  /// The next value of `parser`, which must be an object. `scratch` is left empty.
  package init(_ parser: inout JSONParser, scratch: inout ByteBuffer) throws(LogError) {
    guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("a payload must be a JSON object") }
    let hadMetNull = parser.metNullMember
    parser.metNullMember = false
    try parser.transcode(to: &scratch)
    let bytes = Array(scratch.bytes)
    scratch.removeAll()
    let hasNull = parser.metNullMember
    parser.metNullMember = hadMetNull || hasNull
    guard hasNull else {
      self.init(canonical: bytes, withNulls: nil)
      return
    }
    let value = try bytes.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    self.init(canonical: try value.compactJSON(keepingNulls: false), withNulls: bytes)
  }
}
