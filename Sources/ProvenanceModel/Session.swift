/// What is known of a session from its start; never changes.
public struct SessionHeader: Sendable, Equatable {
  public let sessionID: SessionID
  /// `ckp://Action#NAME/session-MILLISECONDS` of `startedAt`.
  public let urn: JSONString
  public let label: JSONString
  /// Which action initiated this session.
  public let kernelAction: JSONString
  public let startedAt: Timestamp
  /// The kernel URN as it was given.
  public let wasAssociatedWith: JSONString

  package init(
    sessionID: SessionID, urn: JSONString, label: JSONString, kernelAction: JSONString, startedAt: Timestamp, wasAssociatedWith: JSONString
  ) {
    self.sessionID = sessionID
    self.urn = urn
    self.label = label
    self.kernelAction = kernelAction
    self.startedAt = startedAt
    self.wasAssociatedWith = wasAssociatedWith
  }
}

/// How a session ended.
public struct SessionEnd: Sendable, Equatable {
  public let endedAt: Timestamp
  /// `int(seconds * 1000)`, negative if it ended before it began.
  public let durationMS: Int64
  public let outcome: JSONString

  package init(endedAt: Timestamp, durationMS: Int64, outcome: JSONString) {
    self.endedAt = endedAt
    self.durationMS = durationMS
    self.outcome = outcome
  }
}

/// How many actions had which outcome.
public struct OutcomeCounts: Sendable, Equatable {
  public package(set) var verified: UInt64 = 0
  public package(set) var failed: UInt64 = 0
  public package(set) var retry: UInt64 = 0
  public package(set) var skipped: UInt64 = 0
  /// Any outcome that is none of the known four.
  public package(set) var other: UInt64 = 0

  package init() {}

  package mutating func count(_ outcome: KnownOutcome) {
    switch outcome {
    case .verified: verified += 1
    case .failed: failed += 1
    case .retry: retry += 1
    case .skipped: skipped += 1
    case .other: other += 1
    }
  }
}

/// The outcomes that are counted.
package enum KnownOutcome: Sendable {
  case verified, failed, retry, skipped, other

  /// The four words are the same as text and inside of a JSON string.
  package init(utf8 text: UnsafeRawBufferPointer) {
    func `is`(_ word: StaticString) -> Bool {
      for index in 0..<text.count where text[index] != word.utf8Start[index] { return false }
      return true
    }
    switch text.count {
    case 5: self = `is`("retry") ? .retry : .other
    case 6: self = `is`("failed") ? .failed : .other
    case 7: self = `is`("skipped") ? .skipped : .other
    case 8: self = `is`("verified") ? .verified : .other
    default: self = .other
    }
  }

  package init(_ outcome: JSONString) {
    guard case .text(let text) = outcome.storage, 5...8 ~= text.utf8.count else {
      self = .other
      return
    }
    self = text.utf8.withContiguousStorageIfAvailable { KnownOutcome(utf8: UnsafeRawBufferPointer($0)) }!
  }
}

/// What a session's actions add up to, kept up to date action by action; what a checkpoint holds.
package struct SessionSummary: Sendable, Equatable {
  /// `nil` while the session is in progress; an action after a close makes it so again.
  package private(set) var end: SessionEnd?
  package private(set) var actionCount: UInt64 = 0
  /// The seq that the next action gets.
  package private(set) var nextSeq: Int64 = 1
  package private(set) var outcomes = OutcomeCounts()
  package private(set) var kernels: Set<JSONString>
  /// False if this was read from a checkpoint that had no room for the kernels.
  package private(set) var kernelsComplete = true
  private var lastKernel: JSONString

  package init(kernelName: JSONString) {
    kernels = [kernelName]
    lastKernel = kernelName
  }

  package init(
    end: SessionEnd?, actionCount: UInt64, nextSeq: Int64, outcomes: OutcomeCounts, kernels: Set<JSONString>, kernelsComplete: Bool
  ) {
    self.end = end
    self.actionCount = actionCount
    self.nextSeq = nextSeq
    self.outcomes = outcomes
    self.kernels = kernels
    self.kernelsComplete = kernelsComplete
    lastKernel = ""
  }

  package var outcome: JSONString { end?.outcome ?? "in_progress" }

  package mutating func apply(seq: Int64, outcome: KnownOutcome, kernelName: JSONString) {
    end = nil
    actionCount += 1
    nextSeq = seq &+ 1
    outcomes.count(outcome)
    if kernelName != lastKernel {
      kernels.insert(kernelName)
      lastKernel = kernelName
    }
  }

  package mutating func apply(_ end: SessionEnd) {
    self.end = end
  }

  package mutating func forgetKernels() {
    kernels = []
    kernelsComplete = false
  }

  /// The reference's rule: no actions are complete; failures without a success are failed, with one partial; all else is complete.
  package var derivedOutcome: JSONString {
    if outcomes.failed > 0 { return outcomes.verified == 0 ? "failed" : "partial" }
    return "complete"
  }

  package static func == (a: SessionSummary, b: SessionSummary) -> Bool {
    a.end == b.end && a.actionCount == b.actionCount && a.nextSeq == b.nextSeq && a.outcomes == b.outcomes && a.kernels == b.kernels
      && a.kernelsComplete == b.kernelsComplete
  }
}

/// A provenance session: header and summary. Its actions are read from disk one by one, with `actions()`.
public struct Session: Sendable {
  public let header: SessionHeader
  package let summary: SessionSummary
  /// Path of the log directory, or of the JSON file of a legacy session.
  public let path: String
  /// True if it is kept as a JSON file only, as the reference writes it.
  public let isLegacy: Bool

  package init(header: SessionHeader, summary: SessionSummary, path: String, isLegacy: Bool) {
    self.header = header
    self.summary = summary
    self.path = path
    self.isLegacy = isLegacy
  }

  public var sessionID: SessionID { header.sessionID }
  public var urn: JSONString { header.urn }
  public var label: JSONString { header.label }
  public var kernelAction: JSONString { header.kernelAction }
  public var startedAt: Timestamp { header.startedAt }
  public var wasAssociatedWith: JSONString { header.wasAssociatedWith }
  /// `nil` while it is in progress.
  public var endedAt: Timestamp? { end?.endedAt }
  /// `nil` while it is in progress.
  public var durationMS: Int64? { end?.durationMS }
  /// `complete`, `failed`, `partial`, `in_progress`, or what it was closed with.
  public var outcome: JSONString { end?.outcome ?? "in_progress" }

  // Not inlined: with `summary.end?.…` in another module, Swift 6.3.1's optimizer fails ("Found ownership error").
  @inline(never)
  private var end: SessionEnd? { summary.end }
  /// Sorted by code point.
  public var kernelsInvolved: [JSONString] { summary.kernels.sorted() }
  public var actionCount: UInt64 { summary.actionCount }
  public var outcomeCounts: OutcomeCounts { summary.outcomes }
}
