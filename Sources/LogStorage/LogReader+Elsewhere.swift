internal import LogFormat
internal import ProvenanceModel

// A frame is lost only where no file holds it: where a compaction was interrupted, the files that it merged may stand beside the one that it made, and each of them
// may be damaged (Format/directory.md). What one does not give is looked for in the others.

extension LogReader {
  /// Nobody works on a log that makes that needed so often.
  private static let failuresMax = 64

  /// Damage took the next frame from the current file. Another one may hold it, where a compaction was interrupted: then reading goes on there, and nothing is
  /// lost.
  /// - Parameters:
  ///   - next: the frame that was to come, if none was passed since; what the reader says of its place is behind the damage already.
  ///   - lastCRC: of the frame before it, if it was read.
  mutating func passedOver(_ damage: Damage, next: UInt64, lastCRC: UInt32?) throws(LogError) -> Damage {
    let end = damage.cause == .sealedTrailer && position == .atEndOfSealedFile ? (file.index?.lastSequence ?? 0) + 1 : nextSequence
    guard end > max(next, aloneBelow), held == nil, !readsOneFile, listed <= Self.listedMax else { return damage }
    listed += files.count
    let isThere = damage.sequences.lowerBound <= next
    let next = isThere ? next : damage.sequences.lowerBound
    let salt = damage.cause == .chunk ? file.chunk(at: damage.offset)?.salt : nil
    let place = Place(next: next, end: end, firstMax: end - 1, lastCRC: isThere ? lastCRC : nil, salt: salt)
    guard let other = try find(place, among: try listing()) else { return damage }
    var damage = damage
    let found = other.held?.sequence ?? other.nextSequence
    damage.sequences = next..<found
    let name = other.file.nameText
    damage.message += found == next ? "; \(name) is read in its place: \(Self.remedy)" : "; behind it \(name) is read"
    let claimed = try max(claimedBelow, file.name.isSealed ? endOfSealedFile() : 0)
    failures += 1
    goOn(in: other)
    claimedBelow = claimed
    isPassedOver = found == next
    return damage
  }

  /// A sealed file without its index, where the next one begins: that one has what this one holds behind it, or follows it.
  mutating func leaveFileWithoutIndex() throws(LogError) -> Step? {
    guard let error = file.indexError, fileIndex + 1 < files.count, nextSequence >= files[fileIndex + 1].firstSequence else { return nil }
    if position == .atEndOfSealedFile { return try nextFile() }
    // All of it was read.
    if offset >= fileSize, nextSequence > file.name.firstSequence { return nil }
    position = nextSequence == file.name.firstSequence ? .behindFile : .atEndOfSealedFile
    if !readsOneFile { claimedBelow = try max(claimedBelow, endOfSealedFile()) }
    return .item(.damage(damage(.sealedIndex, "\(error.message); the files behind it are read: \(Self.remedy)")))
  }

  /// As `end(of:)`, of the current file; it is read once for that.
  private mutating func endOfSealedFile() throws(LogError) -> UInt64 {
    if let index = file.index { return index.lastSequence + 1 }
    if let known = ends[file.identity] { return known }
    let end = try Self.end(of: file.name, in: log, sessionID)
    ends[file.identity] = end
    return end
  }

  private static let remedy = "'recover' makes a new log of both, or, where others hold all that this one does, 'compact' sets it aside"

  /// The file that holds the next frame is not there any more, or not known: it may be another one.
  mutating func goOnElsewhere(among listing: [SegmentFileName], before end: UInt64 = .max) throws(LogError) -> Step? {
    let place = Place(next: nextSequence, end: end, firstMax: nextSequence, lastCRC: isInterrupted ? nil : lastCRC, isGap: true)
    guard let other = try find(place, among: listing) else { return nil }
    failures = 0
    let damage = other.foundBehind
    goOn(in: other)
    return if let damage { .item(.damage(damage)) } else { .again }
  }

  /// What is read next stands in another file. Behind damage it is not known what stands before the place.
  mutating func leaveFile() {
    guard file.name.isSealed, position == .inFile || position == .atEndOfSealedFile, !isInterrupted else { return }
    left[file.name] = Bookmark(
      identity: file.identity, segment: segment, segmentStart: segmentStart, offset: offset, nextSequence: nextSequence, lastCRC: lastCRC)
  }

  private mutating func enter(at mark: Bookmark) throws(LogError) {
    position = .inFile
    (segment, segmentStart, offset, nextSequence, lastCRC) = (mark.segment, mark.segmentStart, mark.offset, mark.nextSequence, mark.lastCRC)
    fileSize = try file.rawSize()
    searchRoom = fileSize
    _ = try lookAhead()
  }

  /// All that this reader knows besides of its place.
  private mutating func goOn(in other: consuming LogReader) {
    leaveFile()
    var other = other
    other.readsOneFile = false
    other.left = left
    other.foundBehind = nil
    other.ignored = ignored
    other.vouchedBelow = max(other.vouchedBelow, vouchedBelow)
    other.filter = filter
    other.lastSeq = lastSeq
    other.listed = listed
    other.tried = tried
    other.failures = failures
    other.claimedBelow = claimedBelow
    other.ends = ends
    other.goesBehindTail = goesBehindTail
    other.isEnteredInside = true
    self = other
  }

  /// At the end of what the current file holds, where it says that it holds more, or a damaged one said so.
  mutating func claimedElsewhere() throws(LogError) -> Step? {
    guard !readsOneFile, nextSequence < max(claimedBelow, file.index.map { $0.lastSequence + 1 } ?? 0) else { return nil }
    if let step = try goOnElsewhere(among: try listing()) { return step }
    guard nextSequence < claimedBelow else { return nil }
    let damage = damage(.framesMissing, "missing: what a damaged file beside this one held", sequences: nextSequence..<claimedBelow)
    isInterrupted = true
    nextSequence = claimedBelow
    return .item(.damage(damage))
  }

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
    // Those that were left; those that begin nearest before it; then those behind it.
    let behind = listing.firstIndex { $0.firstSequence > place.next } ?? listing.endIndex
    let known = (0..<behind).filter { left[listing[$0]] != nil }
    let candidates = known + (0..<behind).reversed().filter { left[listing[$0]] == nil } + Array(behind..<listing.endIndex)
    for number in candidates where listing[number].firstSequence <= place.firstMax && listing[number].firstSequence < end {
      let name = listing[number]
      // A raw file ends where the next one begins. It keeps its name, so that who has read it need not look again.
      let isRead = name == file.name || fileIndex > 0 && name == files[fileIndex - 1]
      let next = listing[(number + 1)...].first { $0.firstSequence > name.firstSequence }?.firstSequence ?? .max
      guard name.isSealed || next > place.next && !isRead, searched < Self.searchedMax else { continue }
      searched += 1
      if name == file.name, try !file.isReplaced(in: log) { continue }
      // Of one whose trailer is damaged nobody knows.
      if name.isSealed, let last = try SegmentFile.lastSequence(of: name, in: log), last < place.next { continue }
      guard let candidate = try openIfThere(name) else { continue }
      isAlone = false
      let identity = candidate.identity
      // What a trailer claims may not be there: no place is looked for in a file twice, and no more than a few in vain.
      if let known = tried[identity], known.next...max(known.next, known.found ?? 0) ~= place.next, known.found ?? .max >= end { continue }
      guard failures <= Self.failuresMax else { break }
      failures += 1
      // What it holds behind the place counts, whatever begins in it before.
      let files = [name] + listing[(number + 1)...].filter { $0.firstSequence > max(name.firstSequence, place.next) }
      // Where a file says that there is such a frame, the tail of another one that holds it is in no doubt.
      let isClaimed = !place.isGap || place.next < claimedBelow
      var reader = LogReader(log, sessionID, holdsLock, false, goesBehindTail || isClaimed, files, candidate, nextSequence: name.firstSequence)
      if let mark = left[name], mark.identity == identity, mark.nextSequence <= place.next { try reader.enter(at: mark) }
      let found = try reader.move(to: place, passing: passesBelow, behind: segment)
      tried[identity] = (place.next, found)
      guard let found, found < end, reader.held != nil || place.isGap && found > place.next else { continue }
      end = found
      best = .some(consume reader)
      if found <= place.next || number >= behind { break }
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

  /// Reads this one file up to a place.
  /// - Parameter segment: the one that the frame before the place stood in.
  /// - Returns: the sequence with which it goes on from there, that frame `held` if it comes before the end that is asked for; `.max` if nothing follows; `nil`
  ///   if what stands before the place is not what was read.
  private mutating func move(to place: Place, passing passesBelow: UInt64, behind segment: SegmentHeader) throws(LogError) -> UInt64? {
    readsOneFile = true
    var damage: Damage?
    while nextSequence < place.next {
      switch try nextItem() {
      case .frame?: damage = nil
      case .damage(let passed)?: damage = passed
      case nil: return .max
      }
      guard fileIndex == 0 else { return .max }
    }
    // What was read and what stands here must be the same; or the log was taken up again before this place, and copies of it stand here.
    let isFirst = position == .beforeFile
    var holdsCopies = false
    if !isFirst, let before = self.segment.predecessor, before.salt == segment.salt {
      holdsCopies = before.lastSequence >= segment.firstSequence && before.lastSequence + 1 < place.next
    }
    if !isFirst, damage == nil, !holdsCopies, let crc = place.lastCRC, crc != lastCRC { return nil }
    self.passesBelow = max(self.passesBelow, passesBelow, holdsCopies ? place.next + 1 : 0)
    search: while true {
      switch try nextItem() {
      case .frame(let frame)?:
        held = frame
        break search
      case .damage(let passed)?:
        damage = damage ?? passed
        if !place.isGap, nextSequence >= place.end { return nextSequence }
      case nil: break search
      }
      guard fileIndex == 0 else { return .max }
    }
    guard fileIndex == 0, held != nil || place.isGap && nextSequence > place.next else { return .max }
    if isFirst, held?.sequence == place.next {
      // Of a damaged header only the salt is known.
      if damage != nil, place.salt != self.segment.salt { return nil }
      if damage == nil, let crc = place.lastCRC, self.segment.predecessor?.lastCRC ?? 0 != crc { return nil }
    }
    let found = held?.sequence ?? nextSequence
    if found > place.next, !holdsCopies, var damage {
      damage.sequences = place.next..<found
      foundBehind = damage
    }
    return found
  }
}
