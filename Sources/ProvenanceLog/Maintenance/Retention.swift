internal import LogFormat
package import LogStorage

/// Which sessions are too many; a rule that is `nil` removes none.
package struct RetentionRules: Sendable {
  /// Removes those last written longer ago: by the newest modification time of their files.
  package var hours: Double?
  /// Removes all but so many, those last written most recently.
  package var keep: Int?
  /// Removes ended sessions, those last written longest ago first, until what is left takes no more bytes than this on disk.
  package var bytesMax: UInt64?

  package init(hours: Double? = nil, keep: Int? = nil, bytesMax: UInt64? = nil) {
    self.hours = hours
    self.keep = keep
    self.bytesMax = bytesMax
  }
}

/// What retention has removed, or would remove.
package struct RetentionReport: Sendable {
  package enum Rule: String, Sendable { case hours, keep, bytesMax = "max_bytes" }

  package struct Removal: Sendable {
    package let session: SessionStore.Location
    package let lastWritten: Timestamp
    /// What it has freed, or would free.
    package let bytes: UInt64
    package let rule: Rule
  }

  package internal(set) var removed: [Removal] = []
  /// They were to go, but somebody is at work on them.
  package internal(set) var inUse: [SessionStore.Location] = []
  package internal(set) var failures: [(session: SessionStore.Location, error: LogError)] = []
  /// What is left, as far as it can be read.
  package internal(set) var sessionsLeft = 0
  package internal(set) var bytesLeft: UInt64 = 0
}

extension SessionsDirectory {
  /// Removes the sessions that are too many, by all rules that are given; what work that died has left goes, too. A session with a living writer or maintainer
  /// stays; one that cannot be removed is named in the report, and the others go on. Bounded memory, but for a few words a session.
  ///
  /// - Parameters:
  ///   - isDryRun: changes nothing, and says what would go.
  ///   - progress: gets how many names of how many have been looked at.
  ///   - removed: gets what is gone, or would go, as soon as it is, first nothing; and how many there may be in all.
  /// - Throws: `LogError` if the directory cannot be listed.
  package func retain(
    _ rules: RetentionRules, now: Timestamp, isDryRun: Bool = false, progress: (Int, Int) -> Void = { _, _ in },
    removed: (ArraySlice<RetentionReport.Removal>, Int) -> Void = { _, _ in }
  ) throws(LogError) -> RetentionReport {
    let names = try names()
    if !isDryRun { sweep(names) }
    return retain(rules, now: now, isDryRun: isDryRun, among: names, progress: progress, removed: removed)
  }

  @discardableResult
  func retain(
    _ rules: RetentionRules, now: Timestamp, isDryRun: Bool = false, among names: [String], progress: (Int, Int) -> Void = { _, _ in },
    removed: (ArraySlice<RetentionReport.Removal>, Int) -> Void = { _, _ in }
  ) -> RetentionReport {
    var report = RetentionReport()
    let oldest = rules.hours.map { Double(now.microseconds) * 1000 - $0 * 3600 * 1e9 }
    // Where age alone decides, what is young stays whatever it is.
    let limit = rules.keep == nil && rules.bytesMax == nil ? oldest.flatMap { Int64(exactly: $0.rounded(.up)) } ?? .max : .max
    let candidates = diskUse(among: names, lookingBefore: limit, progress: progress, failures: &report.failures).sorted {
      ($0.modified, $0.session.name) < ($1.modified, $1.session.name)
    }
    report.sessionsLeft = candidates.count(where: \.isStarted)
    report.bytesLeft = candidates.reduce(0) { $0 + ($1.isStarted ? $1.bytes : 0) }
    var batch: [Removal] = []
    let countMax = excessCount(candidates, rules, oldest, report)
    removed([], countMax)
    func removeBatch() {
      let count = report.removed.count
      remove(&batch, isDryRun: isDryRun, &report)
      if report.removed.count > count { removed(report.removed[count...], max(countMax, report.removed.count)) }
    }
    let youngest = (now.microseconds - 60_000_000) * 1000
    var excess = rules.keep.map { max(0, report.sessionsLeft - $0) } ?? 0
    var isHandled = Array(repeating: false, count: candidates.count)
    var isTooLarge = false
    repeat {
      let failureCount = report.failures.count
      for (index, candidate) in candidates.enumerated() where !isHandled[index] {
        // It may be about to be started.
        if !candidate.isStarted, candidate.modified > youngest { continue }
        let isExcess = candidate.isStarted && excess > 0
        if isExcess { excess -= 1 }
        let rule: RetentionReport.Rule
        if let oldest, Double(candidate.modified) < oldest {
          rule = .hours
        } else if isExcess {
          rule = .keep
        } else if let bytesMax = rules.bytesMax, report.bytesLeft > bytesMax, isEnded(candidate.session) {
          rule = .bytesMax
        } else {
          continue
        }
        isHandled[index] = true
        do throws(LogError) {
          guard let locks = try isDryRun ? plan(candidate) : lock(candidate, makingRoom: removeBatch) else {
            report.inUse.append(candidate.session)
            continue
          }
          batch.append(Removal(use: candidate, bytes: try bytes(freedBy: candidate), rule: rule, locks: locks))
          report.forget(candidate)
          if batch.count == Removal.batchMax { removeBatch() }
        } catch {
          if error.code != .notFound { report.failures.append((candidate.session, error)) }
        }
      }
      removeBatch()
      // In the place of what could not be removed others go.
      isTooLarge = report.failures.count > failureCount && rules.bytesMax.map { report.bytesLeft > $0 } ?? false
    } while isTooLarge
    return report
  }

  /// How many are too many, the oldest, if none of them stays because somebody is at work on it.
  private func excessCount(_ candidates: [DiskUse], _ rules: RetentionRules, _ oldest: Double?, _ report: RetentionReport) -> Int {
    var (count, bytes) = (report.sessionsLeft, report.bytesLeft)
    return candidates.prefix { candidate in
      defer {
        if candidate.isStarted { (count, bytes) = (count - 1, bytes - candidate.bytes) }
      }
      return oldest.map { Double(candidate.modified) < $0 } ?? false || count > rules.keep ?? .max || bytes > rules.bytesMax ?? .max
    }.count
  }

  /// Removes a session: for a reader of its log it is there whole, or gone.
  ///
  /// - Throws: `LogError` `locked` if someone is at work on it.
  package func remove(_ id: SessionID) throws(LogError) {
    let locks = try lock(log(of: id))
    defer { withExtendedLifetime(locks) {} }
    if let error = remove([.log(id)])[0] { throw error }
  }

  /// The same; of one that the reference has left, its file.
  package func remove(_ session: SessionStore.Location) throws(LogError) {
    switch session {
    case .log(let id): try remove(id)
    case .legacy: if let error = remove([session])[0] { throw error }
    }
  }

  /// Removes them together, for the two syncs that it takes cost the most.
  private func remove(_ batch: inout [Removal], isDryRun: Bool, _ report: inout RetentionReport) {
    guard !batch.isEmpty else { return }
    let errors = isDryRun ? batch.map { _ in nil } : remove(batch.map(\.use.session))
    for (removal, error) in zip(batch, errors) {
      let use = removal.use
      if let error {
        // Not found: another one has removed it meanwhile.
        guard error.code != .notFound else { continue }
        report.remember(use)
        // Its view may be gone.
        if use.jsonBytes > 0, (try? fileSystem.status(of: legacyPath(use.session.name))) == nil { report.bytesLeft -= use.jsonBytes }
        report.failures.append((use.session, error))
      } else {
        // A creation that did not finish was no session.
        if use.isStarted {
          report.removed.append(.init(session: use.session, lastWritten: use.lastWritten, bytes: removal.bytes, rule: removal.rule))
        }
      }
    }
    batch = []
  }

  /// The caller holds their locks.
  /// - Returns: for each what kept it from being removed.
  private func remove(_ sessions: [SessionStore.Location]) -> [LogError?] {
    var errors: [LogError?] = Array(repeating: nil, count: sessions.count)
    func each(_ step: (SessionStore.Location) throws(LogError) -> Void) {
      for index in sessions.indices where errors[index] == nil {
        do throws(LogError) { try step(sessions[index]) } catch { errors[index] = error }
      }
    }
    func sync() {
      do throws(LogError) { try fileSystem.syncDirectory(path) } catch { each { _ throws(LogError) in throw error } }
    }
    var aside: [SessionID: LogDirectory] = [:]
    var known: [SessionID: KnownSession] = [:]
    each { session throws(LogError) in
      switch session {
      case .log(let id):
        let log = log(of: id)
        try checkCanBeDeleted(log)
        // Beside a log that was never started the JSON is a session.
        guard try !log.segments().isEmpty else { return }
        let session = try self.known(id)
        known[id] = session
        try takeView(of: id, session)
      case .legacy(let name): try fileSystem.remove(legacyPath(name))
      }
    }
    sync()
    each { session throws(LogError) in
      guard case .log(let id) = session else { return }
      let removed = LogDirectory(path: asidePath("\(id).log", "removed"), fileSystem: fileSystem)
      try fileSystem.rename(logPath(id), to: removed.path)
      aside[id] = removed
      // Somebody may have written it again meanwhile; who does so from now on finds the log gone, and takes it back.
      if let session = known[id] { try takeView(of: id, session) }
    }
    sync()
    each { session throws(LogError) in
      guard case .log(let id) = session else { return }
      do throws(LogError) { try aside[id]?.delete() } catch {
        throw error.adding("; the session is gone, and what is left of it goes with a later opening of this directory")
      }
    }
    return errors
  }

  /// Else it would be gone for readers, and left over for ever.
  private func checkCanBeDeleted(_ log: LogDirectory) throws(LogError) {
    for directory in [path, log.path] { try fileSystem.checkIsWritable(directory) }
    for name in try fileSystem.names(in: log.path) {
      let path = log.path(of: name)
      guard let status = try fileSystem.status(of: path) else {
        try checkIsText(path)
        continue
      }
      guard status.kind != .directory else { throw LogError(.io, "a directory is no part of a log; move it away", path: path) }
    }
  }

  /// A view that outlived its log would look like a session.
  private func takeView(of id: SessionID, _ session: KnownSession) throws(LogError) {
    switch try fate(ofViewOf: id, session) {
    case .removed: try fileSystem.remove(viewPath(id))
    case .setAside: try fileSystem.rename(viewPath(id), to: asidePath("\(id).json", "aside"))
    case .left: break
    }
  }

  private enum ViewFate { case removed, setAside, left }

  /// What becomes of the JSON beside a log that goes. What may be all that is left of the session is set aside: a view that holds more than its log, or one
  /// that is not known to be the view, since it is damaged itself, or nothing in the log is whole that says so.
  private func fate(ofViewOf id: SessionID, _ session: KnownSession) throws(LogError) -> ViewFate {
    switch try jsonKind(of: id, session.header) {
    case .view:
      // What the log has lost at its end may be there.
      let holdsMore = if let state = session.state { try viewHoldsMore(than: state) } else { true }
      return holdsMore ? .setAside : .removed
    case .damaged: return .setAside
    case .another, .missing, .noFile: return .left
    }
  }

  private func known(_ id: SessionID) throws(LogError) -> KnownSession {
    KnownSession(header: try knownHeader(of: id), state: try? log(of: id).state(of: id).checkpoint)
  }

  /// A view that is set aside takes its room as before.
  private func bytes(freedBy use: DiskUse) throws(LogError) -> UInt64 {
    guard case .log(let id) = use.session, use.jsonBytes > 0, use.isStarted else { return use.bytes }
    return try fate(ofViewOf: id, known(id)) == .setAside ? use.bytes - use.jsonBytes : use.bytes
  }

  // MARK: One session

  /// What cannot be read is not known to have ended.
  private func isEnded(_ session: SessionStore.Location) -> Bool {
    switch session {
    case .log(let id): (try? log(of: id).state(of: id))?.checkpoint.summary.end != nil
    case .legacy(let name): (try? SessionStore(self).legacyEntry(name))?.session?.endedAt != nil
    }
  }

  /// Asked, not tried: no lock is taken. The reference takes none.
  private func isInUse(_ session: SessionStore.Location) throws(LogError) -> Bool {
    guard case .log(let id) = session else { return false }
    do throws(LogError) {
      let lock = try fileSystem.open(log(of: id).path(of: "lock"), for: .reading)
      for role in [LogLock.Role.writer, .maintainer] where try lock.isLockedByAnother(byte: role.rawValue) { return true }
    } catch let error where error.code == .notFound {
      // Nobody has ever taken a lock in it.
    }
    return false
  }

  private func plan(_ use: DiskUse) throws(LogError) -> [LogLock]? {
    if try isInUse(use.session) { return nil }
    switch use.session {
    case .log(let id): try checkCanBeDeleted(log(of: id))
    case .legacy: try fileSystem.checkIsWritable(path)
    }
    return []
  }

  /// The same, after others were removed if no more files may be open.
  private func lock(_ use: DiskUse, makingRoom makeRoom: () -> Void) throws(LogError) -> [LogLock]? {
    do throws(LogError) { return try lock(use) } catch let error where error.isOutOfFiles {
      makeRoom()
      return try lock(use)
    }
  }

  /// Keeps all others from a session.
  /// - Returns: `nil` if somebody is at work on it, or was since it was looked at. The reference takes no lock.
  private func lock(_ use: DiskUse) throws(LogError) -> [LogLock]? {
    switch use.session {
    case .log(let id):
      let log = log(of: id)
      do throws(LogError) {
        let locks = try lock(log)
        let isUnchanged = try use.isStarted ? log.modified() <= use.modified : log.segments().isEmpty
        return isUnchanged ? locks : nil
      } catch let error where error.code == .locked {
        return nil
      }
    case .legacy(let name):
      guard let status = try fileSystem.status(of: legacyPath(name)) else { throw LogError(.notFound, "no such session", path: legacyPath(name)) }
      return status.modified == use.modified ? [] : nil
    }
  }

  private func lock(_ log: LogDirectory) throws(LogError) -> [LogLock] { [try LogLock(.writer, of: log), try LogLock(.maintainer, of: log)] }
}

/// What was read of a log before it goes.
private struct KnownSession {
  let header: SessionHeader?
  let state: Checkpoint?
}

/// A session that is to go, kept from all others.
private struct Removal {
  let use: DiskUse
  /// What it frees.
  let bytes: UInt64
  let rule: RetentionReport.Rule
  let locks: [LogLock]

  /// Each holds two files open.
  static let batchMax = 64
}

extension RetentionReport {
  // A creation that did not finish is no session.

  fileprivate mutating func forget(_ use: DiskUse) {
    if use.isStarted { (sessionsLeft, bytesLeft) = (sessionsLeft - 1, bytesLeft - use.bytes) }
  }

  fileprivate mutating func remember(_ use: DiskUse) {
    if use.isStarted { (sessionsLeft, bytesLeft) = (sessionsLeft + 1, bytesLeft + use.bytes) }
  }
}
