package import LogStorage
package import ProvenanceLog
import Synchronization

/// Files in memory, to be damaged quickly: it counts what is read of them, and lets a test change them right before a call.
package final class MemoryDisk: FileSystem {
  /// What is about to be done.
  package enum Call: Sendable, Equatable {
    case open(String)
    case list(String)
  }

  package struct Counts: Sendable {
    package var reads = 0
    package var bytes = 0
    package var listings = 0
    package var opens = 0
    /// The most bytes that were asked for at once.
    package var largestRead = 0
  }

  fileprivate struct State {
    var files: [String: Int] = [:]
    var directories: Set<String> = []
    var contents: [Int: [UInt8]] = [:]
    /// Of files that go on as zeros behind what is kept of them.
    var sizes: [Int: UInt64] = [:]
    var nextInode = 1
    var locks: [Int: [Int64: ObjectIdentifier]] = [:]
    var counts = Counts()
    var hook: (@Sendable (Call) -> Void)?
    var missedNames: Set<String> = []
  }

  fileprivate let state: Mutex<State>

  package init() {
    state = Mutex(State())
  }

  private init(_ state: sending State) {
    self.state = Mutex(state)
  }

  /// The same names with the same contents; nothing is locked, counted or watched.
  package func copy() -> MemoryDisk {
    let (files, directories, contents, sizes, nextInode) = state.withLock { ($0.files, $0.directories, $0.contents, $0.sizes, $0.nextInode) }
    var copy = State()
    (copy.files, copy.directories, copy.contents, copy.sizes, copy.nextInode) = (files, directories, contents, sizes, nextInode)
    return MemoryDisk(copy)
  }

  package var counts: Counts { state.withLock { $0.counts } }

  /// Called before each such call, with nothing locked.
  package func setHook(_ hook: (@Sendable (Call) -> Void)?) {
    state.withLock {
      $0.hook = hook
      $0.counts = Counts()
    }
  }

  /// The next listing lacks these names, as if each had been renamed while a long directory was listed, behind the place of the new name.
  package func missOnce(_ names: Set<String>) {
    state.withLock { $0.missedNames = names }
  }

  /// Replaces or makes a file; who has it open reads the old one.
  package func set(_ path: String, _ bytes: [UInt8]) {
    state.withLock { state in
      let inode = state.nextInode
      state.nextInode += 1
      state.files[path] = inode
      state.contents[inode] = bytes
    }
  }

  /// Changes a file in place.
  package func update(_ path: String, _ body: (inout [UInt8]) -> Void) {
    state.withLock { state in
      guard let inode = state.files[path] else { preconditionFailure("no such file: \(path)") }
      body(&state.contents[inode]!)
    }
  }

  /// Makes a file longer by a hole, which takes no memory.
  package func lengthen(_ path: String, to size: UInt64) {
    state.withLock { state in
      if let inode = state.files[path] { state.sizes[inode] = size }
    }
  }

  package func bytes(_ path: String) -> [UInt8] {
    state.withLock { state in state.files[path].map { state.contents[$0]! } ?? [] }
  }

  /// Contents by path.
  package var tree: [String: [UInt8]] { state.withLock { state in state.files.mapValues { state.contents[$0]! } } }

  private func call(_ call: Call) {
    let hook = state.withLock { state in
      switch call {
      case .open: state.counts.opens += 1
      case .list: state.counts.listings += 1
      }
      return state.hook
    }
    hook?(call)
  }

  // MARK: FileSystem

  package func open(_ path: String, for access: FileAccess) throws(LogError) -> any File {
    call(.open(path))
    let inode = state.withLock { $0.files[path] }
    guard let inode else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
    return MemoryFile(path, inode, self)
  }

  package func create(_ path: String) throws(LogError) -> any File {
    let inode = try state.withLock { state throws(LogError) in
      guard state.files[path] == nil else { throw LogError(.io, "exists", path: path, errno: 17) }
      let inode = state.nextInode
      state.nextInode += 1
      state.files[path] = inode
      state.contents[inode] = []
      return inode
    }
    return MemoryFile(path, inode, self)
  }

  package func makeDirectory(_ path: String) throws(LogError) -> Bool { state.withLock { $0.directories.insert(path).inserted } }

  package func checkIsWritable(_ directory: String) throws(LogError) {}

  package func names(in directory: String) throws(LogError) -> [String] {
    call(.list(directory))
    return try state.withLock { state throws(LogError) in
      guard state.directories.contains(directory) else { throw LogError(.notFound, "no such directory", path: directory, errno: 2) }
      let start = directory + "/"
      defer { state.missedNames = [] }
      return (Array(state.files.keys) + state.directories).compactMap {
        guard $0.utf8.starts(with: start.utf8) else { return nil }
        let name = $0.utf8.dropFirst(start.utf8.count)
        return name.contains(UInt8(ascii: "/")) || state.missedNames.contains(String(name)!) ? nil : String(name)
      }
    }
  }

  package func status(of path: String) throws(LogError) -> FileStatus? {
    state.withLock { state in
      if path == "." || path == "/" || state.directories.contains(path) {
        return FileStatus(kind: .directory, size: 0, modified: 0, identity: FileIdentity(inode: 0))
      }
      guard let inode = state.files[path] else { return nil }
      return FileStatus(kind: .file, size: state.size(inode), modified: 0, identity: FileIdentity(inode: UInt64(inode)))
    }
  }

  package func rename(_ path: String, to target: String) throws(LogError) {
    state.withLock { state in
      if let inode = state.files.removeValue(forKey: path) { state.files[target] = inode }
      guard state.directories.remove(path) != nil else { return }
      state.directories.insert(target)
      for (name, inode) in state.files where name.hasPrefix(path + "/") {
        state.files[name] = nil
        state.files[target + name.dropFirst(path.count)] = inode
      }
    }
  }

  package func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool {
    guard try status(of: target) == nil else { return false }
    try rename(path, to: target)
    return true
  }

  package func exchange(_ path: String, with other: String) throws(LogError) {
    try rename(path, to: path + ".exchanged")
    try rename(other, to: path)
    try rename(path + ".exchanged", to: other)
  }

  package func remove(_ path: String) throws(LogError) {
    guard state.withLock({ $0.files.removeValue(forKey: path) }) != nil else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
  }

  package func removeDirectory(_ path: String) throws(LogError) {
    _ = state.withLock { $0.directories.remove(path) }
  }

  package func syncDirectory(_ directory: String) throws(LogError) {}

  package func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError) {}
}

extension MemoryDisk.State {
  fileprivate func size(_ inode: Int) -> UInt64 { max(sizes[inode] ?? 0, UInt64(contents[inode]!.count)) }
}

private final class MemoryFile: File {
  let path: String
  private let inode: Int
  private let disk: MemoryDisk

  init(_ path: String, _ inode: Int, _ disk: MemoryDisk) {
    self.path = path
    self.inode = inode
    self.disk = disk
  }

  deinit {
    disk.state.withLock { state in
      guard let locks = state.locks[inode] else { return }
      state.locks[inode] = locks.filter { $0.value != ObjectIdentifier(self) }
    }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    disk.state.withLock { state in
      state.counts.reads += 1
      state.counts.largestRead = max(state.counts.largestRead, buffer.count)
      let size = state.size(inode)
      let count = offset < size ? Int(clamping: min(UInt64(buffer.count), size - offset)) : 0
      guard count > 0 else { return 0 }
      buffer.baseAddress!.initializeMemory(as: UInt8.self, repeating: 0, count: count)
      state.contents[inode]!.withUnsafeBytes { bytes in
        guard let start = Int(exactly: offset), start < bytes.count else { return }
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + count)]))
      }
      state.counts.bytes += count
      return count
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?) {
    disk.state.withLock { state in
      let end = Int(offset) + bytes.count
      let size = state.contents[inode]!.count
      if size < end { state.contents[inode]! += Array(repeating: 0, count: end - size) }
      state.contents[inode]!.replaceSubrange(Int(offset)..<end, with: bytes)
    }
    return (bytes.count, nil)
  }

  func sync() throws(LogError) {}

  func truncate(to size: UInt64) throws(LogError) {
    disk.state.withLock { state in
      let bytes = state.contents[inode]!
      let size = Int(size)
      state.contents[inode] = bytes.count >= size ? Array(bytes.prefix(size)) : bytes + Array(repeating: 0, count: size - bytes.count)
    }
  }

  func status() throws(LogError) -> FileStatus {
    disk.state.withLock { FileStatus(kind: .file, size: $0.size(inode), modified: 0, identity: FileIdentity(inode: UInt64(inode))) }
  }

  func nextData(from offset: UInt64) throws(LogError) -> UInt64? {
    disk.state.withLock { state in
      let bytes = state.contents[inode]!
      guard let start = Int(exactly: offset), start < bytes.count else { return nil }
      return bytes[start...].firstIndex { $0 != 0 }.map { UInt64($0) }
    }
  }

  func lock(byte: Int64) throws(LogError) -> Bool {
    disk.state.withLock { state in
      if let holder = state.locks[inode]?[byte], holder != ObjectIdentifier(self) { return false }
      state.locks[inode, default: [:]][byte] = ObjectIdentifier(self)
      return true
    }
  }

  func unlock(byte: Int64) {
    disk.state.withLock { state in
      if state.locks[inode]?[byte] == ObjectIdentifier(self) { state.locks[inode]?[byte] = nil }
    }
  }

  func isLockedByAnother(byte: Int64) throws(LogError) -> Bool {
    disk.state.withLock { state in state.locks[inode]?[byte].map { $0 != ObjectIdentifier(self) } ?? false }
  }
}
