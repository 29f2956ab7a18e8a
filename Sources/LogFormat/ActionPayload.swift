internal import CText
package import ProvenanceModel

// Action payloads (Format/record.md), read whole, or only as far as a summary needs. EncodedActions writes them.

extension RawJSON {
  /// The object that it means, members that are null included.
  package func object() throws(LogError) -> JSONObject {
    let value = try (bytesWithNulls ?? bytes).withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    guard case .object(let object) = value else { throw LogError(.invalidInput, "a payload must be a JSON object") }
    return object
  }
}

extension Payload {
  /// Members that are null are there still.
  package func object() throws(LogError) -> JSONObject {
    switch self {
    case .object(let object): object
    case .raw(let raw): try raw.object()
    }
  }
}

extension ActionRecord {
  /// - Throws: `LogError` `corrupt` if the payload is not what Format/record.md says.
  package init(payload bytes: UnsafeRawBufferPointer) throws(LogError) {
    let fields = try Fields(bytes, "action")
    let seq = try fields.integer("seq")
    let action = Action(
      actionType: try fields.string("action_type"), outcome: try fields.string("outcome"), viaEdge: try fields.optionalString("via_edge"),
      intent: try fields.optionalPayload("intent"), evidence: try fields.optionalPayload("evidence"),
      beforeState: try fields.optionalPayload("before_state"), afterState: try fields.optionalPayload("after_state"),
      attempt: try fields.integer("attempt"), note: try fields.string("note"))
    self.init(
      action, seq: seq, generatedAt: try fields.timestamp("generated_at"),
      derived: .read(urn: try fields.string("urn"), kernel: try fields.string("kernel"), diffSummary: try fields.optionalString("diff_summary")))
  }

  /// Of an action as it was given and recorded. - Parameter kernel: its name.
  package init(_ action: consuming Action, seq: Int64, kernel: JSONString, generatedAt: Timestamp) {
    self.init(
      action, seq: seq, generatedAt: generatedAt,
      derived: .ofKernel(name: kernel) { action in
        // The states were found to be encodable.
        var diff = DiffWriter()
        return (try? diff.take(action.beforeState, action.afterState)) == true ? JSONString(wtf8: diff.summary) : nil
      })
  }
}

/// What a summary needs of an action, found without decoding the rest: the leading members of the payload, as their JSON stands.
package struct ActionOutline {
  package let seq: Int64
  package var knownOutcome: KnownOutcome { KnownOutcome(utf8: outcome) }
  /// Inside of the JSON strings, still escaped.
  package let actionType: UnsafeRawBufferPointer
  package let outcome: UnsafeRawBufferPointer
  package let kernelName: UnsafeRawBufferPointer

  /// - Throws: `LogError` `corrupt` if the payload does not begin as Format/record.md says, or its URN is not made of its own type.
  package init(payload: UnsafeRawBufferPointer) throws(LogError) {
    var scanner = Scanner(payload)
    guard scanner.take("{\"seq\":"), let seq = scanner.takeSeq(), scanner.take(",\"action_type\":\""), let actionType = scanner.takeString(),
      scanner.take(",\"outcome\":\""), let outcome = scanner.takeString(), scanner.take(",\"urn\":\""), let urn = scanner.takeString()
    else { throw LogError(.corrupt, "the action record does not begin with seq, action_type, outcome and urn") }
    guard let kernelName = Self.kernelName(inURN: urn, actionType: actionType) else {
      throw LogError(.corrupt, "the action's urn is not ckp://Action#KERNEL/TYPE-MILLISECONDS with its own type")
    }
    self.seq = seq
    self.actionType = actionType
    self.outcome = outcome
    self.kernelName = kernelName
  }

  /// The text between `ckp://Action#` and `/TYPE` or `/TYPE-MILLISECONDS`. Escapes are unique and `/` has none, so they need not be undone.
  private static func kernelName(inURN urn: UnsafeRawBufferPointer, actionType: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
    let prefix: StaticString = "ckp://Action#"
    let start = prefix.utf8CodeUnitCount
    guard urn.count >= start, isEqual(UnsafeRawBufferPointer(rebasing: urn[..<start]), prefix) else { return nil }
    func kernel(before end: Int) -> UnsafeRawBufferPointer? {
      let slash = end - actionType.count - 1
      guard slash >= start, urn[slash] == UInt8(ascii: "/"), isEqual(UnsafeRawBufferPointer(rebasing: urn[slash + 1..<end]), actionType) else {
        return nil
      }
      return UnsafeRawBufferPointer(rebasing: urn[start..<slash])
    }
    var digits = urn.count
    while digits > start, 0x30...0x39 ~= urn[digits - 1] { digits -= 1 }
    if digits < urn.count, digits > start, urn[digits - 1] == UInt8(ascii: "-") {
      if let name = kernel(before: digits - 1) { return name }
      if urn[digits - 2] == UInt8(ascii: "-"), let name = kernel(before: digits - 2) { return name }
    }
    return kernel(before: urn.count)
  }
}

/// Takes the leading members of a record one after the other, where they stand exactly as they must.
private struct Scanner {
  private var p: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>

  init(_ bytes: UnsafeRawBufferPointer) {
    // Of no bytes nothing is taken, and no memory is looked at.
    let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(bitPattern: 1)!
    (p, end) = (base, base + bytes.count)
  }

  @inline(__always)
  mutating func take(_ text: StaticString) -> Bool {
    let size = text.utf8CodeUnitCount
    guard end - p >= size, isEqual(UnsafeRawBufferPointer(start: p, count: size), text) else { return false }
    p += size
    return true
  }

  /// An integer from 1 on.
  mutating func takeSeq() -> Int64? {
    var value: Int64 = 0
    if p < end, p.pointee == 0x30 { return nil }
    while p < end, 0x30...0x39 ~= p.pointee {
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = tenfold.addingReportingOverflow(Int64(p.pointee - 0x30))
      guard !overflow, !overflow2 else { return nil }
      value = sum
      p += 1
    }
    return value >= 1 ? value : nil
  }

  /// A string whose opening quote was taken; without its quotes.
  mutating func takeString() -> UnsafeRawBufferPointer? {
    guard let close = ckprov_string_end(p, end) else { return nil }
    defer { p = close + 1 }
    return UnsafeRawBufferPointer(start: p, count: close - p)
  }
}

/// `seq` of an action's payload: the first member.
package func seq(ofAction payload: UnsafeRawBufferPointer) throws(LogError) -> Int64 {
  let start: StaticString = "{\"seq\":"
  var at = start.utf8CodeUnitCount
  // With more digits it may not fit.
  let end = min(payload.count, at + 18)
  if at < end, isEqual(UnsafeRawBufferPointer(rebasing: payload[..<at]), start), payload[at] != 0x30 {
    var value: Int64 = 0
    while at < end, 0x30...0x39 ~= payload[at] {
      value = value * 10 + Int64(payload[at] - 0x30)
      at += 1
    }
    if at < payload.count, payload[at] == 0x2C, value > 0 { return value }
  }
  return try ActionOutline(payload: payload).seq
}

/// `generated_at` of an action's payload: the last member but one.
package func generatedAt(ofAction payload: UnsafeRawBufferPointer) throws(LogError) -> Timestamp {
  // Inside of a string a quote has a backslash before it, so these bytes stand nowhere behind the member that they are.
  let (note, timestampSize): (StaticString, Int) = (",\"note\":\"", 27)
  let key: StaticString = ",\"generated_at\":\""
  var at = payload.count - note.utf8CodeUnitCount - 2
  while at >= 0, !isEqual(UnsafeRawBufferPointer(rebasing: payload[at..<at + note.utf8CodeUnitCount]), note) { at -= 1 }
  let start = at - 1 - timestampSize - key.utf8CodeUnitCount
  if start >= 0, isEqual(UnsafeRawBufferPointer(rebasing: payload[start..<start + key.utf8CodeUnitCount]), key),
    let timestamp = Timestamp(ascii: UnsafeRawBufferPointer(rebasing: payload[at - 1 - timestampSize..<at - 1]))
  {
    return timestamp
  }
  throw LogError(.corrupt, "the action record does not end with generated_at and note")
}

/// Walks over the members of a compact object without decoding them.
struct MemberScanner {
  private var p: UnsafePointer<UInt8>
  private let end: UnsafePointer<UInt8>

  init(_ json: UnsafeRawBufferPointer) {
    let base = json.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(bitPattern: 1)!
    end = base + json.count
    p = min(base + 1, end)
  }

  /// The next member's key (inside of its quotes) and value; `nil` at the end, or where the text is no compact object.
  mutating func next() -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
    guard p < end, p.pointee == UInt8(ascii: "\""), let keyEnd = ckprov_string_end(p + 1, end), end - keyEnd > 1, keyEnd[1] == UInt8(ascii: ":"),
      let valueEnd = ckprov_value_end(keyEnd + 2, end)
    else { return nil }
    defer { p = valueEnd + 1 }
    return (UnsafeRawBufferPointer(start: p + 1, count: keyEnd - p - 1), UnsafeRawBufferPointer(start: keyEnd + 2, count: valueEnd - keyEnd - 2))
  }
}
