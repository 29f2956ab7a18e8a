import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport

/// Bytes that were changed, and the checksums made right again: what is said there is believed.
enum Forger {
  static func store(_ value: UInt64, _ size: Int, at offset: Int, in bytes: inout [UInt8]) {
    for index in 0..<size where offset + index < bytes.count { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }

  static func load(_ size: Int, at offset: Int, in bytes: [UInt8]) -> UInt64 {
    (0..<size).reversed().reduce(0) { value, index in value << 8 | UInt64(offset + index < bytes.count ? bytes[offset + index] : 0) }
  }

  static func sealFrameHeader(at offset: Int, salt: UInt32, in bytes: inout [UInt8]) {
    guard offset + FrameHeader.size <= bytes.count else { return }
    let crc = Array(bytes[offset..<offset + FrameHeader.size]).withUnsafeBytes { FrameHeader.crc(of: $0, salt: salt) }
    store(UInt64(crc), 4, at: offset + 4, in: &bytes)
  }

  /// The payload's checksum too, if the length that the header says is there.
  static func sealFrame(at offset: Int, salt: UInt32, in bytes: inout [UInt8]) {
    let start = offset + FrameHeader.size
    let end = start + Int(load(4, at: offset, in: bytes))
    if end <= bytes.count { store(UInt64(Array(bytes[start..<end]).withUnsafeBytes { crc32c(salt, $0) }), 4, at: offset + 8, in: &bytes) }
    sealFrameHeader(at: offset, salt: salt, in: &bytes)
  }

  static func sealSegmentHeader(at offset: Int = 0, in bytes: inout [UInt8]) {
    let declared = Int(load(2, at: offset + 10, in: bytes))
    let size = declared >= SegmentHeader.size && offset + declared <= bytes.count ? declared : SegmentHeader.size
    guard offset + size <= bytes.count else { return }
    let crc = Array(bytes[offset..<offset + size - 4]).withUnsafeBytes { crc32c(0, $0) }
    store(UInt64(crc), 4, at: offset + size - 4, in: &bytes)
  }

  /// Index and trailer of a sealed file; `start` is that of the index's first entry.
  static func sealIndex(from start: Int, in bytes: inout [UInt8]) {
    let trailer = bytes.count - SealedIndex.trailerSize
    guard start <= trailer else { return }
    store(UInt64(Array(bytes[start..<trailer]).withUnsafeBytes { crc32c(0, $0) }), 4, at: trailer + 40, in: &bytes)
    sealTrailer(in: &bytes)
  }

  static func sealTrailer(in bytes: inout [UInt8]) {
    let trailer = bytes.count - SealedIndex.trailerSize
    store(UInt64(Array(bytes[trailer..<trailer + 68]).withUnsafeBytes { crc32c(0, $0) }), 4, at: trailer + 68, in: &bytes)
  }

  /// A frame that says of itself whatever is wanted, under a right header checksum.
  static func frame(
    _ payload: [UInt8], length: Int? = nil, sequence: UInt64, unsynced: UInt32 = 0, kind: UInt8 = 2, salt: UInt32, isPayloadRight: Bool = true
  ) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: FrameHeader.frameSize(payload: payload.count))
    bytes.replaceSubrange(FrameHeader.size..<FrameHeader.size + payload.count, with: payload)
    store(UInt64(length ?? payload.count), 4, at: 0, in: &bytes)
    store(UInt64(unsynced), 4, at: 12, in: &bytes)
    store(sequence | UInt64(kind) << 56, 8, at: 16, in: &bytes)
    store(UInt64(payload.withUnsafeBytes { crc32c(salt, $0) } ^ (isPayloadRight ? 0 : 1)), 4, at: 8, in: &bytes)
    sealFrameHeader(at: 0, salt: salt, in: &bytes)
    return bytes
  }

  static func segmentHeader(_ header: SegmentHeader) -> [UInt8] {
    var buffer = ByteBuffer()
    header.append(to: &buffer)
    return Array(buffer.bytes)
  }

  /// Segments of frames that hold nothing, one behind the other, and the frames of each.
  static func segments(_ sizes: [[Int]], unsynced: UInt32 = 0) -> [(header: SegmentHeader, bytes: [UInt8], frames: [[UInt8]])] {
    var end: SegmentEnd?
    return sizes.enumerated().map { number, sizes in
      let salt = UInt32(number + 1)
      let first = end.map { $0.lastSequence + 1 } ?? 0
      let header = SegmentHeader(sessionID: KnownLog.id, salt: salt, firstSequence: first, firstSeq: 1, predecessor: end)
      let frames = sizes.enumerated().map { index, size in
        frame([UInt8](repeating: UInt8(number & 0x7F), count: size), sequence: first + UInt64(index), unsynced: unsynced, kind: 5, salt: salt)
      }
      let bytes = segmentHeader(header)
      let last = frames.last!.withUnsafeBytes { FrameHeader(unchecked: $0) }
      let size = bytes.count + frames.reduce(0) { $0 + $1.count }
      end = SegmentEnd(salt: salt, size: UInt64(size), lastSequence: last.sequence, lastCRC: last.headerCRC)
      return (header, bytes, frames)
    }
  }

  /// A sealed file of such segments, as a compaction makes it.
  static func sealed(_ segments: some Sequence<(header: SegmentHeader, bytes: [UInt8], frames: [[UInt8]])>) throws -> [UInt8] {
    var file = ByteBuffer()
    var sealer = Sealer(level: 1)
    for (header, bytes, frames) in segments {
      try bytes.withRawBytes { bytes throws(LogError) in try sealer.append(header, bytes: bytes, to: &file) }
      for frame in frames {
        try frame.withRawBytes { bytes throws(LogError) in try sealer.append(FrameHeader(unchecked: bytes), frame: bytes, to: &file) }
      }
    }
    try sealer.finish(checkpoint: try KnownLog.of(.raw).checkpoints[9]!.payload(), to: &file)
    return Array(file.bytes)
  }

  /// A sealed file of segments that hold anything, whose index says what they say of themselves.
  static func sealed(_ segments: [(header: SegmentHeader, bytes: [UInt8])], lastSequence: UInt64, lastCRC: UInt32, _ checkpoint: Checkpoint) throws
    -> [UInt8]
  {
    var file = ByteBuffer()
    var sealer = Sealer(level: 1)
    for (header, bytes) in segments {
      try bytes.withRawBytes { bytes throws(LogError) in
        try sealer.append(header, bytes: UnsafeRawBufferPointer(rebasing: bytes.prefix(SegmentHeader.size)), to: &file)
        guard bytes.count > SegmentHeader.size else { return }
        let rest = UnsafeRawBufferPointer(rebasing: bytes[SegmentHeader.size...])
        // A kind of which the sealer looks at nothing.
        var frame = Forger.frame([], sequence: lastSequence, kind: FrameKind.mark.rawValue, salt: 0).withUnsafeBytes { FrameHeader(unchecked: $0) }
        frame.headerCRC = lastCRC
        try sealer.append(frame, frame: rest, to: &file)
      }
    }
    try sealer.finish(checkpoint: try checkpoint.payload(), to: &file)
    return Array(file.bytes)
  }

  static let values: [UInt64] = [
    0, 1, 2, 7, 8, 23, 24, 25, 136, 4096, 4097, 65_536, 262_144, 67_108_864, 67_108_865, 1 << 31 - 1, 1 << 31, 1 << 32 - 1, 1 << 32, 1 << 56 - 2,
    1 << 56 - 1, 1 << 56, 1 << 62, 1 << 63 - 1, 1 << 63, 1 << 63 + 1, .max - 1, .max,
  ]

  /// Something that is near the value that stood there, or far from all that can be.
  static func absurd(_ value: UInt64, _ random: inout some RandomNumberGenerator) -> UInt64 {
    switch Int.random(in: 0..<4, using: &random) {
    case 0: value &+ UInt64.random(in: 1...16, using: &random)
    case 1: value &- UInt64.random(in: 1...16, using: &random)
    case 2: UInt64.random(in: .min ... .max, using: &random) >> UInt64.random(in: 0..<64, using: &random)
    default: values.randomElement(using: &random)!
    }
  }
}
