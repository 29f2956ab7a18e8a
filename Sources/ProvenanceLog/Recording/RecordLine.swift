internal import LogFormat

/// One line of what `ckprov-log record` reads: an action, or the end of the session.
package enum RecordLine: Sendable {
  case action(Action)
  /// `outcome` empty and `endedAt` `nil` where they are not given.
  case close(outcome: JSONString, endedAt: Timestamp?)

  /// The longest line.
  package static let sizeMax = 64 << 20

  /// Reads a line without its line feed; a carriage return at its end is white space.
  ///
  /// - Returns: `nil` for a blank line.
  /// - Throws: `LogError` `invalidInput` or `tooLarge`, its offset being that of the byte at which the line goes wrong.
  package init?(_ line: UnsafeRawBufferPointer) throws(LogError) {
    var parser = try JSONParser(line)
    guard let first = parser.next() else { return nil }
    guard first == UInt8(ascii: "{") else { throw parser.failure("a line must be a JSON object") }
    let members = try Members(&parser)
    try parser.end()
    if let close = members.close {
      guard members.keys.count == 1 else { throw LogError(.invalidInput, "'close' must be alone in its object", offset: UInt64(close.offset)) }
      self = .close(outcome: close.outcome, endedAt: close.endedAt)
      return
    }
    for key: JSONString in ["action_type", "outcome"] where !members.keys.contains(key) {
      throw LogError(.invalidInput, "an action must have '\(key)'", offset: 0)
    }
    self = .action(members.action)
  }
}

/// The members of a line, each checked as it is read.
private struct Members {
  var action = Action(actionType: "", outcome: "")
  var close: (outcome: JSONString, endedAt: Timestamp?, offset: Int)?
  var keys: [JSONString] = []

  init(_ parser: inout JSONParser) throws(LogError) {
    var scratch = ByteBuffer(capacity: 0)
    try parser.enter()
    while let (key, offset) = try parser.nextNewKey(&keys) {
      switch key {
      case "action_type": action.actionType = try parser.string(key)
      case "outcome": action.outcome = try parser.string(key)
      case "kernel": action.kernel = try parser.string(key)
      case "note": action.note = try parser.string(key)
      case "via_edge": action.viaEdge = try parser.stringOrNull(key)
      case "intent": action.intent = try parser.payload(key, &scratch)
      case "evidence": action.evidence = try parser.payload(key, &scratch)
      case "before_state": action.beforeState = try parser.payload(key, &scratch)
      case "after_state": action.afterState = try parser.payload(key, &scratch)
      case "attempt": action.attempt = try parser.integer(key)
      case "generated_at": action.generatedAt = try parser.timestamp(key)
      case "close": close = try Self.close(&parser, offset)
      default: throw LogError(.invalidInput, "'\(shown(key))' is no member of an action", offset: UInt64(offset))
      }
    }
  }

  private static func close(_ parser: inout JSONParser, _ offset: Int) throws(LogError) -> (JSONString, Timestamp?, Int) {
    guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("'close' must be an object") }
    try parser.enter()
    var keys: [JSONString] = []
    var outcome: JSONString = ""
    var endedAt: Timestamp?
    while let (key, offset) = try parser.nextNewKey(&keys) {
      switch key {
      case "outcome": outcome = try parser.string(key)
      case "ended_at": endedAt = try parser.timestamp(key)
      default: throw LogError(.invalidInput, "'\(shown(key))' is no member of 'close'", offset: UInt64(offset))
      }
    }
    return (outcome, endedAt, offset)
  }
}

/// A key in a message, which must not be as long as keys can be.
private func shown(_ key: JSONString) -> String {
  let text = key.description
  return text.unicodeScalars.count <= 80 ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(80))) + "…"
}

extension JSONParser {
  /// The next key and where it stands; each may occur once.
  fileprivate mutating func nextNewKey(_ keys: inout [JSONString]) throws(LogError) -> (key: JSONString, offset: Int)? {
    guard let key = try nextKey(isFirst: keys.isEmpty) else { return nil }
    guard !keys.contains(key) else { throw LogError(.invalidInput, "'\(key)' stands here twice", offset: UInt64(keyOffset)) }
    keys.append(key)
    return (key, keyOffset)
  }

  fileprivate mutating func string(_ key: JSONString) throws(LogError) -> JSONString {
    let (value, offset) = try located()
    guard case .string(let string) = value else { throw wrong(key, "a string", value, offset) }
    return string
  }

  fileprivate mutating func stringOrNull(_ key: JSONString) throws(LogError) -> JSONString? {
    let (value, offset) = try located()
    switch value {
    case .string(let string): return string
    case .null: return nil
    default: throw wrong(key, "a string or null", value, offset)
    }
  }

  fileprivate mutating func payload(_ key: JSONString, _ scratch: inout ByteBuffer) throws(LogError) -> Payload? {
    if next() == UInt8(ascii: "{") { return .raw(try RawJSON(&self, scratch: &scratch)) }
    let (value, offset) = try located()
    guard case .null = value else { throw wrong(key, "an object or null", value, offset) }
    return nil
  }

  fileprivate mutating func integer(_ key: JSONString) throws(LogError) -> Int64 {
    let (value, offset) = try located()
    switch value {
    case .integer(let integer): return integer
    case .largeInteger: throw LogError(.invalidInput, "'\(key)' must fit into 64 bits, from -2^63 to 2^63 - 1", offset: UInt64(offset))
    default: throw wrong(key, "an integer of 64 bits", value, offset)
    }
  }

  fileprivate mutating func timestamp(_ key: JSONString) throws(LogError) -> Timestamp {
    let (value, offset) = try located()
    guard case .string(let text) = value else { throw wrong(key, Self.timestampForm, value, offset) }
    guard let timestamp = Timestamp(ascii: text.bytes) else {
      throw LogError(.invalidInput, "'\(key)' must be \(Self.timestampForm), a time that there is, in years 1000 to 9999", offset: UInt64(offset))
    }
    return timestamp
  }

  private static let timestampForm = "a timestamp like 2026-03-14T20:00:02.000000Z"

  private mutating func located() throws(LogError) -> (value: JSONValue, offset: Int) {
    _ = next()
    let offset = position
    return (try value(), offset)
  }

  private func wrong(_ key: JSONString, _ expected: String, _ value: JSONValue, _ offset: Int) -> LogError {
    LogError(.invalidInput, "'\(key)' must be \(expected), not \(value.kindName)", offset: UInt64(offset))
  }
}
