internal import LogFormat
package import ProvenanceModel

extension LogDirectory {
  /// Opens the log of an existing session for more frames, after a close or a crash; the caller holds the writer's lock.
  ///
  /// All files are read that are not sealed; of sealed ones only the links.
  ///
  /// Frames for which nothing vouches are written again in place, byte by byte the same, and synced: after a failed sync the cache may hold what the
  /// disk does not. Then a new segment begins, whose header says where this one ends; what stands behind that point stays as it is.
  ///
  /// - Throws: `LogError` `corrupt` if something that is vouched for is damaged: nothing is changed then.
  package func resume(
    _ sessionID: SessionID, lock: LogLock, zeroesAhead: Bool = false, randomSalt: @escaping @Sendable () -> UInt32
  ) throws(LogError) -> LogWriter {
    let newest = try segments().last
    var reader = try LogReader.open(self, of: sessionID, holdsLock: true, skipsSealedFiles: true)
    var summary = SummaryBuilder()
    while let frame = try reader.next() {
      if reader.fileName == newest { try summary.apply(frame.kind, payload: try reader.payload, trustingCheckpoint: true) }
    }
    guard let checkpoint = try reader.fileName.isSealed ? state(of: sessionID).checkpoint : summary.checkpoint else {
      throw LogError(.corrupt, "the newest file does not begin with a checkpoint", path: path, segment: reader.fileName.description)
    }
    try check(checkpoint, isOf: sessionID, reader.fileName)
    let bytesInDoubt = reader.ending?.bytesInDoubt ?? 0
    if !reader.fileName.isSealed { try makeDurable(reader.fileName, of: sessionID, from: reader.vouchedBelow, end: reader.place.offset) }
    return try LogWriter.resume(
      self, checkpoint, after: reader.segmentEnd, bytesInDoubt: bytesInDoubt, lock: lock, zeroesAhead: zeroesAhead,
      randomSalt: randomSalt)
  }

  private func makeDurable(_ name: SegmentFileName, of sessionID: SessionID, from sequence: UInt64, end: UInt64) throws(LogError) {
    var reader = try LogReader.open(self, of: sessionID, from: .newestFile, holdsLock: true)
    while reader.nextSequence < sequence, try reader.next() != nil {}
    var offset = reader.nextOffset
    let file = try fileSystem.open(path(of: name.description), for: .readingAndWriting)
    while offset < end {
      let bytes = try readBytes(of: file, at: offset, count: Int(min(end - offset, 1 << 20)))
      guard !bytes.isEmpty else { throw LogError(.io, "the file became shorter while it was read", path: file.path, offset: offset) }
      try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: offset) }
      offset += UInt64(bytes.count)
    }
    try file.sync()
    try fileSystem.syncDirectory(path)
  }
}
