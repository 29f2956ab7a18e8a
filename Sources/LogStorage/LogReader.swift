package import LogFormat
package import ProvenanceModel

/// Why a log has no further frame.
package enum LogEnding: Sendable, Equatable {
  /// The last frame is the end.
  case clean
  /// A writer is at work: more may come.
  case writing
  /// So many bytes behind the last frame are in doubt: nothing vouches for them, and they are not used.
  case tornTail(bytes: UInt64)
}

/// Reads a log frame by frame, from its first frame or from its newest file, and checks each checksum and each link once.
///
/// Takes no lock; writers may append and replace files meanwhile. Not to be shared between threads. Memory: the largest record.
package struct LogReader: ~Copyable {
  package let log: LogDirectory
  private let sessionID: SessionID?
  private let holdsLock: Bool
  private var files: [SegmentFileName]
  private var fileIndex = 0
  private var file: SegmentFile
  /// The header of the file behind the current one: says where this one ends.
  private var successor: SegmentHeader?
  /// Why there is no such header although there is such a file: thrown when what stands before it has been read.
  private var successorDamage: LogError?
  private var segment: SegmentHeader
  /// Raw offset of the current segment's header.
  private var segmentStart: UInt64 = 0
  /// Raw offset of the next frame.
  private var offset: UInt64 = 0
  private var lastCRC: UInt32 = 0
  /// Raw bytes of the current file when it was last asked.
  private var fileSize: UInt64 = 0
  private var frame: FrameHeader?
  /// Every frame with a lower sequence is known to be on stable storage.
  package private(set) var vouchedBelow: UInt64 = 0
  package private(set) var nextSequence: UInt64 = 0
  /// Set when `next` has returned `nil`.
  package private(set) var ending: LogEnding?

  package enum Start: Sendable {
    case firstFrame
    /// The first frame of the newest file, a checkpoint.
    case newestFile
  }

  private init(
    _ log: LogDirectory, _ sessionID: SessionID?, holdsLock: Bool, _ files: [SegmentFileName], _ file: consuming SegmentFile, _ segment: SegmentHeader
  ) {
    self.log = log
    self.sessionID = sessionID
    self.holdsLock = holdsLock
    self.files = files
    self.segment = segment
    nextSequence = file.name.firstSequence
    self.file = file
  }

  /// - Parameters:
  ///   - sessionID: whose log it must be; `nil` for any.
  ///   - holdsLock: the caller is the log's writer and has not appended yet: the end is judged although there is a writer.
  /// - Throws: `LogError` `notFound` if there is no log or no file in it, `corrupt`, `unsupportedVersion`, `io`.
  package static func open(
    _ log: LogDirectory, of sessionID: SessionID?, from start: Start = .firstFrame, holdsLock: Bool = false
  ) throws(LogError) -> LogReader {
    var files = try log.segments()
    guard let first = start == .firstFrame ? files.first : files.last else {
      throw LogError(.notFound, "the session was never started: its log has no file", path: log.path)
    }
    if start == .newestFile { files = [first] }
    if start == .firstFrame, first.firstSequence != 0 {
      throw LogError(.corrupt, "missing: the log's first file, before this one", path: log.path, segment: first.description, sequence: 0)
    }
    var file = try SegmentFile.open(first, in: log)
    let segment = try header(at: 0, in: &file, log)
    var reader = LogReader(log, sessionID, holdsLock: holdsLock, files, file, segment)
    try reader.enter(segment, at: 0, isFirst: true)
    try reader.lookAhead()
    return reader
  }

  /// The next frame; `nil` at the end, see `ending`. May be asked again later, when more may have come.
  ///
  /// - Throws: `LogError` `corrupt` with place and reason where something that is vouched for is damaged or missing; asking again gives the same.
  package mutating func next() throws(LogError) -> FrameHeader? {
    frame = nil
    ending = nil
    var isWriterGone = holdsLock
    while true {
      let limit = self.limit()
      if offset == limit.offset, limit.isKnown {
        if let index = file.index, index.lastSequence != nextSequence - 1 || index.lastSalt != segment.salt || index.lastCRC != lastCRC {
          throw corrupt("the sealed file's trailer differs from what the file holds")
        }
        guard try nextFile() else { return end(.clean) }
        continue
      }
      guard offset <= limit.offset else { throw corrupt("a frame reaches behind the end that the next segment states") }
      let available = Int(clamping: min(limit.offset, max(fileSize, offset)) - offset)
      var window = try file.bytes(at: offset, atLeast: min(available, FrameHeader.size))
      var finding = inspectFrame(window, available: available, salt: segment.salt, sequence: nextSequence)
      if case .needs(let size) = finding {
        window = try file.bytes(at: offset, atLeast: size)
        finding = inspectFrame(window, available: available, salt: segment.salt, sequence: nextSequence)
      }
      if case .frame = finding {} else if try fileSizeHasChanged() { continue }
      switch finding {
      case .frame(let header):
        guard header.kind.isReadable else {
          throw LogError(
            .unsupportedVersion, "this program does not know frames of \(header.kind.name)", path: log.path, segment: file.name.description,
            sequence: header.sequence, offset: offset)
        }
        take(header)
        return header
      case .segmentHeader:
        let header = try Self.header(at: offset, in: &file, log)
        try check(header.predecessor)
        try enter(header, at: offset, isFirst: false)
      case .needs:
        throw LogError(.io, "the file gives fewer bytes than it has", path: log.path, segment: file.name.description, offset: offset)
      case .bad(let problem, _):
        if limit.isKnown || isVouchedByItsName { throw corrupt(Self.reason(problem)) }
        if try newFileAppeared() { continue }
        if isWriterGone { return try judgeEnd(problem) }
        isWriterGone = try !log.hasLivingWriter()
        // What was read before the question is out of date: a writer may have gone on, or have ended, since.
        file.forget()
        if !isWriterGone { return end(.writing) }
      }
    }
  }

  /// The payload of the frame that `next` has returned, valid until it is called again.
  package var payload: UnsafeRawBufferPointer {
    mutating get throws(LogError) {
      guard let frame else { preconditionFailure("there is no frame") }
      let bytes = try file.bytes(at: offset - UInt64(frame.frameSize), atLeast: FrameHeader.size + frame.payloadSize)
      return UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.size..<FrameHeader.size + frame.payloadSize])
    }
  }

  /// File name and raw offset of the frame that `next` has returned, or where it stopped.
  package var place: (segment: String, offset: UInt64) { (file.name.description, offset - UInt64(frame?.frameSize ?? 0)) }

  /// Raw offset, in the current file, of what comes next.
  package var nextOffset: UInt64 { offset }

  /// Where the segment that is being read ends so far: what a new segment's header says of it.
  package var segmentEnd: SegmentEnd {
    SegmentEnd(salt: segment.salt, size: offset - segmentStart, lastSequence: nextSequence - 1, lastCRC: lastCRC)
  }

  package var fileName: SegmentFileName { file.name }

  // MARK: Steps

  private mutating func take(_ header: FrameHeader) {
    frame = header
    offset += UInt64(header.frameSize)
    lastCRC = header.headerCRC
    nextSequence += 1
    vouchedBelow = max(vouchedBelow, min(header.vouchesBelow, header.sequence))
  }

  private mutating func end(_ ending: LogEnding) -> FrameHeader? {
    self.ending = ending
    return nil
  }

  private mutating func enter(_ header: SegmentHeader, at start: UInt64, isFirst: Bool) throws(LogError) {
    if isFirst { fileSize = try file.rawSize() }
    if isFirst, header.firstSequence != file.name.firstSequence {
      throw corrupt("the file's name says sequence \(file.name.firstSequence), its header \(header.firstSequence)")
    }
    if let sessionID, header.sessionID != sessionID {
      throw corrupt("this file belongs to session '\(header.sessionID)', not to '\(sessionID)'")
    }
    guard header.firstSequence == nextSequence else {
      throw corrupt("the segment begins with sequence \(header.firstSequence), where \(nextSequence) is expected")
    }
    segment = header
    segmentStart = start
    var size = SegmentHeader.size
    let bytes = try file.bytes(at: start, atLeast: SegmentHeader.size)
    size = SegmentHeader.declaredSize(bytes) ?? size
    offset = start + UInt64(size)
    vouchedBelow = max(vouchedBelow, header.firstSequence)
  }

  /// Where the frames of this file end at the latest, and whether that is certain.
  private func limit() -> (offset: UInt64, isKnown: Bool) {
    if let end = successor?.predecessor, end.salt == segment.salt, end.lastSequence >= segment.firstSequence {
      return (segmentStart + end.size, true)
    }
    return (fileSize, file.name.isSealed)
  }

  /// A writer appends, and cuts off what it failed to write whole.
  private mutating func fileSizeHasChanged() throws(LogError) -> Bool {
    let size = try file.rawSize()
    defer { fileSize = size }
    return size != fileSize
  }

  /// Goes on with the file behind the current one, if there is one.
  private mutating func nextFile() throws(LogError) -> Bool {
    if fileIndex + 1 == files.count {
      guard try newFileAppeared() else { return false }
    }
    guard let successor else { throw successorDamage ?? corrupt("missing: what follows this file") }
    try check(successor.predecessor)
    fileIndex += 1
    file = try SegmentFile.open(files[fileIndex], in: log)
    try enter(try Self.header(at: 0, in: &file, log), at: 0, isFirst: true)
    try lookAhead()
    return true
  }

  /// A later header says how this segment must have ended.
  private func check(_ predecessor: SegmentEnd?) throws(LogError) {
    guard let predecessor else { throw corrupt("a first segment stands behind others") }
    guard predecessor == segmentEnd else {
      throw corrupt("missing or swapped: the next segment follows one that ended with sequence \(predecessor.lastSequence)")
    }
  }

  private mutating func lookAhead() throws(LogError) {
    successor = nil
    successorDamage = nil
    guard fileIndex + 1 < files.count else { return }
    do throws(LogError) {
      var next = try SegmentFile.open(files[fileIndex + 1], in: log)
      successor = try Self.header(at: 0, in: &next, log)
    } catch {
      guard error.code == .corrupt || error.code == .unsupportedVersion else { throw error }
      successorDamage = error
    }
  }

  /// Whether the log has gone on in another file since it was listed.
  private mutating func newFileAppeared() throws(LogError) -> Bool {
    if fileIndex + 1 < files.count { throw successorDamage ?? corrupt("missing: what stands between this file and the next") }
    let later = try log.segments().filter { $0.firstSequence > file.name.firstSequence }
    guard !later.isEmpty else { return false }
    files = files[...fileIndex] + later
    try lookAhead()
    return true
  }

  // MARK: The end of the newest segment (Format/frame.md)

  /// What a segment begins with was synced before the file got its name.
  private var isVouchedByItsName: Bool { nextSequence < (segment.firstSequence == 0 ? 2 : segment.firstSequence + 1) }

  /// No writer is at work.
  private mutating func judgeEnd(_ problem: FrameProblem) throws(LogError) -> FrameHeader? {
    let size = fileSize
    var at = offset
    var doubtEnd = offset
    while at < size {
      let window = try file.bytes(at: at, atLeast: Int(min(size - at, 1 << 18)))
      guard window.count >= 8 else {
        if window.contains(where: { $0 != 0 }) { doubtEnd = size }
        break
      }
      let steps = max(1, (window.count - FrameHeader.size) / 8 + 1)
      for step in 0..<steps {
        let here = UnsafeRawBufferPointer(rebasing: window[(step * 8)...])
        if here.prefix(8).contains(where: { $0 != 0 }) { doubtEnd = at + UInt64(step * 8) + UInt64(min(8, here.count)) }
        if let header = FrameHeader(here, salt: segment.salt), header.sequence > nextSequence, header.vouchesBelow > nextSequence {
          throw corrupt("\(Self.reason(problem)), and frame \(header.sequence) says that this one was on stable storage")
        }
        if SegmentHeader.beginsWithMagic(here), let header = try? SegmentHeader(here), header.sessionID == segment.sessionID,
          header.firstSequence > nextSequence
        {
          throw corrupt("\(Self.reason(problem)), and a later segment says that this one was on stable storage")
        }
      }
      at += UInt64(steps * 8)
    }
    return end(doubtEnd > offset ? .tornTail(bytes: doubtEnd - offset) : .clean)
  }

  private static func reason(_ problem: FrameProblem) -> String {
    switch problem {
    case .neverWritten: "nothing is written here, where a frame must be"
    case .headerChecksum: "the frame header's checksum is wrong"
    case .tooLong: "the frame is longer than any may be"
    case .overrun: "the frame reaches behind the end of the file"
    case .payloadChecksum: "the payload's checksum is wrong"
    case .wrongSequence: "this is not the frame that comes next"
    }
  }

  private func corrupt(_ message: String) -> LogError {
    LogError(.corrupt, message, path: log.path, segment: file.name.description, sequence: nextSequence, offset: offset)
  }

  private static func header(at offset: UInt64, in file: inout SegmentFile, _ log: LogDirectory) throws(LogError) -> SegmentHeader {
    do throws(LogError) {
      let start = try file.bytes(at: offset, atLeast: SegmentHeader.size)
      let size = SegmentHeader.declaredSize(start) ?? SegmentHeader.size
      return try SegmentHeader(try file.bytes(at: offset, atLeast: size))
    } catch {
      guard error.path == nil else { throw error }
      throw LogError(error.code, error.message, path: log.path, segment: file.name.description, offset: offset)
    }
  }
}

/// A session as it stands at the end of its log.
package struct LogState: Sendable {
  package let checkpoint: Checkpoint
  package let ending: LogEnding
  /// The sequence behind the last frame.
  package let nextSequence: UInt64
}

extension LogDirectory {
  /// Header and summary of the session as it stands at the end of the log, and how the log ends: read from the newest file alone, its checkpoint
  /// believed if its checksum is right.
  package func state(of sessionID: SessionID?) throws(LogError) -> LogState {
    let files = try segments()
    if let newest = files.last {
      if newest.isSealed, let index = try SegmentFile.open(newest, in: self).index {
        let checkpoint = try index.checkpoint.withRawBytes { bytes throws(LogError) in try Checkpoint(payload: bytes) }
        try check(checkpoint, isOf: sessionID, newest)
        return LogState(checkpoint: checkpoint, ending: .clean, nextSequence: index.lastSequence + 1)
      }
      if let state = try closingState(of: newest, sessionID) { return state }
    }
    var reader = try LogReader.open(self, of: sessionID, from: .newestFile)
    var summary = SummaryBuilder()
    while let frame = try reader.next() { try summary.apply(frame.kind, payload: try reader.payload, trustingCheckpoint: true) }
    guard let checkpoint = summary.checkpoint, let ending = reader.ending else {
      throw LogError(.corrupt, "the newest file does not begin with a checkpoint", path: path, segment: reader.fileName.description)
    }
    try check(checkpoint, isOf: sessionID, reader.fileName)
    return LogState(checkpoint: checkpoint, ending: ending, nextSequence: reader.nextSequence)
  }

  /// What a checkpoint says decides which view is removed: it must be this session's.
  func check(_ checkpoint: Checkpoint, isOf sessionID: SessionID?, _ file: SegmentFileName) throws(LogError) {
    guard let sessionID, checkpoint.header.sessionID != sessionID else { return }
    throw LogError(
      .corrupt, "the checkpoint is of session '\(checkpoint.header.sessionID)', not of '\(sessionID)'", path: path, segment: file.description)
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
    return LogState(checkpoint: checkpoint, ending: .clean, nextSequence: mark.header.sequence + 1)
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
