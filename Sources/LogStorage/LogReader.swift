package import LogFormat
package import ProvenanceModel

/// Reads a log frame by frame, from its first frame or from its newest file, and checks each checksum and each link once.
///
/// `next` stops at damage, `nextItem` reports it and goes on behind it. Takes no lock; writers may append and replace files meanwhile. Not to be
/// shared between threads. Memory: the largest record.
package struct LogReader: ~Copyable {
  package let log: LogDirectory
  let sessionID: SessionID?
  private let holdsLock: Bool
  private let skipsSealedFiles: Bool
  private let goesBehindTail: Bool
  private var readsOneFile = false
  /// Those that are read, in their order; a file that another one covers is none of them.
  private var files: [SegmentFileName]
  private var fileIndex = 0
  var file: SegmentFile
  private var position = Position.beforeFile
  /// What the file behind the current one says.
  var later = Later.none
  var segment: SegmentHeader
  /// Raw offset of the current segment's header.
  var segmentStart: UInt64 = 0
  /// Raw offset of the next frame.
  var offset: UInt64 = 0
  /// Header CRC of the last frame.
  private var lastCRC: UInt32 = 0
  /// Where the segment before the current file ended; `nil` in front of the file with which reading began.
  private var predecessor: SegmentEnd?
  /// Damage was passed, so that where the segment ends for this reader says nothing.
  var isInterrupted = false
  /// Raw bytes of the current file when it was last asked.
  var fileSize: UInt64 = 0
  private var frame: FrameHeader?
  private var lastLook: Look?
  private var failure: LogError?
  /// Every frame with a lower sequence is known to be on stable storage.
  package private(set) var vouchedBelow: UInt64 = 0
  package internal(set) var nextSequence: UInt64 = 0
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

  private enum Position {
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
    /// Behind the last byte that is not zero.
    var doubtEnd: UInt64
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
      guard let first = start == .firstFrame ? files.first : files.last else {
        throw LogError(.notFound, "the session was never started: its log has no file", path: log.path)
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

  private init(
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

  // MARK: The doors

  /// The next frame; `nil` at the end, see `ending`. May be asked again later, when more may have come.
  ///
  /// - Throws: `LogError` `corrupt` with place and reason where something that is vouched for is damaged or missing; asking again gives the same.
  package mutating func next() throws(LogError) -> FrameHeader? {
    if let failure { throw failure }
    while true {
      switch try nextItem() {
      case .frame(let header)?: return header
      case .damage(let damage)?:
        // What a sealed file's index says stands in its chunks, too, and the next file says where they end.
        if damage.cause == .sealedIndex, case .header = later { continue }
        let error = LogError(damage, in: log.path)
        failure = error
        throw error
      case nil: return nil
      }
    }
  }

  /// The next frame, or the next damage, behind which it then goes on; `nil` at the end, see `ending`.
  package mutating func nextItem() throws(LogError) -> Item? {
    frame = nil
    ending = nil
    lastLook = nil
    while true {
      switch try step() {
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
      UnsafeRawBufferPointer(rebasing: try frameBytes.dropFirst(FrameHeader.size))
    }
  }

  /// Header and payload of the frame that was returned last.
  package var frameBytes: UnsafeRawBufferPointer {
    mutating get throws(LogError) {
      guard let frame else { preconditionFailure("there is no frame") }
      let bytes = try file.bytes(at: offset - UInt64(frame.frameSize), atLeast: FrameHeader.size + frame.payloadSize)
      return UnsafeRawBufferPointer(rebasing: bytes[..<(FrameHeader.size + frame.payloadSize)])
    }
  }

  /// Header of the segment that is being read, and its raw offset in the file.
  package var currentSegment: (header: SegmentHeader, offset: UInt64) { (segment, segmentStart) }

  /// File name and raw offset of the frame that was returned last, or where it stopped.
  package var place: (segment: String, offset: UInt64) { (file.name.description, offset - UInt64(frame?.frameSize ?? 0)) }

  /// Raw offset, in the current file, of what comes next.
  package var nextOffset: UInt64 { offset }

  /// Where the segment that is being read ends so far: what a new segment's header says of it.
  package var segmentEnd: SegmentEnd {
    SegmentEnd(salt: segment.salt, size: offset - segmentStart, lastSequence: nextSequence - 1, lastCRC: lastCRC)
  }

  package var fileName: SegmentFileName { file.name }

  /// The closing checkpoint of the file that is being read, if it is a sealed one whose index is whole.
  package var closingCheckpoint: [UInt8]? { file.index?.checkpoint }

  // MARK: Frames

  private mutating func step() throws(LogError) -> Step {
    switch position {
    case .beforeFile: return try enterFile()
    case .behindFile: return fileIndex + 1 < files.count ? try nextFile() : .end(.clean)
    case .inFile, .atEndOfSealedFile: break
    }
    let limit = self.limit
    if offset >= limit.offset, limit.isKnown {
      if position == .inFile, let damage = indexDamage() { return .item(.damage(damage)) }
      return try judge(.neverWritten, nil, limit)
    }
    do throws(LogError) {
      return try stepInFile(limit)
    } catch {
      guard let damage = error.damage, damage.cause == .chunk else { throw error }
      return .item(.damage(skipChunk(damage)))
    }
  }

  private mutating func stepInFile(_ limit: Limit) throws(LogError) -> Step {
    let available = Int(clamping: min(limit.offset, max(fileSize, offset)) - offset)
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
      take(header)
      return .item(.frame(header))
    case .segmentHeader:
      guard let header = try segmentHeaderIfWhole(at: offset), header.sessionID == segment.sessionID,
        isInterrupted ? header.firstSequence >= nextSequence : header.predecessor == segmentEnd
      else { return try judge(.otherSegment, nil, limit) }
      try enter(header, at: offset)
      return .again
    case .needs:
      if try fileSizeHasChanged() { return .again }
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
    if case .header(let header) = later, let end = header.predecessor, end.salt == segment.salt, end.lastSequence >= segment.firstSequence {
      return Limit(offset: segmentStart + end.size, isKnown: true)
    }
    return Limit(offset: fileSize, isKnown: file.name.isSealed)
  }

  /// A writer appends, and cuts off what it failed to write whole.
  private mutating func fileSizeHasChanged() throws(LogError) -> Bool {
    let size = try file.rawSize()
    defer { fileSize = size }
    return size != fileSize
  }

  // MARK: The end of the frames

  /// No frame stands here that follows the last one.
  private mutating func judge(_ cause: Damage.Cause, _ header: FrameHeader?, _ limit: Limit) throws(LogError) -> Step {
    if try fileSizeHasChanged() { return .again }
    if try filesHaveChanged() { return .again }
    let look = try look(limit)
    let verdict = classify(look.evidence)
    switch verdict {
    case .goesOn: return try nextFile()
    case .writing:
      file.forget()
      return .end(.writing)
    default: break
    }
    // Since it was read, a writer may have written it, and even have ended: what counts is what two equal looks in a row show.
    guard holdsLock || look == lastLook else {
      lastLook = look
      file.forget()
      return .again
    }
    lastLook = nil
    switch verdict {
    case .corrupt: return .item(.damage(try skip(cause, header, limit)))
    case .tailInDoubt where goesBehindTail:
      var damage = try skip(cause, header, limit)
      damage.kind = .tailInDoubt
      return .item(.damage(damage))
    case .tornTail, .tailInDoubt: return .end(.tornTail(tail(verdict, upTo: look.doubtEnd)))
    default: return .end(.clean)
    }
  }

  private mutating func look(_ limit: Limit) throws(LogError) -> Look {
    let next: EndEvidence.Later =
      switch later {
      case .none: .none
      case .header where limit.isKnown: .follows
      case .header, .unreadable: .unlinked
      }
    var look = Look(
      evidence: EndEvidence(
        place: offset >= limit.offset ? .end : .other, isSealed: file.name.isSealed, later: next, isVouchedFor: false, hasWriter: false,
        hasFramesBehind: false), doubtEnd: offset)
    guard next == .none else { return look }
    if !limit.isKnown {
      look.evidence.isVouchedFor = isVouchedForByItsName
      try lookBehind(&look)
      if look.evidence.place == .other, look.doubtEnd == offset { look.evidence.place = .blank }
    }
    look.evidence.hasWriter = holdsLock ? false : try log.hasLivingWriter()
    return look
  }

  /// What a segment begins with was synced before the file got its name.
  private var isVouchedForByItsName: Bool { nextSequence < segment.firstSequence + (segment.firstSequence == 0 ? 2 : 1) }

  /// What stands behind the place, and whether it says that the frame that is missing here was on stable storage.
  private mutating func lookBehind(_ look: inout Look) throws(LogError) {
    var (isVouchedFor, hasFrames, doubtEnd) = (look.evidence.isVouchedFor, false, look.doubtEnd)
    let (salt, sessionID, expected) = (segment.salt, segment.sessionID, nextSequence)
    try scan(from: offset, to: fileSize) { at, bytes in
      if bytes.prefix(8).contains(where: { $0 != 0 }) { doubtEnd = at + UInt64(min(8, bytes.count)) }
      if let header = FrameHeader(bytes, salt: salt), header.sequence > expected {
        hasFrames = true
        if header.vouchesBelow > expected { isVouchedFor = true }
      }
      if SegmentHeader.beginsWithMagic(bytes), let header = try? SegmentHeader(bytes), header.sessionID == sessionID, header.firstSequence > expected
      {
        isVouchedFor = true
      }
      return !isVouchedFor
    }
    look.evidence.isVouchedFor = isVouchedFor
    look.evidence.hasFramesBehind = hasFrames
    look.doubtEnd = doubtEnd
  }

  private func tail(_ verdict: EndVerdict, upTo end: UInt64) -> Damage {
    let what = verdict == .tornTail ? "a part of a write" : "a part of a write, and whole frames behind it"
    return Damage(
      .unvouched, "\(what), for which nothing vouches", kind: verdict == .tornTail ? .tornTail : .tailInDoubt, segment: file.name.description,
      offset: offset, size: end - offset, sequences: nextSequence..<nextSequence)
  }

  // MARK: From file to file

  private mutating func enterFile() throws(LogError) -> Step {
    position = .inFile
    lastLook = nil
    fileSize = try file.rawSize()
    if try anotherFileIsUsed() { return .again }
    try lookAhead()
    let header: SegmentHeader
    do throws(LogError) {
      header = try segmentHeader(at: 0)
    } catch {
      guard error.code == .corrupt else { throw error }
      let damage = try enterWithoutHeader(error)
      if damage.size == fileSize { position = .behindFile }
      return .item(.damage(damage))
    }
    let damage = linkDamage(header)
    if header.firstSequence < nextSequence || damage?.cause == .otherSession {
      position = .behindFile
      return .item(.damage(damage ?? self.damage(.otherSegment, "the frames of this file stand in another one, too", at: 0, size: fileSize)))
    }
    try enter(header, at: 0)
    if skipsSealedFiles { skipSealedFile() }
    return damage.map { .item(.damage($0)) } ?? .again
  }

  /// What a file's header says, compared with what was read before it.
  private func linkDamage(_ header: SegmentHeader) -> Damage? {
    if let sessionID, header.sessionID != sessionID {
      return damage(.otherSession, "this file belongs to session '\(header.sessionID)', not to '\(sessionID)'", at: 0, size: fileSize)
    }
    if header.firstSequence != file.name.firstSequence {
      return damage(.fileName, "the file's name says sequence \(file.name.firstSequence), its header \(header.firstSequence)", at: 0)
    }
    if header.firstSequence > nextSequence {
      let cause: Damage.Cause = predecessor == nil ? .firstFile : .framesMissing
      let what = predecessor == nil ? "the log's first file, before this one" : "what stands between the file before and this one"
      return damage(cause, "missing: \(what)", at: 0, sequences: nextSequence..<header.firstSequence)
    }
    guard let predecessor, !isInterrupted, header.predecessor != predecessor else { return nil }
    let what = header.predecessor.map { "follows a segment that ended with sequence \($0.lastSequence)" } ?? "begins a session"
    return damage(.otherSegment, "missing or swapped: this file \(what), and not what was read before it", at: 0)
  }

  mutating func enter(_ header: SegmentHeader, at start: UInt64) throws(LogError) {
    let bytes = try file.bytes(at: start, atLeast: SegmentHeader.size)
    segment = header
    segmentStart = start
    offset = start + UInt64(SegmentHeader.declaredSize(bytes) ?? SegmentHeader.size)
    nextSequence = header.firstSequence
    isInterrupted = false
    vouchedBelow = max(vouchedBelow, header.firstSequence, file.index.map { $0.lastSequence + 1 } ?? 0)
  }

  /// A sealed file's trailer says all that the next file has to follow.
  private mutating func skipSealedFile() {
    guard let index = file.index else { return }
    nextSequence = index.lastSequence + 1
    lastCRC = index.lastCRC
    segment.salt = index.lastSalt
    segmentStart = file.lastSegmentStart
    offset = fileSize
  }

  private mutating func indexDamage() -> Damage? {
    guard file.name.isSealed else { return nil }
    position = .atEndOfSealedFile
    guard let index = file.index else { return damage(.sealedIndex, file.indexError?.message ?? "the index is damaged") }
    guard !isInterrupted, index.lastSequence != nextSequence - 1 || index.lastSalt != segment.salt || index.lastCRC != lastCRC else { return nil }
    return damage(.sealedTrailer, "the sealed file's trailer differs from what the file holds")
  }

  /// What is read next is the file behind the current one.
  private mutating func nextFile() throws(LogError) -> Step {
    guard let next = try openIfThere(files[fileIndex + 1]) else { return try findReplacement() }
    if position != .behindFile { predecessor = segmentEnd }
    fileIndex += 1
    file = next
    position = .beforeFile
    return .again
  }

  private func openIfThere(_ name: SegmentFileName) throws(LogError) -> SegmentFile? {
    do throws(LogError) {
      return try SegmentFile.open(name, in: log)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  private mutating func lookAhead() throws(LogError) {
    later = .none
    guard fileIndex + 1 < files.count else { return }
    later = .unreadable
    guard var next = try openIfThere(files[fileIndex + 1]) else { return }
    do throws(LogError) {
      later = .header(try Self.segmentHeader(at: 0, in: &next, log))
    } catch {
      guard error.code == .corrupt || error.code == .unsupportedVersion else { throw error }
    }
  }

  /// Whether there are other files behind the current one than when they were listed.
  private mutating func filesHaveChanged() throws(LogError) -> Bool {
    if readsOneFile { return false }
    let last = max(file.name.firstSequence, file.index?.lastSequence ?? 0)
    let behind = try log.segments().filter { $0.firstSequence > last }
    guard behind != Array(files[(fileIndex + 1)...]) else { return false }
    files = files[...fileIndex] + behind
    try lookAhead()
    return true
  }

  /// A sealed file may stand beside those that it was made of, where that work was interrupted: it is used if all of it is whole, else they are.
  private mutating func anotherFileIsUsed() throws(LogError) -> Bool {
    guard file.name.isSealed else { return false }
    let last = file.index?.lastSequence ?? file.name.firstSequence
    let covered = files[(fileIndex + 1)...].prefix { $0.firstSequence <= last }.count
    guard covered > 0 else { return false }
    if file.index != nil, try isWhole(file.name) {
      files.removeSubrange((fileIndex + 1)...(fileIndex + covered))
      return false
    }
    guard let narrower = try openIfThere(files[fileIndex + 1]) else { return false }
    files.remove(at: fileIndex)
    file = narrower
    position = .beforeFile
    return true
  }

  private func isWhole(_ name: SegmentFileName) throws(LogError) -> Bool {
    guard let file = try openIfThere(name) else { return false }
    var reader = LogReader(log, sessionID, true, false, false, [name], file, nextSequence: name.firstSequence)
    reader.readsOneFile = true
    do throws(LogError) {
      while try reader.next() != nil {}
      return true
    } catch {
      guard error.code == .corrupt else { throw error }
      return false
    }
  }

  /// The file that comes next is gone: its frames stand in another one, or are lost. They are lost only if two equal listings in a row show it.
  private mutating func findReplacement() throws(LogError) -> Step {
    var lastListing: [SegmentFileName] = []
    while true {
      let listing = try log.segments()
      let rest = listing.filter { $0.firstSequence >= nextSequence }
      if let wider = listing.last(where: { $0.isSealed && $0.firstSequence < nextSequence }), try goOn(in: wider, rest) { return .again }
      if rest.first?.firstSequence == nextSequence || listing == lastListing {
        files = files[...fileIndex] + rest
        try lookAhead()
        if case .none = later {
          return .item(.damage(damage(.framesMissing, "missing: the file that followed this one is gone", at: offset)))
        }
        return .again
      }
      lastListing = listing
    }
  }

  /// Takes the place behind the last frame in a file that holds that frame and others behind it.
  private mutating func goOn(in wider: SegmentFileName, _ rest: [SegmentFileName]) throws(LogError) -> Bool {
    guard let file = try openIfThere(wider), let last = file.index?.lastSequence, last >= nextSequence else { return false }
    let files = [wider] + rest.filter { $0.firstSequence > last }
    var reader = LogReader(log, sessionID, holdsLock, false, goesBehindTail, files, file, nextSequence: wider.firstSequence)
    while reader.nextSequence < nextSequence, try reader.next() != nil {}
    guard reader.nextSequence == nextSequence, reader.lastCRC == lastCRC else { return false }
    self = reader
    return true
  }

  /// - Throws: `LogError` `corrupt`, `unsupportedVersion`, `io`.
  private mutating func segmentHeader(at offset: UInt64) throws(LogError) -> SegmentHeader {
    try Self.segmentHeader(at: offset, in: &file, log)
  }

  private mutating func segmentHeaderIfWhole(at offset: UInt64) throws(LogError) -> SegmentHeader? {
    do throws(LogError) {
      return try segmentHeader(at: offset)
    } catch {
      guard error.code == .corrupt, error.damage == nil else { throw error }
      return nil
    }
  }

  private static func segmentHeader(at offset: UInt64, in file: inout SegmentFile, _ log: LogDirectory) throws(LogError) -> SegmentHeader {
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
