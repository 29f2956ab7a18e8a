package import ProvenanceModel

/// Recomputes a session's header and summary from its frames, one after the other; what a checkpoint is compared with.
package struct SummaryBuilder: Sendable {
  /// `nil` until the session-started frame, or a checkpoint that was taken on trust.
  package private(set) var header: SessionHeader?
  /// There is a header.
  package private(set) var hasStarted = false
  package private(set) var summary = SessionSummary(kernelName: "")
  private var kernels = KernelNames()

  package init() {}

  /// Right behind the session-started frame.
  package init(_ header: SessionHeader) {
    self.header = header
    hasStarted = true
    summary = SessionSummary(kernelName: URN.kernelName(ofURN: header.wasAssociatedWith))
  }

  /// As a checkpoint says, taken on trust.
  package init(_ checkpoint: Checkpoint) {
    header = checkpoint.header
    hasStarted = true
    summary = checkpoint.summary
  }

  package var checkpoint: Checkpoint? { header.map { Checkpoint(header: $0, summary: summary) } }

  /// Whether a checkpoint that stands here says what the frames add up to.
  package func agrees(with checkpoint: Checkpoint) -> Bool {
    guard var recomputed = self.checkpoint else { return false }
    if !checkpoint.summary.kernelsComplete { recomputed.summary.forgetKernels() }
    return checkpoint == recomputed
  }

  /// Takes in the next frame of the log, whose checksums are right.
  /// - Parameter trustingCheckpoint: begin with a checkpoint, where the log is not read from its first frame.
  /// - Throws: `LogError` `corrupt` for a payload that is not what Format/record.md says, or that does not fit what came before.
  package mutating func apply(_ kind: FrameKind, payload: UnsafeRawBufferPointer, trustingCheckpoint: Bool = false) throws(LogError) {
    switch kind {
    case .checkpoint where trustingCheckpoint && header == nil:
      self = SummaryBuilder(try Checkpoint(payload: payload))
    case .sessionStarted where trustingCheckpoint: break
    case .sessionStarted:
      guard header == nil else { throw LogError(.corrupt, "the session started twice") }
      self = SummaryBuilder(try SessionHeader(payload: payload))
    case .action:
      guard hasStarted else { throw LogError(.corrupt, "an action stands before the start of its session") }
      let action = try ActionOutline(payload: payload)
      guard action.seq >= summary.nextSeq, action.seq < Int64.max else {
        throw LogError(.corrupt, "action seq \(action.seq) comes after seq \(summary.nextSeq - 1)")
      }
      summary.apply(seq: action.seq, outcome: action.knownOutcome, kernelName: try kernels.name(action.kernelName))
    case .sessionClosed:
      guard header != nil else { throw LogError(.corrupt, "the session is closed before it started") }
      summary.apply(try SessionEnd(payload: payload))
    default: break
    }
  }
}

/// The string that the inside of a JSON string means.
package func unescaped(_ escaped: UnsafeRawBufferPointer) throws(LogError) -> JSONString {
  if !escaped.contains(UInt8(ascii: "\\")) { return JSONString(String(decoding: escaped, as: UTF8.self)) }
  let quote = [UInt8(ascii: "\"")]
  let text = quote + escaped + quote
  guard case .string(let string)? = try? text.withRawBytes({ bytes throws(LogError) in try JSONValue(json: bytes) }) else {
    throw LogError(.corrupt, "a record holds what is no JSON string")
  }
  return string
}
