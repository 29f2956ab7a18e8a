internal import LogFormat
package import LogStorage

extension SessionsDirectory {
  /// What goes when a session is opened: what work that died has left, and sessions that are too old. One listing serves for both, and to list a large directory
  /// takes longer than to open a session in it: that is done at most once in `interval`, by all programs together (Format/directory.md); at zero each time.
  package func tidy(retentionHours: Double?, every interval: Duration, now: @autoclosure () -> Timestamp) {
    guard isTurn(retentionHours == nil ? .swept : .retained, every: interval), let names = try? names() else { return }
    sweep(names)
    if let retentionHours { retain(RetentionRules(hours: retentionHours), now: now(), among: names) }
  }

  /// Files whose modification time says when it was done last. Two, so that who only sweeps does not keep others from removing what is too old.
  private enum Mark { case swept, retained }

  /// By the system's clock, like the marks. Where the mark can't be made it is always somebody's turn.
  private func isTurn(_ mark: Mark, every interval: Duration) -> Bool {
    guard interval > .zero else { return true }
    let mark = LogStorage.path(path, ".\(mark)")
    if let status = try? fileSystem.status(of: mark) {
      // In both directions: it must not be put off for ever by a clock that was set back.
      let distance = abs(Double(currentTime().microseconds) * 1000 - Double(status.modified))
      guard distance >= interval / .nanoseconds(1) else { return false }
      // Made anew, for a file's time may be set by its owner alone.
      try? fileSystem.remove(mark)
    }
    _ = try? fileSystem.create(mark)
    return true
  }

  /// Removes unfinished views, imports and removals whose work cannot be alive any more (Format/directory.md). No other dot-name is touched; what cannot be
  /// removed is passed over.
  func sweep(_ names: [String]) {
    for name in names {
      let path = LogStorage.path(path, name)
      switch Leftover(name) {
      case .view: try? sweepView(path)
      case .log: try? sweep(LogDirectory(path: path, fileSystem: fileSystem))
      case nil: break
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

/// What unfinished work may leave beside the sessions, by its name.
enum Leftover {
  case view
  case log

  init?(_ name: String) {
    guard name.utf8.first == UInt8(ascii: ".") else { return nil }
    // `.ID.json.HEX.tmp`, where the id may have dots in it.
    let parts = name.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count >= 5, Self.isHex(parts[parts.count - 2]), SessionID.isValid(parts[1..<parts.count - 3].joined(separator: ".")) else {
      return nil
    }
    switch (parts[parts.count - 3], parts[parts.count - 1]) {
    case ("json", "tmp"): self = .view
    case ("log", "tmp"), ("log", "removed"): self = .log
    default: return nil
    }
  }

  private static func isHex(_ text: Substring) -> Bool {
    1...8 ~= text.utf8.count && text.utf8.allSatisfy { 0x30...0x39 ~= $0 || 0x61...0x66 ~= $0 }
  }
}
