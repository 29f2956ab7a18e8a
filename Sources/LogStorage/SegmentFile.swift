internal import Glibc
internal import LogFormat
package import ProvenanceModel

/// One file of a log, raw or sealed, as a run of raw bytes: header, frames, perhaps further segments. Reads through a window that grows with the
/// largest record and no further.
struct SegmentFile: ~Copyable {
  let name: SegmentFileName
  /// The same as text, of which every place in the file has need.
  let nameText: String
  /// Device and inode.
  let identity: FileIdentity
  private let file: any File
  /// Of a sealed file, if it is whole.
  let index: SealedIndex?
  /// Why a sealed file has no `index`: its chunks were then found by going from one to the next.
  let indexError: LogError?
  let chunks: [ChunkEntry]
  private var window = ByteBuffer(capacity: Self.windowSize)
  /// So many bytes at the window's start are none of the file's.
  private var unused = 0
  /// Raw offset of the byte behind those.
  private var windowStart: UInt64 = 0
  /// What the window holds.
  private var loaded = UnsafeRawBufferPointer(start: nil, count: 0)
  /// Position in `chunks` of the one behind the window.
  private var nextChunk = 0
  private var packed = ByteBuffer(capacity: 4096)
  /// How often was read on, chunk by chunk or window by window.
  private var run = 0
  /// What follows, while it is being read: whoever reads on needs it.
  private var ahead: ReadingAhead?
  /// The chunk that was found damaged last: it is not unpacked again each time that someone comes near.
  private var damaged: (chunk: Int, error: LogError)?

  static let windowSize = 1 << 18

  /// - Throws: `LogError` if the file can't be read or is of a version that this program does not know; what is damaged is found by reading.
  /// - Parameters:
  ///   - path: where it stands, if it has not got its name yet.
  ///   - known: of files without their index: the chunks that were found, by identity.
  static func open(
    _ name: SegmentFileName, in log: LogDirectory, at path: String? = nil, knowing known: [FileIdentity: [ChunkEntry]] = [:]
  ) throws(LogError) -> SegmentFile {
    let file = try log.fileSystem.open(path ?? log.path(of: name.description), for: .reading)
    let identity = try file.status().identity
    guard name.isSealed else { return SegmentFile(name, identity, file, nil, nil, []) }
    do throws(LogError) {
      let index = try readIndex(of: file)
      return SegmentFile(name, identity, file, index, nil, index.chunks)
    } catch {
      guard error.code == .corrupt else { throw error }
      let chunks = if let chunks = known[identity] { chunks } else { try findChunks(in: file) }
      return SegmentFile(name, identity, file, nil, error, chunks)
    }
  }

  /// What a sealed file's trailer says; `nil` if it is damaged, or has just been removed.
  static func lastSequence(of name: SegmentFileName, in log: LogDirectory) throws(LogError) -> UInt64? {
    do throws(LogError) {
      let file = try log.fileSystem.open(log.path(of: name.description), for: .reading)
      let size = try file.status().size
      guard size > UInt64(SealedIndex.trailerSize) else { return nil }
      let trailer = try readBytes(of: file, at: size - UInt64(SealedIndex.trailerSize), count: SealedIndex.trailerSize)
      return try trailer.withRawBytes { bytes throws(LogError) in try SealedIndex.lastSequence(trailer: bytes, fileSize: size) }
    } catch {
      guard [.corrupt, .notFound, .unsupportedVersion].contains(error.code) else { throw error }
      return nil
    }
  }

  /// The least seq that an action in a file may have.
  static func firstSeq(of name: SegmentFileName, in log: LogDirectory) throws(LogError) -> Int64 {
    var file = try open(name, in: log)
    if let index = file.index { return index.chunks[0].firstSeq }
    return try LogReader.segmentHeader(at: 0, in: &file, log).firstSeq
  }

  private init(
    _ name: SegmentFileName, _ identity: FileIdentity, _ file: any File, _ index: SealedIndex?, _ indexError: LogError?, _ chunks: [ChunkEntry]
  ) {
    self.name = name
    nameText = name.description
    self.identity = identity
    self.file = file
    self.index = index
    self.indexError = indexError
    self.chunks = chunks
  }

  /// Raw bytes that the file has now.
  func rawSize() throws(LogError) -> UInt64 {
    if name.isSealed { return chunks.last.map { $0.rawOffset + UInt64($0.rawSize) } ?? 0 }
    return try file.status().size
  }

  /// Whether its name is that of another file by now, or of none.
  func isReplaced(in log: LogDirectory) throws(LogError) -> Bool {
    try log.fileSystem.status(of: log.path(of: name.description))?.identity != identity
  }

  /// Raw offset of the first byte at or behind `offset` that may be other than zero; `nil` if there is none.
  func nextData(from offset: UInt64) throws(LogError) -> UInt64? { name.isSealed ? offset : try file.nextData(from: offset) }

  /// A chunk's LZ4 frame, its checksum compared.
  func packedBytes(of chunk: ChunkEntry) throws(LogError) -> [UInt8] {
    let bytes = try readBytes(of: file, at: chunk.fileOffset, count: chunk.fileSize)
    guard bytes.count == chunk.fileSize, bytes.withUnsafeBytes({ crc32c(0, $0) }) == chunk.crc else {
      throw LogError(.corrupt, "a chunk's checksum is wrong", path: parentDirectory(file.path), segment: name.description, offset: chunk.rawOffset)
    }
    return bytes
  }

  /// The chunks that the index vouches for, and `lz4 -d` does not take: nobody else compares the checksum of what they hold.
  func contentDamage() throws(LogError) -> [Damage] {
    var damages: [Damage] = []
    for (number, chunk) in chunks.enumerated() where index != nil {
      if try isWhole(chunk, in: file, comparing: .content) { continue }
      // Who reads finds the others.
      guard try isWhole(chunk, in: file, comparing: .index) else { continue }
      let message = "chunk \(number): LZ4's checksum of what it holds is wrong, so that 'lz4 -d' refuses it; 'compact --level 9' makes it anew"
      let sequences = chunk.firstSequence..<chunk.firstSequence
      damages.append(
        Damage(.chunk, message, segment: name.description, offset: chunk.rawOffset, size: UInt64(chunk.rawSize), sequences: sequences))
    }
    return damages
  }

  /// The chunk that holds the raw byte at `offset`.
  func chunk(at offset: UInt64) -> ChunkEntry? {
    let number = chunkNumber(at: offset)
    return number < chunks.count ? chunks[number] : nil
  }

  /// Position in `chunks` of the first one that ends behind `offset`.
  func chunkNumber(at offset: UInt64) -> Int {
    var range = 0..<chunks.count
    while let middle = range.isEmpty ? nil : range.lowerBound + range.count / 2 {
      range = chunks[middle].rawOffset + UInt64(chunks[middle].rawSize) > offset ? range.lowerBound..<middle : middle + 1..<range.upperBound
    }
    return range.lowerBound
  }

  /// Raw offset of the last segment's header; its chunks are those at the end that have its salt.
  var lastSegmentStart: UInt64 {
    guard let index, let other = chunks.lastIndex(where: { $0.salt != index.lastSalt }) else { return 0 }
    return other + 1 < chunks.count ? chunks[other + 1].rawOffset : 0
  }

  /// The raw bytes from `offset` on: at least `size` of them, unless the file ends or a damaged chunk begins before. Valid until the next call.
  /// - Throws: `LogError` with a `damage` if the chunk that holds the byte at `offset` is damaged; `io`.
  mutating func bytes(at offset: UInt64, atLeast size: Int) throws(LogError) -> UnsafeRawBufferPointer {
    let (skipped, isBefore) = offset.subtractingReportingOverflow(windowStart)
    if isBefore || skipped > UInt64(loaded.count) || loaded.count - Int(skipped) < size { try load(offset, atLeast: size) }
    return UnsafeRawBufferPointer(rebasing: loaded[min(Int(offset - windowStart), loaded.count)...])
  }

  /// What of that is there already, up to `end`.
  func loadedBytes(from offset: UInt64, to end: UInt64) -> UnsafeRawBufferPointer {
    guard offset >= windowStart, offset < min(end, loadedEnd) else { return UnsafeRawBufferPointer(start: nil, count: 0) }
    return UnsafeRawBufferPointer(rebasing: loaded[Int(offset - windowStart)..<Int(min(end, loadedEnd) - windowStart)])
  }

  /// Raw offset behind what the window holds.
  var loadedEnd: UInt64 { windowStart + UInt64(loaded.count) }

  private mutating func load(_ offset: UInt64, atLeast size: Int) throws(LogError) {
    defer { loaded = UnsafeRawBufferPointer(rebasing: window.bytes[unused...]) }
    if offset < windowStart || offset > windowStart + UInt64(window.count - unused) { move(to: offset) }
    let skipped = Int(offset - windowStart)
    let count = window.count - unused
    guard count < skipped + size else { return }
    // In a sealed file the window begins with a chunk, perhaps before what is asked for.
    let passed = min(skipped, count)
    windowStart += UInt64(passed)
    unused += passed
    let before = skipped - passed
    if name.isSealed {
      dropUnused()
      try fillSealed(to: before + size, atLeast: before + min(size, 1))
    } else {
      try fillRaw(to: size)
    }
  }

  private mutating func dropUnused() {
    window.removeFirst(unused)
    unused = 0
  }

  /// What is asked for next is read from the file again.
  mutating func forget() {
    damaged = nil
    move(to: windowStart)
  }

  /// Empties the window, so that it begins at `offset`; in a sealed file at the start of the chunk that holds it.
  private mutating func move(to offset: UInt64) {
    window.removeAll()
    unused = 0
    loaded = window.bytes
    windowStart = offset
    (run, ahead) = (0, nil)
    guard name.isSealed else { return }
    nextChunk = chunkNumber(at: offset)
    if nextChunk < chunks.count { windowStart = chunks[nextChunk].rawOffset }
  }

  private mutating func fillRaw(to size: Int) throws(LogError) {
    run += 1
    if let start = ahead?.moveRaw(to: &window, keepingFrom: unused) { unused = start }
    if window.count - unused < size {
      dropUnused()
      let room = window.freeRoom(atLeast: max(size, Self.windowSize) - window.count)
      let count = try file.read(into: room, at: windowStart + UInt64(window.count))
      window.commit(count)
      // Behind the end more may come.
      if count < room.count { (run, ahead) = (0, nil) }
    }
    if run >= Self.runMin {
      let ahead = ahead ?? ReadingAhead(file)
      ahead.startReading(at: windowStart + UInt64(window.count - unused))
      self.ahead = ahead
    }
  }

  /// - Throws: if a chunk is damaged before there are `sizeMin` bytes.
  private mutating func fillSealed(to size: Int, atLeast sizeMin: Int) throws(LogError) {
    while window.count < size, nextChunk < chunks.count {
      do throws(LogError) {
        if let damaged, damaged.chunk == nextChunk { throw damaged.error }
        try unpackNextChunk()
      } catch {
        guard error.damage != nil else { throw error }
        damaged = (nextChunk, error)
        guard window.count >= sizeMin else { throw error }
        return
      }
    }
  }

  private mutating func unpackNextChunk() throws(LogError) {
    run += 1
    let count = ahead?.moveChunks(to: &window) ?? 0
    nextChunk += count
    if count == 0 {
      ahead = nil
      let chunk = chunks[nextChunk]
      do throws(LogError) {
        try window.appendUnpacked(chunk, of: file, packed: &packed, comparing: checksums)
      } catch {
        guard error.code == .corrupt else { throw error }
        let end = nextChunk + 1 < chunks.count ? chunks[nextChunk + 1].firstSequence : (index?.lastSequence ?? chunk.firstSequence) + 1
        let damage = Damage(
          .chunk, "chunk \(nextChunk): \(error.message)", segment: name.description, offset: chunk.rawOffset, size: UInt64(chunk.rawSize),
          sequences: chunk.firstSequence..<max(end, chunk.firstSequence), storedCRC: chunk.crc, computedCRC: crc32c(0, packed.bytes))
        throw LogError(damage, in: parentDirectory(file.path))
      }
      nextChunk += 1
    }
    if run >= Self.runMin, nextChunk < chunks.count {
      let ahead = ahead ?? ReadingAhead(file)
      ahead.unpack(chunks, from: nextChunk, comparing: checksums)
      self.ahead = ahead
    }
  }

  private var checksums: ChunkChecksums { index == nil ? .content : .index }

  /// Who has read on so often goes on, as a rule.
  private static let runMin = 3
}

private func isWhole(_ chunk: ChunkEntry, in file: any File, comparing checksums: ChunkChecksums) throws(LogError) -> Bool {
  var bytes = ByteBuffer()
  var packed = ByteBuffer()
  do throws(LogError) {
    try bytes.appendUnpacked(chunk, of: file, packed: &packed, comparing: checksums)
    return true
  } catch {
    guard error.code == .corrupt else { throw error }
    return false
  }
}

private func readIndex(of file: any File) throws(LogError) -> SealedIndex {
  let size = try file.status().size
  do throws(LogError) {
    guard size > UInt64(SealedIndex.trailerSize) else { throw LogError(.corrupt, "the sealed file is too short") }
    let trailer = try readBytes(of: file, at: size - UInt64(SealedIndex.trailerSize), count: SealedIndex.trailerSize)
    let indexSize = try trailer.withRawBytes { bytes throws(LogError) in try SealedIndex.size(trailer: bytes, fileSize: size) }
    let bytes = try readBytes(of: file, at: size - UInt64(indexSize), count: indexSize)
    return try bytes.withRawBytes { bytes throws(LogError) in try SealedIndex(bytes, fileSize: size) }
  } catch {
    guard error.path == nil else { throw error }
    let advice = error.code == .unsupportedVersion ? "; a newer ckprov-log does" : ""
    throw LogError(error.code, error.message + advice, path: file.path)
  }
}

/// The chunks of a sealed file without its index, by their own lengths. All that stands between two of them counts as one that can't be unpacked, and so does
/// one whose lengths are wrong, up to the first that it would hide.
private func findChunks(in file: any File) throws(LogError) -> [ChunkEntry] {
  var search = ChunkSearch(file, size: try file.status().size)
  var chunks: [ChunkEntry] = []
  // Where the last chunk ends, and the place that is looked at.
  var (rawOffset, end, offset) = (UInt64(0), UInt64(0), UInt64(0))
  while chunks.count + 1 < SealedIndex.chunkCountMax {
    let damaged = end < offset ? ChunkEntry(damagedAt: rawOffset, end, fileSize: offset - end) : nil
    if let chunk = try search.chunk(at: offset, rawOffset + UInt64(damaged?.rawSize ?? 0)) {
      if let hidden = try search.chunk(inside: chunk), try !search.isWhole(chunk) {
        offset = hidden.fileOffset
        continue
      }
      if let damaged { chunks.append(damaged) }
      chunks.append(chunk)
      rawOffset = chunk.rawOffset + UInt64(chunk.rawSize)
      offset += UInt64(chunk.fileSize)
      end = offset
    } else if let next = try search.find(LZ4FrameHeader.magic, from: offset + 1) {
      offset = next
    } else {
      break
    }
  }
  // Behind the last one stands the index.
  return chunks
}

/// What was made to look like chunks costs no more than the file is long: bytes are looked through once, in larger reads, and what they say is followed by
/// reads of a few bytes, of which there are a bounded number.
private struct ChunkSearch {
  private let file: any File
  private let size: UInt64
  private var block: [UInt8] = []
  private var start: UInt64 = 0
  private var readsLeft: Int
  /// Raw and packed ones of chunks that turn out damaged.
  private var unpackedBytesLeft: UInt64

  init(_ file: any File, size: UInt64) {
    self.file = file
    self.size = size
    readsLeft = Int(clamping: size / 8) + 1024
    unpackedBytesLeft = min(size, 1 << 40) * 32 + 1 << 28
  }

  /// The chunk that begins there; `nil` if none does.
  mutating func chunk(at offset: UInt64, _ rawOffset: UInt64) throws(LogError) -> ChunkEntry? {
    try load(offset, count: LZ4FrameHeader.size)
    guard let header = LZ4FrameHeader(try bytes(at: offset, count: LZ4FrameHeader.size)), let rawSize = Int(exactly: header.contentSize),
      rawSize <= FrameHeader.payloadSizeMax * 2
    else { return nil }
    let endMax = offset + UInt64(ChunkEntry.fileSizeMax(rawSize: rawSize))
    var end = offset + UInt64(LZ4FrameHeader.size)
    var isLast = false
    while !isLast {
      readsLeft -= 1
      guard readsLeft > 0, end <= endMax, let block = header.blockSize(try bytes(at: end, count: 4)) else { return nil }
      end += 4 + UInt64(block)
      isLast = block == 0
    }
    end += UInt64(LZ4FrameHeader.checksumSize)
    return end <= size ? ChunkEntry(rawOffset, rawSize: header.contentSize, offset, fileSize: end - offset) : nil
  }

  /// The first that begins in another one, where none does: one of them is not what it says.
  mutating func chunk(inside outer: ChunkEntry) throws(LogError) -> ChunkEntry? {
    let end = outer.fileOffset + UInt64(outer.fileSize)
    var at = outer.fileOffset
    while let place = try find(LZ4FrameHeader.magic, from: at + 1, to: end) {
      if let chunk = try chunk(at: place, outer.rawOffset) { return chunk }
      at = place
    }
    return nil
  }

  /// Whether it can be unpacked; as if it could, once that was tried too often.
  mutating func isWhole(_ chunk: ChunkEntry) throws(LogError) -> Bool {
    let cost = UInt64(chunk.fileSize + chunk.rawSize)
    guard cost <= unpackedBytesLeft else { return true }
    let isWhole = try LogStorage.isWhole(chunk, in: file, comparing: .content)
    if !isWhole { unpackedBytesLeft -= cost }
    return isWhole
  }

  /// Where the next of these bytes begin, if they do, before `end`. Holes are passed over.
  mutating func find(_ word: [UInt8], from place: UInt64, to end: UInt64 = .max) throws(LogError) -> UInt64? {
    var at = place
    let end = min(end, size)
    while readsLeft > 0, at + UInt64(word.count) <= end {
      try load(at, count: word.count)
      let skipped = Int(at - start)
      guard block.count - skipped >= word.count else { return nil }
      if let found = firstPlace(of: word, behind: skipped) { return start + UInt64(found) < end ? start + UInt64(found) : nil }
      at += UInt64(block.count - skipped - word.count + 1)
      guard block[skipped...].allSatisfy({ $0 == 0 }) else { continue }
      guard let data = try file.nextData(from: at) else { return nil }
      at = max(at, data)
    }
    return nil
  }

  private func firstPlace(of word: [UInt8], behind skipped: Int) -> Int? {
    block.withUnsafeBytes { block in
      var at = skipped
      while let found = memchr(block.baseAddress! + at, Int32(word[0]), block.count - at) {
        at = UnsafeRawPointer(found) - block.baseAddress!
        if block.count - at < word.count { return nil }
        if memcmp(found, word, word.count) == 0 { return at }
        at += 1
      }
      return nil
    }
  }

  private func isLoaded(_ offset: UInt64, count: Int) -> Bool { offset >= start && offset + UInt64(count) <= start + UInt64(block.count) }

  private mutating func load(_ offset: UInt64, count: Int) throws(LogError) {
    guard !isLoaded(offset, count: count) else { return }
    block = try readBytes(of: file, at: offset, count: Int(min(1 << 16, size > offset ? size - offset : 0)))
    start = offset
  }

  /// Fewer at the end of the file.
  private func bytes(at offset: UInt64, count: Int) throws(LogError) -> ArraySlice<UInt8> {
    if isLoaded(offset, count: count) { return block.dropFirst(Int(offset - start)).prefix(count) }
    return try readBytes(of: file, at: offset, count: Int(min(UInt64(count), size > offset ? size - offset : 0)))[...]
  }
}

/// All bytes from `offset` on, as many as there are now.
/// - Throws: `LogError` `tooLarge` above 1 GiB: no file that is read whole has a reason to be longer.
package func readBytes(of file: any File, at offset: UInt64) throws(LogError) -> [UInt8] {
  let size = try file.status().size
  guard size <= 1 << 30 else { throw LogError(.tooLarge, "a JSON file of \(size) bytes is over the limit of 1 GiB; move it away", path: file.path) }
  return try readBytes(of: file, at: offset, count: Int(clamping: size > offset ? size - offset : 0))
}

/// `count` bytes, or as many as there are.
package func readBytes(of file: any File, at offset: UInt64, count: Int) throws(LogError) -> [UInt8] {
  var failed: LogError?
  let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
    do throws(LogError) { filled = try file.read(into: UnsafeMutableRawBufferPointer(buffer), at: offset) } catch { failed = error }
  }
  if let failed { throw failed }
  return bytes
}
