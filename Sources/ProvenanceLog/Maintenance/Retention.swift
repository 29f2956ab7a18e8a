internal import LogFormat
package import LogStorage

extension SessionsDirectory {
  /// Removes sessions that were last written more than `hours` ago, as the reference does when it opens one: by the newest modification time of their
  /// files. A session with a living writer or maintainer stays; what cannot be removed is passed over.
  func removeExpired(hours: Double, now: Timestamp, among names: [String]) {
    let oldest = Double(now.microseconds) * 1000 - hours * 3600 * 1e9
    let (logs, jsonFiles) = entries(among: names)
    var logIDs: Set<String> = []
    for id in logs {
      logIDs.insert(id.description)
      guard let modified = try? log(of: id).modified(), Double(modified) < oldest else { continue }
      try? remove(id, lastWrittenBefore: oldest)
    }
    for name in jsonFiles where !logIDs.contains(name) {
      let path = LogStorage.path(self.path, "\(name).json")
      guard let status = try? fileSystem.status(of: path), status.kind == .file, Double(status.modified) < oldest else { continue }
      try? fileSystem.remove(path)
    }
  }

  /// Removes a session: for a reader of its log it is there whole, or gone.
  ///
  /// - Parameter oldest: it stays if it was written since, in nanoseconds since 1970.
  /// - Throws: `LogError` `locked` if someone is at work on it.
  package func remove(_ id: SessionID, lastWrittenBefore oldest: Double = .infinity) throws(LogError) {
    let log = log(of: id)
    let isStarted = try !log.segments().isEmpty
    let writer = try LogLock(.writer, of: log)
    let maintainer = try LogLock(.maintainer, of: log)
    defer { withExtendedLifetime((writer, maintainer)) {} }
    // Until the lock was taken somebody may have gone on with it, or started it.
    guard try isStarted ? Double(log.modified()) < oldest : log.segments().isEmpty else { return }
    if isStarted {
      // A view that outlived its log would look like a session; one of a damaged log is not known to be a view, and stays.
      if let header = try header(of: log, id) { try removeView(of: header) }
    }
    let aside = LogStorage.path(path, ".\(id).log.\(String(UInt32.random(in: .min ... .max), radix: 16)).removed")
    try fileSystem.rename(log.path, to: aside)
    try fileSystem.syncDirectory(path)
    try LogDirectory(path: aside, fileSystem: fileSystem).delete()
  }

  /// `nil` for a damaged log.
  private func header(of log: LogDirectory, _ id: SessionID) throws(LogError) -> SessionHeader? {
    do throws(LogError) {
      return try log.state(of: id).checkpoint.header
    } catch let error where error.code == .corrupt || error.code == .unsupportedVersion {
      return nil
    }
  }
}
