package import LogStorage
package import ProvenanceLog
import Synchronization

/// A disk in memory that remembers every operation, so that the states it may be in after a power cut can be made one by one (`CrashPoint`), and
/// that fails where its rule says so.
package final class SimulatedDisk: FileSystem {
  /// One thing that was done to the disk, in the order in which it was done.
  package enum Operation: Sendable {
    case make(inode: Int, isDirectory: Bool)
    case write(inode: Int, offset: Int, bytes: [UInt8])
    case truncate(inode: Int, size: Int)
    /// Of names in one directory, all at once: a name was made, renamed, removed.
    case changeNames(directory: Int, [DiskImage.NameChange])
    /// Of a file or a directory.
    case sync(inode: Int)
    /// The system forgot what it could not write: reads still give it, a later sync does not keep it.
    case failedSync(inode: Int)
    /// A note by the test: from here on, this is promised.
    case promise(Int)
  }

  fileprivate struct State {
    var image: DiskImage
    var operations: [Operation] = []
    var rule: DiskRule?
    var capacity = Int.max / 2
    var used = 0
    /// Locked bytes of each inode, by the file that holds them.
    var locks: [Int: [Int64: ObjectIdentifier]] = [:]
    /// How many processes have ended.
    var process = 0
  }

  private let state: Mutex<State>
  /// What it held at first, all of it durable.
  package let base: DiskImage

  package init(_ image: DiskImage = DiskImage()) {
    base = image
    state = Mutex(State(image: image))
  }

  package var image: DiskImage { state.withLock { $0.image } }
  package var operations: [Operation] { state.withLock { $0.operations } }

  package func promise(_ value: Int) { state.withLock { $0.operations.append(.promise(value)) } }

  package func setRule(_ rule: DiskRule?) { state.withLock { $0.rule = rule } }

  /// The process that uses the disk dies: its files are closed, without anything more being done to them; the disk itself goes on.
  package func endProcess() {
    state.withLock { state in
      state.process += 1
      state.locks = [:]
    }
  }

  fileprivate var process: Int { state.withLock { $0.process } }

  /// Bytes that files may grow by, all together, from now on; what is freed counts.
  package func setRoom(_ bytes: Int) {
    state.withLock { state in
      state.capacity = bytes
      state.used = 0
    }
  }

  /// Bytes that files grew by since the last `setRoom`.
  package var used: Int { state.withLock { $0.used } }

  /// Asks the rule, with no lock held.
  private func fault(_ operation: @autoclosure () -> DiskOperation) -> DiskFault? {
    guard let rule = state.withLock({ $0.rule }) else { return nil }
    return rule(operation())
  }

  private func pass(_ operation: @autoclosure () -> DiskOperation) throws(LogError) {
    if let fault = fault(operation()) { throw fault.error.at(path(of: operation())) }
  }

  private func path(of operation: DiskOperation) -> String? {
    switch operation {
    case .create(let path), .makeDirectory(let path), .write(let path, _), .sync(let path), .truncate(let path, _), .rename(let path, _),
      .remove(let path), .removeDirectory(let path), .syncDirectory(let path), .setModificationTime(let path), .read(let path):
      path
    }
  }

  // MARK: FileSystem

  package func open(_ path: String, for access: FileAccess) throws(LogError) -> any File {
    try pass(.read(path))
    let inode = try state.withLock { state throws(LogError) in
      guard let inode = state.image.inode(of: path), !state.image[inode].isDirectory else { throw notFound(path) }
      return inode
    }
    return SimulatedFile(path, inode, self)
  }

  package func create(_ path: String) throws(LogError) -> any File {
    try pass(.create(path))
    let inode = try state.withLock { state throws(LogError) in
      guard state.image.inode(of: path) == nil else { throw LogError(.io, "the name exists", path: path, errno: 17) }
      return try state.make(path, isDirectory: false)
    }
    return SimulatedFile(path, inode, self)
  }

  package func makeDirectory(_ path: String) throws(LogError) -> Bool {
    try pass(.makeDirectory(path))
    return try state.withLock { state throws(LogError) in
      guard state.image.inode(of: path) == nil else { return false }
      _ = try state.make(path, isDirectory: true)
      return true
    }
  }

  package func checkIsWritable(_ directory: String) throws(LogError) {}

  package func names(in directory: String) throws(LogError) -> [String] {
    try pass(.read(directory))
    return try state.withLock { state throws(LogError) in
      guard let inode = state.image.inode(of: directory), state.image[inode].isDirectory else { throw notFound(directory) }
      return Array(state.image[inode].entries.keys)
    }
  }

  package func status(of path: String) throws(LogError) -> FileStatus? {
    try pass(.read(path))
    return state.withLock { state in state.image.inode(of: path).map { state.image.status(of: $0) } }
  }

  package func rename(_ path: String, to target: String) throws(LogError) {
    try pass(.rename(path, to: target))
    try state.withLock { state throws(LogError) in try state.rename(path, target) }
  }

  package func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool {
    try pass(.rename(path, to: target))
    return try state.withLock { state throws(LogError) in
      guard state.image.inode(of: target) == nil else { return false }
      try state.rename(path, target)
      return true
    }
  }

  package func exchange(_ path: String, with other: String) throws(LogError) {
    try pass(.rename(path, to: other))
    try state.withLock { state throws(LogError) in try state.exchange(path, other) }
  }

  package func remove(_ path: String) throws(LogError) {
    try pass(.remove(path))
    try state.withLock { state throws(LogError) in try state.remove(path, isDirectory: false) }
  }

  package func removeDirectory(_ path: String) throws(LogError) {
    try pass(.removeDirectory(path))
    try state.withLock { state throws(LogError) in try state.remove(path, isDirectory: true) }
  }

  package func syncDirectory(_ directory: String) throws(LogError) {
    let fault = fault(.syncDirectory(directory))
    try state.withLock { state throws(LogError) in
      guard let inode = state.image.inode(of: directory), state.image[inode].isDirectory else { throw notFound(directory) }
      state.operations.append(fault == nil ? .sync(inode: inode) : .failedSync(inode: inode))
    }
    if let fault { throw fault.error.at(directory) }
  }

  package func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError) {
    try pass(.setModificationTime(path))
    try state.withLock { state throws(LogError) in
      guard let inode = state.image.inode(of: path) else { throw notFound(path) }
      state.image.setModified(inode, nanoseconds)
    }
  }

  // MARK: Files

  fileprivate func read(_ inode: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    try pass(.read(currentPath(inode)))
    return state.withLock { $0.image.read(inode, into: buffer, at: Int(offset)) }
  }

  fileprivate func write(_ bytes: UnsafeRawBufferPointer, to inode: Int, at offset: UInt64) -> (written: Int, error: LogError?) {
    let fault = fault(.write(currentPath(inode), size: bytes.count))
    return state.withLock { state in
      let end = Int(offset) + bytes.count
      let growth = max(0, end - state.image[inode].size)
      var written = bytes.count - min(bytes.count, max(0, growth - (state.capacity - state.used)))
      var error: LogError?
      if written < bytes.count { error = LogError(.noSpace, "the disk is full", errno: 28) }
      if let fault { (written, error) = (min(written, fault.written), fault.error) }
      if written > 0 {
        let kept = Array(bytes[..<written])
        state.used += max(0, Int(offset) + written - state.image[inode].size)
        state.image.write(kept[...], to: inode, at: Int(offset))
        state.operations.append(.write(inode: inode, offset: Int(offset), bytes: kept))
      }
      return (written, error)
    }
  }

  fileprivate func truncate(_ inode: Int, to size: UInt64) throws(LogError) {
    try pass(.truncate(currentPath(inode), size: size))
    state.withLock { state in
      state.used += Int(size) - state.image[inode].size
      state.image.truncate(inode, to: Int(size))
      state.operations.append(.truncate(inode: inode, size: Int(size)))
    }
  }

  fileprivate func sync(_ inode: Int) throws(LogError) {
    let fault = fault(.sync(currentPath(inode)))
    state.withLock { $0.operations.append(fault == nil ? .sync(inode: inode) : .failedSync(inode: inode)) }
    if let fault { throw fault.error }
  }

  fileprivate func status(_ inode: Int) throws(LogError) -> FileStatus {
    try pass(.read(currentPath(inode)))
    return state.withLock { $0.image.status(of: inode) }
  }

  /// Of files as they are called now.
  private func currentPath(_ inode: Int) -> String { image.path(of: inode) ?? "a removed file" }

  fileprivate func lock(_ inode: Int, byte: Int64, for holder: ObjectIdentifier) -> Bool {
    state.withLock { state in
      if let other = state.locks[inode]?[byte], other != holder { return false }
      state.locks[inode, default: [:]][byte] = holder
      return true
    }
  }

  /// - Parameter byte: `nil` for all that it holds.
  fileprivate func unlock(_ inode: Int, byte: Int64?, for holder: ObjectIdentifier) {
    state.withLock { state in
      guard let held = state.locks[inode] else { return }
      state.locks[inode] = held.filter { $0.value != holder || (byte != nil && $0.key != byte) }
    }
  }

  fileprivate func isLocked(_ inode: Int, byte: Int64, byOtherThan holder: ObjectIdentifier) -> Bool {
    state.withLock { state in state.locks[inode]?[byte].map { $0 != holder } ?? false }
  }
}

extension SimulatedDisk.State {
  private func directory(of path: String) throws(LogError) -> (inode: Int, name: String) {
    let parent = parentDirectory(path)
    guard let inode = image.inode(of: parent), image[inode].isDirectory else { throw notFound(parent) }
    return (inode, path.split(separator: "/").last.map(String.init) ?? path)
  }

  private mutating func change(_ directory: Int, _ changes: [DiskImage.NameChange]) {
    image.apply(changes, to: directory)
    operations.append(.changeNames(directory: directory, changes))
  }

  mutating func make(_ path: String, isDirectory: Bool) throws(LogError) -> Int {
    let (parent, name) = try directory(of: path)
    let inode = image.makeNode(isDirectory: isDirectory)
    operations.append(.make(inode: inode, isDirectory: isDirectory))
    change(parent, [.init(name: name, inode: inode)])
    return inode
  }

  mutating func rename(_ path: String, _ target: String) throws(LogError) {
    guard let inode = image.inode(of: path) else { throw notFound(path) }
    let (from, to) = (try directory(of: path), try directory(of: target))
    precondition(from.inode == to.inode, "what a sync of one of two directories keeps of a rename between them is not modelled")
    free(target)
    change(to.inode, [.init(name: from.name, inode: nil), .init(name: to.name, inode: inode)])
  }

  mutating func exchange(_ path: String, _ other: String) throws(LogError) {
    guard let one = image.inode(of: path), let two = image.inode(of: other) else { throw notFound(path) }
    let (first, second) = (try directory(of: path), try directory(of: other))
    precondition(first.inode == second.inode, "what a sync of one of two directories keeps of an exchange between them is not modelled")
    change(first.inode, [.init(name: first.name, inode: two), .init(name: second.name, inode: one)])
  }

  mutating func remove(_ path: String, isDirectory: Bool) throws(LogError) {
    guard let inode = image.inode(of: path) else { throw notFound(path) }
    guard image[inode].isDirectory == isDirectory else { throw LogError(.io, "a file or a directory, the other is expected", path: path, errno: 21) }
    guard image[inode].entries.isEmpty else { throw LogError(.io, "the directory is not empty", path: path, errno: 39) }
    free(path)
    let (parent, name) = try directory(of: path)
    change(parent, [.init(name: name, inode: nil)])
  }

  private mutating func free(_ path: String) {
    if let inode = image.inode(of: path) { used -= image[inode].size }
  }
}

private func notFound(_ path: String) -> LogError { LogError(.notFound, "no such file or directory", path: path, errno: 2) }

extension LogError {
  fileprivate func at(_ path: String?) -> LogError { LogError(code, message, path: path, offset: offset, errno: errno) }
}

private final class SimulatedFile: File {
  let path: String
  private let inode: Int
  private let disk: SimulatedDisk
  private let process: Int

  init(_ path: String, _ inode: Int, _ disk: SimulatedDisk) {
    self.path = path
    self.inode = inode
    self.disk = disk
    process = disk.process
  }

  private var endOfProcess: LogError? { process == disk.process ? nil : LogError(.io, "the process has ended", path: path) }

  deinit { disk.unlock(inode, byte: nil, for: ObjectIdentifier(self)) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    try disk.read(inode, into: buffer, at: offset)
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?) {
    if let endOfProcess { return (0, endOfProcess) }
    return disk.write(bytes, to: inode, at: offset)
  }

  func sync() throws(LogError) {
    if let endOfProcess { throw endOfProcess }
    try disk.sync(inode)
  }

  func truncate(to size: UInt64) throws(LogError) {
    if let endOfProcess { throw endOfProcess }
    try disk.truncate(inode, to: size)
  }

  func status() throws(LogError) -> FileStatus { try disk.status(inode) }

  func nextData(from offset: UInt64) throws(LogError) -> UInt64? { offset }

  func lock(byte: Int64) throws(LogError) -> Bool { disk.lock(inode, byte: byte, for: ObjectIdentifier(self)) }

  func unlock(byte: Int64) { disk.unlock(inode, byte: byte, for: ObjectIdentifier(self)) }

  func isLockedByAnother(byte: Int64) throws(LogError) -> Bool { disk.isLocked(inode, byte: byte, byOtherThan: ObjectIdentifier(self)) }
}
