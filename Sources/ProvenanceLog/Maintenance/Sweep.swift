internal import LogFormat
package import LogStorage

extension SessionsDirectory {
  /// What goes when a session is opened: what work that died has left, and sessions that are too old. One listing serves for both.
  package func tidy(retentionHours: Double?, now: @autoclosure () -> Timestamp) {
    guard retentionHours != nil || isTurnToSweep, let names = try? names() else { return }
    sweep(names)
    if let retentionHours { removeExpired(hours: retentionHours, now: now(), among: names) }
  }

  /// To list a large directory takes longer than to open a session in it: 20 ms for 20,000 sessions. Where nothing else needs the listing, the larger the directory
  /// is the fewer do it, so that it costs each less than a millisecond on average.
  private var isTurnToSweep: Bool {
    let size = ((try? fileSystem.status(of: path)) ?? nil)?.size ?? 0
    return UInt64.random(in: 0...size >> 15) == 0
  }

  /// Removes unfinished views, imports and removals whose work cannot be alive any more (Format/directory.md). No other dot-name is touched; what cannot be
  /// removed is passed over.
  private func sweep(_ names: [String]) {
    for name in names where name.utf8.first == UInt8(ascii: ".") {
      if name.wholeMatch(of: /\.[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\.json\.[0-9a-f]{1,8}\.tmp/) != nil {
        try? sweepView(LogStorage.path(path, name))
      } else if name.wholeMatch(of: /\.[A-Za-z0-9_][A-Za-z0-9._-]{0,63}\.log\.[0-9a-f]{1,8}\.(tmp|removed)/) != nil {
        try? sweep(LogDirectory(path: LogStorage.path(path, name), fileSystem: fileSystem))
      }
    }
  }

  private func sweepView(_ path: String) throws(LogError) {
    guard let status = try fileSystem.status(of: path), status.kind == .file, isOld(status) else { return }
    try fileSystem.remove(path)
  }

  private func sweep(_ log: LogDirectory) throws(LogError) {
    guard try fileSystem.status(of: log.path)?.kind == .directory, try !log.hasLivingWriter() else { return }
    // Not before: the one who removes the lock's file changes the directory's time by that.
    guard let status = try fileSystem.status(of: log.path), isOld(status) else { return }
    try log.delete()
  }

  /// By the system's clock, for work of other processes is judged. Work takes a moment to take its lock, and writing a view takes none.
  private func isOld(_ status: FileStatus) -> Bool {
    status.modified < (currentTime().microseconds - 3_600_000_000) * 1000
  }
}
