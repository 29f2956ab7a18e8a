/// A moment at which the power may be cut: what is durable then, and what may be there or not.
///
/// Follows Format/README.md, "What is assumed of a disk": a file's writes are durable with a later sync of the file, names with a later sync of their
/// directory; of everything else any part may be there, in any order, writes sector by sector.
package struct CrashPoint: Sendable {
  /// The smallest thing that is there after the cut, or not.
  private enum Atom: Sendable {
    /// A part of a write within one sector, or a longer one of a long write.
    case bytes(inode: Int, offset: Int, ArraySlice<UInt8>)
    /// The size that a write gives a file, whose bytes may be missing: they read as zeros.
    case extend(inode: Int, size: Int)
    case truncate(inode: Int, size: Int)
    case names(directory: Int, [DiskImage.NameChange])

    var inode: Int {
      switch self {
      case .bytes(let inode, _, _), .extend(let inode, _), .truncate(let inode, _), .names(let inode, _): inode
      }
    }

    func apply(to image: inout DiskImage) {
      switch self {
      case .bytes(let inode, let offset, let bytes): image.write(bytes, to: inode, at: offset)
      case .extend(let inode, let size): image.extend(inode, to: size)
      case .truncate(let inode, let size): image.truncate(inode, to: size)
      case .names(let directory, let changes): image.apply(changes, to: directory)
      }
    }
  }

  package private(set) var durable: DiskImage
  private var pending: [Atom] = []
  /// The last promise before the cut.
  package private(set) var promise = 0

  private static let sectorSize = 512
  private static let piecesMax = 12

  package init(_ base: DiskImage) { durable = base }

  /// All moments of a run, from before its first operation to after its last.
  /// - Parameter losses: of what a failed sync forgot, the chance of each part to be lost all the same: the system may have written some of it.
  package static func all(
    of operations: [SimulatedDisk.Operation], on base: DiskImage, losses: Double, using random: inout some RandomNumberGenerator
  ) -> [CrashPoint] {
    var points = [CrashPoint(base)]
    for operation in operations {
      var next = points[points.count - 1]
      next.add(operation, losses: losses, &random)
      points.append(next)
    }
    return points
  }

  private mutating func add(_ operation: SimulatedDisk.Operation, losses: Double, _ random: inout some RandomNumberGenerator) {
    switch operation {
    case .make(_, let isDirectory): _ = durable.makeNode(isDirectory: isDirectory)
    case .write(let inode, let offset, let bytes):
      if offset + bytes.count > size(of: inode) { pending.append(.extend(inode: inode, size: offset + bytes.count)) }
      for piece in Self.pieces(offset..<offset + bytes.count) {
        pending.append(.bytes(inode: inode, offset: piece.lowerBound, bytes[piece.lowerBound - offset..<piece.upperBound - offset]))
      }
    case .truncate(let inode, let size): pending.append(.truncate(inode: inode, size: size))
    case .changeNames(let directory, let changes): pending.append(.names(directory: directory, changes))
    case .sync(let inode):
      for atom in pending where atom.inode == inode { atom.apply(to: &durable) }
      pending.removeAll { $0.inode == inode }
    case .failedSync(let inode):
      // Names are kept by a journal, which loses none and still goes on.
      guard !durable[inode].isDirectory else { return }
      for atom in pending where atom.inode == inode && Double.random(in: 0..<1, using: &random) >= losses { atom.apply(to: &durable) }
      pending.removeAll { $0.inode == inode }
    case .promise(let value): promise = value
    }
  }

  /// With all that is pending.
  private func size(of inode: Int) -> Int {
    var size = durable[inode].size
    for atom in pending where atom.inode == inode {
      switch atom {
      case .bytes(_, let offset, let bytes): size = max(size, offset + bytes.count)
      case .extend(_, let end): size = max(size, end)
      case .truncate(_, let end): size = end
      case .names: break
      }
    }
    return size
  }

  /// Sectors; of a long write, runs of sectors.
  private static func pieces(_ range: Range<Int>) -> [Range<Int>] {
    let sectors = (range.count + sectorSize - 1) / sectorSize
    let step = max(1, (sectors + piecesMax - 1) / piecesMax) * sectorSize
    var pieces: [Range<Int>] = []
    var start = range.lowerBound
    while start < range.upperBound {
      let end = min(range.upperBound, (start / sectorSize) * sectorSize + step)
      pieces.append(start..<end)
      start = end
    }
    return pieces
  }

  // MARK: States

  /// How many things may be there or not.
  package var doubts: Int { pending.count }

  /// With those of them, counted from the oldest, that `isKept` says.
  package func state(keeping isKept: (Int) -> Bool) -> DiskImage {
    var image = durable
    for (index, atom) in pending.enumerated() where isKept(index) { atom.apply(to: &image) }
    return image
  }

  /// Each is there with the chance `keeping`. A sector that is not there is garbage with the chance `garbage`, if nothing durable is in it: it was
  /// being written when the power went.
  package func state(keeping: Double, garbage: Double, using random: inout some RandomNumberGenerator) -> DiskImage {
    var image = durable
    for atom in pending {
      if Double.random(in: 0..<1, using: &random) < keeping {
        atom.apply(to: &image)
      } else if garbage > 0, case .bytes(let inode, let offset, let bytes) = atom, Double.random(in: 0..<1, using: &random) < garbage {
        let sector = offset / Self.sectorSize * Self.sectorSize
        guard durable.isAllZero(inode, in: sector..<offset + bytes.count) else { continue }
        let noise = bytes.map { _ in UInt8.random(in: .min ... .max, using: &random) }
        image.write(noise[...], to: inode, at: offset)
      }
    }
    return image
  }
}
