/// A JSON object that an action carries: what it wanted, what happened, a state.
public enum Payload: Sendable, ExpressibleByDictionaryLiteral {
  case object(JSONObject)
  case raw(RawJSON)

  public init(dictionaryLiteral elements: (JSONString, JSONValue)...) {
    self = .object(JSONObject(keys: elements.map(\.0), values: elements.map(\.1)))
  }

  /// From any value that encodes as an object; the order of its keys is kept.
  /// - Throws: `LogError` `invalidInput` if it encodes as anything else.
  public init(encoding value: some Encodable) throws {
    guard case .object(let object) = try JSONValue(encoding: value) else {
      throw LogError(.invalidInput, "a payload must encode as a JSON object, \(type(of: value)) does not")
    }
    self = .object(object)
  }
}

/// A JSON object that was encoded before: compact, in pure ASCII, as Format/record.md says, checked when it was made.
///
/// Made with `RawJSON(_ text:)` out of any JSON text; recording it copies bytes.
public struct RawJSON: Sendable, Equatable {
  /// The canonical bytes, without members that are null: what is stored.
  package let bytes: [UInt8]
  /// The same with them, if there are such: what states are compared by.
  package let bytesWithNulls: [UInt8]?

  package init(canonical bytes: [UInt8], withNulls bytesWithNulls: [UInt8]?) {
    self.bytes = bytes
    self.bytesWithNulls = bytesWithNulls
  }
}

/// What a caller hands over to be recorded; the fields and defaults of the reference's `record_action`.
public struct Action: Sendable {
  /// Dotted name, such as `deploy.apply`.
  public var actionType: JSONString
  /// `verified`, `failed`, `retry` or `skipped`; any other text is kept too.
  public var outcome: JSONString
  /// Short name or `ckp://` URN of the kernel that acted; empty for the session's own.
  public var kernel: JSONString
  /// `COMPOSES`, `EXTENDS`, `REQUIRES`, if the action crosses a kernel boundary.
  public var viaEdge: JSONString?
  public var intent: Payload?
  public var evidence: Payload?
  public var beforeState: Payload?
  public var afterState: Payload?
  public var attempt: Int64
  /// `nil`: the clock is read when it is recorded.
  public var generatedAt: Timestamp?
  public var note: JSONString

  public init(
    actionType: JSONString, outcome: JSONString, kernel: JSONString = "", viaEdge: JSONString? = nil, intent: Payload? = nil,
    evidence: Payload? = nil, beforeState: Payload? = nil, afterState: Payload? = nil, attempt: Int64 = 1,
    generatedAt: Timestamp? = nil, note: JSONString = ""
  ) {
    self.actionType = actionType
    self.outcome = outcome
    self.kernel = kernel
    self.viaEdge = viaEdge
    self.intent = intent
    self.evidence = evidence
    self.beforeState = beforeState
    self.afterState = afterState
    self.attempt = attempt
    self.generatedAt = generatedAt
    self.note = note
  }
}

/// One action of a session: as it was recorded, with its payloads as they were given, or as it stands in the log, where no member is null.
public struct ActionRecord: Sendable {
  /// 1 for the first action of a session; grows from action to action.
  public let seq: Int64
  public let generatedAt: Timestamp
  private let action: Action
  private let derived: Derived

  /// What the log makes of the rest: as it was read, or still to be made, since few ask for it.
  package enum Derived: Sendable {
    case read(urn: JSONString, kernel: JSONString, diffSummary: JSONString?)
    /// `diffSummary` says what differs between the two states.
    case ofKernel(name: JSONString, diffSummary: @Sendable (Action) -> JSONString?)
  }

  /// - Parameter action: its kernel and time count for nothing.
  package init(_ action: consuming Action, seq: Int64, generatedAt: Timestamp, derived: consuming Derived) {
    self.action = action
    self.seq = seq
    self.generatedAt = generatedAt
    self.derived = derived
  }

  public var actionType: JSONString { action.actionType }
  public var outcome: JSONString { action.outcome }
  public var viaEdge: JSONString? { action.viaEdge }
  public var intent: Payload? { action.intent }
  public var evidence: Payload? { action.evidence }
  public var beforeState: Payload? { action.beforeState }
  public var afterState: Payload? { action.afterState }
  public var attempt: Int64 { action.attempt }
  public var note: JSONString { action.note }

  /// `ckp://Action#KERNEL/TYPE-MILLISECONDS`.
  public var urn: JSONString {
    switch derived {
    case .read(let urn, _, _): urn
    case .ofKernel(let name, _): URN.buildAction(kernel: name, actionName: actionType, timestampMS: generatedAt.milliseconds)
    }
  }

  /// URN of the kernel that acted.
  public var kernel: JSONString {
    switch derived {
    case .read(_, let kernel, _): kernel
    case .ofKernel(let name, _): URN.kernelURN(for: name)
    }
  }

  /// What differs between two states that were both given and not empty.
  public var diffSummary: JSONString? {
    switch derived {
    case .read(_, _, let diffSummary): diffSummary
    case .ofKernel(_, let diffSummary): diffSummary(action)
    }
  }
}
