import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// A file of several MiB, of which the next part is read while one looks at the part before it. Its records are shorter and longer than those parts.
struct LongFileTests {
  private let known = KnownLog.of(.raw)
  private let segment = Forger.segments([
    Array(repeating: 3000, count: 600) + [70_000, 300, 66_000, 1_500_000, 300] + Array(repeating: 30_000, count: 60) + [2_500_000]
      + Array(repeating: 3000, count: 600)
  ])[0]

  private func disk(_ bytes: [UInt8]) throws -> MemoryDisk {
    let disk = known.disk()
    for file in known.files { try disk.remove(known.path(file.name)) }
    disk.set(known.path(0), bytes)
    return disk
  }

  private var bytes: [UInt8] { segment.frames.reduce(into: segment.bytes) { $0 += $1 } }

  /// What is read of it, frame by frame, is what stands there; of a damaged frame nothing else is lost.
  @Test func eachFrameIsRead() throws {
    let bytes = bytes
    var starts: [Int] = []
    var at = segment.bytes.count
    for frame in segment.frames {
      starts.append(at)
      at += frame.count
    }
    for damaged in [nil, 100, 599, 602, 603, 640, 665, 666, 1200] as [Int?] {
      let disk = try disk(bytes)
      if let damaged { disk.update(known.path(0)) { $0[starts[damaged] + 200] ^= 1 } }
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
      var expected = 0
      while let item = try reader.nextItem() {
        switch item {
        case .frame(let frame):
          #expect(frame.sequence == UInt64(expected))
          let bytes = try reader.frameBytes
          let crc = segment.frames[expected].withUnsafeBytes { crc32c(0, UnsafeRawBufferPointer(rebasing: $0.prefix(bytes.count))) }
          #expect(crc32c(0, bytes) == crc && expected != damaged, "\(expected)")
        case .damage(let damage): #expect(damage.sequences == UInt64(expected)..<UInt64(expected + 1) && expected == damaged, "\(damage)")
        }
        expected += 1
      }
      #expect(expected == segment.frames.count)
    }
  }

  /// The same of a sealed one, whose chunks are unpacked ahead: of a damaged chunk nothing else is lost.
  @Test func eachChunkIsRead() throws {
    let sealed = try Forger.sealed([segment])
    let chunks = sealedChunks(sealed)
    try #require(chunks.count > 20)
    for damaged in [nil, 0, 2, 3, 4, 5, chunks.count - 2, chunks.count - 1] as [Int?] {
      let disk = try disk([])
      try disk.remove(known.path(0))
      disk.set(known.path(0, isSealed: true), sealed)
      if let damaged { disk.update(known.path(0, isSealed: true)) { $0[chunks[damaged].start + 60] ^= 1 } }
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
      var expected: UInt64 = 0
      while let item = try reader.nextItem() {
        switch item {
        case .frame(let frame):
          #expect(frame.sequence == expected)
          let made = segment.frames[Int(frame.sequence)]
          let bytes = try reader.frameBytes
          #expect(crc32c(0, bytes) == made.withUnsafeBytes { crc32c(0, UnsafeRawBufferPointer(rebasing: $0.prefix(bytes.count))) }, "\(expected)")
          expected += 1
        case .damage(let damage):
          #expect(damage.cause == .chunk && damage.sequences == damaged.map { chunks[$0].sequences }, "\(damage)")
          expected = damage.sequences.upperBound
        }
      }
      #expect(expected == UInt64(segment.frames.count))
    }
  }

  /// It grows, by whole frames and by parts of them, while it is read.
  @Test func aFileThatGrows() throws {
    let bytes = bytes
    var size = segment.bytes.count + segment.frames[0].count + segment.frames[1].count
    let disk = try disk(Array(bytes[..<size]))
    let log = KnownLog.log(on: disk)
    // Somebody writes.
    let lock = try LogLock(.writer, of: log)
    defer { withExtendedLifetime(lock) {} }
    var reader = try LogReader.open(log, of: KnownLog.id)
    var count = 0
    while size < bytes.count {
      let start = size
      size = min(bytes.count, size + 333_333)
      disk.update(known.path(0)) { file in file.append(contentsOf: bytes[start..<size]) }
      while let frame = try reader.next() {
        #expect(frame.sequence == UInt64(count))
        count += 1
      }
    }
    #expect(count == segment.frames.count)
  }

  /// What was zeroed ahead is filled while it is read.
  @Test func aFileThatIsFilled() throws {
    let bytes = bytes
    let disk = try disk(bytes[..<segment.bytes.count] + [UInt8](repeating: 0, count: bytes.count - segment.bytes.count))
    let log = KnownLog.log(on: disk)
    let lock = try LogLock(.writer, of: log)
    defer { withExtendedLifetime(lock) {} }
    var reader = try LogReader.open(log, of: KnownLog.id)
    var (count, size) = (0, segment.bytes.count)
    while size < bytes.count {
      let start = size
      size = min(bytes.count, size + 777_777)
      disk.update(known.path(0)) { file in file.replaceSubrange(start..<size, with: bytes[start..<size]) }
      while let frame = try reader.next() {
        #expect(frame.sequence == UInt64(count))
        count += 1
      }
    }
    #expect(count == segment.frames.count)
  }
}
