package import LogStorage
package import ProvenanceLog
internal import Synchronization

/// The machine's disk, watched: it keeps what was asked of it, in order, and fails where its rule says so.
package final class WatchedFileSystem: FileSystem {
  private struct State {
    var operations: [DiskOperation] = []
    var rule: DiskRule?
    var question: (@Sendable () -> Void)?
    var lock: (@Sendable () -> Void)?
    /// What files are called now, by the name under which they were opened or made.
    var renamed: [String: String] = [:]
    var bytesRead = 0
    var listings: [String] = []
  }

  private let disk = DiskFileSystem()
  private let state = Mutex(State())

  package init() {}

  /// What was asked since the last `forget`, that which failed included.
  package var operations: [DiskOperation] { state.withLock { $0.operations } }

  /// Since it was made.
  package var bytesRead: Int { state.withLock { $0.bytesRead } }

  /// Directories, each time that they were listed.
  package var listings: [String] { state.withLock { $0.listings } }

  package func count(_ matches: (DiskOperation) -> Bool) -> Int { operations.count(where: matches) }

  package func forget() {
    state.withLock { $0.operations = [] }
  }

  package func setRule(_ rule: DiskRule?) {
    state.withLock { $0.rule = rule }
  }

  /// What happens right before the next lock is taken, its file being open.
  package func beforeNextLock(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.lock = body }
  }

  fileprivate func beforeLock() -> (@Sendable () -> Void)? {
    state.withLock { state in
      defer { state.lock = nil }
      return state.lock
    }
  }

  /// What happens right before the next question whether a writer is at work is answered.
  package func beforeNextQuestionForTheWriter(_ body: @escaping @Sendable () -> Void) {
    state.withLock { $0.question = body }
  }

  fileprivate func question() -> (@Sendable () -> Void)? {
    state.withLock { state in
      defer { state.question = nil }
      return state.question
    }
  }

  fileprivate func currentName(of path: String) -> String { state.withLock { $0.renamed[path] ?? path } }

  fileprivate func fault(_ operation: DiskOperation) -> DiskFault? {
    let rule = state.withLock { state in
      state.operations.append(operation)
      return state.rule
    }
    return rule?(operation)
  }

  fileprivate func pass(_ operation: DiskOperation) throws(LogError) {
    if let fault = fault(operation) { throw fault.error }
  }

  // MARK: FileSystem

  package func open(_ path: String, for access: FileAccess) throws(LogError) -> any File {
    WatchedFile(try disk.open(path, for: access), self)
  }

  package func create(_ path: String) throws(LogError) -> any File {
    try pass(.create(path))
    state.withLock { $0.renamed[path] = nil }
    return WatchedFile(try disk.create(path), self)
  }

  package func makeDirectory(_ path: String) throws(LogError) -> Bool {
    try pass(.makeDirectory(path))
    return try disk.makeDirectory(path)
  }

  fileprivate func didRead(_ count: Int) { state.withLock { $0.bytesRead += count } }

  package func checkIsWritable(_ directory: String) throws(LogError) { try disk.checkIsWritable(directory) }

  package func names(in directory: String) throws(LogError) -> [String] {
    state.withLock { $0.listings.append(directory) }
    return try disk.names(in: directory)
  }

  package func status(of path: String) throws(LogError) -> FileStatus? { try disk.status(of: path) }

  package func rename(_ path: String, to target: String) throws(LogError) {
    try pass(.rename(path, to: target))
    try disk.rename(path, to: target)
  }

  package func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool {
    try pass(.rename(path, to: target))
    let isNew = try disk.renameToNew(path, to: target)
    if isNew { state.withLock { $0.renamed[path] = target } }
    return isNew
  }

  package func exchange(_ path: String, with other: String) throws(LogError) {
    try pass(.rename(path, to: other))
    try disk.exchange(path, with: other)
  }

  package func remove(_ path: String) throws(LogError) {
    try pass(.remove(path))
    try disk.remove(path)
  }

  package func removeDirectory(_ path: String) throws(LogError) {
    try pass(.removeDirectory(path))
    try disk.removeDirectory(path)
  }

  package func syncDirectory(_ directory: String) throws(LogError) {
    try pass(.syncDirectory(directory))
    try disk.syncDirectory(directory)
  }

  package func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError) {
    try pass(.setModificationTime(path))
    try disk.setModificationTime(of: path, to: nanoseconds)
  }
}

private final class WatchedFile: File {
  private let file: any File
  private let fileSystem: WatchedFileSystem

  init(_ file: any File, _ fileSystem: WatchedFileSystem) {
    self.file = file
    self.fileSystem = fileSystem
  }

  var path: String { file.path }

  private var currentPath: String { fileSystem.currentName(of: path) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    let count = try file.read(into: buffer, at: offset)
    fileSystem.didRead(count)
    return count
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?) {
    guard let fault = fileSystem.fault(.write(currentPath, size: bytes.count)) else { return file.write(bytes, at: offset) }
    let written = min(fault.written, bytes.count)
    let result = file.write(UnsafeRawBufferPointer(rebasing: bytes[..<written]), at: offset)
    return (result.written, result.error ?? fault.error)
  }

  func sync() throws(LogError) {
    try fileSystem.pass(.sync(currentPath))
    try file.sync()
  }

  func truncate(to size: UInt64) throws(LogError) {
    try fileSystem.pass(.truncate(currentPath, size: size))
    try file.truncate(to: size)
  }

  func status() throws(LogError) -> FileStatus { try file.status() }

  func nextData(from offset: UInt64) throws(LogError) -> UInt64? { try file.nextData(from: offset) }

  func lock(byte: Int64) throws(LogError) -> Bool {
    fileSystem.beforeLock()?()
    return try file.lock(byte: byte)
  }

  func unlock(byte: Int64) { file.unlock(byte: byte) }

  func isLockedByAnother(byte: Int64) throws(LogError) -> Bool {
    fileSystem.question()?()
    return try file.isLockedByAnother(byte: byte)
  }
}
