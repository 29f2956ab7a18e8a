package import LogStorage

/// What one session takes on disk, and when it was last written.
package struct DiskUse: Sendable {
  package let session: SessionStore.Location
  /// The newest modification time of its files, in nanoseconds since 1970.
  package let modified: Int64
  /// 0 for a legacy session.
  package let logBytes: UInt64
  /// Of what stands as evidence in the log's directory, and goes with it.
  package let asideBytes: UInt64
  /// Of the JSON file that goes with it: the log's view, or the legacy session itself.
  package let jsonBytes: UInt64
  /// False for a creation that did not finish.
  package let isStarted: Bool

  package var bytes: UInt64 { logBytes + asideBytes + jsonBytes }
  /// The nanoseconds that 64 bits hold are all in the years that a timestamp has.
  package var lastWritten: Timestamp { Timestamp(microseconds: modified / 1000)! }
}

/// What everything in a directory of sessions takes on disk.
package struct DirectoryUse: Sendable {
  package internal(set) var sessions: [DiskUse] = []
  /// Of unfinished work that died, or is still alive: whoever opens a session takes it away, if it is old enough.
  package internal(set) var leftoverBytes: UInt64 = 0
  /// Of what was set aside as evidence: nobody takes it away.
  package internal(set) var asideBytes: UInt64 = 0
  package internal(set) var failures: [(session: SessionStore.Location, error: LogError)] = []
}

extension SessionsDirectory {
  /// Bytes of files, as their lengths say. Memory: a few words a session.
  ///
  /// - Parameter progress: gets how many names of how many have been looked at.
  /// - Throws: `LogError` if the directory cannot be listed; what cannot be looked at is named in the result.
  package func use(progress: (Int, Int) -> Void = { _, _ in }) throws(LogError) -> DirectoryUse {
    let names = try names()
    var use = DirectoryUse()
    let all = diskUse(among: names, progress: progress, failures: &use.failures)
    use.sessions = all.filter(\.isStarted)
    use.leftoverBytes = all.reduce(0) { $0 + ($1.isStarted ? 0 : $1.logBytes) }
    use.asideBytes = all.reduce(0) { $0 + $1.asideBytes }
    for name in names where name.hasPrefix(".") {
      let bytes = size(of: LogStorage.path(path, name))
      if Leftover(name) != nil { use.leftoverBytes += bytes }
      if name.hasSuffix(".aside") { use.asideBytes += bytes }
    }
    return use
  }

  /// Of a file, or of the files in a directory; 0 for what cannot be looked at.
  private func size(of path: String) -> UInt64 {
    guard let status = (try? fileSystem.status(of: path)) ?? nil else { return 0 }
    return status.kind == .directory ? (try? LogDirectory(path: path, fileSystem: fileSystem).size()) ?? 0 : status.size
  }

  /// All sessions, logs first, creations that did not finish among them. What is no directory and no file is no session.
  /// - Parameter limit: what was last written later is not looked into: its JSON file is taken for its view.
  func diskUse(
    among names: [String], lookingBefore limit: Int64 = .max, progress: (Int, Int) -> Void,
    failures: inout [(session: SessionStore.Location, error: LogError)]
  ) -> [DiskUse] {
    let (logs, jsonFiles) = entries(among: names)
    var legacy = Set(jsonFiles)
    let sessions = logs.map { SessionStore.Location.log($0) } + jsonFiles.map { .legacy($0) }
    var uses: [DiskUse] = []
    for (index, session) in sessions.enumerated() {
      progress(index, sessions.count)
      do throws(LogError) {
        switch session {
        case .log(let id):
          // As long as it is not known what the log is, the JSON beside it is left alone.
          let hasJSON = legacy.remove(id.description) != nil
          guard let use = try log(of: id).use() else {
            // What is there is no log.
            if hasJSON, try fileSystem.status(of: logPath(id)) != nil { legacy.insert(id.description) }
            continue
          }
          var viewBytes: UInt64 = 0
          if !use.isStarted {
            // Beside a log that was never started it is a session.
            if hasJSON { legacy.insert(id.description) }
          } else if hasJSON, let json = try fileSystem.status(of: viewPath(id)), json.kind == .file {
            let kind = min(use.modified, json.modified) < limit ? try jsonKind(of: id, try knownHeader(of: id)) : .view
            if kind == .another { legacy.insert(id.description) } else { viewBytes = json.size }
          }
          uses.append(
            DiskUse(
              session: session, modified: use.modified, logBytes: use.bytes, asideBytes: use.asideBytes, jsonBytes: viewBytes,
              isStarted: use.isStarted))
        case .legacy(let name):
          guard legacy.contains(name) else { continue }
          guard let status = try fileSystem.status(of: legacyPath(name)), status.kind == .file else {
            try checkIsText(legacyPath(name))
            continue
          }
          uses.append(
            DiskUse(session: session, modified: status.modified, logBytes: 0, asideBytes: 0, jsonBytes: status.size, isStarted: true))
        }
      } catch {
        // Not found: it was removed meanwhile.
        if error.code != .notFound { failures.append((session, error)) }
      }
    }
    return uses
  }

  /// A name that is not UTF-8 was listed with other characters, under which nothing is found.
  func checkIsText(_ path: String) throws(LogError) {
    guard path.unicodeScalars.contains("\u{FFFD}") else { return }
    throw LogError(.invalidInput, "the name of this file is not UTF-8; rename it", path: path)
  }

  package func legacyPath(_ name: String) -> String { LogStorage.path(path, "\(name).json") }
}

extension LogDirectory {
  /// When it was last written, and what it takes on disk; `nil` if there is no such directory.
  fileprivate func use() throws(LogError) -> (modified: Int64, bytes: UInt64, asideBytes: UInt64, isStarted: Bool)? {
    guard let directory = try fileSystem.status(of: path), directory.kind == .directory else { return nil }
    var newest: Int64?
    var (bytes, asideBytes): (UInt64, UInt64) = (0, 0)
    for name in try fileSystem.names(in: path) {
      guard let status = try fileSystem.status(of: path(of: name)) else { continue }
      if name.hasSuffix(".aside") { asideBytes += status.size } else { bytes += status.size }
      if SegmentFileName(name) != nil { newest = max(newest ?? .min, status.modified) }
    }
    return (newest ?? directory.modified, bytes, asideBytes, newest != nil)
  }
}
