internal import LogFormat
internal import ProvenanceModel

/// Reads what comes next in a file on a thread of its own, while what stands before it is looked at.
///
/// Not to be shared between threads.
final class ReadingAhead {
  private let file: any File
  private let block = Block()
  private let helper = Helper()

  static let chunkCountMax = 2
  private static let sizeMax = 1 << 19
  /// In front of raw bytes there is room for the beginning of a record that they end.
  private static let roomBefore = 1 << 16
  /// To hand over less at a time costs more than reading itself.
  private static let rawSize = 1 << 20

  /// Unchecked: from a start until what it began is moved only the helper touches it.
  private final class Block: @unchecked Sendable {
    var bytes = ByteBuffer(capacity: ReadingAhead.sizeMax)
    var packed = ByteBuffer(capacity: 0)
    /// Chunks that were unpacked; 1 for raw bytes, if there were as many as were asked for.
    var count = 0
  }

  init(_ file: any File) {
    self.file = file
  }

  func start(unpacking chunks: ArraySlice<ChunkEntry>, comparesCRC: Bool) {
    helper.start { [file, block] in
      block.bytes.removeAll()
      block.count = 0
      for chunk in chunks where block.bytes.count < Self.sizeMax {
        // Who comes to the one that cannot be unpacked finds out why.
        guard (try? block.bytes.appendUnpacked(chunk, of: file, packed: &block.packed, comparesCRC: comparesCRC)) != nil else { return }
        block.count += 1
      }
    }
  }

  func startReading(at offset: UInt64) {
    let size = Self.rawSize
    helper.start { [file, block] in
      block.bytes.removeAll()
      _ = block.bytes.freeRoom(atLeast: Self.roomBefore + size)
      block.bytes.commit(Self.roomBefore)
      let room = UnsafeMutableRawBufferPointer(rebasing: block.bytes.freeRoom(atLeast: size)[..<size])
      let isFull = (try? file.read(into: room, at: offset)) == size
      block.bytes.commit(isFull ? size : 0)
      block.count = isFull ? 1 : 0
    }
  }

  /// Waits for chunks, and appends them.
  /// - Returns: how many there are.
  func moveChunks(to window: inout ByteBuffer) -> Int {
    helper.wait()
    if window.count == 0 { swap(&window, &block.bytes) } else { window.append(block.bytes.bytes) }
    return block.count
  }

  /// Waits for raw bytes, and puts them in the place of those before them.
  /// - Parameter start: from where on those still count.
  /// - Returns: from where on the bytes count that are there now; `nil` if there are none, and nothing has changed.
  func moveRaw(to window: inout ByteBuffer, keepingFrom start: Int) -> Int? {
    helper.wait()
    let kept = window.count - start
    guard block.count == 1, kept <= Self.roomBefore else { return nil }
    block.bytes.replace(at: Self.roomBefore - kept, with: UnsafeRawBufferPointer(rebasing: window.bytes[start...]))
    swap(&window, &block.bytes)
    block.count = 0
    return Self.roomBefore - kept
  }
}

extension ByteBuffer {
  /// - Parameter packed: gets the chunk as it stands in the file.
  /// - Throws: `LogError` `corrupt`, nothing is appended then; `io`.
  mutating func appendUnpacked(_ chunk: ChunkEntry, of file: any File, packed: inout ByteBuffer, comparesCRC: Bool) throws(LogError) {
    packed.removeAll()
    let room = UnsafeMutableRawBufferPointer(rebasing: packed.freeRoom(atLeast: chunk.fileSize)[0..<chunk.fileSize])
    packed.commit(try file.read(into: room, at: chunk.fileOffset))
    guard packed.count == chunk.fileSize, !comparesCRC || crc32c(0, packed.bytes) == chunk.crc else {
      throw LogError(.corrupt, "its checksum is wrong")
    }
    try appendUnpacked(packed.bytes, rawSize: chunk.rawSize)
  }
}
