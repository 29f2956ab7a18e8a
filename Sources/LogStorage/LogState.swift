package import LogFormat
package import ProvenanceModel

/// A session as it stands at the end of its log.
package struct LogState: Sendable {
  package let checkpoint: Checkpoint
  package let ending: LogEnding
}

extension LogDirectory {
  /// Header and summary of the session as it stands at the end of the log, and how the log ends: read from the newest file alone, its checkpoint
  /// believed if its checksum is right.
  package func state(of sessionID: SessionID?) throws(LogError) -> LogState {
    if let newest = try newestFile() {
      do throws(LogError) {
        if let state = try newest.isSealed ? sealedState(of: newest, sessionID) : closingState(of: newest, sessionID) { return state }
      } catch {
        // Replaced by another file since it was listed.
        guard error.code == .notFound else { throw error }
      }
    }
    var reader = try LogReader.open(self, of: sessionID, from: .newestFile)
    var summary = SummaryBuilder()
    while let frame = try reader.next() { try reader.add(frame, to: &summary, trustingCheckpoint: true) }
    guard let checkpoint = summary.checkpoint, let ending = reader.ending else {
      throw LogError(.corrupt, "the newest file does not begin with a checkpoint", path: path, segment: reader.fileName.description)
    }
    try check(checkpoint, isOf: sessionID, reader.fileName)
    return LogState(checkpoint: checkpoint, ending: ending)
  }

  /// The file that holds the end of the log: the last one, unless a sealed one holds what it holds, which a compaction has left beside it.
  func newestFile() throws(LogError) -> SegmentFileName? {
    var files = try segments()
    while let last = files.last {
      guard let wider = try widerFile(than: last, among: files) else { return last }
      // It may have become so since they were listed, and others with it.
      let listing = try segments()
      if listing == files { return wider }
      files = listing
    }
    return nil
  }

  private func widerFile(than last: SegmentFileName, among files: [SegmentFileName]) throws(LogError) -> SegmentFileName? {
    var furthest: (name: SegmentFileName, end: UInt64, hasIndex: Bool)?
    for name in files.dropLast() where name.isSealed {
      // Of one whose trailer is damaged only its frames say it.
      let claimed = try SegmentFile.lastSequence(of: name, in: self)
      let end = if let claimed { claimed &+ 1 } else { try LogReader.end(of: name, in: self, nil) }
      guard end > last.firstSequence, end >= furthest?.end ?? 0 else { continue }
      if let furthest, end == furthest.end, furthest.hasIndex { continue }
      // It may be gone by now.
      let hasIndex = if let file = try? SegmentFile.open(name, in: self) { file.index != nil } else { false }
      furthest = (name, end, hasIndex)
    }
    guard let furthest else { return nil }
    let end = try LogReader.end(of: last, in: self, nil)
    if end < furthest.end { return furthest.name }
    // As far as both reach a damaged one is not needed.
    if end == furthest.end { return try isWhole(furthest.name, of: nil) ? furthest.name : nil }
    guard furthest.hasIndex else { return nil }
    throw LogError(
      .corrupt, "the frames of this file stand in \(furthest.name), too, and that ends before it; 'verify' says more", path: path,
      segment: last.description)
  }

  /// What a checkpoint says decides which view is removed: it must be this session's.
  func check(_ checkpoint: Checkpoint, isOf sessionID: SessionID?, _ file: SegmentFileName) throws(LogError) {
    guard let sessionID, checkpoint.header.sessionID != sessionID else { return }
    throw LogError(
      .corrupt, "the checkpoint is of session '\(checkpoint.header.sessionID)', not of '\(sessionID)'", path: path, segment: file.description)
  }

  /// The state of a closed log whose newest file says at its end that it is closed; `nil` for any other. Reads no more than that end.
  package func closedState(of sessionID: SessionID) throws(LogError) -> LogState? {
    guard let newest = try newestFile(), let state = try newest.isSealed ? sealedState(of: newest, sessionID) : closingState(of: newest, sessionID),
      state.checkpoint.summary.end != nil
    else { return nil }
    return state
  }

  /// The closing checkpoint of a sealed file; `nil` if its index is damaged.
  private func sealedState(of name: SegmentFileName, _ sessionID: SessionID?) throws(LogError) -> LogState? {
    guard let index = try SegmentFile.open(name, in: self).index else { return nil }
    let checkpoint = try index.checkpoint.withRawBytes { bytes throws(LogError) in try Checkpoint(payload: bytes) }
    try check(checkpoint, isOf: sessionID, name)
    return LogState(checkpoint: checkpoint, ending: .clean)
  }

  /// The checkpoint right before the mark with which a closed raw file ends; `nil` if it does not end so.
  private func closingState(of name: SegmentFileName, _ sessionID: SessionID?) throws(LogError) -> LogState? {
    let file = try fileSystem.open(path(of: name.description), for: .reading)
    let size = try file.status().size
    let markSize = UInt64(FrameHeader.frameSize(payload: 8))
    let start = try readBytes(of: file, at: 0, count: SegmentHeader.size)
    guard size > markSize, let segment = try? start.withRawBytes({ bytes throws(LogError) in try SegmentHeader(bytes) }),
      sessionID == nil || segment.sessionID == sessionID, segment.firstSequence == name.firstSequence
    else { return nil }
    guard let mark = wholeFrame(try readBytes(of: file, at: size - markSize, count: Int(markSize)), salt: segment.salt), mark.header.kind == .mark
    else { return nil }
    let distance = mark.payload.enumerated().reduce(UInt64(0)) { $0 | UInt64($1.element) << UInt64(8 * $1.offset) }
    guard distance > 0, distance <= size - markSize, distance <= UInt64(FrameHeader.frameSize(payload: checkpointPayloadSizeMax)) else { return nil }
    guard let frame = wholeFrame(try readBytes(of: file, at: size - markSize - distance, count: Int(distance)), salt: segment.salt),
      frame.header.kind == .checkpoint, frame.header.sequence + 1 == mark.header.sequence
    else { return nil }
    let checkpoint = try frame.payload.withRawBytes { bytes throws(LogError) in try Checkpoint(payload: bytes) }
    try check(checkpoint, isOf: sessionID, name)
    return LogState(checkpoint: checkpoint, ending: .clean)
  }
}

/// The one frame that `bytes` are, if they are one.
private func wholeFrame(_ bytes: [UInt8], salt: UInt32) -> (header: FrameHeader, payload: [UInt8])? {
  bytes.withUnsafeBytes { bytes in
    guard let header = FrameHeader(bytes, salt: salt), header.frameSize == bytes.count,
      case .frame = inspectFrame(bytes, available: bytes.count, salt: salt, sequence: header.sequence)
    else { return nil }
    return (header, Array(bytes[FrameHeader.size..<FrameHeader.size + header.payloadSize]))
  }
}
