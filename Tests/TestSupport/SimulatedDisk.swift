package import LogStorage
package import ProvenanceLog
import Synchronization

/// A disk in memory that remembers every operation, so that the states it may be in after a power cut can be made one by one.
///
/// What is durable follows Format/README.md, "What is assumed of a disk": a file's writes with a later sync of the file, names with a later sync of
/// their directory; of everything else any part may be there or not, writes sector by sector. Path handling is textual.
package final class SimulatedDisk: FileSystem {
  /// One thing that was done to the disk, in the order in which it was done.
  package enum Operation: Sendable {
    case write(inode: Int, offset: Int, bytes: [UInt8])
    case truncate(inode: Int, size: Int)
    case sync(inode: Int)
    case makeFile(path: String, inode: Int)
    case makeDirectory(path: String)
    case rename(from: String, to: String)
    case exchange(path: String, with: String)
    case remove(path: String)
    case syncDirectory(path: String)
    /// A note by the test: so far, this was promised to be kept.
    case promise(Int64)
  }

  fileprivate struct Node {
    var isDirectory: Bool
    var inode: Int
  }

  fileprivate struct State {
    var names: [String: Node] = [:]
    var contents: [Int: [UInt8]] = [:]
    var modified: [Int: Int64] = [:]
    var nextInode = 1
    var operations: [Operation] = []
    /// Locked bytes of each inode, by the file that holds them.
    var locks: [Int: [Int64: ObjectIdentifier]] = [:]
  }

  fileprivate let state: Mutex<State>

  package init() {
    state = Mutex(State())
  }

  private init(names: [String: Node], contents: [Int: [UInt8]]) {
    var state = State()
    state.names = names
    state.contents = contents
    state.nextInode = (contents.keys.max() ?? 0) + 1
    self.state = Mutex(state)
  }

  package var operations: [Operation] { state.withLock { $0.operations } }

  package func promise(_ value: Int64) { state.withLock { $0.operations.append(.promise(value)) } }

  // MARK: FileSystem

  package func open(_ path: String, for access: FileAccess) throws(LogError) -> any File {
    let inode = try state.withLock { state throws(LogError) in
      guard let node = state.names[path], !node.isDirectory else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
      return node.inode
    }
    return SimulatedFile(path, inode, self)
  }

  package func create(_ path: String) throws(LogError) -> any File {
    let inode = try state.withLock { state throws(LogError) in
      guard state.names[path] == nil else { throw LogError(.io, "exists", path: path, errno: 17) }
      try state.needsDirectory(of: path)
      let inode = state.nextInode
      state.nextInode += 1
      state.names[path] = Node(isDirectory: false, inode: inode)
      state.contents[inode] = []
      state.operations.append(.makeFile(path: path, inode: inode))
      return inode
    }
    return SimulatedFile(path, inode, self)
  }

  package func makeDirectory(_ path: String) throws(LogError) -> Bool {
    try state.withLock { state throws(LogError) in
      guard state.names[path] == nil else { return false }
      try state.needsDirectory(of: path)
      state.names[path] = Node(isDirectory: true, inode: 0)
      state.operations.append(.makeDirectory(path: path))
      return true
    }
  }

  package func names(in directory: String) throws(LogError) -> [String] {
    try state.withLock { state throws(LogError) in
      guard state.names[directory]?.isDirectory == true else { throw LogError(.notFound, "no such directory", path: directory, errno: 2) }
      return state.names.keys.filter { parentDirectory($0) == directory }.map { String($0.dropFirst(directory.count + 1)) }
    }
  }

  package func status(of path: String) throws(LogError) -> FileStatus? {
    state.withLock { state in
      if path == "." || path == "/" { return FileStatus(kind: .directory, size: 0, modified: 0, identity: [0]) }
      guard let node = state.names[path] else { return nil }
      return FileStatus(
        kind: node.isDirectory ? .directory : .file, size: UInt64(state.contents[node.inode]?.count ?? 0),
        modified: state.modified[node.inode] ?? 0, identity: [UInt64(node.inode)])
    }
  }

  package func rename(_ path: String, to target: String) throws(LogError) {
    try state.withLock { state throws(LogError) in try state.rename(path, target) }
  }

  package func renameToNew(_ path: String, to target: String) throws(LogError) -> Bool {
    try state.withLock { state throws(LogError) in
      guard state.names[target] == nil else { return false }
      try state.rename(path, target)
      return true
    }
  }

  package func exchange(_ path: String, with other: String) throws(LogError) {
    try state.withLock { state throws(LogError) in
      guard state.names[path] != nil, state.names[other] != nil else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
      state.operations.append(.exchange(path: path, with: other))
      applyExchange(&state.names, path, other)
    }
  }

  package func remove(_ path: String) throws(LogError) {
    try state.withLock { state throws(LogError) in
      guard state.names.removeValue(forKey: path) != nil else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
      state.operations.append(.remove(path: path))
    }
  }

  package func removeDirectory(_ path: String) throws(LogError) { try remove(path) }

  package func syncDirectory(_ directory: String) throws(LogError) {
    state.withLock { $0.operations.append(.syncDirectory(path: directory)) }
  }

  package func setModificationTime(of path: String, to nanoseconds: Int64) throws(LogError) {
    state.withLock { state in
      if let node = state.names[path] { state.modified[node.inode] = nanoseconds }
    }
  }
}

extension SimulatedDisk.State {
  func needsDirectory(of path: String) throws(LogError) {
    let parent = parentDirectory(path)
    guard parent == "." || parent == "/" || names[parent]?.isDirectory == true else {
      throw LogError(.notFound, "no such directory", path: parent, errno: 2)
    }
  }

  mutating func rename(_ path: String, _ target: String) throws(LogError) {
    guard names[path] != nil else { throw LogError(.notFound, "no such file", path: path, errno: 2) }
    operations.append(.rename(from: path, to: target))
    applyRename(&names, path, target)
  }
}

private func applyRename(_ names: inout [String: SimulatedDisk.Node], _ path: String, _ target: String) {
  guard let node = names.removeValue(forKey: path) else { return }
  names[target] = node
  guard node.isDirectory else { return }
  for (name, inner) in names where name.hasPrefix(path + "/") {
    names[name] = nil
    names[target + name.dropFirst(path.count)] = inner
  }
}

private func applyExchange(_ names: inout [String: SimulatedDisk.Node], _ path: String, _ other: String) {
  let aside = path + ".exchanged"
  applyRename(&names, path, aside)
  applyRename(&names, other, path)
  applyRename(&names, aside, other)
}

private final class SimulatedFile: File {
  let path: String
  private let inode: Int
  private let disk: SimulatedDisk

  init(_ path: String, _ inode: Int, _ disk: SimulatedDisk) {
    self.path = path
    self.inode = inode
    self.disk = disk
  }

  deinit {
    disk.state.withLock { state in
      state.locks[inode] = state.locks[inode]?.filter { $0.value != ObjectIdentifier(self) }
    }
  }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(LogError) -> Int {
    disk.state.withLock { state in
      let bytes = state.contents[inode]!
      let part = bytes.dropFirst(Int(offset)).prefix(buffer.count)
      buffer.copyBytes(from: part)
      return part.count
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) -> (written: Int, error: LogError?) {
    disk.state.withLock { state in
      let operation = SimulatedDisk.Operation.write(inode: inode, offset: Int(offset), bytes: Array(bytes))
      apply(operation, to: &state.contents)
      state.operations.append(operation)
    }
    return (bytes.count, nil)
  }

  func sync() throws(LogError) {
    disk.state.withLock { $0.operations.append(.sync(inode: inode)) }
  }

  func truncate(to size: UInt64) throws(LogError) {
    disk.state.withLock { state in
      apply(.truncate(inode: inode, size: Int(size)), to: &state.contents)
      state.operations.append(.truncate(inode: inode, size: Int(size)))
    }
  }

  func status() throws(LogError) -> FileStatus {
    disk.state.withLock { state in
      FileStatus(kind: .file, size: UInt64(state.contents[inode]!.count), modified: state.modified[inode] ?? 0, identity: [UInt64(inode)])
    }
  }

  func nextData(from offset: UInt64) throws(LogError) -> UInt64? { offset }

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

/// Applies a write or a cut; bytes between the end of the file and a write behind it read as zeros.
private func apply(_ operation: SimulatedDisk.Operation, to contents: inout [Int: [UInt8]]) {
  switch operation {
  case .write(let inode, let offset, let bytes):
    let end = offset + bytes.count
    if contents[inode, default: []].count < end {
      contents[inode, default: []] += Array(repeating: 0, count: end - contents[inode, default: []].count)
    }
    contents[inode]!.replaceSubrange(offset..<end, with: bytes)
  case .truncate(let inode, let size):
    let bytes = contents[inode, default: []]
    contents[inode] = bytes.count >= size ? Array(bytes.prefix(size)) : bytes + Array(repeating: 0, count: size - bytes.count)
  default: break
  }
}

// MARK: Power cuts

extension SimulatedDisk {
  /// The state after a power cut behind the first `count` operations: what must be durable is there, of the rest a random part, writes sector by sector.
  ///
  /// - Parameter keeping: the chance of each operation, and of each sector of a write, that is not durable to be there all the same: 0 none, 1 all.
  /// - Returns: the disk, and the greatest promise made before the cut.
  package static func afterPowerCut(
    _ operations: ArraySlice<Operation>, keeping: Double, using random: inout some RandomNumberGenerator
  ) -> (disk: SimulatedDisk, promised: Int64) {
    let (syncedFiles, syncedDirectories) = lastSyncs(operations)
    var names: [String: Node] = [:]
    var contents: [Int: [UInt8]] = [:]
    var promised: Int64 = 0
    func survives(_ index: Int, _ lastSync: Int?) -> Bool {
      if let lastSync, index < lastSync { return true }
      return Double.random(in: 0..<1, using: &random) < keeping
    }
    for (index, operation) in zip(operations.indices, operations) {
      switch operation {
      case .write(let inode, let offset, let bytes):
        let isDurable = syncedFiles[inode].map { index < $0 } ?? false
        for part in isDurable ? [offset..<offset + bytes.count] : sectors(offset..<offset + bytes.count)
        where isDurable || Double.random(in: 0..<1, using: &random) < keeping {
          let slice = Array(bytes[part.lowerBound - offset..<part.upperBound - offset])
          apply(.write(inode: inode, offset: part.lowerBound, bytes: slice), to: &contents)
        }
      case .truncate(let inode, _):
        if survives(index, syncedFiles[inode]) { apply(operation, to: &contents) }
      case .makeFile(let path, let inode):
        guard survives(index, syncedDirectories[parentDirectory(path)]) else { continue }
        names[path] = Node(isDirectory: false, inode: inode)
        contents[inode, default: []] += []
      case .makeDirectory(let path):
        if survives(index, syncedDirectories[parentDirectory(path)]) { names[path] = Node(isDirectory: true, inode: 0) }
      case .rename(let from, let to):
        // A journal keeps a rename with the making of what it renames: one without the other is not seen.
        guard survives(index, syncedDirectories[parentDirectory(to)]) else { continue }
        if names[from] == nil, let inode = madeInode(from, operations[..<index]) {
          names[from] = Node(isDirectory: false, inode: inode)
          contents[inode, default: []] += []
        }
        applyRename(&names, from, to)
      case .exchange(let path, let other):
        if names[path] != nil, names[other] != nil, survives(index, syncedDirectories[parentDirectory(path)]) { applyExchange(&names, path, other) }
      case .remove(let path):
        if survives(index, syncedDirectories[parentDirectory(path)]) { names[path] = nil }
      case .promise(let value): promised = max(promised, value)
      case .sync, .syncDirectory: break
      }
    }
    // What stands in a directory that is not there is not there.
    let reachable = names.filter { name, _ in
      var parent = parentDirectory(name)
      while parent != ".", parent != "/" {
        guard names[parent] != nil else { return false }
        parent = parentDirectory(parent)
      }
      return true
    }
    return (SimulatedDisk(names: reachable, contents: contents), promised)
  }

  private static func lastSyncs(_ operations: ArraySlice<Operation>) -> (files: [Int: Int], directories: [String: Int]) {
    var files: [Int: Int] = [:]
    var directories: [String: Int] = [:]
    for (index, operation) in zip(operations.indices, operations) {
      switch operation {
      case .sync(let inode): files[inode] = index
      case .syncDirectory(let path): directories[path] = index
      default: break
      }
    }
    return (files, directories)
  }

  private static func madeInode(_ path: String, _ operations: ArraySlice<Operation>) -> Int? {
    for operation in operations.reversed() {
      if case .makeFile(path, let inode) = operation { return inode }
    }
    return nil
  }

  private static func sectors(_ range: Range<Int>) -> [Range<Int>] {
    var parts: [Range<Int>] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let end = min(range.upperBound, (start / 512 + 1) * 512)
      parts.append(start..<end)
      start = end
    }
    return parts
  }
}
