package import LogFormat
package import LogStorage

/// The Session JSON of a log, block by block: byte for byte what the reference would have written (Format/record.md).
///
/// Reads with bounded memory. What a writer adds meanwhile is not in it. Header members come from the newest checkpoint and are compared with what the actions add up
/// to. Where the log is damaged the JSON ends behind the last whole action, complete in itself, and `damage` says why. Not to be shared between threads.
package struct SessionProjection: ~Copyable {
  /// Why the JSON holds less than the session, or what contradicts it; final when `next` has returned `nil`.
  package private(set) var damage: LogError?
  /// Bytes at the end of the log that are in doubt and were left out.
  package let bytesInDoubt: UInt64

  private var reader: LogReader
  private let state: Checkpoint
  private let level: Int
  private var recomputed = SummaryBuilder()
  private var output = ByteBuffer(capacity: Self.blockSize + 4096)
  private var part = Part.header
  private var actions: UInt64 = 0
  private var reindenter = Reindenter(level: 0)

  private enum Part { case header, frames, action, footer, done }
  private static let blockSize = 1 << 18

  private init(_ reader: consuming LogReader, _ state: Checkpoint, _ ending: LogEnding, damage: LogError?, level: Int) {
    self.reader = reader
    self.state = state
    self.damage = damage
    self.level = level
    bytesInDoubt = ending.bytesInDoubt
  }

  /// - Parameter level: how deep the session stands in what is being printed.
  /// - Throws: `LogError` if the session's start cannot be read.
  package static func open(_ log: LogDirectory, of id: SessionID?, level: Int = 0) throws(LogError) -> SessionProjection {
    var state: LogState?
    do throws(LogError) {
      let newest = try log.state(of: id)
      if newest.checkpoint.summary.kernelsComplete { state = newest }
    } catch {
      guard error.code == .corrupt else { throw error }
    }
    if let state { return SessionProjection(try LogReader.open(log, of: id), state.checkpoint, state.ending, damage: nil, level: level) }
    return try recomputing(log, of: id, level: level)
  }

  /// Without a usable checkpoint: a first pass over all frames, up to the damage if there is one.
  private static func recomputing(_ log: LogDirectory, of id: SessionID?, level: Int) throws(LogError) -> SessionProjection {
    var reader = try LogReader.open(log, of: id)
    var summary = SummaryBuilder()
    var damage: LogError?
    do throws(LogError) {
      while let frame = try reader.next() { try summary.apply(frame.kind, payload: try reader.payload) }
    } catch {
      guard error.code == .corrupt, summary.header != nil else { throw error }
      damage = error
    }
    guard let state = summary.checkpoint else {
      throw LogError(.corrupt, "the log holds no start of a session", path: log.path)
    }
    return SessionProjection(try LogReader.open(log, of: id), state, reader.ending ?? .clean, damage: damage, level: level)
  }

  /// What is projected.
  package var session: Checkpoint { state }
  package var header: SessionHeader { state.header }
  package var summary: SessionSummary { state.summary }

  /// The next bytes of the JSON, valid until it is called again; `nil` at the end.
  package mutating func next() throws(LogError) -> UnsafeRawBufferPointer? {
    output.removeAll()
    while part != .done, output.count < Self.blockSize {
      switch part {
      case .header:
        try appendHeader()
        part = .frames
      case .frames: try nextFrame()
      case .action: try appendAction()
      case .footer:
        appendFooter()
        part = .done
      case .done: break
      }
    }
    return output.count == 0 ? nil : output.bytes
  }

  // MARK: Parts

  private mutating func appendHeader() throws(LogError) {
    let (header, summary) = (state.header, state.summary)
    var json: JSONObject = [
      "session_id": .string(JSONString(header.sessionID.description)), "urn": .string(header.urn), "label": .string(header.label),
      "kernel_action": .string(header.kernelAction), "started_at": .string(JSONString(header.startedAt.description)),
    ]
    json["ended_at"] = summary.end.map { .string(JSONString($0.endedAt.description)) }
    json["was_associated_with"] = .string(header.wasAssociatedWith)
    json["duration_ms"] = summary.end.map { .integer($0.durationMS) }
    json["outcome"] = .string(summary.outcome)
    json["kernels_involved"] = .array(summary.kernels.sorted().map(JSONValue.string))
    try output.appendIndented(.object(json), level: level)
    // The object stays open: its last line, with the brace, makes way for the actions.
    output.truncate(to: output.count - 2 - 2 * level)
    output.append(",")
    appendNewLine(level + 1)
    output.append("\"actions\": [")
  }

  /// What is projected has been read. Told by what was recorded, not by sequences: those of the last frames change where a log is taken up again meanwhile.
  private var isComplete: Bool {
    recomputed.summary.actionCount == state.summary.actionCount && recomputed.hasStarted && recomputed.summary.end == state.summary.end
  }

  private mutating func nextFrame() throws(LogError) {
    do throws(LogError) {
      guard !isComplete, let frame = try reader.next(), frame.kind != .action || actions < state.summary.actionCount else {
        part = .footer
        return
      }
      let payload = try reader.payload
      try recomputed.apply(frame.kind, payload: payload)
      guard frame.kind == .action else { return }
      part = .action
      reindenter = Reindenter(level: level + 2)
      if actions > 0 { output.append(",") }
      appendNewLine(level + 2)
      actions += 1
    } catch {
      guard error.code == .corrupt else { throw error }
      damage = damage ?? error
      part = .footer
    }
  }

  private mutating func appendAction() throws(LogError) {
    let room = output.freeRoom(atLeast: max(Reindenter.roomMin, Self.blockSize - output.count))
    let (count, isFinished) = try reindenter.write(try reader.payload, into: room)
    output.commit(count)
    if isFinished { part = .frames }
  }

  private mutating func appendFooter() {
    if actions > 0 { appendNewLine(level + 1) }
    output.append("]")
    appendNewLine(level)
    output.append("}")
    if damage == nil, recomputed.checkpoint != state {
      damage = LogError(
        .corrupt, "the newest checkpoint differs from what the actions add up to (\(recomputed.summary.actionCount) actions); 'verify' says more",
        path: reader.log.path)
    }
  }

  private mutating func appendNewLine(_ level: Int) {
    let out = output.room(for: 1 + 2 * level)
    out[0] = 0x0A
    (out + 1).update(repeating: 0x20, count: 2 * level)
    output.commit(1 + 2 * level)
  }
}

extension ByteBuffer {
  /// `value` as Python's `json.dumps(value, indent=2)` prints it, `level` levels deep.
  package mutating func appendIndented(_ value: JSONValue, level: Int = 0) throws(LogError) {
    var reindenter = Reindenter(level: level)
    let json = try value.compactJSON()
    var isFinished = false
    while !isFinished {
      let room = freeRoom(atLeast: max(Reindenter.roomMin, json.count))
      let written = try json.withRawBytes { json throws(LogError) in try reindenter.write(json, into: room) }
      commit(written.count)
      isFinished = written.isFinished
    }
  }
}
