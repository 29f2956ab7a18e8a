internal import LogFormat
package import ProvenanceModel

/// The names of a storage directory (Format/directory.md).
package struct SessionsDirectory: Sendable {
  /// `<storage-dir>/storage/sessions`.
  package let path: String
  package let fileSystem: any FileSystem
  private let storageDirectory: String

  package init(storageDirectory: String, fileSystem: any FileSystem) {
    self.storageDirectory = storageDirectory.isEmpty ? "." : storageDirectory
    self.fileSystem = fileSystem
    path = LogStorage.path(LogStorage.path(self.storageDirectory, "storage"), "sessions")
  }

  package func logPath(_ id: SessionID) -> String { LogStorage.path(path, "\(id).log") }

  package func log(of id: SessionID) -> LogDirectory { LogDirectory(path: logPath(id), fileSystem: fileSystem) }

  package func viewPath(_ id: SessionID) -> String { LogStorage.path(path, "\(id).json") }

  /// Makes the directory and those above it that are missing, as the reference does, each durable in its parent before one is made in it.
  ///
  /// Of what is there already the innermost may not be durable yet: who made it may have died, or failed, before its parent was synced; nor `storage`, if another
  /// program made it.
  package func make() throws(LogError) {
    var missing: [String] = []
    var current = path
    while try fileSystem.status(of: current) == nil, current != parentDirectory(current) {
      missing.append(current)
      current = parentDirectory(current)
    }
    let parents = [parentDirectory(current)] + (current == path ? [storageDirectory] : [])
    for parent in parents {
      do throws(LogError) {
        try fileSystem.syncDirectory(parent)
      } catch let error where error.code == .noPermission {
        // Who may not even list that directory has not made anything in it.
      }
    }
    for directory in missing.reversed() {
      _ = try fileSystem.makeDirectory(directory)
      try fileSystem.syncDirectory(parentDirectory(directory))
    }
  }

  /// All names in the directory; none if there is no directory.
  package func names() throws(LogError) -> [String] {
    do throws(LogError) { return try fileSystem.names(in: path) } catch let error where error.code == .notFound { return [] }
  }

  /// Whether there is no such directory.
  /// - Throws: `LogError` where something else stands in its path.
  package func isMissing() throws(LogError) -> Bool {
    guard try fileSystem.status(of: path) == nil else { return false }
    do throws(LogError) { _ = try fileSystem.names(in: path) } catch {
      guard error.code == .notFound else { throw error }
      return true
    }
    return false
  }

  /// What stands in the directory: sessions with a log, and the names, without `.json`, of the JSON files, both sorted.
  package func entries() throws(LogError) -> (logs: [SessionID], jsonFiles: [String]) { entries(among: try names()) }

  package func entries(among names: [String]) -> (logs: [SessionID], jsonFiles: [String]) {
    let logs = names.compactMap { $0.hasSuffix(".log") ? try? SessionID(String($0.dropLast(4))) : nil }
    let jsonFiles = names.filter { $0.hasSuffix(".json") && !$0.hasPrefix(".") }.map { String($0.dropLast(5)) }
    return (logs.sorted(), jsonFiles.sorted())
  }
}

/// `.` for a path without a slash.
package func parentDirectory(_ path: String) -> String {
  let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
  guard let slash = trimmed.lastIndex(of: "/") else { return "." }
  return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
}

/// A file of a log: where its frames begin, and in which form they are.
package struct SegmentFileName: Sendable, Hashable, Comparable, CustomStringConvertible {
  package let firstSequence: UInt64
  package let isSealed: Bool

  package init(firstSequence: UInt64, isSealed: Bool = false) {
    self.firstSequence = firstSequence
    self.isSealed = isSealed
  }

  package init?(_ name: String) {
    let isSealed = name.hasSuffix(".seg.lz4")
    guard isSealed || name.hasSuffix(".seg") else { return nil }
    let digits = name.dropLast(isSealed ? 8 : 4)
    guard digits.utf8.count == 20, digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let sequence = UInt64(digits), sequence <= FrameHeader.sequenceMax
    else { return nil }
    self.init(firstSequence: sequence, isSealed: isSealed)
  }

  package var description: String {
    let digits = String(firstSequence)
    return String(repeating: "0", count: 20 - digits.count) + digits + (isSealed ? ".seg.lz4" : ".seg")
  }

  package var temporaryName: String { ".\(self).tmp" }

  package static func < (a: SegmentFileName, b: SegmentFileName) -> Bool {
    (a.firstSequence, a.isSealed ? 0 : 1) < (b.firstSequence, b.isSealed ? 0 : 1)
  }
}

/// The directory of one log, and who is at work in it.
package struct LogDirectory: Sendable {
  package let path: String
  package let fileSystem: any FileSystem

  package init(path: String, fileSystem: any FileSystem) {
    self.path = path
    self.fileSystem = fileSystem
  }

  package func path(of name: String) -> String { LogStorage.path(path, name) }

  /// The files of the log by first sequence, of two with the same one the sealed one first; empty for a creation that did not finish.
  ///
  /// - Throws: `LogError` `notFound` if there is no log, `io` if its name is a symbolic link or no directory.
  package func segments() throws(LogError) -> [SegmentFileName] {
    try checkIsDirectory()
    return try fileSystem.names(in: path).compactMap(SegmentFileName.init).sorted()
  }

  fileprivate func checkIsDirectory() throws(LogError) {
    guard let status = try fileSystem.status(of: path) else { throw LogError(.notFound, "no such log", path: path) }
    guard status.kind == .directory else {
      throw LogError(.io, "this is no directory; a log must be one, and no symbolic link; move it away", path: path)
    }
  }

  /// Whether a writer is at work, in this process or another.
  package func hasLivingWriter() throws(LogError) -> Bool { try isLocked(.writer) }

  /// Whether a lock is held, by this process or another.
  package func isLocked(_ role: LogLock.Role) throws(LogError) -> Bool {
    do throws(LogError) {
      return try fileSystem.open(path(of: "lock"), for: .reading).isLockedByAnother(byte: role.rawValue)
    } catch let error where error.code == .notFound {
      return false
    }
  }

  /// The newest modification time of the log's files, in nanoseconds since 1970; the directory's own if it has none.
  package func modified() throws(LogError) -> Int64 {
    var newest: Int64?
    for name in try fileSystem.names(in: path) where SegmentFileName(name) != nil {
      if let status = try fileSystem.status(of: path(of: name)) { newest = max(newest ?? .min, status.modified) }
    }
    if let newest { return newest }
    return try fileSystem.status(of: path)?.modified ?? 0
  }

  /// Bytes of all segments, unpacked; of files that hold the same frames the widest counts.
  package func rawSize() throws(LogError) -> UInt64 {
    var lastListing: [SegmentFileName] = []
    while true {
      let files = try segments()
      do throws(LogError) { return try rawSize(files) } catch {
        // Replaced since they were listed.
        guard error.code == .notFound, files != lastListing else { throw error }
        lastListing = files
      }
    }
  }

  private func rawSize(_ files: [SegmentFileName]) throws(LogError) -> UInt64 {
    var size: UInt64 = 0
    var end: UInt64 = 0
    for name in files where name.firstSequence >= end {
      let file = try SegmentFile.open(name, in: self)
      // Sparse files may claim more than there are numbers for.
      let (sum, isTooMuch) = size.addingReportingOverflow(try file.rawSize())
      size = isTooMuch ? .max : sum
      end = (file.index?.lastSequence ?? name.firstSequence) + 1
    }
    return size
  }

  /// Bytes of the files that are not sealed: what a resume has to read.
  package func unsealedSize() throws(LogError) -> UInt64 {
    var size: UInt64 = 0
    for name in try segments() where !name.isSealed { size += try fileSystem.status(of: path(of: name.description))?.size ?? 0 }
    return size
  }

  /// Takes away what a start has made that failed, or did not finish. The caller holds the writer's lock; a failure is passed over, for the next start of
  /// this id takes such a log over.
  package func removeUnfinished() {
    // A name of another kind is none of ours.
    guard let names = try? fileSystem.names(in: path), names.allSatisfy({ $0 == "lock" || $0.hasPrefix(".") }) else { return }
    for name in names { try? fileSystem.remove(path(of: name)) }
    try? fileSystem.removeDirectory(path)
  }

  /// Takes away segments that were being made when their writer died; the caller holds the writer's lock. A failure is passed over.
  package func removeUnfinishedSegments() {
    for name in (try? unfinishedSegments()) ?? [] { try? fileSystem.remove(path(of: name)) }
  }

  func unfinishedSegments() throws(LogError) -> [String] {
    try fileSystem.names(in: path).filter {
      $0.hasPrefix(".") && $0.hasSuffix(".tmp") && SegmentFileName(String($0.dropFirst().dropLast(4)))?.isSealed == false
    }
  }

  /// Deletes the files and the directory of a log that no reader sees any more: one with a dot-name.
  package func delete() throws(LogError) {
    for name in try fileSystem.names(in: path) { try fileSystem.remove(path(of: name)) }
    try fileSystem.removeDirectory(path)
  }

  /// Bytes of all files.
  package func size() throws(LogError) -> UInt64 {
    var size: UInt64 = 0
    for name in try fileSystem.names(in: path) { size += try fileSystem.status(of: path(of: name))?.size ?? 0 }
    return size
  }
}

/// One role in one log, held until the last reference is gone or the process dies (Format/directory.md).
package final class LogLock: Sendable {
  package enum Role: Int64, Sendable {
    case writer = 0
    case maintainer = 1
  }

  private let file: any File
  private let role: Role
  private let path: String
  private let fileSystem: any FileSystem
  private let identity: FileIdentity

  deinit {
    // Said, not left to the closing of the file: a child that this process is forking may have the file for a moment, or for ever.
    file.unlock(byte: role.rawValue)
  }

  /// Takes the lock without waiting.
  /// - Throws: `LogError` `locked` if another holds it, `notFound` if the log was removed meanwhile.
  package init(_ role: Role, of log: LogDirectory) throws(LogError) {
    self.role = role
    // Before anything is made behind a symbolic link.
    try log.checkIsDirectory()
    path = log.path(of: "lock")
    fileSystem = log.fileSystem
    do throws(LogError) {
      file = try log.fileSystem.open(path, for: .readingAndWriting)
    } catch let error where error.code == .notFound {
      file = try Self.make(path, in: log)
    }
    identity = try file.status().identity
    guard try file.lock(byte: role.rawValue) else {
      let holder = role == .writer ? "writer" : "maintainer"
      throw LogError(.locked, "another \(holder) is at work on this session; wait for it, or end it", path: log.path)
    }
    // Between opening and locking the log may have been removed, and even made anew.
    guard try isThere() else { throw LogError(.notFound, "the log was removed meanwhile", path: log.path) }
  }

  /// Behind a symbolic link that took the log's place meanwhile nobody finds what is written.
  private func isThere() throws(LogError) -> Bool {
    guard try fileSystem.status(of: parentDirectory(path))?.kind == .directory else { return false }
    return try fileSystem.status(of: path)?.identity == identity
  }

  /// Whether it still keeps others away: not if its file was removed, or the log's directory.
  /// - Throws: `LogError` `notFound` if it does not.
  func check() throws(LogError) {
    guard try isThere() else {
      throw LogError(.notFound, "another program has removed this while it was locked, so others may have come in", path: path)
    }
  }

  private static func make(_ path: String, in log: LogDirectory) throws(LogError) -> any File {
    do throws(LogError) {
      return try log.fileSystem.create(path)
    } catch let error where error.errno == 17 {
      // EEXIST: another one was quicker.
      return try log.fileSystem.open(path, for: .readingAndWriting)
    }
  }
}
