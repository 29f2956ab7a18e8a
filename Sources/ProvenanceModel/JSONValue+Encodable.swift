extension JSONString: Encodable {
  /// - Throws: `EncodingError` if there is a lone surrogate and the encoder is another than that of `JSONValue(encoding:)`.
  public func encode(to encoder: any Encoder) throws {
    if try handOver(.string(self), to: encoder) { return }
    var container = encoder.singleValueContainer()
    try container.encode(try text(at: encoder))
  }

  fileprivate func text(at encoder: any Encoder) throws -> String {
    guard case .text(let text) = storage else {
      throw unfit("a string with a lone surrogate does not fit this encoder", self, encoder)
    }
    return text
  }
}

extension LargeInteger: Encodable {
  /// - Throws: `EncodingError` if it is beyond 128 bits and the encoder is another than that of `JSONValue(encoding:)`.
  public func encode(to encoder: any Encoder) throws {
    if try handOver(.largeInteger(self), to: encoder) { return }
    var container = encoder.singleValueContainer()
    if let value = UInt64(digits) {
      try container.encode(value)
    } else if let value = Int128(digits) {
      try container.encode(value)
    } else if let value = UInt128(digits) {
      try container.encode(value)
    } else {
      throw unfit("an integer beyond 128 bits does not fit this encoder", self, encoder)
    }
  }
}

extension JSONObject: Encodable {
  /// - Throws: as the encoder and as the members.
  public func encode(to encoder: any Encoder) throws {
    if try handOver(.object(self), to: encoder) { return }
    var container = encoder.container(keyedBy: MemberKey.self)
    for (key, value) in self { try container.encode(value, forKey: MemberKey(try key.text(at: encoder))) }
  }
}

extension JSONValue: Encodable {
  /// - Throws: as the encoder and as what is inside.
  public func encode(to encoder: any Encoder) throws {
    if try handOver(self, to: encoder) { return }
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .integer(let value): try container.encode(value)
    case .largeInteger(let value): try container.encode(value)
    case .double(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let elements): try container.encode(elements)
    case .object(let members): try container.encode(members)
    }
  }
}

private func unfit(_ reason: String, _ value: Any, _ encoder: any Encoder) -> EncodingError {
  .invalidValue(value, EncodingError.Context(codingPath: encoder.codingPath, debugDescription: reason))
}

/// A key that is any text.
struct MemberKey: CodingKey {
  let stringValue: String
  var intValue: Int? { nil }

  init(_ text: String) { stringValue = text }
  init(stringValue: String) { self.stringValue = stringValue }
  init?(intValue: Int) { nil }
}
