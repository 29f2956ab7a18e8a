package import LogFormat
package import LogStorage

/// The Session JSON of a log, block by block: byte for byte what the reference would have written (Format/record.md).
///
/// Reads with bounded memory, and prints long sessions on two threads. What a writer adds meanwhile is not in it. Header members come from the newest checkpoint and are compared with what the actions add up
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
  private var output = ByteBuffer(capacity: 4096)
  private var part = Part.header
  /// Those that were read.
  package private(set) var actions: UInt64 = 0
  /// No more is read.
  private var isAtEnd = false
  /// What comes into the JSON next, printed at least in part.
  private var ready: PrintedActions?
  /// What comes behind it: another thread prints it.
  private var printing: PrintedActions?
  private let batches: (PrintedActions, PrintedActions)
  private let helper = Helper()
  /// An error came before what stands in `output` was given out.
  private var isUnsent = false
  /// What was given out last is the JSON of `ready`.
  private var isLent = false

  private enum Part { case header, actions, footer, done }
  private static let blockSize = 1 << 18

  private init(_ reader: consuming LogReader, _ state: Checkpoint, _ ending: LogEnding, damage: LogError?, level: Int) {
    self.reader = reader
    self.state = state
    self.damage = damage
    self.level = level
    batches = (PrintedActions(level: level + 2), PrintedActions(level: level + 2))
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
      while let frame = try reader.next() { try reader.add(frame, to: &summary) }
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
    if isUnsent { isUnsent = false } else { output.removeAll() }
    if isLent {
      ready?.dropJSON()
      isLent = false
    }
    while part != .done {
      switch part {
      case .header:
        try appendHeader()
        part = .actions
      case .actions:
        guard let next = ready else {
          if isAtEnd, printing == nil { part = .footer } else { try readOn() }
          continue
        }
        if next.json.count == 0 {
          if next.isFinished { ready = nil } else { try printOn(next) }
        } else if output.count + next.json.count <= Self.blockSize {
          output.append(next.json)
          next.dropJSON()
        } else if output.count > 0 {
          return output.bytes
        } else {
          isLent = true
          return next.json
        }
      case .footer:
        appendFooter()
        part = .done
      case .done: break
      }
    }
    return output.count == 0 ? nil : output.bytes
  }

  /// Behind an error: the JSON ends with the actions that were read whole.
  package mutating func stop() {
    isAtEnd = true
    isUnsent = true
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
    output.appendNewLine(level + 1)
    output.append("\"actions\": [")
  }

  /// What is projected has been read. Told by what was recorded, not by sequences: those of the last frames change where a log is taken up again meanwhile.
  private var isComplete: Bool {
    recomputed.summary.actionCount == state.summary.actionCount && recomputed.hasStarted && recomputed.summary.end == state.summary.end
  }

  /// Reads the next actions, while those before them are printed.
  private mutating func readOn() throws(LogError) {
    let (before, next) = (printing, printing === batches.0 ? batches.1 : batches.0)
    next.removeAll(isFirst: actions == 0)
    // Where it fails, what was read whole before that counts.
    defer {
      helper.wait()
      (ready, printing) = (before, nil)
      if before == nil, isAtEnd {
        // There is too little for two threads.
        ready = next
      } else if next.size > 0 {
        printing = next
        helper.start { try? next.printOn() }
      }
    }
    if !isAtEnd { try read(next) }
  }

  /// The JSON ends before an action that is none, under right checksums.
  private mutating func printOn(_ next: PrintedActions) throws(LogError) {
    do throws(LogError) { try next.printOn() } catch {
      guard error.code == .corrupt, !next.isPartlyPrinted else { throw error }
      let id = state.header.sessionID
      damage = LogError(error.code, "\(error.message); 'recover \(id)' shows what can be kept", path: reader.log.path, sequence: next.nextSequence)
      helper.wait()
      (ready, printing, isAtEnd) = (nil, nil, true)
    }
  }

  /// Bytes of payloads that are printed together.
  private static let batchSize = 1 << 19

  private mutating func read(_ batch: PrintedActions) throws(LogError) {
    do throws(LogError) {
      while batch.size < Self.batchSize {
        guard !isComplete, let frame = try reader.next(), frame.kind != .action || actions < state.summary.actionCount else {
          isAtEnd = true
          return
        }
        try reader.add(frame, to: &recomputed)
        guard frame.kind == .action else { continue }
        batch.append(try reader.payload, frame.sequence)
        actions += 1
      }
    } catch {
      guard error.code == .corrupt else { throw error }
      damage = damage ?? error
      isAtEnd = true
    }
  }

  private mutating func appendFooter() {
    if actions > 0 { output.appendNewLine(level + 1) }
    output.append("]")
    output.appendNewLine(level)
    output.append("}")
    if damage == nil, recomputed.checkpoint != state {
      damage = LogError(
        .corrupt, "the newest checkpoint differs from what the actions add up to (\(recomputed.summary.actionCount) actions); 'verify' says more",
        path: reader.log.path)
    }
  }
}

extension ByteBuffer {
  mutating func appendNewLine(_ level: Int) {
    let out = room(for: 1 + 2 * level)
    out[0] = 0x0A
    (out + 1).update(repeating: 0x20, count: 2 * level)
    commit(1 + 2 * level)
  }

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
