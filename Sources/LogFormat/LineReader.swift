package import ProvenanceModel

/// Reads lines of what `ckprov-log record` takes, one after the other, each in one pass: its members are brought into the form in which they are stored, and no
/// value is built. Keeps its memory.
package struct LineReader: ~Copyable {
  package enum Line: Sendable, Equatable {
    case blank
    /// Its members are there until the next line is read.
    case action
    /// `outcome` empty and `endedAt` `nil` where they are not given.
    case close(outcome: JSONString, endedAt: Timestamp?)
  }

  /// The longest line.
  package static let lineSizeMax = 64 << 20

  /// Canonical bytes of the members.
  private var text = ByteBuffer(capacity: 4096)
  fileprivate var members = Members()

  /// Where each member's canonical bytes stand in `text`; strings with their quotes. `nil` where there is none, or null.
  fileprivate struct Members {
    var actionType: Range<Int>?
    var outcome: Range<Int>?
    var kernel: Range<Int>?
    var viaEdge: Range<Int>?
    var intent: Object?
    var evidence: Object?
    var beforeState: Object?
    var afterState: Object?
    var note: Range<Int>?
    var attempt: Int64 = 1
    var generatedAt: Timestamp?
  }

  /// A payload as it is stored, and as it was given: with members that are null.
  fileprivate struct Object {
    var stored: Range<Int>
    var given: Range<Int>
  }

  private enum Key: String, CaseIterable {
    case actionType = "action_type"
    case outcome, kernel, note
    case viaEdge = "via_edge"
    case intent, evidence
    case beforeState = "before_state"
    case afterState = "after_state"
    case attempt
    case generatedAt = "generated_at"
    case close
    case endedAt = "ended_at"
  }

  /// Those that an object had so far.
  private struct Keys {
    private(set) var count = 0
    private var seen = 0

    mutating func insert(_ key: Key) -> Bool {
      count += 1
      let bit = 1 << Key.allCases.firstIndex(of: key)!
      defer { seen |= bit }
      return seen & bit == 0
    }
  }

  package init() {}

  /// Reads a line without its line feed; a carriage return at its end is white space.
  ///
  /// - Throws: `LogError` `invalidInput` or `tooLarge`, its offset being that of the byte at which the line goes wrong.
  package mutating func read(_ line: UnsafeRawBufferPointer) throws(LogError) -> Line {
    text.removeAll()
    text.shrink(to: 1 << 20)
    members = Members()
    var parser = try JSONParser(line)
    guard let first = parser.next() else { return .blank }
    guard first == UInt8(ascii: "{") else { throw parser.failure("a line must be a JSON object") }
    var close: (line: Line, offset: Int)?
    var keys = Keys()
    try parser.enter()
    while let key = try nextKey(&parser, &keys) {
      let offset = parser.keyOffset
      switch key {
      case .actionType: members.actionType = try string(&parser, key)
      case .outcome: members.outcome = try string(&parser, key)
      case .kernel: members.kernel = try string(&parser, key)
      case .note: members.note = try string(&parser, key)
      case .viaEdge: members.viaEdge = try stringOrNull(&parser, key)
      case .intent: members.intent = try object(&parser, key)
      case .evidence: members.evidence = try object(&parser, key)
      case .beforeState: members.beforeState = try object(&parser, key)
      case .afterState: members.afterState = try object(&parser, key)
      case .attempt: members.attempt = try integer(&parser, key)
      case .generatedAt: members.generatedAt = try timestamp(&parser, key)
      case .close: close = (try self.close(&parser), offset)
      case .endedAt: throw LogError(.invalidInput, "'\(key.rawValue)' is no member of an action", offset: UInt64(offset))
      }
    }
    try parser.end()
    if let close {
      guard keys.count == 1 else { throw LogError(.invalidInput, "'close' must be alone in its object", offset: UInt64(close.offset)) }
      return close.line
    }
    guard members.actionType != nil else { throw LogError(.invalidInput, "an action must have 'action_type'", offset: 0) }
    guard members.outcome != nil else { throw LogError(.invalidInput, "an action must have 'outcome'", offset: 0) }
    return .action
  }

  private mutating func close(_ parser: inout JSONParser) throws(LogError) -> Line {
    guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("'close' must be an object") }
    try parser.enter()
    var keys = Keys()
    var outcome: Range<Int>?
    var endedAt: Timestamp?
    while let key = try nextKey(&parser, &keys, of: "'close'") {
      switch key {
      case .outcome: outcome = try string(&parser, key)
      case .endedAt: endedAt = try timestamp(&parser, key)
      default: throw LogError(.invalidInput, "'\(key.rawValue)' is no member of 'close'", offset: UInt64(parser.keyOffset))
      }
    }
    return .close(outcome: try outcome.map { string throws(LogError) in try unescaped(inside(string)) } ?? "", endedAt: endedAt)
  }

  // MARK: Members

  /// The next key, its colon taken; `nil` when the object has ended.
  private mutating func nextKey(_ parser: inout JSONParser, _ keys: inout Keys, of what: String = "an action") throws(LogError) -> Key? {
    guard try parser.nextMember(isFirst: keys.count == 0) else { return nil }
    let offset = parser.keyOffset
    let start = text.count
    try parser.transcode(to: &text)
    defer { text.truncate(to: start) }
    let name = inside(start..<text.count)
    try parser.takeColon()
    guard let key = Self.key(name) else {
      throw LogError(.invalidInput, "'\(shown(try unescaped(name)))' is no member of \(what)", offset: UInt64(offset))
    }
    guard keys.insert(key) else { throw LogError(.invalidInput, "'\(key.rawValue)' stands here twice", offset: UInt64(offset)) }
    return key
  }

  private static func key(_ name: UnsafeRawBufferPointer) -> Key? {
    switch name.count {
    case 4: isEqual(name, "note") ? .note : nil
    case 5: isEqual(name, "close") ? .close : nil
    case 6: isEqual(name, "intent") ? .intent : isEqual(name, "kernel") ? .kernel : nil
    case 7: isEqual(name, "outcome") ? .outcome : isEqual(name, "attempt") ? .attempt : nil
    case 8: isEqual(name, "evidence") ? .evidence : isEqual(name, "via_edge") ? .viaEdge : isEqual(name, "ended_at") ? .endedAt : nil
    case 11: isEqual(name, "action_type") ? .actionType : isEqual(name, "after_state") ? .afterState : nil
    case 12: isEqual(name, "before_state") ? .beforeState : isEqual(name, "generated_at") ? .generatedAt : nil
    default: nil
    }
  }

  private mutating func string(_ parser: inout JSONParser, _ key: Key, _ expected: String = "a string") throws(LogError) -> Range<Int> {
    guard parser.next() == UInt8(ascii: "\"") else { throw wrong(&parser, key, expected) }
    let start = text.count
    try parser.transcode(to: &text)
    return start..<text.count
  }

  private mutating func stringOrNull(_ parser: inout JSONParser, _ key: Key) throws(LogError) -> Range<Int>? {
    if parser.next() == UInt8(ascii: "n") { return try null(&parser, key, "a string or null") }
    return try string(&parser, key, "a string or null")
  }

  private mutating func object(_ parser: inout JSONParser, _ key: Key) throws(LogError) -> Object? {
    guard parser.next() == UInt8(ascii: "{") else { return try null(&parser, key, "an object or null") }
    parser.metNullMember = false
    let given = text.count
    try parser.transcode(to: &text)
    let stored = text.count
    guard parser.metNullMember else { return Object(stored: given..<stored, given: given..<stored) }
    let value = try JSONValue(json: bytes(given..<stored))
    try text.append(value, keepingNulls: false)
    return Object(stored: stored..<text.count, given: given..<stored)
  }

  private mutating func null<Value>(_ parser: inout JSONParser, _ key: Key, _ expected: String) throws(LogError) -> Value? {
    _ = parser.next()
    let offset = parser.position
    let value = try parser.value()
    guard case .null = value else { throw wrong(key, expected, value, offset) }
    return nil
  }

  private mutating func integer(_ parser: inout JSONParser, _ key: Key) throws(LogError) -> Int64 {
    _ = parser.next()
    let offset = parser.position
    let value = try parser.value()
    switch value {
    case .integer(let integer): return integer
    case .largeInteger:
      throw LogError(.invalidInput, "'\(key.rawValue)' must fit into 64 bits, from -2^63 to 2^63 - 1", offset: UInt64(offset))
    default: throw wrong(key, "an integer of 64 bits", value, offset)
    }
  }

  private mutating func timestamp(_ parser: inout JSONParser, _ key: Key) throws(LogError) -> Timestamp {
    let form = "a timestamp like 2026-03-14T20:00:02.000000Z"
    _ = parser.next()
    let offset = parser.position
    let string = try self.string(&parser, key, form)
    guard let timestamp = Timestamp(ascii: inside(string)) else {
      throw LogError(.invalidInput, "'\(key.rawValue)' must be \(form), a time that there is, in years 1000 to 9999", offset: UInt64(offset))
    }
    return timestamp
  }

  /// The value that stands next is of another kind.
  private func wrong(_ parser: inout JSONParser, _ key: Key, _ expected: String) -> LogError {
    let offset = parser.position
    do throws(LogError) { return wrong(key, expected, try parser.value(), offset) } catch { return error }
  }

  private func wrong(_ key: Key, _ expected: String, _ value: JSONValue, _ offset: Int) -> LogError {
    LogError(.invalidInput, "'\(key.rawValue)' must be \(expected), not \(value.kindName)", offset: UInt64(offset))
  }

  private func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: text.bytes[range]) }

  /// A string without its quotes.
  private func inside(_ string: Range<Int>) -> UnsafeRawBufferPointer { bytes(string.lowerBound + 1..<string.upperBound - 1) }
}

/// A key in a message, which must not be as long as keys can be.
private func shown(_ key: JSONString) -> String {
  let text = key.description
  return text.unicodeScalars.count <= 80 ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(80))) + "…"
}

// MARK: What is made of a line

extension LineReader: ActionSource {
  var attempt: Int64 { members.attempt }
  var generatedAt: Timestamp? { members.generatedAt }
  var outcome: UnsafeRawBufferPointer { inside(members.outcome) }
  /// Its name; empty for the session's own.
  var kernel: UnsafeRawBufferPointer { inside(members.kernel) }

  /// As they were given, if both were.
  var states: (before: UnsafeRawBufferPointer, after: UnsafeRawBufferPointer)? {
    guard let before = members.beforeState, let after = members.afterState else { return nil }
    return (bytes(before.given), bytes(after.given))
  }

  private func inside(_ string: Range<Int>?) -> UnsafeRawBufferPointer { string.map { inside($0) } ?? UnsafeRawBufferPointer(start: nil, count: 0) }

  func writeActionType(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.write(inside(members.actionType), to: out) }
  func writeOutcome(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.write(outcome, to: out) }
  func writeNote(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.write(inside(members.note), to: out) }

  func writeViaEdge(_ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer {
    guard let viaEdge = members.viaEdge else { return out }
    return write(UInt8(ascii: "\""), to: buffer.write(inside(viaEdge), to: copy(key, to: out)))
  }

  func writePayload(_ member: PayloadMember, _ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) throws(LogError) -> OutPointer {
    let object =
      switch member {
      case .intent: members.intent
      case .evidence: members.evidence
      case .beforeState: members.beforeState
      case .afterState: members.afterState
      }
    guard let object else { return out }
    return buffer.write(bytes(object.stored), to: copy(key, to: buffer.room(for: slack, behind: out)))
  }
}

extension LineReader {
  /// The action of the line that was read last, as a value.
  package var action: Action {
    get throws(LogError) {
      var action = Action(actionType: try text(of: members.actionType) ?? "", outcome: try text(of: members.outcome) ?? "")
      if let kernel = try text(of: members.kernel) { action.kernel = kernel }
      if let note = try text(of: members.note) { action.note = note }
      action.viaEdge = try text(of: members.viaEdge)
      action.intent = payload(members.intent)
      action.evidence = payload(members.evidence)
      action.beforeState = payload(members.beforeState)
      action.afterState = payload(members.afterState)
      action.attempt = members.attempt
      action.generatedAt = members.generatedAt
      return action
    }
  }

  private func text(of string: Range<Int>?) throws(LogError) -> JSONString? {
    try string.map { string throws(LogError) in try unescaped(inside(string)) }
  }

  private func payload(_ object: Object?) -> Payload? {
    object.map { .raw(RawJSON(canonical: Array(bytes($0.stored)), withNulls: $0.given == $0.stored ? nil : Array(bytes($0.given)))) }
  }
}
