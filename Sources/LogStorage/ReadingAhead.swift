internal import LogFormat
internal import ProvenanceModel

/// Reads what comes next in a file on threads of its own, while what stands before it is looked at.
///
/// Not to be shared between threads.
final class ReadingAhead {
  private let file: any File
  /// In the order in which what they read is asked for; those behind them have nothing to do.
  private var lanes = [Lane(), Lane()]
  private var busy = 0

  private static let chunkCountMax = 2
  private static let sizeMax = 1 << 19
  /// In front of raw bytes there is room for the beginning of a record that they end.
  private static let roomBefore = 1 << 16
  /// To hand over less at a time costs more than reading itself.
  private static let rawSize = 1 << 20

  /// Unchecked: from a start until its helper was waited for only that one touches what stands in it.
  private final class Lane: @unchecked Sendable {
    let helper = Helper()
    /// Chunks that were asked for.
    var chunks = 0..<0
    var bytes = ByteBuffer(capacity: 0)
    var packed = ByteBuffer(capacity: 0)
    /// Chunks that were unpacked; 1 for raw bytes, if there were as many as were asked for.
    var count = 0
  }

  init(_ file: any File) {
    self.file = file
  }

  /// Unpacks some of the chunks from `next` on, if that is not being done: both cores are busy with it where nothing else is to be done.
  func unpack(_ chunks: [ChunkEntry], from next: Int, comparing checksums: ChunkChecksums) {
    var start = busy > 0 ? lanes[busy - 1].chunks.upperBound : next
    while busy < lanes.count, start < chunks.count {
      let lane = lanes[busy]
      var (end, size) = (start, 0)
      while end < min(chunks.count, start + Self.chunkCountMax), size < Self.sizeMax {
        size += chunks[end].rawSize
        end += 1
      }
      lane.chunks = start..<end
      lane.helper.start { [file] in
        lane.bytes.removeAll()
        lane.count = 0
        for number in lane.chunks {
          // Who comes to the one that cannot be unpacked finds out why.
          guard (try? lane.bytes.appendUnpacked(chunks[number], of: file, packed: &lane.packed, comparing: checksums)) != nil else { return }
          lane.count += 1
        }
      }
      busy += 1
      start = end
    }
  }

  func startReading(at offset: UInt64) {
    let size = Self.rawSize
    let lane = lanes[0]
    lane.helper.start { [file] in
      lane.bytes.removeAll()
      _ = lane.bytes.freeRoom(atLeast: Self.roomBefore + size)
      lane.bytes.commit(Self.roomBefore)
      let room = UnsafeMutableRawBufferPointer(rebasing: lane.bytes.freeRoom(atLeast: size)[..<size])
      let isFull = (try? file.read(into: room, at: offset)) == size
      lane.bytes.commit(isFull ? size : 0)
      lane.count = isFull ? 1 : 0
    }
  }

  /// Waits for the chunks that come next, and appends them.
  /// - Returns: how many there are.
  func moveChunks(to window: inout ByteBuffer) -> Int {
    guard busy > 0 else { return 0 }
    let lane = lanes.removeFirst()
    lanes.append(lane)
    busy -= 1
    lane.helper.wait()
    if window.count == 0 { swap(&window, &lane.bytes) } else { window.append(lane.bytes.bytes) }
    // What was unpacked behind one that cannot be is not what comes next.
    if lane.count < lane.chunks.count { busy = 0 }
    return lane.count
  }

  /// Waits for raw bytes, and puts them in the place of those before them.
  /// - Parameter start: from where on those still count.
  /// - Returns: from where on the bytes count that are there now; `nil` if there are none, and nothing has changed.
  func moveRaw(to window: inout ByteBuffer, keepingFrom start: Int) -> Int? {
    let lane = lanes[0]
    lane.helper.wait()
    let kept = window.count - start
    guard lane.count == 1, kept <= Self.roomBefore else { return nil }
    lane.bytes.replace(at: Self.roomBefore - kept, with: UnsafeRawBufferPointer(rebasing: window.bytes[start...]))
    swap(&window, &lane.bytes)
    lane.count = 0
    return Self.roomBefore - kept
  }
}

/// What says of a chunk that it is whole.
struct ChunkChecksums: OptionSet {
  let rawValue: UInt8
  /// That of the index, over the chunk as it stands in the file.
  static let index = ChunkChecksums(rawValue: 1)
  /// Its own, of what it holds.
  static let content = ChunkChecksums(rawValue: 2)
}

extension ByteBuffer {
  /// - Parameter packed: gets the chunk as it stands in the file.
  /// - Throws: `LogError` `corrupt`, nothing is appended then; `io`.
  mutating func appendUnpacked(_ chunk: ChunkEntry, of file: any File, packed: inout ByteBuffer, comparing checksums: ChunkChecksums) throws(LogError)
  {
    packed.removeAll()
    let room = UnsafeMutableRawBufferPointer(rebasing: packed.freeRoom(atLeast: chunk.fileSize)[0..<chunk.fileSize])
    packed.commit(try file.read(into: room, at: chunk.fileOffset))
    guard packed.count == chunk.fileSize, !checksums.contains(.index) || crc32c(0, packed.bytes) == chunk.crc else {
      throw LogError(.corrupt, "its checksum is wrong")
    }
    try appendUnpacked(packed.bytes, rawSize: chunk.rawSize, comparesContent: checksums.contains(.content))
  }
}
