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
    self.init(
      seq: try fields.integer("seq"), actionType: try fields.string("action_type"), outcome: try fields.string("outcome"),
      viaEdge: try fields.optionalString("via_edge"), intent: try fields.optionalPayload("intent"), evidence: try fields.optionalPayload("evidence"),
      beforeState: try fields.optionalPayload("before_state"), afterState: try fields.optionalPayload("after_state"),
      attempt: try fields.integer("attempt"), generatedAt: try fields.timestamp("generated_at"), note: try fields.string("note"),
      derived: .read(
        urn: try fields.string("urn"), kernel: try fields.string("kernel"), diffSummary: try fields.optionalString("diff_summary")))
  }

  /// Of an action as it was given and recorded. - Parameter kernel: its name.
  package init(_ action: Action, seq: Int64, kernel: JSONString, generatedAt: Timestamp) {
    self.init(
      seq: seq, actionType: action.actionType, outcome: action.outcome, viaEdge: action.viaEdge, intent: action.intent, evidence: action.evidence,
      beforeState: action.beforeState, afterState: action.afterState, attempt: action.attempt, generatedAt: generatedAt, note: action.note,
      derived: .ofKernel(name: kernel) { record in
        // The states were found to be encodable.
        var diff = DiffWriter()
        return (try? diff.take(record.beforeState, record.afterState)) == true ? JSONString(wtf8: diff.summary) : nil
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
    var scanner = MemberScanner(payload)
    guard let seq = scanner.next(key: "seq").flatMap(positiveInteger), let actionType = scanner.next(key: "action_type").flatMap(inside),
      let outcome = scanner.next(key: "outcome").flatMap(inside), let urn = scanner.next(key: "urn").flatMap(inside)
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
    guard urn.starts(with: UnsafeRawBufferPointer(start: prefix.utf8Start, count: start)) else { return nil }
    func kernel(before end: Int) -> UnsafeRawBufferPointer? {
      let slash = end - actionType.count - 1
      guard slash >= start, urn[slash] == UInt8(ascii: "/"), urn[slash + 1..<end].elementsEqual(actionType) else { return nil }
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

/// `generated_at` of an action's payload.
package func generatedAt(ofAction payload: UnsafeRawBufferPointer) throws(LogError) -> Timestamp {
  var scanner = MemberScanner(payload)
  while let (key, value) = scanner.next() {
    if key.elementsEqual("generated_at".utf8), let text = inside(value), let timestamp = Timestamp(ascii: text) { return timestamp }
  }
  throw LogError(.corrupt, "the action record has no generated_at")
}

private func inside(_ string: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
  guard string.count >= 2, string[0] == UInt8(ascii: "\"") else { return nil }
  return UnsafeRawBufferPointer(rebasing: string[1..<string.count - 1])
}

private func positiveInteger(_ digits: UnsafeRawBufferPointer) -> Int64? {
  var value: Int64 = 0
  for digit in digits {
    guard 0x30...0x39 ~= digit else { return nil }
    let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, overflow2) = tenfold.addingReportingOverflow(Int64(digit - 0x30))
    guard !overflow, !overflow2 else { return nil }
    value = sum
  }
  return value >= 1 ? value : nil
}

/// Walks over the members of a compact object without decoding them.
struct MemberScanner {
  private let json: UnsafeRawBufferPointer
  private var position = 1

  init(_ json: UnsafeRawBufferPointer) {
    self.json = json
  }

  /// The next member's key (inside of its quotes) and value; `nil` at the end, or where the text is no compact object.
  mutating func next() -> (key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
    guard position < json.count, json[position] == UInt8(ascii: "\""), let keyEnd = stringEnd(position), keyEnd < json.count,
      json[keyEnd] == UInt8(ascii: ":"), let valueEnd = valueEnd(keyEnd + 1), valueEnd < json.count
    else { return nil }
    defer { position = valueEnd + 1 }
    return (
      UnsafeRawBufferPointer(rebasing: json[position + 1..<keyEnd - 1]), UnsafeRawBufferPointer(rebasing: json[keyEnd + 1..<valueEnd])
    )
  }

  /// The next member's value if its key is `key`.
  mutating func next(key: StaticString) -> UnsafeRawBufferPointer? {
    guard let member = next(),
      member.key.elementsEqual(UnsafeRawBufferPointer(start: key.utf8Start, count: key.utf8CodeUnitCount))
    else { return nil }
    return member.value
  }

  /// Offset behind the string whose opening quote is at `start`.
  private func stringEnd(_ start: Int) -> Int? {
    var at = start + 1
    while at < json.count {
      switch json[at] {
      case UInt8(ascii: "\""): return at + 1
      case UInt8(ascii: "\\"): at += 2
      default: at += 1
      }
    }
    return nil
  }

  /// Offset of the comma or bracket behind the value at `start`.
  private func valueEnd(_ start: Int) -> Int? {
    var at = start
    var depth = 0
    while at < json.count {
      switch json[at] {
      case UInt8(ascii: "\""):
        guard let end = stringEnd(at) else { return nil }
        at = end
        continue
      case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
      case UInt8(ascii: "}"), UInt8(ascii: "]"):
        if depth == 0 { return at }
        depth -= 1
      case UInt8(ascii: ","):
        if depth == 0 { return at }
      default: break
      }
      at += 1
    }
    return nil
  }
}
