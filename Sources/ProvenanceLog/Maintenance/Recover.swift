internal import LogFormat
package import LogStorage
package import ProvenanceModel

/// What of a damaged log can be kept in a new one.
package enum RecoveryMode: String, Sendable, CaseIterable {
  /// All up to the first damage.
  case tail
  /// Every whole record, also behind damage.
  case salvage
}

package struct Recovery: Sendable {
  /// The first problems, at most `Verification.problemsMax`.
  package fileprivate(set) var problems: [Damage] = []
  package fileprivate(set) var problemCount: UInt64 = 0
  /// Action frames that go into the new log.
  package fileprivate(set) var kept: UInt64 = 0
  /// Seqs of actions that are gone, as far as what is left says that they were there.
  package fileprivate(set) var lost: [ClosedRange<Int64>] = []
  package fileprivate(set) var lostCount: UInt64 = 0
  package fileprivate(set) var isClosed = false
  /// Where the original has been set aside, if it was done; its view too, if it had one.
  package fileprivate(set) var original: String?
  package fileprivate(set) var originalView: String?
  /// The log has no problem, but has lost its end: its view holds more. Nothing in the log says so.
  package fileprivate(set) var viewHoldsMore = false

  fileprivate mutating func note(_ damage: Damage) {
    problemCount += 1
    if problems.count < Verification.problemsMax { problems.append(damage) }
  }

  fileprivate mutating func lose(_ seqs: Range<Int64>) {
    guard let last = seqs.last else { return }
    lostCount += UInt64(seqs.count)
    if lost.count < Verification.problemsMax { lost.append(seqs.lowerBound...last) }
  }
}

extension SessionsDirectory {
  /// What recovering a session would keep; changes nothing, takes no lock.
  /// - Parameter progress: gets how many bytes of frames were read.
  package func planRecovery(of id: SessionID, _ mode: RecoveryMode, progress: (UInt64) -> Void = { _ in }) throws(LogError) -> Recovery {
    try planRecovery(of: id, mode, holdsLock: false, progress: progress)
  }

  /// - Parameter holdsLock: the writer that seems to be at work is this one.
  private func planRecovery(of id: SessionID, _ mode: RecoveryMode, holdsLock: Bool, progress: (UInt64) -> Void) throws(LogError) -> Recovery {
    var salvage = try Salvage(log(of: id), id, mode, holdsLock: holdsLock)
    while try salvage.next() != nil { progress(salvage.bytes) }
    var result = salvage.result
    if result.problemCount == 0, let session = salvage.summary.checkpoint, try viewHoldsMore(than: session) {
      // What it holds more may have been recorded since.
      result.viewHoldsMore = !log(of: id).hasChanged(since: session)
    }
    return result
  }

  /// Writes a new log of all that can be kept, checks it, and puts it in the place of the original, which is set aside whole, as is its view.
  ///
  /// The actions keep their seqs, the frames are numbered anew. The exchange is one step: before it the damaged log is there, after it the new one.
  /// - Parameter progress: gets how many bytes of frames were read; all are read twice, to see what is lost, and to write the new log.
  /// - Throws: `LogError` `locked` if someone is at work on it; `corrupt` if nothing says which session it is.
  package func recover(_ id: SessionID, _ mode: RecoveryMode, progress: (UInt64) -> Void = { _ in }) throws(LogError) -> Recovery {
    let original = log(of: id)
    let locks = (try LogLock(.writer, of: original), try LogLock(.maintainer, of: original))
    defer { withExtendedLifetime(locks) {} }
    var planned: UInt64 = 0
    let plan = try planRecovery(of: id, mode, holdsLock: true) {
      planned = $0
      progress($0)
    }
    guard plan.problemCount > 0 else { return try finishRecovery(of: id, plan) }
    let modified = try original.modified()
    let header = try original.salvagedHeader(of: id, holdsLock: true)
    var builder = try LogBuilder(header, in: self)
    // Under this name nobody sweeps it: behind the exchange the original has it.
    let aside = LogDirectory(path: asidePath("\(id).log", "aside"), fileSystem: fileSystem)
    var result: Recovery
    do throws(LogError) {
      result = try fill(&builder, original, id, mode) { progress(planned + $0) }
      let made = try builder.finish()
      defer { withExtendedLifetime(made) {} }
      try made.sync()
      try check(builder.log, id, holds: result)
      for name in try builder.log.segments() { try fileSystem.setModificationTime(of: builder.log.path(of: name.description), to: modified) }
      try fileSystem.rename(builder.log.path, to: aside.path)
      try fileSystem.syncDirectory(path)
      try fileSystem.exchange(aside.path, with: original.path)
    } catch {
      try? builder.log.delete()
      try? aside.delete()
      throw error
    }
    result.original = aside.path
    do throws(LogError) {
      try fileSystem.syncDirectory(path)
      // It may hold what the log has lost.
      result.originalView = try setViewAside(of: header)
      try fileSystem.syncDirectory(path)
    } catch {
      throw error.adding(
        "; the new log is in place, and the original is '\(aside.path)', but a power cut now may undo that, and the old view may still be there")
    }
    return result
  }

  /// Where a recovery was interrupted behind the exchange, the view that holds what the log has lost is still in its place.
  private func finishRecovery(of id: SessionID, _ plan: Recovery) throws(LogError) -> Recovery {
    var plan = plan
    let isInterrupted = try names().contains { $0.hasPrefix(".\(id).log.") && $0.hasSuffix(".aside") }
    let header = try log(of: id).salvagedHeader(of: id, holdsLock: true)
    guard isInterrupted, try viewDiffers(of: header) else { return plan }
    plan.originalView = try setViewAside(of: header)
    plan.viewHoldsMore = false
    try fileSystem.syncDirectory(path)
    return plan
  }

  /// `nil` for a log in which nothing is whole that says which session it is, and for one that was never started.
  func knownHeader(of id: SessionID) throws(LogError) -> SessionHeader? {
    let log = log(of: id)
    do throws(LogError) {
      do throws(LogError) { return try log.state(of: id).checkpoint.header } catch let error where error.code == .corrupt {
        return try log.salvagedHeader(of: id)
      }
    } catch let error where [.corrupt, .unsupportedVersion, .notFound].contains(error.code) {
      return nil
    }
  }

  private func fill(
    _ builder: inout LogBuilder, _ log: LogDirectory, _ id: SessionID, _ mode: RecoveryMode, progress: (UInt64) -> Void
  ) throws(LogError) -> Recovery {
    var salvage = try Salvage(log, id, mode, holdsLock: true)
    while let kind = try salvage.next() {
      progress(salvage.bytes)
      let payload = salvage.payload
      try payload.withRawBytes { bytes throws(LogError) in try builder.append(kind, bytes) }
    }
    return salvage.result
  }

  private func check(_ log: LogDirectory, _ id: SessionID, holds expected: Recovery) throws(LogError) {
    var reader = try LogReader.open(log, of: id)
    var summary = SummaryBuilder()
    while let frame = try reader.next() { try reader.add(frame, to: &summary) }
    guard summary.summary.actionCount == expected.kept else {
      throw LogError(.io, "the new log does not hold what was written into it; the original stays", path: log.path)
    }
  }
}

/// Reads the records that are kept, one by one.
private struct Salvage: ~Copyable {
  private(set) var result = Recovery()
  private(set) var payload: [UInt8] = []
  /// Of frames, read so far.
  private(set) var bytes: UInt64 = 0
  private let mode: RecoveryMode
  private var reader: LogReader
  /// The record of the session's start was met.
  private var hasStart = false
  /// Whether what comes is kept.
  private var isKeeping = true
  private(set) var summary: SummaryBuilder
  /// The first seq that no record accounts for yet.
  private var nextSeq: Int64 = 1
  /// The end of the session, where a checkpoint knows of it and the record of it is lost.
  private var end: SessionEnd?
  private var isFinished = false
  /// Of the segment whose header was found wrong last.
  private var saltOfNamed: UInt32?

  init(_ log: LogDirectory, _ id: SessionID, _ mode: RecoveryMode, holdsLock: Bool) throws(LogError) {
    let header = try log.salvagedHeader(of: id, holdsLock: holdsLock)
    let reader = try LogReader.open(log, of: id, holdsLock: holdsLock, goesBehindTail: mode == .salvage)
    self.mode = mode
    self.reader = reader
    summary = SummaryBuilder(header)
  }

  /// The next record that is kept, its payload in `payload`; `nil` at the end. The start of the session is none of them.
  mutating func next() throws(LogError) -> FrameKind? {
    while let item = try reader.nextItem() {
      switch item {
      case .damage(let damage):
        result.note(damage)
        if mode == .tail, reader.stopsReaders(damage) { isKeeping = false }
      case .frame(let frame):
        payload = Array(try reader.payload)
        bytes += UInt64(frame.frameSize)
        let isKept = try isKept(frame)
        if let damage = reader.firstSeqDamage(frame, nextSeq: nextSeq), saltOfNamed != reader.currentSegment.header.salt {
          saltOfNamed = reader.currentSegment.header.salt
          result.note(damage)
        }
        if isKept { return frame.kind }
      }
    }
    if !isFinished {
      isFinished = true
      if case .tornTail(let damage)? = reader.ending { result.note(damage) }
      // Where the last chunks of a sealed log are lost its index still says what they held.
      if let closing = reader.index?.checkpoint { try? closing.withRawBytes { bytes throws(LogError) in apply(try Checkpoint(payload: bytes)) } }
      lose(upTo: nextSeq)
      if let end, summary.summary.end == nil, isKeeping {
        payload = try end.payload()
        result.isClosed = true
        return .sessionClosed
      }
    }
    result.isClosed = result.isClosed || summary.summary.end != nil
    return nil
  }

  private mutating func isKept(_ frame: FrameHeader) throws(LogError) -> Bool {
    do throws(LogError) {
      switch frame.kind {
      case .sessionStarted:
        hasStart = true
        let header = try payload.withRawBytes { bytes throws(LogError) in try SessionHeader(payload: bytes) }
        if header.sessionID != summary.header?.sessionID { note(.record, Verification.otherStart, frame) }
        return false
      case .mark: return false
      case .checkpoint:
        let checkpoint = try payload.withRawBytes { bytes throws(LogError) in try Checkpoint(payload: bytes) }
        // It may know of what is lost; where nothing is, it must say what the frames say.
        if result.problemCount > 0 || summary.agrees(with: checkpoint) {
          apply(checkpoint)
        } else {
          note(.checkpoint, Verification.otherCheckpoint, frame)
        }
        return false
      case .action:
        if !hasStart, result.problemCount == 0 { note(.record, "an action stands before the start of its session", frame) }
        let canonical = try payload.withRawBytes { bytes throws(LogError) in try canonicalForm(ofAction: bytes) }
        if canonical != payload {
          note(.record, Verification.otherForm, frame)
          payload = canonical
          if mode == .tail { isKeeping = false }
        }
        let seq = try payload.withRawBytes { bytes throws(LogError) in try ActionOutline(payload: bytes).seq }
        if isKeeping {
          let before = summary.summary.nextSeq
          try apply(frame)
          result.lose(before..<seq)
          result.kept += 1
        }
        nextSeq = max(nextSeq, seq &+ 1)
        end = nil
        return isKeeping
      default:
        if isKeeping { try apply(frame) }
        return isKeeping
      }
    } catch {
      guard error.code == .corrupt || error.code == .invalidInput else { throw error }
      note(frame.kind == .checkpoint ? .checkpoint : .record, error.message, frame)
      if mode == .tail, frame.kind != .checkpoint { isKeeping = false }
      return false
    }
  }

  private mutating func note(_ cause: Damage.Cause, _ message: String, _ frame: FrameHeader) {
    let place = reader.place
    result.note(
      Damage(
        cause, message, segment: place.segment, offset: place.offset, size: UInt64(frame.frameSize),
        sequences: frame.sequence..<frame.sequence + 1))
  }

  private mutating func apply(_ checkpoint: Checkpoint) {
    nextSeq = max(nextSeq, checkpoint.summary.nextSeq)
    end = checkpoint.summary.end
  }

  private mutating func apply(_ frame: FrameHeader) throws(LogError) {
    try payload.withRawBytes { bytes throws(LogError) in try summary.apply(frame.kind, payload: bytes) }
  }

  private mutating func lose(upTo end: Int64) {
    let next = summary.summary.nextSeq
    if next < end { result.lose(next..<end) }
  }
}

extension LogDirectory {
  /// From the session-started frame, or the first checkpoint.
  func salvagedHeader(of id: SessionID, holdsLock: Bool = false) throws(LogError) -> SessionHeader {
    var reader = try LogReader.open(self, of: id, holdsLock: holdsLock, goesBehindTail: true)
    var known: SessionHeader?
    while let item = try reader.nextItem() {
      guard case .frame(let frame) = item else { continue }
      let payload = try reader.payload
      switch frame.kind {
      case .sessionStarted: if let header = try? SessionHeader(payload: payload), header.sessionID == id { return header }
      case .checkpoint where known == nil: if let header = try? Checkpoint(payload: payload).header, header.sessionID == id { known = header }
      default: break
      }
      // The start stands behind the first frame.
      if let known, frame.sequence > 0 { return known }
    }
    if let known { return known }
    throw LogError(.corrupt, "nothing that is whole says which session this is; there is nothing to recover", path: path)
  }
}
