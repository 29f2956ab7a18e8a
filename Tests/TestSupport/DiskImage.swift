package import LogStorage

/// What is on a disk at one moment: a tree of directories and files, cheap to copy.
package struct DiskImage: Sendable {
  package struct Node: Sendable {
    package let isDirectory: Bool
    /// Of a directory: the inodes that its names stand for.
    package fileprivate(set) var entries: [String: Int] = [:]
    /// Of a file: what is in it, up to its last byte that is known not to be zero, at least.
    fileprivate var bytes: [UInt8] = []
    package fileprivate(set) var size = 0
    fileprivate var modified: Int64 = 0
  }

  /// A name that comes to stand for an inode, or for nothing.
  package struct NameChange: Sendable {
    let name: String
    let inode: Int?
  }

  /// By inode; the first is the root. What has no name stays, and is not seen.
  private var nodes = [Node(isDirectory: true)]

  package init() {}

  package var nextInode: Int { nodes.count }

  package subscript(inode: Int) -> Node { nodes[inode] }

  // MARK: Reading

  package func inode(of path: String) -> Int? {
    var inode = 0
    for name in path.utf8.split(separator: UInt8(ascii: "/")) where name.count != 1 || name.first != UInt8(ascii: ".") {
      guard let next = nodes[inode].entries[String(Substring(name))] else { return nil }
      inode = next
    }
    return inode
  }

  /// The path of a node that has a name.
  package func path(of inode: Int, below directory: Int = 0, _ prefix: String = "") -> String? {
    for (name, child) in nodes[directory].entries {
      if child == inode { return prefix + name }
      if nodes[child].isDirectory, let found = path(of: inode, below: child, prefix + name + "/") { return found }
    }
    return nil
  }

  package func status(of inode: Int) -> FileStatus {
    let node = nodes[inode]
    return FileStatus(
      kind: node.isDirectory ? .directory : .file, size: UInt64(node.size), modified: node.modified, identity: FileIdentity(inode: UInt64(inode)))
  }

  package func read(_ inode: Int, into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int {
    let count = min(buffer.count, max(0, nodes[inode].size - offset))
    guard count > 0 else { return 0 }
    nodes[inode].bytes.withUnsafeBytes { bytes in
      let stored = max(0, min(count, bytes.count - offset))
      if stored > 0 { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + stored])) }
      UnsafeMutableRawBufferPointer(rebasing: buffer[stored..<count]).initializeMemory(as: UInt8.self, repeating: 0)
    }
    return count
  }

  package func bytes(of path: String) -> [UInt8]? {
    guard let inode = inode(of: path), !nodes[inode].isDirectory else { return nil }
    return [UInt8](unsafeUninitializedCapacity: nodes[inode].size) { buffer, count in
      count = read(inode, into: UnsafeMutableRawBufferPointer(buffer), at: 0)
    }
  }

  /// Whether a file is there in both, and holds the same.
  package func hasSameFile(_ path: String, as other: DiskImage) -> Bool {
    guard let inode = inode(of: path), let otherInode = other.inode(of: path) else { return false }
    let (node, otherNode) = (nodes[inode], other.nodes[otherInode])
    guard node.size == otherNode.size else { return false }
    let stored = min(node.bytes.count, otherNode.bytes.count)
    return node.bytes == otherNode.bytes
      || node.bytes[..<stored] == otherNode.bytes[..<stored] && node.bytes[stored...].allSatisfy { $0 == 0 }
        && otherNode.bytes[stored...].allSatisfy { $0 == 0 }
  }

  package func isAllZero(_ inode: Int, in range: Range<Int>) -> Bool {
    let bytes = nodes[inode].bytes
    return range.lowerBound >= bytes.count || bytes[range.clamped(to: 0..<bytes.count)].allSatisfy { $0 == 0 }
  }

  /// The same for two images that hold the same under the same names; what is random in a temporary name does not count.
  package var fingerprint: UInt64 { fingerprint(of: 0) }

  private func fingerprint(of inode: Int) -> UInt64 {
    let node = nodes[inode]
    var hasher = Hasher()
    guard node.isDirectory else {
      hasher.combine(node.size)
      let end = (node.bytes.lastIndex { $0 != 0 } ?? -1) + 1
      node.bytes.withUnsafeBytes { hasher.combine(bytes: UnsafeRawBufferPointer(rebasing: $0[..<end])) }
      return UInt64(bitPattern: Int64(hasher.finalize()))
    }
    var sum: UInt64 = 1
    for (name, child) in node.entries {
      var hasher = Hasher()
      if name.hasPrefix(".") {
        hasher.combine(withoutRandomPart(name))
      } else {
        hasher.combine(name)
      }
      hasher.combine(fingerprint(of: child))
      sum &+= UInt64(bitPattern: Int64(hasher.finalize()))
    }
    return sum
  }

  // MARK: Changing

  package mutating func makeNode(isDirectory: Bool) -> Int {
    nodes.append(Node(isDirectory: isDirectory))
    return nodes.count - 1
  }

  /// Bytes between the end of the file and a write behind it read as zeros.
  package mutating func write(_ bytes: ArraySlice<UInt8>, to inode: Int, at offset: Int) {
    let end = offset + bytes.count
    nodes[inode].size = max(nodes[inode].size, end)
    // Zeros behind all that is stored need no memory: files are lengthened ahead by more than they ever hold.
    if offset >= nodes[inode].bytes.count, bytes.first == 0, bytes.last == 0, bytes.allSatisfy({ $0 == 0 }) { return }
    let stored = nodes[inode].bytes.count
    if stored < end { nodes[inode].bytes.append(contentsOf: repeatElement(0, count: end - stored)) }
    nodes[inode].bytes.withUnsafeMutableBytes { buffer in
      bytes.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: buffer[offset..<end]).copyMemory(from: $0) }
    }
  }

  package mutating func truncate(_ inode: Int, to size: Int) {
    nodes[inode].size = size
    if nodes[inode].bytes.count > size { nodes[inode].bytes.removeLast(nodes[inode].bytes.count - size) }
  }

  package mutating func extend(_ inode: Int, to size: Int) {
    nodes[inode].size = max(nodes[inode].size, size)
  }

  package mutating func apply(_ changes: [NameChange], to directory: Int) {
    for change in changes { nodes[directory].entries[change.name] = change.inode }
  }

  package mutating func setModified(_ inode: Int, _ time: Int64) {
    nodes[inode].modified = time
  }
}

/// `.NAME.RANDOM.tmp` without `RANDOM`.
private func withoutRandomPart(_ name: String) -> String {
  var parts = name.split(separator: ".")
  if parts.count > 2 { parts.remove(at: parts.count - 2) }
  return parts.joined(separator: ".")
}
