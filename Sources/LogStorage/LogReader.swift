package import LogFormat
package import ProvenanceModel

/// Reads a log frame by frame, from its first frame or from its newest file, and checks each checksum and each link once.
///
/// `next` stops at damage, `nextItem` reports it and goes on behind it; where another file holds what damage takes, both go on there (Format/directory.md). Takes
/// no lock; writers may append and replace files meanwhile. Not to be shared between threads. Memory: the largest record and 1 MiB; beside damage, for each file that
/// may hold what it takes, its runs of whole frames, 65,536 at most.
package struct LogReader: ~Copyable {
  package let log: LogDirectory
  let sessionID: SessionID?
  let holdsLock: Bool
  let skipsSealedFiles: Bool
  var goesBehindTail: Bool
  var readsOneFile = false
  /// Those that are read, in their order; a file that another one covers is none of them.
  var files: [SegmentFileName]
  var fileIndex = 0
  var file: SegmentFile
  var position = Position.beforeFile
  /// What the file behind the current one says.
  var later = Later.none
  var segment: SegmentHeader
  /// Raw offset of the current segment's header.
  var segmentStart: UInt64 = 0
  /// Raw offset of the next frame.
  var offset: UInt64 = 0
  /// Header CRC of the last frame.
  var lastCRC: UInt32 = 0
  /// Where the segment before the current file ended; `nil` in front of the file with which reading began.
  var predecessor: SegmentEnd?
  /// The frame that comes next, if it was read already: it was looked for.
  var held: FrameHeader?
  /// What stands in its place before it, in the file in which it was found.
  var foundBehind: Damage?
  /// The damage that was returned last takes nothing away: another file holds what is lost there.
  var isPassedOver = false
  /// A damaged file that reading has left says that there are frames up to this sequence.
  var claimedBelow: UInt64 = 0
  /// Files that were asked for that.
  var claimed: Set<SegmentFileName> = []
  /// Where reading has left files: what it comes back for stands behind.
  var left: [SegmentFileName: Bookmark] = [:]
  /// Of files that were read for it, by their identity: where whole frames stand, and how long the file was.
  var runs: [FileIdentity: (size: UInt64, runs: [Run])] = [:]
  /// No other file holds what damage before this sequence takes from the current one.
  var aloneBelow: UInt64 = 0
  /// A file that is read as if it were not there.
  var ignored: SegmentFileName?
  /// Reading began inside the current file.
  package internal(set) var isEnteredInside = false
  /// Damage was passed, so that where the segment ends for this reader says nothing.
  var isInterrupted = false
  /// What was read of the current file is looked at frame by frame, up to this raw offset: behind it, or where there is no frame, more has to be.
  private var plainBelow: UInt64 = 0
  /// Raw bytes of the current file when it was last asked.
  var fileSize: UInt64 = 0
  /// Frames with a lower sequence are copies of such as were read before they were copied.
  var passesBelow: UInt64 = 0
  private var frame: FrameHeader?
  var lastLook: Look?
  /// What two equal looks at the current file have shown, so that not every further damage needs two of its own.
  var settled: Settled?
  /// How often the rest of the current file was searched. One that makes that needed again and again was made to do so.
  var searches = 0
  static let searchesMax = 16
  /// Bytes of the current file that may still be read because they look like a frame.
  var searchRoom: UInt64 = 0
  /// What was found last in the current file, behind a chunk that can't be unpacked.
  var wholeBehind = Whole(offset: 0, sequence: 0, salt: 0)
  /// How many names were listed because of damage. At the end of the log they are listed as often as it is asked for more.
  var listed = 0
  /// Of those that have lost their index: their chunks.
  var foundChunks: [FileIdentity: [ChunkEntry]] = [:]
  /// How often reading went on in another file because of damage.
  var moves = 0
  private var failure: LogError?
  /// Which actions are wanted: chunks that hold none of them are not unpacked.
  var filter: ActionFilter?
  /// What the filter says of the current file is known up to this raw offset.
  var filteredBelow: UInt64 = 0
  /// Of a chunk that is read from its start: the least seq that the next action in it may have, and which times its entry says that stand there.
  var indexed: (nextSeq: Int64, times: ClosedRange<Int64>)?
  /// Every frame with a lower sequence is known to be on stable storage.
  package internal(set) var vouchedBelow: UInt64 = 0
  package internal(set) var nextSequence: UInt64 = 0
  /// Of the last action that `next` gave; 0 before it.
  package internal(set) var lastSeq: Int64 = 0
  /// Set when `next` has returned `nil`.
  package private(set) var ending: LogEnding?

  package enum Start: Sendable {
    case firstFrame
    /// The first frame of the newest file, a checkpoint.
    case newestFile
  }

  package enum Item: Sendable {
    case frame(FrameHeader)
    case damage(Damage)
  }

  enum Later {
    case none
    case header(SegmentHeader)
    /// There is one, and it can't be read.
    case unreadable
  }

  enum Step {
    case item(Item)
    case again
    case end(LogEnding)
  }

  enum Position {
    /// Header and links of the file are still to be looked at.
    case beforeFile
    case inFile
    /// All that a sealed file's index says was compared.
    case atEndOfSealedFile
    /// The file is of no use.
    case behindFile
  }

  /// Where the frames of a file may end, and whether something says that they end there.
  struct Limit {
    var offset: UInt64
    var isKnown: Bool
  }

  /// What was seen at a place where no frame is.
  struct Look: Equatable {
    var evidence: EndEvidence
    /// Behind the place, if that was searched.
    var behind: Behind?
    /// Behind the last byte that is not zero.
    var doubtEnd: UInt64
  }

  /// What was found from a place of the newest file to its end. It holds for every later place, too, up to where it was found.
  struct Behind: Equatable {
    /// The last header that vouches for the most.
    var voucher: (offset: UInt64, below: UInt64) = (0, 0)
    /// The last frame header with the greatest sequence.
    var frame: (offset: UInt64, sequence: UInt64) = (0, 0)
    var doubtEnd: UInt64

    static func == (a: Behind, b: Behind) -> Bool { a.voucher == b.voucher && a.frame == b.frame && a.doubtEnd == b.doubtEnd }

    func vouches(for sequence: UInt64, at offset: UInt64) -> Bool { voucher.below > sequence && voucher.offset >= offset }
    func hasFrame(above sequence: UInt64, at offset: UInt64) -> Bool { frame.sequence > sequence && frame.offset >= offset }
  }

  /// A frame, or the beginning of a segment.
  struct Whole {
    var offset: UInt64
    var sequence: UInt64
    var salt: UInt32

    /// Up to the end of the file there is none.
    static let none = Whole(offset: .max, sequence: 0, salt: 0)
  }

  struct Settled {
    /// `nil` where something stands behind the file, so that it has no tail.
    var behind: Behind?
  }

  /// - Parameters:
  ///   - sessionID: whose log it must be; `nil` for any.
  ///   - holdsLock: the caller is the log's writer and has not appended yet: the end is judged although there is a writer.
  ///   - skipsSealedFiles: of sealed files only the links are read, where their trailer is whole.
  ///   - goesBehindTail: a tail in doubt is reported as damage, and the whole frames in it are read.
  /// - Throws: `LogError` `notFound` if there is no log or no file in it; `unsupportedVersion`, `noPermission`, `io`.
  package static func open(
    _ log: LogDirectory, of sessionID: SessionID?, from start: Start = .firstFrame, holdsLock: Bool = false, skipsSealedFiles: Bool = false,
    goesBehindTail: Bool = false
  ) throws(LogError) -> LogReader {
    var lastListing: [SegmentFileName] = []
    while true {
      let files = try log.segments()
      guard let first = try start == .firstFrame ? files.first : log.newestFile() else {
        throw LogError(
          .notFound, "the session was never started: its log has no file; 'ckprov-log record' or 'import' with this id makes one", path: log.path)
      }
      do throws(LogError) {
        let file = try SegmentFile.open(first, in: log)
        return LogReader(
          log, sessionID, holdsLock, skipsSealedFiles, goesBehindTail, start == .firstFrame ? files : [first], file,
          nextSequence: start == .firstFrame ? 0 : first.firstSequence)
      } catch {
        // It was replaced by another one since it was listed; if not, the second listing says so.
        guard error.code == .notFound, files != lastListing else { throw error }
        lastListing = files
      }
    }
  }

  /// Reads no more than what may hold the actions that are wanted: names, headers and indexes say where they are. Frames of others are among what it returns.
  package static func open(_ log: LogDirectory, of sessionID: SessionID?, for filter: ActionFilter) throws(LogError) -> LogReader {
    var reader = try open(log, of: sessionID)
    if filter == .all { return reader }
    reader.filter = filter
    let files = reader.files
    // The last file that begins with no later action holds the first one. What can't be read is found by reading.
    var range = 0..<files.count
    while range.count > 1 {
      let middle = range.lowerBound + range.count / 2
      guard let firstSeq = try? SegmentFile.firstSeq(of: files[middle], in: log) else { return reader }
      range = firstSeq <= filter.seqs.lowerBound ? middle..<range.upperBound : range.lowerBound..<middle
    }
    // Beside one that covers others reading begins at the first file, and finds out which of them counts.
    for index in 0..<range.lowerBound where files[index].isSealed {
      guard let last = try SegmentFile.lastSequence(of: files[index], in: log), last < files[index + 1].firstSequence else { return reader }
    }
    guard range.lowerBound > 0, let file = try? SegmentFile.open(files[range.lowerBound], in: log) else { return reader }
    reader = LogReader(
      log, sessionID, false, false, false, Array(files[range.lowerBound...]), file, nextSequence: files[range.lowerBound].firstSequence)
    reader.filter = filter
    return reader
  }

  init(
    _ log: LogDirectory, _ sessionID: SessionID?, _ holdsLock: Bool, _ skipsSealedFiles: Bool, _ goesBehindTail: Bool,
    _ files: [SegmentFileName], _ file: consuming SegmentFile, nextSequence: UInt64
  ) {
    self.log = log
    self.sessionID = sessionID
    self.holdsLock = holdsLock
    self.skipsSealedFiles = skipsSealedFiles
    self.goesBehindTail = goesBehindTail
    self.files = files
    self.nextSequence = nextSequence
    segment = SegmentHeader(
      sessionID: sessionID ?? SessionID(bits: 0), salt: 0, firstSequence: file.name.firstSequence, firstSeq: 1, predecessor: nil)
    self.file = file
  }

  /// Reads one file, whatever stands beside it; the caller sees to it that nobody appends to it.
  /// - Parameter files: it, and the one behind it, if there is one, which says where it ends.
  init(_ log: LogDirectory, _ sessionID: SessionID?, reading file: consuming SegmentFile, of files: [SegmentFileName]) {
    self.init(log, sessionID, true, false, false, files, file, nextSequence: files[0].firstSequence)
    readsOneFile = true
  }

  // MARK: The doors

  /// The next frame; `nil` at the end, see `ending`. May be asked again later, when more may have come.
  ///
  /// - Throws: `LogError` `corrupt` with place and reason where something that is vouched for is damaged or missing; asking again gives the same.
  package mutating func next() throws(LogError) -> FrameHeader? {
    if let failure { throw failure }
    while true {
      switch try nextItem() {
      case .frame(let header)?:
        if header.kind == .action {
          let payload = try payload
          do throws(LogError) { try checkOrder(header, action: payload) } catch {
            let placed = placed(error)
            failure = placed
            throw placed
          }
        }
        return header
      case .damage(let damage)?:
        guard stopsReaders(damage) else { continue }
        throw stop(at: damage)
      case nil: return nil
      }
    }
  }

  /// The index by which chunks were passed over says otherwise than what is read.
  mutating func indexContradiction() -> LogError {
    let message = "the sealed file's index says otherwise than what stands here; 'verify --deep' says where, 'compact --level 9' makes it anew"
    return stop(at: damage(.sealedIndex, message))
  }

  /// No more is given.
  mutating func stop(at damage: Damage) -> LogError {
    let error = LogError(damage, in: log.path)
    failure = error
    return error
  }

  /// Whether `next` goes no further than to this damage, which was returned last. What a sealed file's index says stands in its chunks, too, and the next file, or
  /// another one that is come back for, says where they end. Of a file that is passed over others hold what it held.
  package func stopsReaders(_ damage: Damage) -> Bool {
    if isPassedOver { return false }
    guard damage.cause == .sealedIndex else { return true }
    if case .header = later { return false }
    return nextSequence >= claimedBelow
  }

  /// The next frame, or the next damage, behind which it then goes on; `nil` at the end, see `ending`.
  package mutating func nextItem() throws(LogError) -> Item? {
    frame = nil
    ending = nil
    lastLook = nil
    isPassedOver = false
    while true {
      if let found = held.take() {
        frame = found
        return .frame(found)
      }
      if let action = nextPlainAction() { return .frame(action) }
      let (next, crc) = (nextSequence, crcBefore)
      switch try step() {
      case .item(.damage(let damage)): return .damage(try passedOver(damage, next: next, lastCRC: crc))
      case .item(let item): return item
      case .again: continue
      case .end(let ending):
        self.ending = ending
        return nil
      }
    }
  }

  /// The payload of the frame that was returned last, valid until the next one is asked for.
  package var payload: UnsafeRawBufferPointer {
    mutating get throws(LogError) {
      UnsafeRawBufferPointer(rebasing: try frameBytes[FrameHeader.size...])
    }
  }

  /// Takes the frame that was returned last into what the frames add up to.
  /// - Throws: `LogError` `corrupt` with its place if it does not fit what came before.
  package mutating func add(_ frame: FrameHeader, to summary: inout SummaryBuilder, trustingCheckpoint: Bool = false) throws(LogError) {
    let payload = try payload
    do throws(LogError) {
      switch frame.kind {
      case .sessionStarted where !trustingCheckpoint: try checkStart(try SessionHeader(payload: payload))
      case .checkpoint where trustingCheckpoint && summary.header == nil: try checkStart(try Checkpoint(payload: payload).header)
      default: break
      }
      try summary.apply(frame.kind, payload: payload, trustingCheckpoint: trustingCheckpoint)
    } catch {
      throw placed(error)
    }
  }

  private func checkStart(_ header: SessionHeader) throws(LogError) {
    guard let sessionID, header.sessionID != sessionID else { return }
    throw LogError(.corrupt, "the session that starts here is '\(header.sessionID)', and not '\(sessionID)'")
  }

  /// An error in the payload that was returned last, with its place.
  package func placed(_ error: LogError) -> LogError {
    guard error.path == nil, let frame else { return error }
    let (segment, offset) = place
    return LogError(
      Damage(.record, error.message, segment: segment, offset: offset, size: UInt64(frame.frameSize), sequences: frame.sequence..<frame.sequence + 1),
      in: log.path)
  }

  /// Header and payload of the frame that was returned last.
  package var frameBytes: UnsafeRawBufferPointer {
    mutating get throws(LogError) {
      guard let frame else { preconditionFailure("there is no frame") }
      let bytes = try file.bytes(at: offset - UInt64(frame.frameSize), atLeast: FrameHeader.size + frame.payloadSize)
      return UnsafeRawBufferPointer(rebasing: bytes[..<(FrameHeader.size + frame.payloadSize)])
    }
  }

  /// All bytes of the frame that was returned last.
  var paddedFrameBytes: UnsafeRawBufferPointer {
    mutating get throws(LogError) {
      guard let frame else { preconditionFailure("there is no frame") }
      return UnsafeRawBufferPointer(rebasing: try file.bytes(at: offset - UInt64(frame.frameSize), atLeast: frame.frameSize).prefix(frame.frameSize))
    }
  }

  /// The segment header in front of the frame that was returned last, if it is the first one behind it. Valid until the next bytes are asked for.
  var beginOfSegment: UnsafeRawBufferPointer? {
    mutating get throws(LogError) {
      guard let frame, frame.sequence == segment.firstSequence else { return nil }
      let size = Int(offset - segmentStart) - frame.frameSize
      return UnsafeRawBufferPointer(rebasing: try file.bytes(at: segmentStart, atLeast: size).prefix(size))
    }
  }

  /// Header of the segment that is being read, and its raw offset in the file.
  package var currentSegment: (header: SegmentHeader, offset: UInt64) { (segment, segmentStart) }

  /// File name and raw offset of the frame that was returned last, or where it stopped.
  package var place: (segment: String, offset: UInt64) { (file.nameText, frameOffset) }

  package var frameOffset: UInt64 { offset - UInt64(frame?.frameSize ?? 0) }

  /// Where the segment that is being read ends so far: what a new segment's header says of it.
  package var segmentEnd: SegmentEnd {
    // Of a segment without a frame it is none that any header can speak of.
    SegmentEnd(salt: segment.salt, size: offset - segmentStart, lastSequence: nextSequence &- 1, lastCRC: lastCRC)
  }

  package var fileName: SegmentFileName { file.name }

  /// Of the file that is being read: another one may have taken its name.
  package var fileIdentity: FileIdentity { file.identity }

  package func isReading(_ identity: FileIdentity) -> Bool { file.identity == identity }

  /// Of the file that is being read, if it is a sealed one whose index is whole.
  package var index: SealedIndex? { file.index }

  // MARK: Frames

  /// The next frame, if it is an action that stands whole in what was read.
  private mutating func nextPlainAction() -> FrameHeader? {
    guard offset < plainBelow else { return nil }
    let window = file.loadedBytes(from: offset, to: plainBelow)
    guard case .frame(let header) = inspectFrame(window, available: window.count, salt: segment.salt, sequence: nextSequence),
      header.kind == .action, header.sequence >= passesBelow
    else { return nil }
    take(header)
    return header
  }

  private mutating func step() throws(LogError) -> Step {
    plainBelow = 0
    switch position {
    case .beforeFile: return try enterFile()
    case .behindFile:
      if fileIndex + 1 < files.count { return try nextFile() }
      if let step = try claimedElsewhere() { return step }
      return .end(.clean)
    case .inFile, .atEndOfSealedFile: break
    }
    if let step = try leaveFileWithoutIndex(isEntering: false) { return step }
    if let filter, offset >= filteredBelow, try !passChunks(filter) { return .end(.clean) }
    let limit = self.limit
    if offset >= limit.offset, limit.isKnown {
      if let damage = emptySegmentDamage() { return .item(.damage(damage)) }
      if position == .inFile, let damage = indexDamage() { return .item(.damage(damage)) }
      return try judge(.neverWritten, nil, limit)
    }
    do throws(LogError) {
      return try stepInFile(limit)
    } catch {
      guard let damage = error.damage, damage.cause == .chunk else { throw error }
      return .item(.damage(try skipChunk(damage)))
    }
  }

  private mutating func stepInFile(_ limit: Limit) throws(LogError) -> Step {
    // What was read may have been cut off since.
    let end = min(limit.offset, fileSize)
    let available = Int(clamping: end > offset ? end - offset : 0)
    var window = try file.bytes(at: offset, atLeast: min(available, FrameHeader.size))
    var finding = inspectFrame(window, available: available, salt: segment.salt, sequence: nextSequence)
    if case .needs(let size) = finding {
      window = try file.bytes(at: offset, atLeast: size)
      finding = inspectFrame(window, available: available, salt: segment.salt, sequence: nextSequence)
    }
    switch finding {
    case .frame(let header):
      guard header.kind.isReadable else {
        throw LogError(
          .unsupportedVersion, "this program does not know frames of \(header.kind.name)", path: log.path, segment: file.name.description,
          sequence: header.sequence, offset: offset)
      }
      guard header.kind != .sessionStarted || header.sequence == 1 else { return .item(.damage(passSecondStart(header))) }
      take(header)
      // A filter, or a file without its index, asks for more.
      plainBelow = filter == nil && file.indexError == nil ? min(end, file.loadedEnd) : 0
      return header.sequence < passesBelow ? .again : .item(.frame(header))
    case .segmentHeader:
      guard let header = try segmentHeaderIfWhole(at: offset), header.sessionID == segment.sessionID,
        isInterrupted ? header.firstSequence >= nextSequence : !isEmptySegment && header.predecessor == segmentEnd
      else { return try judge(.otherSegment, nil, limit) }
      try enter(header, at: offset)
      return .again
    case .needs:
      if try fileSizeHasChanged() { return .again }
      // It would reach into a chunk that is damaged.
      if file.name.isSealed { return try judge(.overrun, nil, limit) }
      throw LogError(.io, "the file gives fewer bytes than it has", path: log.path, segment: file.name.description, offset: offset)
    case .bad(let problem, let header): return try judge(problem.cause, header, limit)
    }
  }

  private mutating func take(_ header: FrameHeader) {
    frame = header
    pass(header)
    vouchedBelow = max(vouchedBelow, min(header.vouchesBelow, header.sequence))
  }

  /// Goes on behind a frame, whatever its payload is like.
  mutating func pass(_ header: FrameHeader) {
    offset += UInt64(header.frameSize)
    lastCRC = header.headerCRC
    nextSequence = header.sequence + 1
  }

  /// Where the frames of this file end at the latest.
  private var limit: Limit {
    if file.name.isSealed { return Limit(offset: fileSize, isKnown: true) }
    if case .header(let header) = later, let end = header.predecessor, end.salt == segment.salt, end.lastSequence >= segment.firstSequence {
      return Limit(offset: segmentStart + end.size, isKnown: true)
    }
    return Limit(offset: fileSize, isKnown: false)
  }

  /// No segment is without a frame.
  private var isEmptySegment: Bool { !isInterrupted && nextSequence == segment.firstSequence }

  private mutating func emptySegmentDamage() -> Damage? {
    guard isEmptySegment else { return nil }
    defer {
      isInterrupted = true
      nextSequence += 1
    }
    return damage(.neverWritten, "a segment ends before its first frame", sequences: nextSequence..<nextSequence + 1)
  }

  /// A writer appends, and cuts off what it failed to write whole.
  mutating func fileSizeHasChanged() throws(LogError) -> Bool {
    let size = try file.rawSize()
    guard size != fileSize else { return false }
    fileSize = size
    settled = nil
    return true
  }

  // MARK: Headers

  /// - Throws: `LogError` `corrupt`, `unsupportedVersion`, `io`.
  mutating func segmentHeader(at offset: UInt64) throws(LogError) -> SegmentHeader {
    try Self.segmentHeader(at: offset, in: &file, log)
  }

  mutating func segmentHeaderIfWhole(at offset: UInt64) throws(LogError) -> SegmentHeader? {
    do throws(LogError) {
      return try segmentHeader(at: offset)
    } catch {
      guard error.code == .corrupt, error.damage == nil else { throw error }
      return nil
    }
  }

  static func segmentHeader(at offset: UInt64, in file: inout SegmentFile, _ log: LogDirectory) throws(LogError) -> SegmentHeader {
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
