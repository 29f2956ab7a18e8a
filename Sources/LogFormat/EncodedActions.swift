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
  package mutating func append(_ action: Action, ownKernel: JSONString, now: () -> Timestamp) throws(LogError) {
    let kernel = action.kernel.isEmpty ? ownKernel : action.kernel
    let hasDiff = try diff.take(action.beforeState, action.afterState)
    try append(
      ActionParts(
        actionType: .string(action.actionType), outcome: .string(action.outcome), kernel: .string(kernel),
        viaEdge: action.viaEdge.map { .string($0) }, intent: action.intent.map { .payload($0) }, evidence: action.evidence.map { .payload($0) },
        beforeState: action.beforeState.map { .payload($0) }, afterState: action.afterState.map { .payload($0) },
        attempt: action.attempt, generatedAt: action.generatedAt ?? now(), note: .string(action.note)),
      KnownOutcome(action.outcome), kernel, hasDiff: hasDiff)
  }

  /// Appends the action of the line that was read last; otherwise the same.
  package mutating func append(_ line: borrowing LineReader, ownKernel: JSONString, now: () -> Timestamp) throws(LogError) {
    let (parts, states) = line.parts(now: now)
    let outcome: KnownOutcome = if case .canonical(let bytes) = parts.outcome { KnownOutcome(utf8: bytes) } else { .other }
    var hasDiff = false
    if let states { hasDiff = try diff.take(canonical: states.before, states.after) }
    guard case .canonical(let name)? = parts.kernel else {
      var parts = parts
      parts.kernel = .string(ownKernel)
      return try append(parts, outcome, ownKernel, hasDiff: hasDiff)
    }
    try append(parts, outcome, try kernels.name(name), hasDiff: hasDiff)
  }

  private mutating func append(_ parts: ActionParts, _ outcome: KnownOutcome, _ kernel: JSONString, hasDiff: Bool) throws(LogError) {
    let start = tails.count
    do throws(LogError) {
      try tails.appendTail(parts, kernelIsURN: kernel.isURN, diffSummary: hasDiff ? diff.summary : nil)
    } catch {
      tails.truncate(to: start)
      throw error
    }
    entries.append(Entry(outcome: outcome, kernel: kernel, generatedAt: parts.generatedAt, end: tails.count))
  }
}

/// What an action's payload is put together from.
struct ActionParts {
  enum Part {
    case string(JSONString)
    case payload(Payload)
    /// As it is stored; a string without its quotes.
    case canonical(UnsafeRawBufferPointer)
  }

  var actionType: Part
  var outcome: Part
  /// Its name as passed; `nil` for the session's own.
  var kernel: Part?
  var viaEdge: Part?
  var intent: Part?
  var evidence: Part?
  var beforeState: Part?
  var afterState: Part?
  var attempt: Int64
  var generatedAt: Timestamp
  var note: Part
}

extension ByteBuffer {
  /// The payload of an action, whose tail is encoded.
  package mutating func appendAction(seq: Int64, tail: UnsafeRawBufferPointer) {
    let out = LogFormat.write(seq, to: copy("{\"seq\":", to: room(for: tail.count + slack)))
    commit(upTo: copy(tail, to: out))
  }

  fileprivate mutating func appendTail(_ action: ActionParts, kernelIsURN: Bool, diffSummary: [UInt8]?) throws(LogError) {
    var out = copy(",\"action_type\":\"", to: room(for: slack))
    out = try write(action.actionType, to: out)
    out = try write(action.outcome, to: copy("\",\"outcome\":\"", to: out))
    out = copy("\",\"urn\":\"ckp://Action#", to: room(for: slack, behind: out))
    if let kernel = action.kernel { out = try write(kernel, to: out) }
    out = try write(action.actionType, to: LogFormat.write(UInt8(ascii: "/"), to: out))
    let milliseconds = action.generatedAt.milliseconds
    if milliseconds != 0 { out = LogFormat.write(milliseconds, to: LogFormat.write(UInt8(ascii: "-"), to: out)) }
    out = copy("\",\"kernel\":\"", to: room(for: slack, behind: out))
    // `ckp://…` is a URN; anything else is a name.
    if !kernelIsURN { out = copy("ckp://Kernel#", to: out) }
    if let kernel = action.kernel { out = try write(kernel, to: out) }
    out = copy(kernelIsURN ? "\"" : ":v1.0\"", to: out)
    if let viaEdge = action.viaEdge {
      out = LogFormat.write(UInt8(ascii: "\""), to: try write(viaEdge, to: copy(",\"via_edge\":\"", to: out)))
    }
    if let intent = action.intent { out = try write(intent, to: copy(",\"intent\":", to: room(for: slack, behind: out))) }
    if let evidence = action.evidence { out = try write(evidence, to: copy(",\"evidence\":", to: room(for: slack, behind: out))) }
    if let beforeState = action.beforeState { out = try write(beforeState, to: copy(",\"before_state\":", to: room(for: slack, behind: out))) }
    if let afterState = action.afterState { out = try write(afterState, to: copy(",\"after_state\":", to: room(for: slack, behind: out))) }
    out = room(for: slack, behind: out)
    if let diffSummary {
      out = copy(",\"diff_summary\":\"", to: out)
      out = diffSummary.withUnsafeBufferPointer { writeEscaped($0, to: out) }
      out = LogFormat.write(UInt8(ascii: "\""), to: out)
    }
    out = LogFormat.write(action.attempt, to: copy(",\"attempt\":", to: out))
    out = LogFormat.write(action.generatedAt, to: copy(",\"generated_at\":", to: room(for: slack, behind: out)))
    out = try write(action.note, to: copy(",\"note\":\"", to: room(for: slack, behind: out)))
    commit(upTo: copy("\"}", to: out))
  }

  /// With at least `slack` of room left, less what punctuation was written since.
  private mutating func write(_ part: ActionParts.Part, to out: OutPointer) throws(LogError) -> OutPointer {
    switch part {
    case .string(let string): return writeEscaped(string, to: out)
    case .payload(.object(let object)): return try write(object, false, 1, to: out)
    case .payload(.raw(let raw)):
      let out = room(for: raw.bytes.count + slack, behind: out)
      return raw.bytes.withUnsafeBytes { copy($0, to: out) }
    case .canonical(let bytes): return copy(bytes, to: room(for: bytes.count + slack, behind: out))
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
