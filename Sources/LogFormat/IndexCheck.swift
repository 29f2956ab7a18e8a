/// Compares what a sealed file's index says of its chunks with the frames that are read of them, in their order. A chunk of which not all was read is not judged.
package struct IndexCheck: Sendable {
  package let index: SealedIndex
  private let includesTimes: Bool
  /// How many chunks begin at or before the last frame.
  private var begun = 0
  /// Raw offset behind the last of these, and behind the last frame.
  private var chunkEnd: UInt64 = 0
  private var offset: UInt64 = 0
  /// What the entry of the last of these must say, if it was read from its start.
  private var found: ChunkEntry?
  /// What is wrong with a chunk's entry.
  package private(set) var differences: [(chunk: ChunkEntry, message: String)] = []

  /// - Parameter includesTimes: looks for `generated_at` in every action.
  package init(_ index: SealedIndex, includesTimes: Bool) {
    self.index = index
    self.includesTimes = includesTimes
  }

  /// The next frame that is read of the file, if nothing is to be looked at in it.
  package mutating func takes(_ frame: FrameHeader, at offset: UInt64) -> Bool {
    guard offset < chunkEnd, !includesTimes else { return false }
    self.offset = offset + UInt64(frame.frameSize)
    return true
  }

  /// The next frame that is read of the file.
  /// - Parameters:
  ///   - offset: raw.
  ///   - segment: its header, and where that stands.
  ///   - nextSeq: the least seq that an action may have here.
  package mutating func take(
    _ frame: FrameHeader, payload: UnsafeRawBufferPointer, at offset: UInt64, of segment: (header: SegmentHeader, offset: UInt64), nextSeq: Int64
  ) {
    while offset >= chunkEnd, begun < index.chunks.count {
      finishChunk()
      var chunk = index.chunks[begun]
      begun += 1
      chunkEnd = chunk.rawOffset + UInt64(chunk.rawSize)
      // A segment header may be alone in its chunk.
      let isHeader = chunk.rawOffset == segment.offset && frame.sequence == segment.header.firstSequence
      guard isHeader || chunk.rawOffset == offset else { continue }
      (chunk.firstSequence, chunk.firstSeq, chunk.salt) = (frame.sequence, nextSeq, segment.header.salt)
      if includesTimes { (chunk.earliest, chunk.latest) = (.max, .min) }
      found = chunk
      self.offset = offset
    }
    self.offset = offset + UInt64(frame.frameSize)
    guard includesTimes, found != nil, frame.kind == .action else { return }
    // Of an action without one nothing can be said.
    if let time = try? generatedAt(ofAction: payload) { found?.include(time) } else { found = nil }
  }

  /// Behind the last frame that is read of the file.
  package mutating func finishChunk() {
    guard let found, offset >= chunkEnd else { return self.found = nil }
    self.found = nil
    let said = index.chunks[begun - 1]
    let fields: [(name: String, said: String, found: String)] = [
      ("first sequence", "\(said.firstSequence)", "\(found.firstSequence)"), ("first seq", "\(said.firstSeq)", "\(found.firstSeq)"),
      ("salt", "\(said.salt)", "\(found.salt)"), ("least generated_at", "\(said.earliest)", "\(found.earliest)"),
      ("greatest generated_at", "\(said.latest)", "\(found.latest)"),
    ]
    guard let field = fields.first(where: { $0.said != $0.found }) else { return }
    differences.append((found, "the sealed file's index says that this chunk has the \(field.name) \(field.said), and it has \(field.found)"))
  }
}
