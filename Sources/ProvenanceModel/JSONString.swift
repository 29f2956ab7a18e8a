/// A string as Python has them: any sequence of code points, lone surrogates included, compared and sorted by code point.
///
/// Two strings are equal only if they have the same code points: `"é"` and `"e\u{301}"` differ here, while Swift's `String` calls them equal.
public struct JSONString: Sendable {
  /// WTF-8, UTF-8 in which a lone surrogate stands as three bytes, is needed only where there is one.
  package enum Storage: Sendable {
    case text(String)
    case surrogates(wtf8: [UInt8])
  }

  package let storage: Storage

  public init(_ text: String) {
    storage = .text(text)
  }

  public init(_ text: Substring) {
    storage = .text(String(text))
  }

  /// From UTF-16 code units; surrogates that are not in a pair are kept.
  public init(utf16 units: some Collection<UInt16>) {
    var bytes: [UInt8] = []
    var high: UInt32?
    func append(_ scalar: UInt32) { bytes.appendWTF8(scalar) }
    for unit in units {
      let value = UInt32(unit)
      if let first = high {
        high = nil
        if 0xDC00...0xDFFF ~= value {
          append(0x10000 + (first - 0xD800) << 10 + (value - 0xDC00))
          continue
        }
        append(first)
      }
      if 0xD800...0xDBFF ~= value { high = value } else { append(value) }
    }
    if let high { append(high) }
    self.init(wtf8: bytes)
  }

  /// `bytes` are well-formed WTF-8: UTF-8 but for lone surrogates.
  package init(wtf8 bytes: [UInt8]) {
    if let text = String(validating: bytes, as: UTF8.self) {
      storage = .text(text)
    } else {
      storage = .surrogates(wtf8: bytes)
    }
  }

  /// WTF-8; plain UTF-8 if there is no lone surrogate.
  public var bytes: [UInt8] {
    switch storage {
    case .text(let text): Array(text.utf8)
    case .surrogates(let bytes): bytes
    }
  }

  /// Appends `bytes`.
  package func append(to buffer: inout [UInt8]) {
    switch storage {
    case .text(let text): buffer += text.utf8
    case .surrogates(let bytes): buffer += bytes
    }
  }

  public var byteCount: Int {
    switch storage {
    case .text(let text): text.utf8.count
    case .surrogates(let bytes): bytes.count
    }
  }

  public var isEmpty: Bool { byteCount == 0 }

  /// The code points, surrogates included.
  package var codePoints: [UInt32] {
    switch storage {
    case .text(let text): text.unicodeScalars.map(\.value)
    case .surrogates(let bytes): codePointsOfWTF8(bytes)
    }
  }
}

extension JSONString: Hashable, Comparable {
  public static func == (a: JSONString, b: JSONString) -> Bool {
    switch (a.storage, b.storage) {
    // Swift's `==` is quick and finds more strings equal than there are; in ASCII it is exact.
    case (.text(let x), .text(let y)):
      x.utf8.count == y.utf8.count && x == y && (x.utf8Span.isKnownASCII || x.utf8.elementsEqual(y.utf8))
    case (.surrogates(let x), .surrogates(let y)): x == y
    default: false
    }
  }

  /// By code point, which is the order of the WTF-8 bytes.
  public static func < (a: JSONString, b: JSONString) -> Bool {
    if case .text(let x) = a.storage, case .text(let y) = b.storage {
      return x.utf8Span.span.withUnsafeBufferPointer { x in y.utf8Span.span.withUnsafeBufferPointer { x.lexicographicallyPrecedes($0) } }
    }
    return a.bytes.lexicographicallyPrecedes(b.bytes)
  }

  public func hash(into hasher: inout Hasher) {
    switch storage {
    case .text(var text): text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    case .surrogates(let bytes): bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
    }
    hasher.combine(UInt8(0xFF))
  }
}

extension JSONString: ExpressibleByStringInterpolation, CustomStringConvertible {
  public init(stringLiteral value: String) {
    self.init(value)
  }

  /// As a Swift string; lone surrogates become U+FFFD.
  public var description: String {
    switch storage {
    case .text(let text): text
    case .surrogates: codePoints.reduce(into: "") { $0.unicodeScalars.append(Unicode.Scalar($1) ?? "\u{FFFD}") }
    }
  }
}

extension [UInt8] {
  /// Appends one code point, which may be a surrogate.
  package mutating func appendWTF8(_ scalar: UInt32) {
    switch scalar {
    case 0..<0x80:
      append(UInt8(scalar))
    case 0x80..<0x800:
      append(UInt8(0xC0 | scalar >> 6))
      append(UInt8(0x80 | scalar & 0x3F))
    case 0x800..<0x10000:
      append(UInt8(0xE0 | scalar >> 12))
      append(UInt8(0x80 | scalar >> 6 & 0x3F))
      append(UInt8(0x80 | scalar & 0x3F))
    default:
      append(UInt8(0xF0 | scalar >> 18))
      append(UInt8(0x80 | scalar >> 12 & 0x3F))
      append(UInt8(0x80 | scalar >> 6 & 0x3F))
      append(UInt8(0x80 | scalar & 0x3F))
    }
  }
}

private func codePointsOfWTF8(_ bytes: [UInt8]) -> [UInt32] {
  var points: [UInt32] = []
  for byte in bytes {
    switch byte {
    case 0..<0x80: points.append(UInt32(byte))
    case 0x80..<0xC0: points[points.count - 1] = points[points.count - 1] << 6 | UInt32(byte & 0x3F)
    case 0xC0..<0xE0: points.append(UInt32(byte & 0x1F))
    case 0xE0..<0xF0: points.append(UInt32(byte & 0x0F))
    default: points.append(UInt32(byte & 0x07))
    }
  }
  return points
}
