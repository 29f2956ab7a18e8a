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
  /// - Throws: `LogError` if the directory cannot be listed.
  package func retain(
    _ rules: RetentionRules, now: Timestamp, isDryRun: Bool = false, progress: (Int, Int) -> Void = { _, _ in }
  ) throws(LogError) -> RetentionReport {
    let names = try names()
    if !isDryRun { sweep(names) }
    return retain(rules, now: now, isDryRun: isDryRun, among: names, progress: progress)
  }

  @discardableResult
  func retain(
    _ rules: RetentionRules, now: Timestamp, isDryRun: Bool = false, among names: [String], progress: (Int, Int) -> Void = { _, _ in }
  ) -> RetentionReport {
    var report = RetentionReport()
    let candidates = candidates(among: names, progress: progress, failures: &report.failures)
    report.sessionsLeft = candidates.count(where: \.isStarted)
    report.bytesLeft = candidates.reduce(0) { $0 + $1.bytes }
    let oldest = rules.hours.map { Double(now.microseconds) * 1000 - $0 * 3600 * 1e9 }
    var excess = rules.keep.map { max(0, report.sessionsLeft - $0) } ?? 0
    for candidate in candidates {
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
      do throws(LogError) {
        guard let freed = try isDryRun ? (isInUse(candidate.session) ? nil : candidate.bytes) : remove(candidate) else {
          report.inUse.append(candidate.session)
          continue
        }
        report.removed.append(.init(session: candidate.session, lastWritten: candidate.lastWritten, bytes: freed, rule: rule))
        report.bytesLeft -= min(freed, report.bytesLeft)
        if candidate.isStarted { report.sessionsLeft -= 1 }
      } catch {
        // Not found: another one has removed it meanwhile.
        if error.code != .notFound { report.failures.append((candidate.session, error)) }
      }
    }
    return report
  }

  /// Removes a session: for a reader of its log it is there whole, or gone.
  ///
  /// - Parameter modified: it stays if it was written later than that, in nanoseconds since 1970.
  /// - Returns: whether it is gone.
  /// - Throws: `LogError` `locked` if someone is at work on it.
  @discardableResult
  package func remove(_ id: SessionID, lastWritten modified: Int64 = .max) throws(LogError) -> Bool {
    let log = log(of: id)
    let isStarted = try !log.segments().isEmpty
    let writer = try LogLock(.writer, of: log)
    let maintainer = try LogLock(.maintainer, of: log)
    defer { withExtendedLifetime((writer, maintainer)) {} }
    // Until the lock was taken somebody may have gone on with it, or started it.
    guard try isStarted ? log.modified() <= modified : log.segments().isEmpty else { return false }
    if isStarted {
      // A view that outlived its log would look like a session; one of a damaged log is not known to be a view, and stays.
      if let header = try header(of: log, id) { try removeView(of: header) }
    }
    let aside = asidePath("\(id).log", "removed")
    try fileSystem.rename(log.path, to: aside)
    try fileSystem.syncDirectory(path)
    try LogDirectory(path: aside, fileSystem: fileSystem).delete()
    return true
  }

  /// `nil` for a damaged log.
  private func header(of log: LogDirectory, _ id: SessionID) throws(LogError) -> SessionHeader? {
    do throws(LogError) {
      return try log.state(of: id).checkpoint.header
    } catch let error where error.code == .corrupt || error.code == .unsupportedVersion {
      return nil
    }
  }

  // MARK: One session

  private struct Candidate {
    let session: SessionStore.Location
    /// Nanoseconds since 1970.
    let modified: Int64
    let logBytes: UInt64
    /// Of the JSON file: the session itself, or the log's view.
    let jsonBytes: UInt64
    /// False for a creation that did not finish.
    let isStarted: Bool

    var bytes: UInt64 { logBytes + jsonBytes }
    /// The nanoseconds that 64 bits hold are all in the years that a timestamp has.
    var lastWritten: Timestamp { Timestamp(microseconds: modified / 1000)! }
  }

  /// All sessions, those last written longest ago first. What is no directory and no file is no session.
  private func candidates(
    among names: [String], progress: (Int, Int) -> Void, failures: inout [(session: SessionStore.Location, error: LogError)]
  ) -> [Candidate] {
    let (logs, jsonFiles) = entries(among: names)
    var legacy = Set(jsonFiles)
    let sessions = logs.map { SessionStore.Location.log($0) } + jsonFiles.map { .legacy($0) }
    var candidates: [Candidate] = []
    for (index, session) in sessions.enumerated() {
      progress(index, sessions.count)
      do throws(LogError) {
        switch session {
        case .log(let id):
          let hasJSON = legacy.remove(id.description) != nil
          guard let use = try log(of: id).use() else { continue }
          let json = hasJSON ? try fileSystem.status(of: viewPath(id)) : nil
          candidates.append(
            Candidate(session: session, modified: use.modified, logBytes: use.bytes, jsonBytes: json?.size ?? 0, isStarted: use.isStarted))
        case .legacy(let name):
          guard legacy.contains(name), let status = try fileSystem.status(of: legacyPath(name)), status.kind == .file else { continue }
          candidates.append(Candidate(session: session, modified: status.modified, logBytes: 0, jsonBytes: status.size, isStarted: true))
        }
      } catch {
        if error.code != .notFound { failures.append((session, error)) }
      }
    }
    return candidates.sorted { ($0.modified, $0.session.name) < ($1.modified, $1.session.name) }
  }

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

  /// - Returns: bytes that were freed; `nil` if it stays, because somebody is at work on it, or was a moment ago.
  private func remove(_ candidate: Candidate) throws(LogError) -> UInt64? {
    switch candidate.session {
    case .log(let id):
      do throws(LogError) {
        guard try remove(id, lastWritten: candidate.modified) else { return nil }
      } catch let error where error.code == .locked {
        return nil
      }
      return candidate.logBytes + (try fileSystem.status(of: viewPath(id)) == nil ? candidate.jsonBytes : 0)
    case .legacy(let name):
      let path = legacyPath(name)
      if let status = try fileSystem.status(of: path), status.modified != candidate.modified { return nil }
      try fileSystem.remove(path)
      return candidate.jsonBytes
    }
  }

  private func legacyPath(_ name: String) -> String { LogStorage.path(path, "\(name).json") }
}

extension LogDirectory {
  /// When it was last written, and what it takes on disk; `nil` if there is no such directory.
  fileprivate func use() throws(LogError) -> (modified: Int64, bytes: UInt64, isStarted: Bool)? {
    guard let directory = try fileSystem.status(of: path), directory.kind == .directory else { return nil }
    var newest: Int64?
    var bytes: UInt64 = 0
    for name in try fileSystem.names(in: path) {
      guard let status = try fileSystem.status(of: path(of: name)) else { continue }
      bytes += status.size
      if SegmentFileName(name) != nil { newest = max(newest ?? .min, status.modified) }
    }
    return (newest ?? directory.modified, bytes, newest != nil)
  }
}
