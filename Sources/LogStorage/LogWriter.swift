package import LogFormat
package import ProvenanceModel

/// Appends frames to a log: the one way in which a log grows. Holds the writer's lock.
///
/// Frames are built in `buffer` between `beginFrame` and `endFrame`, and reach the file, all in one write, with `flush`; they are then in the kernel and
/// survive the death of the process. On stable storage they are once a `SyncPoint` that was taken afterwards was synced. Not to be shared between
/// threads; a `SyncPoint` may be synced on another one.
package struct LogWriter: ~Copyable {
  private let log: LogDirectory
  /// `nil` once it was given back.
  package private(set) var lock: LogLock?
  private let randomSalt: @Sendable () -> UInt32

  /// The session as it stood when the log was opened.
  package let opened: Checkpoint
  /// Bytes behind the end of the log for which nothing vouched when it was opened; they stay where they are.
  package let bytesInDoubt: UInt64

  private var file: any File
  /// The file's name now; `file` knows the one under which it was made.
  private var path: String
  private var salt: UInt32
  /// Of the active segment.
  private var firstSequence: UInt64
  /// Bytes of the active segment that are in the file.
  private var size: UInt64
  /// Whether zeros are written ahead of the frames, so that a frame changes neither the size nor the extents of the file, and its sync only its bytes.
  private let zeroesAhead: Bool
  /// Bytes that are in the file: behind `size` they are zeros.
  private var fileSize: UInt64
  private var lastCRC: UInt32
  /// Sequence of the next frame that is begun.
  package private(set) var nextSequence: UInt64
  /// Frames with a lower sequence are on stable storage.
  private var syncedBelow: UInt64
  /// Offset in the active segment of its newest checkpoint frame.
  private var checkpointOffset: UInt64
  private var endsWithMark = false
  /// `size` at the last sync point, or that of a segment before.
  private var syncPointSize: UInt64 = 0
  private var poison: LogError?

  package var buffer = ByteBuffer(capacity: 1 << 16)
  private var pendingFrames: UInt64 = 0

  /// Gives the lock back; nothing may be appended afterwards.
  package mutating func release() {
    precondition(pendingFrames == 0, "frames must be flushed before the log is given back")
    cutToSize()
    lock = nil
  }

  package var isReleased: Bool { lock == nil }

  // MARK: Frames

  /// - Throws: `LogError` `tooLarge`; the frame is then gone from the buffer, those before it stay.
  package mutating func endFrame(at start: Int, _ kind: FrameKind) throws(LogError) {
    try buffer.endFrame(at: start, kind: kind, sequence: nextSequence, unsynced: nextSequence - syncedBelow, salt: salt)
    nextSequence += 1
    pendingFrames += 1
  }

  package mutating func append(_ kind: FrameKind, _ payload: [UInt8]) throws(LogError) {
    let start = buffer.beginFrame()
    buffer.append(payload)
    try endFrame(at: start, kind)
  }

  /// - Throws: `LogError` `tooLarge`; nothing is appended then.
  package mutating func append(actionOf seq: Int64, tail: UnsafeRawBufferPointer) throws(LogError) {
    let start = buffer.beginFrame()
    buffer.appendAction(seq: seq, tail: tail)
    try endFrame(at: start, .action)
  }

  /// Writes the buffered frames. After a failure whole frames stay, the rest is cut off and forgotten.
  /// - Returns: how many frames were kept, and the error that kept it from keeping all: `noSpace` or `io` (it may be tried again), or `poisoned`.
  package mutating func flush() -> (kept: UInt64, error: LogError?) { flush(zeroingAhead: zeroesAhead) }

  private mutating func flush(zeroingAhead: Bool) -> (kept: UInt64, error: LogError?) {
    defer {
      buffer.removeAll()
      buffer.shrink(to: 1 << 20)
      pendingFrames = 0
    }
    if let poison {
      nextSequence -= pendingFrames
      return (0, poison)
    }
    guard pendingFrames > 0 else { return (0, nil) }
    if zeroingAhead, segmentSize > fileSize { buffer.appendZeros(zeroStep) }
    let start = size
    let result = file.write(buffer.bytes, at: start)
    let kept = keepWholeFrames(written: result.written)
    nextSequence -= pendingFrames - kept
    fileSize = max(fileSize, start + UInt64(result.written))
    guard let error = result.error else { return (kept, nil) }
    if kept == pendingFrames {
      // There was no room for the zeros alone.
      cutToSize()
      return (kept, nil)
    }
    do throws(LogError) {
      try file.truncate(to: size)
      fileSize = size
      return (kept, error.at(path))
    } catch {
      return (kept, poisoned(by: error.at(path), "a failed write could not be undone"))
    }
  }

  /// How many zeros are written ahead at once: as many as the segment has bytes, from 32 KiB to 1 MiB.
  private var zeroStep: Int { Int(min(max(size, 32 << 10), 1 << 20)) }

  /// Gives back what was written ahead. It is no part of the log, so a failure is passed over.
  package mutating func cutToSize() {
    guard poison == nil, fileSize > size, (try? file.truncate(to: size)) != nil else { return }
    fileSize = size
  }

  /// Moves the end of the segment behind the frames that were written whole.
  private mutating func keepWholeFrames(written: Int) -> UInt64 {
    var (offset, kept) = (0, UInt64(0))
    while kept < pendingFrames {
      let header = FrameHeader(unchecked: UnsafeRawBufferPointer(rebasing: buffer.bytes[offset...]))
      guard offset + header.frameSize <= written else { break }
      if header.kind == .checkpoint { checkpointOffset = size + UInt64(offset) }
      endsWithMark = header.kind == .mark
      offset += header.frameSize
      lastCRC = header.headerCRC
      kept += 1
    }
    size += UInt64(offset)
    return kept
  }

  /// Bytes of the active segment, buffered ones included.
  package var segmentSize: UInt64 { size + UInt64(buffer.count) }

  // MARK: Stable storage

  /// All that was flushed so far, to be synced on any thread.
  package struct SyncPoint: Sendable {
    private let file: any File
    private let path: String
    package let below: UInt64

    fileprivate init(_ file: any File, _ path: String, below: UInt64) {
      self.file = file
      self.path = path
      self.below = below
    }

    package func sync() throws(LogError) {
      do throws(LogError) { try file.sync() } catch { throw error.at(path) }
    }
  }

  /// `nil` if all of it is on stable storage already.
  package mutating func syncPoint() throws(LogError) -> SyncPoint? {
    if let poison { throw poison }
    let flushed = nextSequence - pendingFrames
    syncPointSize = size
    // A mark alone needs no sync: it is only a message about what was synced.
    return flushed > syncedBelow + (endsWithMark ? 1 : 0) ? SyncPoint(file, path, below: flushed) : nil
  }

  /// Bytes of the active segment that were written since.
  package var sizeSinceSyncPoint: UInt64 { size - min(size, syncPointSize) }

  /// The log has no other file.
  package var isInFirstSegment: Bool { firstSequence == 0 }

  package func isSynced(below sequence: UInt64) -> Bool { sequence <= syncedBelow }

  /// - Throws: `LogError` `poisoned` if the lock is one no longer: another writer may have gone on from less.
  package mutating func didSync(_ point: SyncPoint) throws(LogError) {
    do throws(LogError) { try lock?.check() } catch { throw poisoned(by: error, "the session is not locked any more") }
    syncedBelow = max(syncedBelow, point.below)
  }

  /// A failed sync is for ever: the kernel may have dropped what it could not write, and a later sync would not say so.
  /// - Returns: the error that every later call throws.
  package mutating func didFailToSync(_ error: LogError) -> LogError {
    poisoned(by: error, "a sync failed")
  }

  /// Syncs on this thread.
  package mutating func sync() throws(LogError) {
    guard let point = try syncPoint() else { return }
    do throws(LogError) { try point.sync() } catch { throw didFailToSync(error) }
    try didSync(point)
  }

  /// A mark says, at no cost of a sync, that all before it is on stable storage. Nothing is lost without it, so a failure is passed over.
  package mutating func appendMark() {
    guard poison == nil, !isReleased, pendingFrames == 0, syncedBelow == nextSequence, !endsWithMark else { return }
    let start = buffer.beginFrame()
    let distance = checkpointOffset == 0 ? 0 : size - checkpointOffset
    withUnsafeBytes(of: distance.littleEndian) { buffer.append($0) }
    guard (try? endFrame(at: start, .mark)) != nil else { return }
    _ = flush(zeroingAhead: false)
  }

  private mutating func poisoned(by error: LogError, _ what: String) -> LogError {
    if let poison { return poison }
    let poison = LogError(
      .poisoned, "\(what) (\(error.message)), so nothing more is acknowledged; open the session anew", path: error.path, offset: error.offset,
      errno: error.errno)
    self.poison = poison
    return poison
  }

  // MARK: Segments

  private init(
    _ log: LogDirectory, _ checkpoint: Checkpoint, _ lock: LogLock, zeroesAhead: Bool, _ randomSalt: @escaping @Sendable () -> UInt32,
    _ segment: borrowing NewSegment, bytesInDoubt: UInt64 = 0
  ) {
    self.log = log
    opened = checkpoint
    self.bytesInDoubt = bytesInDoubt
    self.lock = lock
    self.zeroesAhead = zeroesAhead
    self.randomSalt = randomSalt
    file = segment.file
    path = segment.path
    salt = segment.header.salt
    firstSequence = segment.header.firstSequence
    size = segment.size
    fileSize = segment.size
    lastCRC = segment.lastCRC
    nextSequence = segment.nextSequence
    syncedBelow = segment.isSynced ? segment.nextSequence : segment.header.firstSequence
    checkpointOffset = segment.checkpointOffset
    endsWithMark = segment.endsWithMark
  }

  /// Starts the log of a new session, whose directory exists and is locked.
  /// - Parameter syncs: false for a log that gets its name once all of it was synced: nothing of it is then on stable storage yet, nor is the name of its file.
  package static func start(
    _ log: LogDirectory, _ header: SessionHeader, lock: LogLock, zeroesAhead: Bool = false, syncs: Bool = true,
    randomSalt: @escaping @Sendable () -> UInt32
  ) throws(LogError) -> LogWriter {
    let segment = SegmentHeader(sessionID: header.sessionID, salt: randomSalt(), firstSequence: 0, firstSeq: 1, predecessor: nil)
    let checkpoint = Checkpoint(header: header, summary: SessionSummary(kernelName: URN.kernelName(ofURN: header.wasAssociatedWith)))
    let payloads = (checkpoint: try checkpoint.payload(), header: try header.payload())
    let new = try NewSegment.make(segment, in: log, syncs: syncs) { new throws(LogError) in
      try payloads.checkpoint.withRawBytes { bytes throws(LogError) in try new.append(.checkpoint, bytes) }
      try payloads.header.withRawBytes { bytes throws(LogError) in try new.append(.sessionStarted, bytes) }
    }
    return LogWriter(log, checkpoint, lock, zeroesAhead: zeroesAhead, randomSalt, new)
  }

  /// Goes on where `reader` stands, up to which all is on stable storage, in a new segment that begins with a copy of the frames that follow there.
  ///
  /// - Parameter summary: the session as it stands there.
  static func resume(
    _ reader: consuming LogReader, _ summary: SummaryBuilder, copyingUpTo end: UInt64, bytesInDoubt: UInt64, lock: LogLock, zeroesAhead: Bool,
    randomSalt: @escaping @Sendable () -> UInt32
  ) throws(LogError) -> LogWriter {
    let log = reader.log
    var reader = reader
    var summary = summary
    guard let before = summary.checkpoint else {
      throw LogError(.corrupt, "the newest file does not begin with a checkpoint", path: log.path, segment: reader.fileName.description)
    }
    let new = try NewSegment.make(after: reader.segmentEnd, before, salt: randomSalt(), in: log) { new throws(LogError) in
      guard reader.nextSequence < end else { return }
      while reader.nextSequence < end, let frame = try reader.next() {
        try reader.add(frame, to: &summary)
        if frame.kind == .mark { try new.appendMark() } else { try new.append(frame.kind, try reader.payload) }
      }
      try new.appendMark()
    }
    return LogWriter(
      log, summary.checkpoint ?? before, lock, zeroesAhead: zeroesAhead, randomSalt, new, bytesInDoubt: bytesInDoubt)
  }

  /// Goes on in a new file. Everything before it is synced first: segment n+1 never becomes durable before n.
  /// - Throws: `poisoned` if the sync fails; `noSpace` or `io` if there is no new file, and then the active one stays.
  package mutating func roll(_ checkpoint: Checkpoint) throws(LogError) {
    precondition(pendingFrames == 0, "frames must be flushed before the segment ends")
    cutToSize()
    // A mark needs no sync of its own, but the next header vouches for it.
    endsWithMark = false
    try sync()
    let end = SegmentEnd(salt: salt, size: size, lastSequence: nextSequence - 1, lastCRC: lastCRC)
    let new: NewSegment
    do throws(LogError) {
      new = try NewSegment.make(after: end, checkpoint, salt: randomSalt(), in: log)
    } catch {
      // Renamed but not known to be durable: whether it is there after a crash is open, so nothing may be appended before or behind it.
      throw error.code == .poisoned ? poisoned(by: error, "a new segment could not be synced") : error
    }
    file = new.file
    path = new.path
    salt = new.header.salt
    firstSequence = new.header.firstSequence
    size = new.size
    fileSize = new.size
    lastCRC = new.lastCRC
    nextSequence = new.nextSequence
    syncedBelow = new.nextSequence
    syncPointSize = size
    checkpointOffset = new.checkpointOffset
    endsWithMark = false
  }
}

/// A segment file that is being made: under a temporary name with what it begins with inside, synced, renamed, its directory synced.
private struct NewSegment: ~Copyable {
  let header: SegmentHeader
  let file: any File
  let path: String
  private(set) var size: UInt64 = 0
  private(set) var lastCRC: UInt32 = 0
  private(set) var nextSequence: UInt64
  private(set) var checkpointOffset: UInt64 = 0
  private(set) var endsWithMark = false
  private(set) var isSynced = false
  private var buffer = ByteBuffer(capacity: 1 << 16)

  static func make(
    _ header: SegmentHeader, in log: LogDirectory, syncs: Bool = true, filledBy fill: (inout NewSegment) throws(LogError) -> Void
  ) throws(LogError) -> NewSegment {
    let name = SegmentFileName(firstSequence: header.firstSequence)
    let path = log.path(of: name.description)
    let temporary = log.path(of: name.temporaryName)
    // Left from a creation that did not finish; nothing acknowledged is in it.
    if try log.fileSystem.status(of: temporary) != nil { try log.fileSystem.remove(temporary) }
    var segment = NewSegment(header, try log.fileSystem.create(temporary), path)
    do throws(LogError) {
      try fill(&segment)
      try segment.flush()
      if syncs { try segment.file.sync() }
      guard try log.fileSystem.renameToNew(temporary, to: path) else {
        throw LogError(.io, "a segment of this name exists already; another program is at work in this log", path: path)
      }
    } catch {
      try? log.fileSystem.remove(temporary)
      throw error
    }
    guard syncs else { return segment }
    do throws(LogError) {
      try log.fileSystem.syncDirectory(log.path)
    } catch {
      throw LogError(.poisoned, error.message, path: error.path, errno: error.errno)
    }
    segment.isSynced = true
    return segment
  }

  /// Behind `predecessor`, beginning with a checkpoint of the session as it stood there.
  static func make(
    after predecessor: SegmentEnd, _ checkpoint: Checkpoint, salt: UInt32, in log: LogDirectory,
    filledBy fill: (inout NewSegment) throws(LogError) -> Void = { _ throws(LogError) in }
  ) throws(LogError) -> NewSegment {
    let header = SegmentHeader(
      sessionID: checkpoint.header.sessionID, salt: salt, firstSequence: predecessor.lastSequence + 1, firstSeq: checkpoint.summary.nextSeq,
      predecessor: predecessor)
    let payload = try checkpoint.payload()
    return try make(header, in: log) { segment throws(LogError) in
      try payload.withRawBytes { bytes throws(LogError) in try segment.append(.checkpoint, bytes) }
      try fill(&segment)
    }
  }

  private init(_ header: SegmentHeader, _ file: any File, _ path: String) {
    self.header = header
    self.file = file
    self.path = path
    nextSequence = header.firstSequence
    header.append(to: &buffer)
  }

  mutating func append(_ kind: FrameKind, _ payload: UnsafeRawBufferPointer) throws(LogError) {
    let start = buffer.beginFrame()
    buffer.append(payload)
    try endFrame(at: start, kind, unsynced: nextSequence - header.firstSequence)
    if buffer.count > 1 << 20 { try flush() }
  }

  /// Says that all before it is on stable storage: so it is, once the file has its name.
  mutating func appendMark() throws(LogError) {
    let start = buffer.beginFrame()
    withUnsafeBytes(of: (size + UInt64(start) - checkpointOffset).littleEndian) { buffer.append($0) }
    try endFrame(at: start, .mark, unsynced: 0)
  }

  private mutating func endFrame(at start: Int, _ kind: FrameKind, unsynced: UInt64) throws(LogError) {
    try buffer.endFrame(at: start, kind: kind, sequence: nextSequence, unsynced: unsynced, salt: header.salt)
    if kind == .checkpoint { checkpointOffset = size + UInt64(start) }
    lastCRC = buffer.headerCRC(ofFrameAt: start)
    endsWithMark = kind == .mark
    nextSequence += 1
  }

  private mutating func flush() throws(LogError) {
    try file.writeAll(buffer.bytes, at: size)
    size += UInt64(buffer.count)
    buffer.removeAll()
  }
}
