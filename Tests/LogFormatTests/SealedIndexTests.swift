import LogFormat
import ProvenanceLog
import TestSupport
import Testing

/// The end of a sealed file, made by hand, its checksums right: what it claims must be possible.
struct SealedIndexTests {
  /// Index and trailer of one chunk, as it stands behind it in the file.
  private func read(
    rawSize: UInt32 = 4096, chunkSize: UInt32 = 4096, chunkSequence: UInt64 = 0, lastSequence: UInt64 = 9, nextSeq: UInt64 = 3,
    magic: UInt32 = 0x184D_2A5C, size: UInt32 = 64 + 72
  ) throws -> SealedIndex {
    var entry = little(UInt64(0)) + little(rawSize) + little(chunkSize) + little(UInt64(0)) + little(chunkSequence)
    entry += [UInt8](repeating: 0, count: 64 - entry.count)
    var trailer = little(UInt64(rawSize)) + little(UInt64(0)) + little(lastSequence) + little(nextSeq) + little(UInt32(1)) + little(UInt32(0))
    trailer += little(entry.withUnsafeBytes { crc32c(0, $0) }) + little(UInt32(7)) + little(UInt32(8)) + little(UInt16(1)) + little(UInt16(0))
    trailer += [0x89, 0x43, 0x4B, 0x50, 0x53, 0x0D, 0x0A, 0x1A] + little(UInt32(0))
    trailer += little(trailer.withUnsafeBytes { crc32c(0, $0) })
    let fileSize = UInt64(chunkSize) + UInt64(8 + entry.count + trailer.count)
    return try (little(magic) + little(size) + entry + trailer).withRawBytes { bytes throws(LogError) in
      let end = UnsafeRawBufferPointer(rebasing: bytes[72...])
      guard try SealedIndex.size(trailer: end, fileSize: fileSize) == bytes.count else { throw LogError(.io, "another size") }
      return try SealedIndex(bytes, fileSize: fileSize)
    }
  }

  private func little(_ value: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }

  @Test func whatIsPossibleIsRead() throws {
    let index = try read()
    #expect(index.chunks.count == 1 && index.lastSequence == 9 && index.rawSize == 4096 && index.nextSeq == 3)
  }

  /// A chunk holds a segment header and one record at the most; unpacking takes no more memory than that.
  @Test func aChunkLargerThanAnyRecordIsRefused() {
    #expect { try read(rawSize: 100 << 20, chunkSize: 100 << 20) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  /// What is read of a file to unpack a chunk is bounded by what it unpacks to, and the other way round.
  @Test(arguments: [(1 << 20, 4), (4096, 1 << 20), (0, 4096), (4096, 0)] as [(UInt32, UInt32)])
  func aChunkThatCannotPackSoIsRefused(_ rawSize: UInt32, _ chunkSize: UInt32) {
    #expect { try read(rawSize: rawSize, chunkSize: chunkSize) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  /// How many frames a damaged chunk costs is said from these.
  @Test(arguments: [1, 10, .max] as [UInt64])
  func chunksOutOfOrderAreRefused(_ sequence: UInt64) {
    #expect { try read(chunkSequence: sequence) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  /// No checksum covers the first eight bytes, without which `lz4 -d` refuses the file.
  @Test func anIndexThatIsNoSkippableFrameIsRefused() {
    #expect { try read(magic: 0x184D_2A5D) } throws: { ($0 as? LogError)?.code == .corrupt }
    #expect { try read(size: 64 + 73) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  /// The sequence behind the last one is formed from it.
  @Test(arguments: [UInt64.max, (1 << 56) - 1, 1 << 60] as [UInt64])
  func aSequenceThatNoFrameCanHaveIsRefused(_ sequence: UInt64) {
    #expect { try read(lastSequence: sequence) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  @Test(arguments: [0, .max] as [UInt64])
  func aSeqThatNoActionCanHaveIsRefused(_ seq: UInt64) {
    #expect { try read(nextSeq: seq) } throws: { ($0 as? LogError)?.code == .corrupt }
  }
}
