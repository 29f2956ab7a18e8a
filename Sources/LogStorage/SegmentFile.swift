internal import LogFormat
package import ProvenanceModel

/// One file of a log, raw or sealed, as a run of raw bytes: header, frames, perhaps further segments. Reads through a window that grows with the
/// largest record and no further.
struct SegmentFile: ~Copyable {
  let name: SegmentFileName
  private let file: any File
  let index: SealedIndex?
  private var window = ByteBuffer(capacity: Self.windowSize)
  /// Raw offset of the window's first byte.
  private var windowStart: UInt64 = 0
  /// Position in the index of the chunk behind the window.
  private var nextChunk = 0
  private var packed = ByteBuffer(capacity: 4096)

  private static let windowSize = 1 << 18

  private init(_ name: SegmentFileName, _ file: any File, _ index: SealedIndex?) {
    self.name = name
    self.file = file
    self.index = index
  }

  static func open(_ name: SegmentFileName, in log: LogDirectory) throws(LogError) -> SegmentFile {
    let file = try log.fileSystem.open(log.path(of: name.description), for: .reading)
    return SegmentFile(name, file, name.isSealed ? try readIndex(of: file, name) : nil)
  }

  /// Raw bytes that the file has now.
  func rawSize() throws(LogError) -> UInt64 {
    if let index { return index.rawSize }
    return try file.status().size
  }

  /// The raw bytes from `offset` on: at least `size` of them, unless the file ends before. Valid until the next call.
  mutating func bytes(at offset: UInt64, atLeast size: Int) throws(LogError) -> UnsafeRawBufferPointer {
    if offset < windowStart || offset > windowStart + UInt64(window.count) { move(to: offset) }
    let skipped = Int(offset - windowStart)
    if window.count - skipped < size {
      window.removeFirst(skipped)
      windowStart = offset
      if index == nil { try fillRaw(to: size) } else { try fillSealed(to: size) }
      return window.bytes
    }
    return UnsafeRawBufferPointer(rebasing: window.bytes[skipped...])
  }

  /// What is asked for next is read from the file again.
  mutating func forget() {
    move(to: windowStart)
  }

  /// Empties the window, so that it begins at `offset`, or at the start of the chunk that holds it.
  private mutating func move(to offset: UInt64) {
    window.removeAll()
    windowStart = offset
    guard let index else { return }
    nextChunk = index.chunks.firstIndex { $0.rawOffset + UInt64($0.rawSize) > offset } ?? index.chunks.count
    if nextChunk < index.chunks.count { windowStart = index.chunks[nextChunk].rawOffset }
  }

  private mutating func fillRaw(to size: Int) throws(LogError) {
    let start = windowStart + UInt64(window.count)
    let free = window.freeRoom(atLeast: max(size, Self.windowSize) - window.count)
    window.commit(try file.read(into: free, at: start))
  }

  private mutating func fillSealed(to size: Int) throws(LogError) {
    guard let index else { return }
    while window.count < size, nextChunk < index.chunks.count {
      let chunk = index.chunks[nextChunk]
      packed.removeAll()
      let room = UnsafeMutableRawBufferPointer(rebasing: packed.freeRoom(atLeast: chunk.fileSize)[0..<chunk.fileSize])
      packed.commit(try file.read(into: room, at: chunk.fileOffset))
      do throws(LogError) {
        guard packed.count == chunk.fileSize, crc32c(0, packed.bytes) == chunk.crc else {
          throw LogError(.corrupt, "a chunk's checksum is wrong")
        }
        try window.appendUnpacked(packed.bytes, rawSize: chunk.rawSize)
      } catch {
        throw LogError(
          error.code, "chunk \(nextChunk): \(error.message)", path: file.path, segment: name.description, sequence: chunk.firstSequence,
          offset: chunk.rawOffset)
      }
      nextChunk += 1
    }
  }
}

private func readIndex(of file: any File, _ name: SegmentFileName) throws(LogError) -> SealedIndex {
  let size = try file.status().size
  do throws(LogError) {
    guard size > UInt64(SealedIndex.trailerSize) else { throw LogError(.corrupt, "the sealed file is too short") }
    let trailer = try readBytes(of: file, at: size - UInt64(SealedIndex.trailerSize), count: SealedIndex.trailerSize)
    let indexSize = try trailer.withRawBytes { bytes throws(LogError) in try SealedIndex.size(trailer: bytes, fileSize: size) }
    let bytes = try readBytes(of: file, at: size - UInt64(indexSize), count: indexSize)
    return try bytes.withRawBytes { bytes throws(LogError) in try SealedIndex(bytes, fileSize: size) }
  } catch {
    guard error.path == nil else { throw error }
    throw LogError(error.code, error.message, path: file.path, segment: name.description)
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
