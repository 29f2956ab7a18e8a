internal import CLZ4
package import ProvenanceModel

/// One chunk of a sealed file: what stands where (Format/segment.md).
package struct ChunkEntry: Sendable, Equatable {
  static let size = 64

  package var rawOffset: UInt64
  package var rawSize: Int
  package var fileSize: Int
  package var fileOffset: UInt64
  /// Sequence of the first frame.
  package var firstSequence: UInt64
  /// The seq that the next action gets at the start of the chunk.
  package var firstSeq: Int64
  /// `generated_at` in microseconds; least is above greatest if there is no action.
  package var earliest: Int64
  package var latest: Int64
  package var crc: UInt32
  package var salt: UInt32
}

/// The end of a sealed file: its index, closing checkpoint and trailer (Format/segment.md).
package struct SealedIndex: Sendable, Equatable {
  package static let trailerSize = 72
  /// Magic and size of the skippable frame that all of it is.
  static let headerSize = 8
  /// The most raw bytes of a chunk that holds more than one frame.
  package static let chunkSizeMax = 262_144
  static let magic: [UInt8] = [0x89, 0x43, 0x4B, 0x50, 0x53, 0x0D, 0x0A, 0x1A]
  static let skippableMagic: UInt32 = 0x184D_2A5C

  /// A file may be sparse, and claim more than it takes on disk.
  package static let chunkCountMax = 1 << 20
  /// Raw bytes of a file, for which so many chunks are enough: they have about 256 KiB, but for those at the ends of segments.
  package static let rawSizeMax = UInt64(chunkCountMax) << 16

  package var chunks: [ChunkEntry] = []
  /// Payload of a checkpoint that describes the session after the last frame.
  package var checkpoint: [UInt8] = []
  package var rawSize: UInt64 = 0
  package var firstSequence: UInt64 = 0
  package var lastSequence: UInt64 = 0
  package var nextSeq: Int64 = 1
  package var lastSalt: UInt32 = 0
  package var lastCRC: UInt32 = 0

  /// How many bytes at the end of the file hold the whole index, read from its last 72 bytes.
  /// - Throws: `LogError` `corrupt`, `unsupportedVersion`.
  package static func size(trailer: UnsafeRawBufferPointer, fileSize: UInt64) throws(LogError) -> Int {
    guard trailer.count == trailerSize, trailer[56..<64].elementsEqual(magic),
      crc32c(0, UnsafeRawBufferPointer(rebasing: trailer[0..<68])) == trailer.u32(at: 68)
    else { throw LogError(.corrupt, "the sealed file's trailer is damaged") }
    let version = trailer.u16(at: 52)
    guard version == SegmentHeader.version, trailer.u32(at: 64) == 0 else {
      throw LogError(.unsupportedVersion, "the sealed file has format version \(version) or features that this program does not know")
    }
    let count = UInt64(trailer.u32(at: 32))
    let size = count * UInt64(ChunkEntry.size) + UInt64(trailer.u32(at: 36)) + UInt64(headerSize + trailerSize)
    // Each entry stands for a chunk in the file.
    let sizeMin = size + count * UInt64(LZ4FrameHeader.frameSizeMin)
    guard sizeMin <= fileSize, count <= chunkCountMax, trailer.u32(at: 36) <= checkpointPayloadSizeMax else {
      throw LogError(.corrupt, "the sealed file's index is larger than the file, or than any may be")
    }
    return Int(size)
  }

  /// Of the file's last frame, as its trailer says.
  /// - Throws: as `size`.
  package static func lastSequence(trailer: UnsafeRawBufferPointer, fileSize: UInt64) throws(LogError) -> UInt64 {
    _ = try size(trailer: trailer, fileSize: fileSize)
    return trailer.u64(at: 16)
  }

  /// Reads the index out of the last `size(trailer:fileSize:)` bytes of a file.
  /// - Throws: `LogError` `corrupt` if a checksum is wrong, or the chunks do not lie side by side and in order.
  package init(_ frame: UnsafeRawBufferPointer, fileSize: UInt64) throws(LogError) {
    guard frame.count >= Self.headerSize + Self.trailerSize else { throw LogError(.corrupt, "the sealed file is too short") }
    let bytes = UnsafeRawBufferPointer(rebasing: frame[Self.headerSize...])
    let trailer = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - Self.trailerSize)...])
    // Read at two times, it may be another one than that which told the size.
    guard frame.u32(at: 0) == Self.skippableMagic, frame.u32(at: 4) == bytes.count,
      try Self.size(trailer: trailer, fileSize: fileSize) == frame.count
    else { throw LogError(.corrupt, "the sealed file's index does not begin as it must") }
    let covered = UnsafeRawBufferPointer(rebasing: bytes[0..<bytes.count - Self.trailerSize])
    guard crc32c(0, covered) == trailer.u32(at: 40) else { throw LogError(.corrupt, "the sealed file's index is damaged") }
    rawSize = trailer.u64(at: 0)
    firstSequence = trailer.u64(at: 8)
    lastSequence = trailer.u64(at: 16)
    nextSeq = Int64(bitPattern: trailer.u64(at: 24))
    lastSalt = trailer.u32(at: 44)
    lastCRC = trailer.u32(at: 48)
    let count = Int(trailer.u32(at: 32))
    chunks.reserveCapacity(count)
    var (raw, file, sequence) = (UInt64(0), UInt64(0), firstSequence)
    for index in 0..<count {
      let entry = ChunkEntry(UnsafeRawBufferPointer(rebasing: covered[index * ChunkEntry.size..<(index + 1) * ChunkEntry.size]))
      let isInOrder = index == 0 ? entry.firstSequence == firstSequence : sequence...max(sequence, lastSequence) ~= entry.firstSequence
      guard entry.rawOffset == raw, entry.fileOffset == file, entry.isPossible, isInOrder else {
        throw LogError(.corrupt, "the sealed file's index contradicts itself at chunk \(index)")
      }
      raw += UInt64(entry.rawSize)
      file += UInt64(entry.fileSize)
      sequence = entry.firstSequence
      chunks.append(entry)
    }
    guard raw == rawSize, file + UInt64(frame.count) == fileSize, count > 0, firstSequence <= lastSequence,
      lastSequence < FrameHeader.sequenceMax, nextSeq >= 1
    else {
      throw LogError(.corrupt, "the sealed file's index does not fit the file")
    }
    checkpoint = Array(covered[(count * ChunkEntry.size)...])
  }

  fileprivate init() {}

  /// The least seq that an action from this chunk on may have; of the one behind the last, that an action behind the file may have.
  package func firstSeq(ofChunk number: Int) -> Int64 { number < chunks.count ? chunks[number].firstSeq : nextSeq }

  /// Which actions a chunk may hold.
  package func actions(inChunk number: Int) -> ActionFilter {
    let chunk = chunks[number]
    let nextSeq = firstSeq(ofChunk: number + 1)
    // No action has the seq 0.
    guard chunk.firstSeq < nextSeq, chunk.earliest <= chunk.latest else { return ActionFilter(seqs: 0...0) }
    return ActionFilter(seqs: chunk.firstSeq...nextSeq - 1, times: chunk.earliest...chunk.latest)
  }

  /// Whether it says of the frames what another one says of the same, however they are packed.
  package func describes(as other: SealedIndex) -> Bool {
    func unpacked(_ index: SealedIndex) -> SealedIndex {
      var index = index
      for number in index.chunks.indices { (index.chunks[number].fileSize, index.chunks[number].fileOffset, index.chunks[number].crc) = (0, 0, 0) }
      return index
    }
    return unpacked(self) == unpacked(other)
  }

  /// The skippable frame that ends a sealed file.
  fileprivate func append(to buffer: inout ByteBuffer) {
    let contentSize = chunks.count * ChunkEntry.size + checkpoint.count
    let start = buffer.count
    buffer.room(for: 8 + chunks.count * ChunkEntry.size).update(repeating: 0, count: 8 + chunks.count * ChunkEntry.size)
    buffer.commit(8 + chunks.count * ChunkEntry.size)
    buffer.written(at: start).store(Self.skippableMagic, at: 0)
    buffer.written(at: start).store(UInt32(contentSize + Self.trailerSize), at: 4)
    for (index, chunk) in chunks.enumerated() { chunk.store(at: buffer.written(at: start + 8 + index * ChunkEntry.size)) }
    buffer.append(checkpoint)
    let indexCRC = crc32c(0, UnsafeRawBufferPointer(rebasing: buffer.bytes[(start + 8)...]))
    let end = buffer.count
    buffer.room(for: Self.trailerSize).update(repeating: 0, count: Self.trailerSize)
    buffer.commit(Self.trailerSize)
    let trailer = buffer.written(at: end)
    trailer.store(rawSize, at: 0)
    trailer.store(firstSequence, at: 8)
    trailer.store(lastSequence, at: 16)
    trailer.store(nextSeq, at: 24)
    trailer.store(UInt32(chunks.count), at: 32)
    trailer.store(UInt32(checkpoint.count), at: 36)
    trailer.store(indexCRC, at: 40)
    trailer.store(lastSalt, at: 44)
    trailer.store(lastCRC, at: 48)
    trailer.store(SegmentHeader.version, at: 52)
    (trailer + 56).copyMemory(from: Self.magic, byteCount: 8)
    trailer.store(crc32c(0, UnsafeRawBufferPointer(start: UnsafeRawPointer(trailer), count: 68)), at: 68)
  }
}

extension ChunkEntry {
  init(_ bytes: UnsafeRawBufferPointer) {
    rawOffset = bytes.u64(at: 0)
    rawSize = Int(bytes.u32(at: 8))
    fileSize = Int(bytes.u32(at: 12))
    fileOffset = bytes.u64(at: 16)
    firstSequence = bytes.u64(at: 24)
    firstSeq = Int64(bitPattern: bytes.u64(at: 32))
    earliest = Int64(bitPattern: bytes.u64(at: 40))
    latest = Int64(bitPattern: bytes.u64(at: 48))
    crc = bytes.u32(at: 56)
    salt = bytes.u32(at: 60)
  }

  /// A chunk that was found without the index, which knows more of it; `nil` if there can be no such chunk.
  package init?(_ rawOffset: UInt64, rawSize: UInt64, _ fileOffset: UInt64, fileSize: UInt64) {
    guard let rawSize = Int(exactly: rawSize), let fileSize = Int(exactly: fileSize) else { return nil }
    self.init(
      rawOffset: rawOffset, rawSize: rawSize, fileSize: fileSize, fileOffset: fileOffset, firstSequence: 0, firstSeq: 1, earliest: .min,
      latest: .max, crc: 0, salt: 0)
    guard isPossible else { return nil }
  }

  /// What stands in a chunk's place and is none. The most raw bytes that it may have been count, so that what stands behind it is not found too early; what
  /// it begins with is enough to see that it can't be unpacked.
  package init(damagedAt rawOffset: UInt64, _ fileOffset: UInt64, fileSize: UInt64) {
    let rawSizeMax = SegmentHeader.sizeMax + FrameHeader.frameSize(payload: FrameHeader.payloadSizeMax)
    self.init(
      rawOffset: rawOffset, rawSize: Int(min(fileSize * 255, UInt64(rawSizeMax))) & ~7 | 8, fileSize: Int(min(fileSize, 4096)),
      fileOffset: fileOffset,
      firstSequence: 0, firstSeq: 1, earliest: .min, latest: .max, crc: 0, salt: 0)
  }

  /// What bounds the memory that unpacking takes. Packing makes nothing much longer.
  fileprivate var isPossible: Bool {
    rawSize > 0 && rawSize <= SegmentHeader.sizeMax + FrameHeader.frameSize(payload: FrameHeader.payloadSizeMax)
      && (rawSize + 254) / 255 <= fileSize && fileSize <= Self.fileSizeMax(rawSize: rawSize)
  }

  /// The longest LZ4 frame that a chunk of this many raw bytes may be.
  package static func fileSizeMax(rawSize: Int) -> Int { 2 * rawSize + 1024 }

  mutating func include(_ generatedAt: Timestamp) {
    earliest = min(earliest, generatedAt.microseconds)
    latest = max(latest, generatedAt.microseconds)
  }

  func store(at out: UnsafeMutableRawPointer) {
    out.store(rawOffset, at: 0)
    out.store(UInt32(rawSize), at: 8)
    out.store(UInt32(fileSize), at: 12)
    out.store(fileOffset, at: 16)
    out.store(firstSequence, at: 24)
    out.store(firstSeq, at: 32)
    out.store(earliest, at: 40)
    out.store(latest, at: 48)
    out.store(crc, at: 56)
    out.store(salt, at: 60)
  }
}

/// Makes a sealed file out of the segments and frames of raw files, in order; the output grows in a buffer that the caller empties.
package struct Sealer: ~Copyable {
  private var chunk = ByteBuffer(capacity: SealedIndex.chunkSizeMax)
  private var entry: ChunkEntry?
  private var index = SealedIndex()
  private var fileSize: UInt64 = 0
  private var salt: UInt32 = 0
  private var nextSeq: Int64 = 1
  private let level: Int32

  /// `level`: LZ4's, 1 for the fast one, 3 to 12 for HC.
  package init(level: Int32) {
    self.level = level
  }

  /// A segment header; it begins a chunk.
  package mutating func append(_ header: SegmentHeader, bytes: UnsafeRawBufferPointer, to file: inout ByteBuffer) throws(LogError) {
    try flush(to: &file)
    if index.chunks.isEmpty { index.firstSequence = header.firstSequence }
    nextSeq = header.firstSeq
    salt = header.salt
    begin(sequence: header.firstSequence)
    chunk.append(bytes)
  }

  /// A whole frame, padding included.
  package mutating func append(_ header: FrameHeader, frame: UnsafeRawBufferPointer, to file: inout ByteBuffer) throws(LogError) {
    if chunk.count > 0, chunk.count + frame.count > SealedIndex.chunkSizeMax { try flush(to: &file) }
    if entry == nil { begin(sequence: header.sequence) }
    chunk.append(frame)
    index.lastSequence = header.sequence
    index.lastCRC = header.headerCRC
    guard header.kind == .action else { return }
    let payload = UnsafeRawBufferPointer(rebasing: frame[FrameHeader.size..<FrameHeader.size + header.payloadSize])
    nextSeq = max(1, try ActionOutline(payload: payload).seq &+ 1)
    entry?.include(try generatedAt(ofAction: payload))
  }

  /// All that a sealed file holds, its chunks as they are; the caller appends their bytes to `file` itself, right behind this.
  package mutating func append(chunksOf sealed: SealedIndex, to file: inout ByteBuffer) throws(LogError) {
    try flush(to: &file)
    if index.chunks.isEmpty { index.firstSequence = sealed.firstSequence }
    for var chunk in sealed.chunks {
      chunk.rawOffset = index.rawSize
      chunk.fileOffset = fileSize
      index.chunks.append(chunk)
      index.rawSize += UInt64(chunk.rawSize)
      fileSize += UInt64(chunk.fileSize)
    }
    (index.lastSequence, index.lastCRC, salt, nextSeq) = (sealed.lastSequence, sealed.lastCRC, sealed.lastSalt, sealed.nextSeq)
  }

  /// Index and trailer; nothing may be appended afterwards.
  package mutating func finish(checkpoint: [UInt8], to file: inout ByteBuffer) throws(LogError) {
    try flush(to: &file)
    index.checkpoint = checkpoint
    index.nextSeq = nextSeq
    index.lastSalt = salt
    index.append(to: &file)
  }

  private mutating func begin(sequence: UInt64) {
    entry = ChunkEntry(
      rawOffset: index.rawSize, rawSize: 0, fileSize: 0, fileOffset: fileSize, firstSequence: sequence, firstSeq: nextSeq, earliest: .max,
      latest: .min, crc: 0, salt: salt)
  }

  private mutating func flush(to file: inout ByteBuffer) throws(LogError) {
    guard var full = entry else { return }
    let start = file.count
    try file.appendLZ4Frame(chunk.bytes, level: level)
    full.rawSize = chunk.count
    full.fileSize = file.count - start
    full.crc = crc32c(0, UnsafeRawBufferPointer(rebasing: file.bytes[start...]))
    index.chunks.append(full)
    index.rawSize += UInt64(full.rawSize)
    fileSize += UInt64(full.fileSize)
    entry = nil
    chunk.removeAll()
  }
}

/// What a chunk's LZ4 frame begins with (LZ4 frame format 1.6.x): magic, flags, content size, header checksum.
package struct LZ4FrameHeader {
  package static let size = 15
  package static let magic: [UInt8] = [0x04, 0x22, 0x4D, 0x18]
  /// At the end of the frame, behind the empty block: of its content.
  package static let checksumSize = 4
  /// Of a frame without blocks.
  static let frameSizeMin = size + 4 + checksumSize

  package let contentSize: UInt64
  private let blockSizeMax: Int

  /// `nil` if these bytes are not the start of a frame as this format has them: content size and checksum on, no dictionary, no block checksums; or if their
  /// checksum is wrong.
  package init?(_ bytes: ArraySlice<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count == Self.size, bytes.starts(with: Self.magic), bytes[4] & 0b1101_1111 == 0b0100_1100 else { return nil }
    var context: OpaquePointer?
    guard LZ4F_isError(LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))) == 0, let context else { return nil }
    defer { LZ4F_freeDecompressionContext(context) }
    var (info, size) = (LZ4F_frameInfo_t(), bytes.count)
    guard LZ4F_isError(LZ4F_getFrameInfo(context, &info, bytes, &size)) == 0 else { return nil }
    contentSize = info.contentSize
    blockSizeMax = 1 << (8 + 2 * Int(info.blockSizeID.rawValue))
  }

  /// Bytes of a block, from the word before it; 0 for the end of the frame, `nil` if it is too long for one of this frame.
  package func blockSize(_ word: ArraySlice<UInt8>) -> Int? {
    guard word.count == 4 else { return nil }
    let size = Int(word.reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x7FFF_FFFF)
    return size <= blockSizeMax ? size : nil
  }
}

extension ByteBuffer {
  /// One standard LZ4 frame: content size and checksum, independent blocks.
  mutating func appendLZ4Frame(_ raw: UnsafeRawBufferPointer, level: Int32) throws(LogError) {
    var preferences = LZ4F_preferences_t()
    preferences.frameInfo.blockSizeID = LZ4F_max256KB
    preferences.frameInfo.blockMode = LZ4F_blockIndependent
    preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled
    preferences.frameInfo.contentSize = UInt64(raw.count)
    preferences.compressionLevel = level
    let bound = LZ4F_compressFrameBound(raw.count, &preferences)
    let size = LZ4F_compressFrame(room(for: bound), bound, raw.baseAddress, raw.count, &preferences)
    guard LZ4F_isError(size) == 0 else { throw LogError(.io, "LZ4 cannot compress: \(String(cString: LZ4F_getErrorName(size)))") }
    commit(size)
  }

  /// Unpacks one LZ4 frame of `rawSize` bytes and appends them.
  /// - Parameter comparesContent: whether LZ4's own checksum of what was unpacked is compared, which costs more than unpacking.
  /// - Throws: `LogError` `corrupt` if it is no whole frame of that size, or its checksum is wrong.
  package mutating func appendUnpacked(_ frame: UnsafeRawBufferPointer, rawSize: Int, comparesContent: Bool = true) throws(LogError) {
    guard rawSize <= 255 * frame.count else { throw LogError(.corrupt, "an LZ4 chunk declares more than it can hold") }
    var context: OpaquePointer?
    let created = LZ4F_createDecompressionContext(&context, UInt32(LZ4F_VERSION))
    guard LZ4F_isError(created) == 0, let context else { throw LogError(.io, "LZ4 has no memory for unpacking") }
    defer { LZ4F_freeDecompressionContext(context) }
    var options = LZ4F_decompressOptions_t()
    options.skipChecksums = comparesContent ? 0 : 1
    let out = room(for: rawSize)
    var (taken, given) = (0, 0)
    while true {
      var (inSize, outSize) = (frame.count - taken, rawSize - given)
      let hint = LZ4F_decompress(context, out + given, &outSize, frame.baseAddress! + taken, &inSize, &options)
      guard LZ4F_isError(hint) == 0 else {
        throw LogError(.corrupt, "an LZ4 chunk is damaged: \(String(cString: LZ4F_getErrorName(hint)))")
      }
      taken += inSize
      given += outSize
      if hint == 0 { break }
      guard inSize > 0 || outSize > 0 else { throw LogError(.corrupt, "an LZ4 chunk is longer or shorter than the index says") }
    }
    guard taken == frame.count, given == rawSize else { throw LogError(.corrupt, "an LZ4 chunk is longer or shorter than the index says") }
    commit(given)
  }
}
