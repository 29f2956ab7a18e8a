internal import LogFormat
internal import LogStorage

/// What a `ProvChain` guards with its lock: the writer, and what the session adds up to.
struct Recorder: ~Copyable {
  let header: SessionHeader
  private(set) var summary: SessionSummary
  private let directory: SessionsDirectory
  /// Has given its lock back from a close to the next action.
  private var writer: LogWriter

  private init(_ directory: SessionsDirectory, _ writer: consuming LogWriter) {
    self.directory = directory
    header = writer.opened.header
    summary = writer.opened.summary
    self.writer = writer
  }

  var log: LogDirectory { directory.log(of: header.sessionID) }

  // MARK: Opening

  static func start(
    _ directory: SessionsDirectory, _ given: SessionID?, _ options: ProvChain.Options, header: (SessionID) -> SessionHeader
  ) throws(LogError) -> Recorder {
    // A free id is found at once, unless the source of ids is broken.
    for _ in 0..<10_000 {
      let id = given ?? SessionID(bits: options.idSource())
      guard let log = try claim(id, in: directory) else {
        if given == nil { continue }
        throw LogError(.alreadyExists, "session '\(id)' exists already; choose another id, or resume it", path: directory.logPath(id))
      }
      guard let lock = try lockUnstarted(log, isGiven: given != nil) else { continue }
      // Until what was left of a failure is taken away again.
      defer { withExtendedLifetime(lock) {} }
      do throws(LogError) {
        let writer = try LogWriter.start(log, header(id), lock: lock, zeroesAhead: options.zeroesAhead, randomSalt: options.saltSource)
        try directory.fileSystem.syncDirectory(directory.path)
        return Recorder(directory, writer)
      } catch {
        log.removeUnfinished()
        throw error
      }
    }
    throw LogError(.alreadyExists, "every session id that was drawn is taken; give one", path: directory.path)
  }

  /// Makes the log's directory; `nil` if the id is taken. A creation that did not finish is taken over: nothing was acknowledged in it.
  private static func claim(_ id: SessionID, in directory: SessionsDirectory) throws(LogError) -> LogDirectory? {
    guard try directory.fileSystem.status(of: directory.viewPath(id)) == nil else { return nil }
    let log = directory.log(of: id)
    if try directory.fileSystem.makeDirectory(log.path) { return log }
    guard try directory.fileSystem.status(of: log.path)?.kind == .directory else { return nil }
    return try log.segments().isEmpty ? log : nil
  }

  /// The writer's lock of a log that nobody has started; `nil` if somebody did meanwhile, or took it away, so that it must be claimed anew.
  private static func lockUnstarted(_ log: LogDirectory, isGiven: Bool) throws(LogError) -> LogLock? {
    do throws(LogError) {
      let lock = try LogLock(.writer, of: log)
      return try log.segments().isEmpty ? lock : nil
    } catch {
      switch error.code {
      case .notFound: return nil
      case .locked where !isGiven: return nil
      case .locked:
        throw LogError(.alreadyExists, "another process is starting a session of this id; choose another id, or resume it", path: log.path)
      default: throw error
      }
    }
  }

  static func resume(_ directory: SessionsDirectory, _ id: SessionID, _ options: ProvChain.Options) throws(LogError) -> Recorder {
    Recorder(directory, try resumedLog(directory, id, options))
  }

  /// - Parameter header: that of the session that it must be; `nil` for any.
  private static func resumedLog(
    _ directory: SessionsDirectory, _ id: SessionID, expecting header: SessionHeader? = nil, _ options: ProvChain.Options
  ) throws(LogError) -> LogWriter {
    let log = directory.log(of: id)
    let isThere = try directory.fileSystem.status(of: log.path) != nil
    let isStarted = isThere ? try !log.segments().isEmpty : false
    guard isStarted else {
      if try directory.fileSystem.status(of: directory.viewPath(id)) != nil {
        throw LogError(.notFound, "session '\(id)' has no log yet; 'ckprov-log import' makes one of this file", path: directory.viewPath(id))
      }
      throw isThere
        ? LogError(.notFound, "the session was never started: its log has no file; without --resume this id is free", path: log.path)
        : LogError(.notFound, "no session '\(id)' in \(directory.path); 'ckprov-log list' shows what is there")
    }
    let lock = try lockForResume(log, options)
    if let header, try log.state(of: id).checkpoint.header != header {
      throw LogError(.notFound, "the session was removed, and another one has its id now", path: log.path)
    }
    // Who started it may have died, or failed, before the log's own name was durable.
    try directory.fileSystem.syncDirectory(directory.path)
    let size = try log.unsealedSize()
    if size > 256 << 20 { options.notice("session \(id): reading \(size >> 20) MiB of its log, to find where it ends") }
    let writer = try log.resume(id, lock: lock, zeroesAhead: options.zeroesAhead, randomSalt: options.saltSource)
    log.removeUnfinishedSegments()
    if writer.bytesInDoubt > 0 {
      options.notice("session \(id): \(writer.bytesInDoubt) bytes behind the last whole record are in doubt and were left out")
    }
    do throws(LogError) {
      let isDamaged = try directory.jsonKind(of: id, writer.opened.header) == .damaged
      let holdsMore = try isDamaged ? false : directory.viewHoldsMore(than: writer.opened)
      if isDamaged || holdsMore, let aside = try directory.setViewAside(of: writer.opened.header) {
        try directory.fileSystem.syncDirectory(directory.path)
        let what = isDamaged ? "'s view is damaged" : " has lost its end: its view holds more than its log"
        options.notice("session \(id)\(what), and now stands at \(aside)")
      } else {
        try directory.removeView(of: writer.opened.header)
      }
    } catch {
      options.notice("session \(id) goes on, but its view, which is out of date now, could not be removed: \(error)")
    }
    return writer
  }

  /// A compaction holds the lock while it replaces the newest file, and no longer: that is waited for, up to a second.
  private static func lockForResume(_ log: LogDirectory, _ options: ProvChain.Options) throws(LogError) -> LogLock {
    for _ in 0..<1000 {
      do throws(LogError) { return try LogLock(.writer, of: log) } catch let error where error.code == .locked {
        guard try log.isLocked(.maintainer) else { throw error }
        options.sleep(.milliseconds(1))
      }
    }
    return try LogLock(.writer, of: log)
  }

  /// After a close: opens the log again, as whoever wrote to it since has left it.
  private mutating func open(_ options: ProvChain.Options) throws(LogError) {
    guard writer.isReleased else { return }
    let resumed = try Self.resumedLog(directory, header.sessionID, expecting: header, options)
    summary = resumed.opened.summary
    writer = resumed
  }

  // MARK: Recording

  var nextSequence: UInt64 { writer.nextSequence }
  var nextSeq: Int64 { summary.nextSeq }

  /// Appends actions until the segment is full, all in one write; the others are for the next one.
  /// - Parameter next: the first of them; moved behind those that were kept, also where it throws.
  mutating func record(_ actions: borrowing EncodedActions, from next: inout Int, _ options: ProvChain.Options) throws(LogError) {
    try open(options)
    var index = next
    do throws(LogError) {
      while index < actions.count, index == next || !isDueToRoll(options) {
        let (seq, isTooMany) = summary.nextSeq.addingReportingOverflow(Int64(index - next))
        guard !isTooMany, seq < .max else {
          throw LogError(.tooLarge, "the session has no seq left for another action", path: directory.logPath(header.sessionID))
        }
        try writer.append(actionOf: seq, tail: actions.tail(index))
        index += 1
      }
    } catch {
      // The action that failed left nothing in the buffer; those before it are kept.
      try flush(actions, from: &next)
      throw error
    }
    try flush(actions, from: &next)
  }

  func isDueToRoll(_ options: ProvChain.Options) -> Bool {
    !writer.isReleased && writer.segmentSize >= min(options.segmentSizeMax, SealedIndex.rawSizeMax)
  }

  func isDueToSync(_ options: ProvChain.Options) -> Bool { writer.sizeSinceSyncPoint >= options.unsyncedSizeMax }

  /// Goes on in a new segment; no sync of the active one may be under way.
  mutating func roll() throws(LogError) {
    try writer.roll(Checkpoint(header: header, summary: summary))
  }

  private mutating func flush(_ actions: borrowing EncodedActions, from next: inout Int) throws(LogError) {
    let (kept, error) = writer.flush()
    for _ in 0..<kept {
      summary.apply(seq: summary.nextSeq, outcome: actions.entries[next].outcome, kernelName: actions.entries[next].kernel)
      next += 1
    }
    if let error { throw error }
  }

  // MARK: Closing

  mutating func close(outcome: JSONString, endedAt: Timestamp?, _ options: ProvChain.Options) throws(LogError) -> Session {
    try open(options)
    let endedAt = endedAt ?? options.clock()
    let end = SessionEnd(
      endedAt: endedAt, durationMS: endedAt.milliseconds(since: header.startedAt), outcome: outcome.isEmpty ? summary.derivedOutcome : outcome)
    var closed = summary
    closed.apply(end)
    let payloads = (end: try end.payload(), checkpoint: try Checkpoint(header: header, summary: closed).payload())
    try writer.append(.sessionClosed, payloads.end)
    try writer.append(.checkpoint, payloads.checkpoint)
    let (kept, error) = writer.flush()
    if kept > 0 { summary = closed }
    if let error { throw error }
    writer.cutToSize()
    try writer.sync()
    writer.appendMark()
    seal(options)
    writeView(options)
    writer.release()
    return session
  }

  /// What is not worth it, or cannot be done now, is left to a compaction.
  private func seal(_ options: ProvChain.Options) {
    guard let sizeMin = options.sealingSizeMin, writer.segmentSize >= sizeMin || hasManyFiles else { return }
    log.seal(header.sessionID, options, lock: writer.lock)
  }

  /// What is taken up again and again leaves a small file each time. Merged only now and then: what was merged before is copied.
  private var hasManyFiles: Bool {
    guard !writer.isInFirstSegment else { return false }
    return (try? log.segments().count) ?? 0 >= 16
  }

  /// The log is the truth: whatever happens here costs the view alone.
  private func writeView(_ options: ProvChain.Options) {
    let id = header.sessionID
    do throws(LogError) {
      if case .never = options.view { return }
      if case .upTo(let size) = options.view, try directory.log(of: id).rawSize() > size {
        options.notice("session \(id) is too long for a view at close; 'ckprov-log project \(id) --write' makes it")
        return
      }
      if let aside = try directory.writeView(of: id) { options.notice("session \(id)'s view was damaged, and now stands at \(aside)") }
    } catch {
      options.notice("session \(id) is closed, but its view could not be written: \(error); 'ckprov-log project \(id) --write' makes it")
    }
  }

  var session: Session { Session(header: header, summary: summary, path: directory.logPath(header.sessionID), isLegacy: false) }

  mutating func release() {
    if !writer.isReleased { writer.release() }
  }

  // MARK: Stable storage

  func isSynced(through sequence: UInt64) -> Bool { !writer.isReleased && sequence < .max && writer.isSynced(below: sequence + 1) }

  /// What has to be synced so that the frame of `sequence` is on stable storage; `nil` if it is.
  mutating func syncPoint(through sequence: UInt64) throws(LogError) -> LogWriter.SyncPoint? {
    guard !writer.isReleased, !isSynced(through: sequence) else { return nil }
    return try writer.syncPoint()
  }

  mutating func didSync(_ point: LogWriter.SyncPoint) throws(LogError) {
    try writer.didSync(point)
  }

  mutating func appendMark() {
    writer.appendMark()
  }

  mutating func didFailToSync(_ error: LogError) -> LogError {
    writer.didFailToSync(error)
  }
}

extension LogDirectory {
  /// Seals what is full, and with the writer's lock what has just been closed. A failure costs no record.
  func seal(_ id: SessionID, _ options: ProvChain.Options, lock: LogLock? = nil) {
    do throws(LogError) {
      _ = try compact(id, CompactionRules(rawSizeMax: options.segmentSizeMax), lock: lock)
    } catch {
      // Who compacts it does this, too; and retention may have removed it.
      guard error.code != .locked, error.code != .notFound else { return }
      let remedy = error.code == .corrupt ? "" : "; 'ckprov-log compact \(id)' does it"
      options.notice("session \(id): its files could not be sealed: \(error)\(remedy)")
    }
  }
}
