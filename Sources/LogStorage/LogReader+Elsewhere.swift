internal import LogFormat
internal import ProvenanceModel

// A frame is lost only where no file holds it: where a compaction was interrupted, the files that it merged may stand beside the one that it made, and each of them
// may be damaged (Format/directory.md). What one does not give is looked for in the others: each of those is read once, by itself, for where whole frames stand.

extension LogReader {
  /// Frames that stand in a file one behind the other, all of them whole.
  struct Run {
    /// Before the first of them.
    var start: Bookmark
    /// Behind the last sequence. Of what is damaged up to the end of a file there is one without frames.
    var end: UInt64
    /// What stands before it, if that is no frame.
    var damage: Damage?
    /// Nothing in the file says that they were on stable storage.
    var isInDoubt: Bool
  }

  /// A place in a file, between two frames.
  struct Bookmark {
    /// Of the file.
    var identity: FileIdentity
    var segment: SegmentHeader
    var segmentStart: UInt64
    var offset: UInt64
    var nextSequence: UInt64
    /// Of the frame before; `nil` if that is damaged.
    var lastCRC: UInt32?
    var isInterrupted: Bool
  }

  /// Damage took the next frame from the current file. Another one may hold it, where a compaction was interrupted: then reading goes on there, and nothing is
  /// lost.
  /// - Parameters:
  ///   - next: the frame that was to come, if none was passed since; what the reader says of its place is behind the damage already.
  ///   - lastCRC: of the frame before it, if it was read.
  mutating func passedOver(_ damage: Damage, next: UInt64, lastCRC: UInt32?) throws(LogError) -> Damage {
    let end = damage.cause == .sealedTrailer && position == .atEndOfSealedFile ? (file.index?.lastSequence ?? 0) + 1 : nextSequence
    guard end > max(next, aloneBelow), held == nil, !readsOneFile, listed <= Self.listedMax, moves < Self.movesMax else { return damage }
    listed += files.count
    let isThere = damage.sequences.lowerBound <= next
    let next = isThere ? next : damage.sequences.lowerBound
    // In one without its index nothing says it.
    let salt = damage.cause == .chunk ? file.chunk(at: damage.offset)?.salt ?? 0 : segment.salt
    let place = Place(next: next, end: end, firstMax: end - 1, lastCRC: isThere ? lastCRC : nil, salt: salt == 0 ? nil : salt)
    let listing = try listing()
    guard let other = try find(place, among: listing) else { return damage }
    var damage = damage
    let found = other.held?.sequence ?? other.nextSequence
    damage.sequences = next..<found
    let name = other.file.nameText
    damage.message += found == next ? "; \(name) is read in its place: \(Self.remedy)" : "; behind it \(name) is read"
    try claim(among: listing)
    moves += 1
    goOn(in: other)
    isPassedOver = found == next
    return damage
  }

  /// Nobody works on a log that makes that needed so often.
  private static let movesMax = 10_000

  /// A sealed file without its index, where the next one begins: that one has what this one holds behind it, or follows it.
  /// - Parameter isEntering: nothing was read of it yet.
  mutating func leaveFileWithoutIndex(isEntering: Bool) throws(LogError) -> Step? {
    guard let error = file.indexError, fileIndex + 1 < files.count, nextSequence >= files[fileIndex + 1].firstSequence else { return nil }
    // Of one whose header is damaged it is not known whether it does.
    guard case .header = later else { return nil }
    if position == .atEndOfSealedFile { return try nextFile() }
    // All of it was read.
    if !isEntering, offset >= fileSize, nextSequence > file.name.firstSequence { return nil }
    position = isEntering || nextSequence == file.name.firstSequence ? .behindFile : .atEndOfSealedFile
    if !readsOneFile { try claim(among: try listing()) }
    let message = "\(error.message); the files behind it are read: \(Self.remedy)"
    return .item(.damage(damage(.sealedIndex, message, at: isEntering ? 0 : offset)))
  }

  private static let remedy = "'recover' makes a new log of both, or, where others hold all that this one does, 'compact' sets it aside"

  /// The current file is left: what it holds is to be found, there or elsewhere, and so is what the sealed ones hold that begin in it.
  private mutating func claim(among listing: [SegmentFileName]) throws(LogError) {
    let end = if let index = file.index { index.lastSequence + 1 } else { try reach(of: file.name, among: listing) }
    claimedBelow = max(claimedBelow, end)
    for name in listing where name.isSealed && file.name.firstSequence <= name.firstSequence && name.firstSequence < claimedBelow {
      if claimed.insert(name).inserted { claimedBelow = max(claimedBelow, try reach(of: name, among: listing)) }
    }
  }

  /// The sequence behind the last one that a file holds, and holds for sure; 0 if none.
  mutating func reach(of name: SegmentFileName, among listing: [SegmentFileName]) throws(LogError) -> UInt64 {
    if name.isSealed, let last = try SegmentFile.lastSequence(of: name, in: log) { return last + 1 }
    return try runs(of: name, among: listing).last { goesBehindTail || !$0.isInDoubt }?.end ?? 0
  }

  /// The file that holds the next frame is not there any more, or not known: it may be another one.
  mutating func goOnElsewhere(
    among listing: [SegmentFileName], before end: UInt64 = .max, beginningBelow firstMax: UInt64? = nil
  ) throws(LogError) -> Step? {
    let place = Place(next: nextSequence, end: end, firstMax: firstMax ?? nextSequence, lastCRC: crcBefore, isGap: true)
    guard let other = try find(place, among: listing) else { return nil }
    let damage = other.foundBehind
    goOn(in: other)
    return if let damage { .item(.damage(damage)) } else { .again }
  }

  /// What is read next stands in another file. Behind damage it is not known what stands before the place.
  mutating func leaveFile() {
    guard position == .inFile || position == .atEndOfSealedFile, !isInterrupted else { return }
    left[file.name] = bookmark
  }

  private var bookmark: Bookmark {
    Bookmark(
      identity: file.identity, segment: segment, segmentStart: segmentStart, offset: offset, nextSequence: nextSequence,
      lastCRC: crcBefore, isInterrupted: isInterrupted)
  }

  /// Of the header of the frame before this place; `nil` if that is not known.
  var crcBefore: UInt32? { isInterrupted || lastCRC == 0 ? nil : lastCRC }

  private mutating func enter(at mark: Bookmark) throws(LogError) {
    position = .inFile
    (segment, segmentStart, offset, nextSequence) = (mark.segment, mark.segmentStart, mark.offset, mark.nextSequence)
    (lastCRC, isInterrupted) = (mark.lastCRC ?? 0, mark.isInterrupted)
    vouchedBelow = max(vouchedBelow, segment.vouchesBelow, file.index.map { $0.lastSequence + 1 } ?? 0)
    fileSize = try file.rawSize()
    searchRoom = fileSize
    try passCovered()
    _ = try lookAhead()
  }

  /// All that this reader knows besides of its place.
  private mutating func goOn(in other: consuming LogReader) {
    leaveFile()
    var other = other
    other.readsOneFile = false
    other.left = left
    other.runs = runs
    other.foundChunks = foundChunks
    other.foundBehind = nil
    other.ignored = ignored
    other.vouchedBelow = max(other.vouchedBelow, vouchedBelow)
    other.filter = filter
    other.lastSeq = lastSeq
    other.listed = listed
    other.moves = moves
    other.claimedBelow = claimedBelow
    other.claimed = claimed
    other.goesBehindTail = goesBehindTail
    other.isEnteredInside = true
    self = other
  }

  /// At the end of what the current file holds, where it says that it holds more, or one that was left did.
  mutating func claimedElsewhere() throws(LogError) -> Step? {
    guard !readsOneFile, nextSequence < max(claimedBelow, file.index.map { $0.lastSequence + 1 } ?? 0) else { return nil }
    if let step = try goOnElsewhere(among: try listing(), beginningBelow: .max) { return step }
    guard nextSequence < claimedBelow else { return nil }
    let damage = damage(.framesMissing, Self.claimed, sequences: nextSequence..<claimedBelow)
    isInterrupted = true
    nextSequence = claimedBelow
    return .item(.damage(damage))
  }

  private static let claimed = "missing: what a damaged file beside this one held"

  /// A frame that is looked for.
  private struct Place {
    var next: UInt64
    /// One with a lower sequence than this is good, too, if the frame itself is nowhere.
    var end: UInt64
    /// Where a file may begin.
    var firstMax: UInt64
    /// Of the frame before it, where that was read.
    var lastCRC: UInt32?
    /// Of the segment in which it was lost.
    var salt: UInt32?
    /// No file is known that holds it: also one is good that says that it did.
    var isGap = false
  }

  /// Another file that holds the next frame, or the one that comes soonest behind it, read up to there: that frame is `held`.
  private mutating func find(_ place: Place, among listing: [SegmentFileName]) throws(LogError) -> LogReader? {
    var best: LogReader?
    var end = place.end
    var isAlone = true
    var searched = 0
    // Where a file says that there is such a frame, the tail of another one that holds it is in no doubt.
    let takesDoubt = goesBehindTail || !place.isGap || place.next < claimedBelow
    // Those that were left; those that begin nearest before it; then those behind it.
    let behind = listing.firstIndex { $0.firstSequence > place.next } ?? listing.endIndex
    let known = (0..<behind).filter { left[listing[$0]] != nil }
    for number in known + (0..<behind).reversed().filter({ left[listing[$0]] == nil }) + Array(behind..<listing.endIndex) {
      let name = listing[number]
      guard name.firstSequence <= place.firstMax, name.firstSequence < end, searched < Self.searchedMax else { continue }
      // A raw file ends where the next one begins; who has read it need not look again.
      let next = listing[(number + 1)...].first { $0.firstSequence > name.firstSequence }?.firstSequence ?? .max
      let isRead = place.isGap && fileIndex > 0 && name == files[fileIndex - 1]
      guard name.isSealed || next > place.next && !isRead else { continue }
      searched += 1
      if name == file.name, try !file.isReplaced(in: log) { continue }
      if name.isSealed, let last = try SegmentFile.lastSequence(of: name, in: log), last < place.next { continue }
      isAlone = false
      for run in try runs(of: name, among: listing) where takesDoubt || !run.isInDoubt {
        let sequence = max(run.start.nextSequence, place.next)
        guard sequence < end else { break }
        let isEmpty = run.end == run.start.nextSequence
        guard isEmpty ? place.isGap && sequence == run.end && sequence > place.next : sequence < run.end else { continue }
        guard let reader = try enter(run, of: name, at: sequence, place, among: listing) else { continue }
        let found = reader.held?.sequence ?? reader.nextSequence
        guard found < end else { continue }
        end = found
        best = .some(consume reader)
        break
      }
      if end <= place.next || number >= behind && best != nil { break }
    }
    // The same files are no help at a later place of this one.
    if isAlone, !place.isGap { aloneBelow = listing.first { $0.firstSequence > place.firstMax }?.firstSequence ?? .max }
    return best
  }

  /// Those that were left of one compaction are fewer.
  private static let searchedMax = 1000

  /// The files of the log as they are now.
  func listing() throws(LogError) -> [SegmentFileName] {
    let files = try log.segments()
    return ignored == nil ? files : files.filter { $0 != ignored }
  }

  /// Of one file; a file that is damaged more often was made to fill the memory.
  private static let runsMax = 1 << 16

  /// Where whole frames stand in a file, which is read once for that.
  private mutating func runs(of name: SegmentFileName, among listing: [SegmentFileName]) throws(LogError) -> [Run] {
    guard let status = try log.fileSystem.status(of: log.path(of: name.description)) else { return [] }
    if let known = runs[status.identity], known.size == status.size { return known.runs }
    guard let file = try openIfThere(name) else { return [] }
    let identity = file.identity
    if file.indexError != nil { foundChunks[identity] = file.chunks }
    // The next file says where a raw one ends.
    let next = name.isSealed ? nil : listing.first { $0.firstSequence > name.firstSequence }
    var reader = LogReader(
      log, sessionID, holdsLock, false, true, [name] + (next.map { [$0] } ?? []), file, nextSequence: name.firstSequence)
    reader.readsOneFile = true
    var found: [Run] = []
    var (isInDoubt, isOpen) = (false, false)
    var damage: Damage?
    while found.count < Self.runsMax {
      let crc = reader.position == .beforeFile ? nil : reader.crcBefore
      guard let item = try reader.nextItem(), reader.fileIndex == 0 else { break }
      switch item {
      case .frame(let frame) where isOpen: found[found.count - 1].end = frame.sequence + 1
      case .frame(let frame):
        var start = reader.bookmark
        (start.offset, start.nextSequence, start.lastCRC) = (start.offset - UInt64(frame.frameSize), frame.sequence, crc)
        found.append(Run(start: start, end: frame.sequence + 1, damage: damage, isInDoubt: isInDoubt))
        (isOpen, damage) = (true, nil)
      case .damage(let passed):
        isInDoubt = isInDoubt || passed.kind == .tailInDoubt
        (isOpen, damage) = (false, passed)
      }
    }
    if damage != nil, reader.fileIndex == 0, reader.nextSequence > found.last?.end ?? name.firstSequence {
      found.append(Run(start: reader.bookmark, end: reader.nextSequence, damage: damage, isInDoubt: isInDoubt))
    }
    runs[identity] = (status.size, found)
    return found
  }

  /// A reader of that file whose next frame is the one with this sequence, `held`; `nil` if what stands before it there is not what was read here.
  private mutating func enter(
    _ run: Run, of name: SegmentFileName, at sequence: UInt64, _ place: Place, among listing: [SegmentFileName]
  ) throws(LogError) -> LogReader? {
    guard let opened = try openIfThere(name), opened.identity == run.start.identity else { return nil }
    // What it holds behind the place counts, whatever begins in it before.
    let files = [name] + listing.filter { $0.firstSequence > max(name.firstSequence, place.next) }
    var reader = LogReader(log, sessionID, holdsLock, false, goesBehindTail || run.isInDoubt, files, opened, nextSequence: name.firstSequence)
    reader.readsOneFile = true
    var mark = run.start
    if let known = left[name], known.identity == mark.identity, mark.nextSequence...sequence ~= known.nextSequence { mark = known }
    reader.runs = runs
    try reader.enter(at: mark)
    runs = reader.runs
    while reader.nextSequence < sequence {
      guard case .frame? = try reader.nextItem(), reader.fileIndex == 0 else { return nil }
    }
    // What was read and what stands here must be the same; or the log was taken up again before this place, and copies of it stand here.
    let isFirst = sequence == name.firstSequence
    var holdsCopies = false
    if !isFirst, let before = reader.segment.predecessor, before.salt == segment.salt {
      holdsCopies = before.lastSequence >= segment.firstSequence && before.lastSequence + 1 < place.next
    }
    if sequence == place.next, !holdsCopies {
      // Of a damaged header only the salt is known.
      if isFirst, run.damage != nil, let salt = place.salt, salt != reader.segment.salt { return nil }
      var before = sequence > mark.nextSequence ? reader.lastCRC : mark.lastCRC
      if isFirst { before = run.damage == nil ? reader.segment.predecessor?.lastCRC ?? 0 : nil }
      if let crc = place.lastCRC, let before, before != crc { return nil }
    }
    reader.passesBelow = max(reader.passesBelow, passesBelow, holdsCopies ? place.next + 1 : 0)
    if run.end > run.start.nextSequence {
      guard case .frame(let frame)? = try reader.nextItem(), reader.fileIndex == 0 else { return nil }
      reader.held = frame
    }
    let found = reader.held?.sequence ?? reader.nextSequence
    if found > place.next, !holdsCopies {
      var damage = run.damage ?? self.damage(.framesMissing, Self.claimed)
      damage.sequences = place.next..<found
      reader.foundBehind = damage
    }
    return reader
  }
}
