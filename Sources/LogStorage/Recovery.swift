internal import LogFormat
package import ProvenanceModel

extension LogDirectory {
  /// Opens the log of an existing session for more frames, after a close or a crash; the caller holds the writer's lock.
  ///
  /// All files are read that are not sealed; of sealed ones only the links. No file is changed. A new segment begins behind the last frame that something vouches
  /// for, with copies of the frames that follow there: after a failed sync the cache may hold what the disk does not, and writing it again in
  /// place does not bring it back (on ext4 the block stays one that was never written). What stands behind that point stays as evidence.
  ///
  /// - Throws: `LogError` `corrupt` if something that is vouched for is damaged: nothing is changed then.
  package func resume(
    _ sessionID: SessionID, lock: LogLock, zeroesAhead: Bool = false, randomSalt: @escaping @Sendable () -> UInt32
  ) throws(LogError) -> LogWriter {
    // Who made the newest file may have died before its name was durable: the next one's must not be before.
    try fileSystem.syncDirectory(path)
    var reader = try LogReader.open(self, of: sessionID, holdsLock: true, skipsSealedFiles: true)
    while try reader.next() != nil {}
    let end = reader.nextSequence
    let bytesInDoubt = reader.ending?.bytesInDoubt ?? 0
    var summary: SummaryBuilder
    if reader.fileName.isSealed {
      summary = SummaryBuilder(try state(of: sessionID).checkpoint)
    } else {
      let vouchedBelow = reader.vouchedBelow
      reader = try LogReader.open(self, of: sessionID, from: .newestFile, holdsLock: true)
      summary = SummaryBuilder()
      while reader.nextSequence < vouchedBelow, let frame = try reader.next() {
        try reader.add(frame, to: &summary, trustingCheckpoint: true)
      }
    }
    if let checkpoint = summary.checkpoint { try check(checkpoint, isOf: sessionID, reader.fileName) }
    return try LogWriter.resume(
      reader, summary, copyingUpTo: end, bytesInDoubt: bytesInDoubt, lock: lock, zeroesAhead: zeroesAhead, randomSalt: randomSalt)
  }
}
