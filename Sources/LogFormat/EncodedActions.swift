package import ProvenanceModel

/// Actions on their way into a log: encoded, but for the seq that each gets there. So the work is done before anybody has to wait for the log.
///
/// Keeps its memory when it is emptied: in the steady state it allocates nothing.
package struct EncodedActions: ~Copyable, Sendable {
  package struct Entry: Sendable {
    package let outcome: KnownOutcome
    /// Name of the kernel that acted, as passed, or the session's own.
    package let kernel: JSONString
    package let generatedAt: Timestamp
    /// Where its tail ends in `tails`.
    fileprivate let end: Int
  }

  package private(set) var entries: [Entry] = []
  /// All of the payloads but `{"seq":` and the seq.
  private var tails = ByteBuffer(capacity: 4096)
  private var diff = DiffWriter()
  private var kernels = KernelNames()

  package init() {}

  package var count: Int { entries.count }
  /// Bytes that are waiting.
  package var size: Int { tails.count }

  package func tail(_ index: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: tails.bytes[(index == 0 ? 0 : entries[index - 1].end)..<entries[index].end])
  }

  /// As it is once it has got its seq.
  package func record(_ index: Int, seq: Int64) throws(LogError) -> ActionRecord {
    var payload = ByteBuffer(capacity: 0)
    payload.appendAction(seq: seq, tail: tail(index))
    return try ActionRecord(payload: payload.bytes)
  }

  package mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    tails.removeAll()
    tails.shrink(to: 1 << 21)
  }

  /// - Parameters:
  ///   - ownKernel: the name of the session's kernel, for actions that name none.
  ///   - now: when an action happened that does not say it.
  /// - Throws: `LogError` `tooLarge` if a payload nests too deep; nothing is appended then.
  package mutating func append(_ action: borrowing Action, ownKernel: JSONString, now: () -> Timestamp) throws(LogError) {
    let hasDiff = try diff.take(action.beforeState, action.afterState)
    let kernel = action.kernel.isEmpty ? ownKernel : action.kernel
    try append(action, KnownOutcome(action.outcome), kernel, action.generatedAt ?? now(), hasDiff: hasDiff)
  }

  /// Appends the action of the line that was read last; otherwise the same.
  package mutating func append(_ line: borrowing LineReader, ownKernel: JSONString, now: () -> Timestamp) throws(LogError) {
    let hasDiff = if let (before, after) = line.states { try diff.take(canonical: before, after) } else { false }
    let kernel = line.kernel.isEmpty ? ownKernel : try kernels.name(line.kernel)
    try append(line, KnownOutcome(utf8: line.outcome), kernel, line.generatedAt ?? now(), hasDiff: hasDiff)
  }

  private mutating func append<Source: ActionSource & ~Copyable>(
    _ action: borrowing Source, _ outcome: KnownOutcome, _ kernel: JSONString, _ generatedAt: Timestamp, hasDiff: Bool
  ) throws(LogError) {
    let start = tails.count
    do throws(LogError) {
      try tails.appendTail(of: action, kernel: kernel, generatedAt: generatedAt, diffSummary: hasDiff ? diff.summary : nil)
    } catch {
      tails.truncate(to: start)
      throw error
    }
    entries.append(Entry(outcome: outcome, kernel: kernel, generatedAt: generatedAt, end: tails.count))
  }
}

/// What the members of an action are taken from. There is always `slack` of room, less the punctuation that was written since.
protocol ActionSource: ~Copyable {
  var attempt: Int64 { get }
  func writeActionType(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer
  func writeOutcome(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer
  func writeNote(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer
  /// The others: what stands there is the key, and what is missing is left out.
  func writeViaEdge(_ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer
  func writePayload(_ payload: PayloadMember, _ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) throws(LogError) -> OutPointer
}

enum PayloadMember { case intent, evidence, beforeState, afterState }

extension ByteBuffer {
  /// The payload of an action, whose tail is encoded.
  package mutating func appendAction(seq: Int64, tail: UnsafeRawBufferPointer) {
    let out = LogFormat.write(seq, to: copy("{\"seq\":", to: room(for: tail.count + slack)))
    commit(upTo: copy(tail, to: out))
  }

  fileprivate mutating func appendTail<Source: ActionSource & ~Copyable>(
    of action: borrowing Source, kernel: JSONString, generatedAt: Timestamp, diffSummary: [UInt8]?
  ) throws(LogError) {
    var out = copy(",\"action_type\":\"", to: room(for: slack))
    out = action.writeActionType(to: out, in: &self)
    out = action.writeOutcome(to: copy("\",\"outcome\":\"", to: out), in: &self)
    out = writeEscaped(kernel, to: copy("\",\"urn\":\"ckp://Action#", to: out))
    out = action.writeActionType(to: LogFormat.write(UInt8(ascii: "/"), to: out), in: &self)
    let milliseconds = generatedAt.milliseconds
    if milliseconds != 0 { out = LogFormat.write(milliseconds, to: LogFormat.write(UInt8(ascii: "-"), to: out)) }
    out = copy("\",\"kernel\":\"", to: room(for: slack, behind: out))
    // `ckp://…` is a URN; anything else is a name.
    let isURN = kernel.isURN
    if !isURN { out = copy("ckp://Kernel#", to: out) }
    out = writeEscaped(kernel, to: out)
    out = copy(isURN ? "\"" : ":v1.0\"", to: out)
    out = action.writeViaEdge(",\"via_edge\":\"", to: out, in: &self)
    out = try action.writePayload(.intent, ",\"intent\":", to: room(for: slack, behind: out), in: &self)
    out = try action.writePayload(.evidence, ",\"evidence\":", to: out, in: &self)
    out = try action.writePayload(.beforeState, ",\"before_state\":", to: out, in: &self)
    out = try action.writePayload(.afterState, ",\"after_state\":", to: out, in: &self)
    if let diffSummary {
      out = copy(",\"diff_summary\":\"", to: out)
      out = diffSummary.withUnsafeBufferPointer { writeEscaped($0, to: out) }
      out = LogFormat.write(UInt8(ascii: "\""), to: out)
    }
    out = LogFormat.write(action.attempt, to: copy(",\"attempt\":", to: room(for: slack, behind: out)))
    out = LogFormat.write(generatedAt, to: copy(",\"generated_at\":", to: room(for: slack, behind: out)))
    out = action.writeNote(to: copy(",\"note\":\"", to: room(for: slack, behind: out)), in: &self)
    commit(upTo: copy("\"}", to: out))
  }

  /// Bytes that are canonical.
  mutating func write(_ bytes: UnsafeRawBufferPointer, to out: OutPointer) -> OutPointer {
    copy(bytes, to: room(for: bytes.count + slack, behind: out))
  }
}

extension Action: ActionSource {
  func writeActionType(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.writeEscaped(actionType, to: out) }
  func writeOutcome(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.writeEscaped(outcome, to: out) }
  func writeNote(to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer { buffer.writeEscaped(note, to: out) }

  func writeViaEdge(_ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) -> OutPointer {
    guard let viaEdge else { return out }
    return LogFormat.write(UInt8(ascii: "\""), to: buffer.writeEscaped(viaEdge, to: copy(key, to: out)))
  }

  @inline(__always)
  func writePayload(_ member: PayloadMember, _ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) throws(LogError) -> OutPointer {
    switch member {
    case .intent: try write(intent, key, to: out, in: &buffer)
    case .evidence: try write(evidence, key, to: out, in: &buffer)
    case .beforeState: try write(beforeState, key, to: out, in: &buffer)
    case .afterState: try write(afterState, key, to: out, in: &buffer)
    }
  }

  private func write(_ payload: Payload?, _ key: StaticString, to out: OutPointer, in buffer: inout ByteBuffer) throws(LogError) -> OutPointer {
    switch payload {
    case nil: return out
    case .object(let object)?: return try buffer.write(object, false, 1, to: copy(key, to: buffer.room(for: slack, behind: out)))
    case .raw(let raw)?: return raw.bytes.withUnsafeBytes { buffer.write($0, to: copy(key, to: buffer.room(for: slack, behind: out))) }
    }
  }
}

extension JSONString {
  fileprivate var isURN: Bool {
    guard case .text(let text) = storage else { return bytes.starts(with: "ckp://".utf8) }
    return text.utf8.count >= 6 && text.utf8.starts(with: "ckp://".utf8)
  }
}

/// Names of kernels as they stand inside of JSON strings, and what they mean; the last one is remembered, since most actions are of the kernel before.
struct KernelNames: Sendable {
  private var last: (escaped: [UInt8], name: JSONString) = ([], "")

  mutating func name(_ escaped: UnsafeRawBufferPointer) throws(LogError) -> JSONString {
    let isSame = last.escaped.withUnsafeBytes { isEqual($0, escaped) }
    if !isSame { last = (Array(escaped), try unescaped(escaped)) }
    return last.name
  }
}
