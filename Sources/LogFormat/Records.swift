package import ProvenanceModel

// Payloads of every kind but actions, to and from JSON (Format/record.md).

/// The longest payload of a session-started and of a session-closed frame.
package let headerPayloadSizeMax = 262_144
/// The longest payload of a checkpoint frame.
package let checkpointPayloadSizeMax = 1_048_576

extension SessionHeader {
  var json: JSONObject {
    [
      "session_id": .string(JSONString(sessionID.description)), "urn": .string(urn), "label": .string(label),
      "kernel_action": .string(kernelAction), "started_at": .string(JSONString(startedAt.description)),
      "was_associated_with": .string(wasAssociatedWith),
    ]
  }

  /// - Throws: `LogError` `tooLarge`.
  package func payload() throws(LogError) -> [UInt8] {
    try limited(json, "label, kernel URN and kernel action are")
  }

  package init(payload bytes: UnsafeRawBufferPointer) throws(LogError) {
    try self.init(Fields(bytes, "session started"))
  }

  fileprivate init(_ fields: Fields) throws(LogError) {
    guard let sessionID = try? SessionID(try fields.string("session_id").description) else { throw fields.wrong("session_id", "a session id") }
    self.init(
      sessionID: sessionID, urn: try fields.string("urn"), label: try fields.string("label"),
      kernelAction: try fields.string("kernel_action"), startedAt: try fields.timestamp("started_at"),
      wasAssociatedWith: try fields.string("was_associated_with"))
  }
}

extension SessionEnd {
  var json: JSONObject {
    ["ended_at": .string(JSONString(endedAt.description)), "duration_ms": .integer(durationMS), "outcome": .string(outcome)]
  }

  /// - Throws: `LogError` `tooLarge`.
  package func payload() throws(LogError) -> [UInt8] {
    try limited(json, "the outcome is")
  }

  package init(payload bytes: UnsafeRawBufferPointer) throws(LogError) {
    try self.init(Fields(bytes, "session closed"))
  }

  fileprivate init(_ fields: Fields) throws(LogError) {
    self.init(
      endedAt: try fields.timestamp("ended_at"), durationMS: try fields.integer("duration_ms"), outcome: try fields.string("outcome"))
  }
}

/// Header fields and running summary at one point of a log: enough to list a session, or to go on with it.
package struct Checkpoint: Sendable, Equatable {
  package var header: SessionHeader
  package var summary: SessionSummary

  package init(header: SessionHeader, summary: SessionSummary) {
    self.header = header
    self.summary = summary
  }

  /// Kernels are left out if there is no room for them.
  package func payload() throws(LogError) -> [UInt8] {
    var kernelsRoom = checkpointPayloadSizeMax - 2 * headerPayloadSizeMax - 1024
    for kernel in summary.kernels { kernelsRoom -= 3 + kernel.byteCount * 6 }
    let listsKernels = kernelsRoom > 0 && summary.kernelsComplete
    var json: JSONObject = ["session": .object(header.json)]
    json["closed"] = summary.end.map { .object($0.json) }
    json["actions"] = JSONValue(summary.actionCount)
    json["next_seq"] = .integer(summary.nextSeq)
    json["outcomes"] = .object(summary.outcomes.json)
    json["kernels"] = .array(listsKernels ? summary.kernels.sorted().map(JSONValue.string) : [])
    json["kernels_complete"] = .bool(listsKernels)
    return try JSONValue.object(json).compactJSON()
  }

  package init(payload bytes: UnsafeRawBufferPointer) throws(LogError) {
    let fields = try Fields(bytes, "checkpoint")
    header = try SessionHeader(try fields.object("session"))
    var kernels: Set<JSONString> = []
    for kernel in try fields.array("kernels") {
      guard case .string(let name) = kernel else { throw fields.wrong("kernels", "an array of strings") }
      kernels.insert(name)
    }
    guard case .bool(let isComplete)? = fields["kernels_complete"] else { throw fields.wrong("kernels_complete", "a boolean") }
    let nextSeq = try fields.integer("next_seq")
    guard nextSeq >= 1 else { throw fields.wrong("next_seq", "a seq") }
    summary = SessionSummary(
      end: fields["closed"] == nil ? nil : try SessionEnd(try fields.object("closed")), actionCount: try fields.count("actions"),
      nextSeq: nextSeq, outcomes: try OutcomeCounts(try fields.object("outcomes")), kernels: kernels,
      kernelsComplete: isComplete)
  }
}

extension OutcomeCounts {
  var json: JSONObject {
    [
      "verified": JSONValue(verified), "failed": JSONValue(failed), "retry": JSONValue(retry), "skipped": JSONValue(skipped),
      "other": JSONValue(other),
    ]
  }

  fileprivate init(_ fields: Fields) throws(LogError) {
    self.init()
    verified = try fields.count("verified")
    failed = try fields.count("failed")
    retry = try fields.count("retry")
    skipped = try fields.count("skipped")
    other = try fields.count("other")
  }
}

private func limited(_ json: JSONObject, _ what: String) throws(LogError) -> [UInt8] {
  let payload = try JSONValue.object(json).compactJSON()
  guard payload.count <= headerPayloadSizeMax else {
    throw LogError(.tooLarge, "\(what) \(payload.count) bytes long together, over the limit of \(headerPayloadSizeMax); shorten them")
  }
  return payload
}

/// The members of a record's object, with errors that name the record and the member.
struct Fields {
  private let object: JSONObject
  private let record: String

  init(_ bytes: UnsafeRawBufferPointer, _ record: String) throws(LogError) {
    let value: JSONValue
    do { value = try JSONValue(json: bytes) } catch { throw LogError(.corrupt, "the \(record) record is no JSON: \(error.message)") }
    guard case .object(let object) = value else { throw LogError(.corrupt, "the \(record) record is no object") }
    self.init(object, record)
  }

  private init(_ object: JSONObject, _ record: String) {
    self.object = object
    self.record = record
  }

  subscript(key: JSONString) -> JSONValue? { object[key] }

  func wrong(_ key: JSONString, _ expected: String) -> LogError {
    LogError(.corrupt, "the \(record) record has no '\(key)' that is \(expected)")
  }

  func string(_ key: JSONString) throws(LogError) -> JSONString {
    guard case .string(let string)? = object[key] else { throw wrong(key, "a string") }
    return string
  }

  func integer(_ key: JSONString) throws(LogError) -> Int64 {
    guard case .integer(let integer)? = object[key] else { throw wrong(key, "a 64-bit integer") }
    return integer
  }

  func count(_ key: JSONString) throws(LogError) -> UInt64 {
    guard let count = UInt64(exactly: try integer(key)) else { throw wrong(key, "a count") }
    return count
  }

  func timestamp(_ key: JSONString) throws(LogError) -> Timestamp {
    guard let timestamp = Timestamp(ascii: try string(key).bytes) else { throw wrong(key, "a timestamp") }
    return timestamp
  }

  func array(_ key: JSONString) throws(LogError) -> [JSONValue] {
    guard case .array(let array)? = object[key] else { throw wrong(key, "an array") }
    return array
  }

  func object(_ key: JSONString) throws(LogError) -> Fields {
    guard case .object(let inner)? = object[key] else { throw wrong(key, "an object") }
    return Fields(inner, record)
  }

  func optionalString(_ key: JSONString) throws(LogError) -> JSONString? {
    object[key] == nil ? nil : try string(key)
  }

  func optionalPayload(_ key: JSONString) throws(LogError) -> Payload? {
    guard let value = object[key] else { return nil }
    guard case .object(let inner) = value else { throw wrong(key, "an object") }
    return .object(inner)
  }
}
