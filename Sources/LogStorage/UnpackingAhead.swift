internal import LogFormat
internal import ProvenanceModel

/// Unpacks the next chunks of a sealed file on a thread of its own, while those before them are read.
///
/// Not to be shared between threads.
final class UnpackingAhead {
  private let file: any File
  private let comparesCRC: Bool
  private let unpacked = Unpacked()
  private let helper = Helper()

  static let countMax = 2
  private static let sizeMax = 1 << 19

  /// Unchecked: between `start` and `move` only the helper touches it.
  private final class Unpacked: @unchecked Sendable {
    var bytes = ByteBuffer(capacity: UnpackingAhead.sizeMax)
    var packed = ByteBuffer(capacity: SegmentFile.windowSize)
    var count = 0
  }

  init(_ file: any File, comparesCRC: Bool) {
    self.file = file
    self.comparesCRC = comparesCRC
  }

  func start(_ chunks: ArraySlice<ChunkEntry>) {
    helper.start { [file, comparesCRC, unpacked] in
      unpacked.bytes.removeAll()
      unpacked.count = 0
      for chunk in chunks where unpacked.bytes.count < Self.sizeMax {
        // Who comes to the one that cannot be unpacked finds out why.
        guard (try? unpacked.bytes.appendUnpacked(chunk, of: file, packed: &unpacked.packed, comparesCRC: comparesCRC)) != nil else { return }
        unpacked.count += 1
      }
    }
  }

  /// How many chunks were unpacked.
  var count: Int { unpacked.count }

  /// Waits until they are, and appends them. - Returns: false if there are none.
  func move(to window: inout ByteBuffer) -> Bool {
    helper.wait()
    if window.count == 0 { swap(&window, &unpacked.bytes) } else { window.append(unpacked.bytes.bytes) }
    return unpacked.count > 0
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
