package import ProvenanceModel

// Action payloads (Format/record.md): written once, in place, behind their frame header; read whole, or only as far as a summary needs.

extension ByteBuffer {
  /// Appends the payload of an action.
  ///
  /// - Parameters:
  ///   - kernel: the kernel's name as passed, never empty unless the session's own is.
  ///   - diffSummary: see `Action.diffSummary()`.
  /// - Throws: `LogError` `tooLarge` if a payload nests too deep; nothing is appended then.
  package mutating func appendAction(
    _ action: Action, seq: Int64, kernel: JSONString, generatedAt: Timestamp, diffSummary: JSONString?
  ) throws(LogError) {
    let fixed = 512
    let strings =
      encodedSizeMax(action.actionType) * 2 + encodedSizeMax(action.outcome) + encodedSizeMax(kernel) * 2 + encodedSizeMax(action.note)
    let optional = (action.viaEdge.map(encodedSizeMax) ?? 0) + (diffSummary.map(encodedSizeMax) ?? 0)
    let states = try payloadSizeMax(action.beforeState) + payloadSizeMax(action.afterState)
    let payloads = try payloadSizeMax(action.intent) + payloadSizeMax(action.evidence) + states

    var out = room(for: fixed + strings + optional + payloads)
    out = write(seq, to: copy("{\"seq\":", to: out))
    out = write(action.actionType, to: copy(",\"action_type\":", to: out))
    out = write(action.outcome, to: copy(",\"outcome\":", to: out))
    out = writeEscaped(kernel, to: copy(",\"urn\":\"ckp://Action#", to: out))
    out = writeEscaped(action.actionType, to: write(UInt8(ascii: "/"), to: out))
    let milliseconds = generatedAt.milliseconds
    if milliseconds != 0 { out = write(milliseconds, to: write(UInt8(ascii: "-"), to: out)) }
    out = writeKernelURN(kernel, to: copy("\",\"kernel\":\"", to: out))
    out = write(UInt8(ascii: "\""), to: out)
    if let viaEdge = action.viaEdge { out = write(viaEdge, to: copy(",\"via_edge\":", to: out)) }
    if let intent = action.intent { out = write(intent, to: copy(",\"intent\":", to: out)) }
    if let evidence = action.evidence { out = write(evidence, to: copy(",\"evidence\":", to: out)) }
    if let beforeState = action.beforeState { out = write(beforeState, to: copy(",\"before_state\":", to: out)) }
    if let afterState = action.afterState { out = write(afterState, to: copy(",\"after_state\":", to: out)) }
    if let diffSummary { out = LogFormat.write(diffSummary, to: copy(",\"diff_summary\":", to: out)) }
    out = LogFormat.write(action.attempt, to: copy(",\"attempt\":", to: out))
    out = LogFormat.write(generatedAt, to: copy(",\"generated_at\":", to: out))
    out = LogFormat.write(action.note, to: copy(",\"note\":", to: out))
    commit(upTo: LogFormat.write(UInt8(ascii: "}"), to: out))
  }
}

/// `ckp://…` passes as it is; anything else becomes `ckp://Kernel#NAME:v1.0`.
private func writeKernelURN(_ kernel: JSONString, to out: OutPointer) -> OutPointer {
  if kernel.isURN { return writeEscaped(kernel, to: out) }
  return copy(":v1.0", to: writeEscaped(kernel, to: copy("ckp://Kernel#", to: out)))
}

extension JSONString {
  fileprivate var isURN: Bool {
    guard case .text(let text) = storage else { return bytes.starts(with: "ckp://".utf8) }
    return text.utf8.starts(with: "ckp://".utf8)
  }
}

private func payloadSizeMax(_ payload: Payload?) throws(LogError) -> Int {
  switch payload {
  case nil: 0
  case .object(let object): try encodedSizeMax(object, depth: 1)
  case .raw(let raw): raw.bytes.count
  }
}

private func write(_ payload: Payload, to out: OutPointer) -> OutPointer {
  switch payload {
  case .object(let object): write(object, to: out)
  case .raw(let raw): copy(raw.bytes, to: out)
  }
}

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

extension Action {
  /// What differs between the two states, if both are there and not empty; taken before members that are null are left out.
  package func diffSummary() throws(LogError) -> JSONString? {
    guard let beforeState, let afterState else { return nil }
    _ = try payloadSizeMax(beforeState) + payloadSizeMax(afterState)
    return ProvenanceModel.diffSummary(before: try beforeState.object(), after: try afterState.object())
  }
}

extension ActionRecord {
  /// - Throws: `LogError` `corrupt` if the payload is not what Format/record.md says.
  package init(payload bytes: UnsafeRawBufferPointer) throws(LogError) {
    let fields = try Fields(bytes, "action")
    self.init(
      seq: try fields.integer("seq"), actionType: try fields.string("action_type"), outcome: try fields.string("outcome"),
      urn: try fields.string("urn"), kernel: try fields.string("kernel"), viaEdge: try fields.optionalString("via_edge"),
      intent: try fields.optionalPayload("intent"), evidence: try fields.optionalPayload("evidence"),
      beforeState: try fields.optionalPayload("before_state"), afterState: try fields.optionalPayload("after_state"),
      diffSummary: try fields.optionalString("diff_summary"), attempt: try fields.integer("attempt"),
      generatedAt: try fields.timestamp("generated_at"), note: try fields.string("note"))
  }
}

/// What a summary needs of an action, found without decoding the rest: the leading members of the payload, as their JSON stands.
package struct ActionOutline {
  package let seq: Int64
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
    if key.elementsEqual("generated_at".utf8), let text = inside(value), let timestamp = Timestamp(ascii: Array(text)) { return timestamp }
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
