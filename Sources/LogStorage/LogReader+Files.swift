internal import LogFormat
internal import ProvenanceModel

// From file to file: their headers, their links, and files that are replaced while they are read.

extension LogReader {
  mutating func enterFile() throws(LogError) -> Step {
    position = .inFile
    filteredBelow = 0
    indexed = nil
    lastLook = nil
    searches = 0
    wholeBehind = Whole(offset: 0, sequence: 0, salt: 0)
    fileSize = try file.rawSize()
    searchRoom = fileSize
    try passCovered()
    if try !lookAhead(), !readsOneFile, let step = try enterAnew() { return step }
    if let step = try leaveFileWithoutIndex(isEntering: true) { return step }
    let header: SegmentHeader
    do throws(LogError) {
      header = try segmentHeader(at: 0)
    } catch {
      guard error.code == .corrupt else { throw error }
      if let chunk = error.damage, file.name.firstSequence >= nextSequence {
        return .item(.damage(try enterBehindChunk(chunk)))
      }
      let damage = try enterWithoutHeader(error)
      if damage.size == fileSize { position = .behindFile }
      return .item(.damage(damage))
    }
    if let taken = takenUpAgain(header) {
      try enter(header, at: 0)
      passesBelow = max(passesBelow, taken)
      return .again
    }
    if header.firstSequence > nextSequence, let step = try missedFile() { return step }
    let damage = linkDamage(header) ?? firstSequenceDamage(header)
    if header.firstSequence < nextSequence || damage?.cause == .otherSession {
      let named = damage ?? self.damage(.otherSegment, "the frames of this file stand in another one, too", at: 0, size: fileSize)
      // What it alone holds is worth having.
      let next = nextSequence
      if damage?.cause != .otherSession, header.firstSequence == file.name.firstSequence, !readsOneFile, try reachesFurther(file.name, than: next - 1)
      {
        try enter(header, at: 0)
        passesBelow = max(passesBelow, next)
      } else {
        position = .behindFile
      }
      return .item(.damage(named))
    }
    try enter(header, at: 0)
    if skipsSealedFiles, try lastSegmentIsWhole() { skipSealedFile() }
    return damage.map { .item(.damage($0)) } ?? .again
  }

  /// What is written next says where the newest file ends: it must be there.
  /// - Returns: false if it can't be unpacked, so that the file is to be read.
  private mutating func lastSegmentIsWhole() throws(LogError) -> Bool {
    guard let index = file.index, fileIndex + 1 == files.count else { return true }
    do throws(LogError) {
      guard let last = try segmentHeaderIfWhole(at: file.lastSegmentStart), last.salt == index.lastSalt, last.sessionID == segment.sessionID else {
        throw indexContradiction()
      }
      return true
    } catch {
      guard error.damage?.cause == .chunk else { throw error }
      return false
    }
  }

  private func firstSequenceDamage(_ header: SegmentHeader) -> Damage? {
    guard let index = file.index, index.firstSequence != header.firstSequence else { return nil }
    return damage(.sealedTrailer, "the sealed file's trailer says that it begins with sequence \(index.firstSequence)", at: 0)
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

  /// A log whose end was not known to be on stable storage is taken up again before that end: the new segment begins with a checkpoint and copies of the frames
  /// that were read here already.
  /// - Returns: the sequence of the first one that was not.
  private func takenUpAgain(_ header: SegmentHeader) -> UInt64? {
    guard header.sessionID == segment.sessionID, header.firstSequence == file.name.firstSequence, let before = header.predecessor, let predecessor,
      before.salt == predecessor.salt, before.lastSequence < predecessor.lastSequence, before.lastSequence >= segment.firstSequence
    else { return nil }
    return nextSequence + 1
  }

  mutating func enter(_ header: SegmentHeader, at start: UInt64) throws(LogError) {
    let bytes = try file.bytes(at: start, atLeast: SegmentHeader.size)
    begin(header, at: start, size: SegmentHeader.declaredSize(bytes) ?? SegmentHeader.size)
  }

  /// - Parameter size: of the header.
  mutating func begin(_ header: SegmentHeader, at start: UInt64, size: Int) {
    // The frame before it was not read.
    if isInterrupted || header.firstSequence != nextSequence { lastCRC = header.predecessor?.lastCRC ?? 0 }
    segment = header
    segmentStart = start
    offset = start + UInt64(size)
    nextSequence = header.firstSequence
    isInterrupted = false
    settled = nil
    vouchedBelow = max(vouchedBelow, header.vouchesBelow, file.index.map { $0.lastSequence + 1 } ?? 0)
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

  /// Goes on with the next chunk of a sealed file that may hold an action that is wanted, or at the end of the file.
  /// - Returns: false if no chunk from here on, in any file, can hold one.
  /// - Throws: `corrupt` if the index contradicts the file's header or the chunk before.
  mutating func passChunks(_ filter: ActionFilter) throws(LogError) -> Bool {
    filteredBelow = .max
    let nextSeq = indexed?.nextSeq
    indexed = nil
    guard let index = file.index else { return true }
    // Of the chunk that holds the place nothing was read yet, but perhaps the file's header.
    let start = file.chunkNumber(at: offset)
    let isBehindHeader = start == 0 && nextSequence == segment.firstSequence
    if let nextSeq = isBehindHeader ? segment.firstSeq : nextSeq, nextSeq != index.firstSeq(ofChunk: start) { throw indexContradiction() }
    var number = start
    while number < index.chunks.count {
      if index.chunks[number].firstSeq > filter.seqs.upperBound { return false }
      let held = index.actions(inChunk: number)
      if held.seqs.overlaps(filter.seqs), held.times.overlaps(filter.times) { break }
      number += 1
    }
    guard number < index.chunks.count else {
      isInterrupted = false
      skipSealedFile()
      return true
    }
    let chunk = index.chunks[number]
    filteredBelow = chunk.rawOffset + UInt64(chunk.rawSize)
    let isAtStart = number > start || isBehindHeader || offset == chunk.rawOffset
    if isAtStart, nextSequence >= passesBelow { indexed = (chunk.firstSeq, index.actions(inChunk: number).times) }
    if number > start { (offset, nextSequence, segment.salt, isInterrupted) = (chunk.rawOffset, chunk.firstSequence, chunk.salt, true) }
    return true
  }

  /// Seqs grow. Who is led to a few actions compares what led him, too.
  mutating func checkOrder(_ frame: FrameHeader, action payload: UnsafeRawBufferPointer) throws(LogError) {
    let seq = try seq(ofAction: payload)
    guard seq > lastSeq, seq >= segment.firstSeq else {
      let message =
        seq <= lastSeq
        ? "action seq \(seq) comes after seq \(lastSeq)"
        : "the segment's header says that no seq below \(segment.firstSeq) comes, and seq \(seq) does"
      let place = offset - UInt64(frame.frameSize)
      throw stop(at: damage(.record, message, at: place, sequences: frame.sequence..<frame.sequence + 1))
    }
    lastSeq = seq
    guard let filter, let (nextSeq, times) = indexed else { return }
    // Times are not looked for where they do not matter.
    let isTime = filter.times == ActionFilter.all.times ? true : times.contains(try generatedAt(ofAction: payload).microseconds)
    guard seq >= nextSeq, isTime else { throw indexContradiction() }
    indexed?.nextSeq = seq &+ 1
  }

  mutating func indexDamage() -> Damage? {
    guard file.name.isSealed else { return nil }
    position = .atEndOfSealedFile
    guard let index = file.index else {
      let mending = if case .header = later { "; 'compact --level 9' makes it anew" } else { "" }
      return damage(.sealedIndex, "\(file.indexError?.message ?? "the index is damaged")\(mending)")
    }
    guard !isInterrupted, index.lastSequence != nextSequence &- 1 || index.lastSalt != segment.salt || index.lastCRC != lastCRC else { return nil }
    return damage(.sealedTrailer, "the sealed file's trailer differs from what the file holds")
  }

  /// What is read next is the file behind the current one.
  mutating func nextFile() throws(LogError) -> Step {
    guard let next = try openIfThere(files[fileIndex + 1]) else { return try findReplacement() }
    settled = nil
    leaveFile()
    if position != .behindFile { predecessor = segmentEnd }
    fileIndex += 1
    file = next
    position = .beforeFile
    isEnteredInside = false
    aloneBelow = 0
    return .again
  }

  func openIfThere(_ name: SegmentFileName) throws(LogError) -> SegmentFile? {
    do throws(LogError) {
      return try SegmentFile.open(name, in: log, knowing: foundChunks)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  /// - Returns: false if there is none of those that should follow: they are to be listed again.
  mutating func lookAhead() throws(LogError) -> Bool {
    later = .none
    guard let first = files[(fileIndex + 1)...].first?.firstSequence else { return true }
    later = .unreadable
    var isThere = false
    // Beside a sealed file may stand the one that it was made of.
    for name in files[(fileIndex + 1)...].prefix(while: { $0.firstSequence == first }) {
      guard var next = try openIfThere(name) else { continue }
      isThere = true
      do throws(LogError) {
        later = .header(try Self.segmentHeader(at: 0, in: &next, log))
        return true
      } catch {
        guard error.code == .corrupt || error.code == .unsupportedVersion else { throw error }
      }
    }
    return isThere
  }

  /// These are the files behind the current one now.
  /// - Returns: as `lookAhead`.
  private mutating func follow(with behind: [SegmentFileName]) throws(LogError) -> Bool {
    files = files[...fileIndex] + behind
    return try lookAhead()
  }

  /// The file behind the one that is entered was replaced since they were listed, so that nobody says where this one ends: it is entered anew, in whatever form it
  /// has now.
  private mutating func enterAnew() throws(LogError) -> Step? {
    var lastListing: [SegmentFileName] = []
    while true {
      let listing = try listing()
      let rest = listing.filter { $0.firstSequence >= file.name.firstSequence }
      if rest.first?.firstSequence == file.name.firstSequence {
        if listing == lastListing { return nil }
        if let same = try openIfThere(rest[0]) {
          files = files[..<fileIndex] + rest
          file = same
          position = .beforeFile
          if try lookAhead() { return .again }
        }
      } else if let step = try goOnElsewhere(among: listing) {
        return step
      } else if listing == lastListing {
        return nil
      }
      lastListing = listing
    }
  }

  /// A long directory is not listed in one moment: what was renamed meanwhile may be in the listing under neither name. There is a gap before the current file
  /// only if two equal listings in a row show it.
  private mutating func missedFile() throws(LogError) -> Step? {
    var lastListing: [SegmentFileName] = []
    // The one before was read already, as far as it can be.
    let first = max(nextSequence, fileIndex > 0 ? files[fileIndex - 1].firstSequence + 1 : 0)
    while !readsOneFile, listed <= Self.listedMax {
      listed += files.count
      let listing = try listing()
      let rest = listing.filter { $0.firstSequence >= first }
      if let first = rest.first, first.firstSequence < file.name.firstSequence {
        if let missed = try openIfThere(first) {
          listed = 0
          files = files[..<fileIndex] + rest
          file = missed
          position = .beforeFile
          return .again
        }
      } else if let step = try goOnElsewhere(among: listing, before: file.name.firstSequence) {
        return step
      } else if listing == lastListing {
        return nil
      }
      lastListing = listing
    }
    return nil
  }

  static let listedMax = 20_000_000

  /// If there are other files behind the current one than when they were listed: what to do.
  mutating func changedFiles() throws(LogError) -> Step? {
    // Nobody works on a log that is damaged so often; a listing for each damage would cost the square of their number.
    if readsOneFile || listed > Self.listedMax { return nil }
    // How far one without its index reaches is not known; what it gave is no news.
    let next =
      if let index = file.index { index.lastSequence + 1 } else { max(file.name.firstSequence + 1, file.indexError == nil ? 0 : nextSequence) }
    let listing = try listing()
    let listed = files[(fileIndex + 1)...]
    // One that reaches further than the current file is among them though it begins in it.
    let early = listed.prefix { $0.firstSequence < next }
    let behind = listing.filter { $0.firstSequence >= next || early.contains($0) }
    let isSame = behind == Array(listed)
    let isReplaced = try file.isReplaced(in: log)
    if isSame, !isReplaced { return nil }
    // What stood behind the current file may stand in a wider one now, with what was read of it.
    let there = Set(behind)
    if isReplaced || !listed.allSatisfy(there.contains), let step = try goOnElsewhere(among: listing) { return step }
    if isSame { return nil }
    settled = nil
    // If they are gone again by now, they are listed again.
    _ = try follow(with: behind)
    return .again
  }

  /// A sealed file may stand beside those that it was made of, where that work was interrupted: it is read in their place. One without its index is not: how far
  /// it reaches is not known before.
  mutating func passCovered() throws(LogError) {
    guard let index = file.index else { return }
    let behind = files[(fileIndex + 1)...]
    let covered = behind.prefix { $0.firstSequence <= index.lastSequence }
    guard let name = covered.last else { return }
    // A sealed one holds nothing that does not count.
    var (furthest, end) = (Int?.none, index.lastSequence + 1)
    for number in covered.indices where files[number].isSealed {
      let reached = try reach(of: files[number], among: files)
      if reached > end { (furthest, end) = (number, reached) }
    }
    if let furthest {
      files.removeSubrange(furthest + 1..<covered.endIndex)
      files.removeSubrange(covered.startIndex..<furthest)
      return
    }
    // One that reaches further than the wide one is none that this was made of, and is named; unless the next file says that nothing there counts.
    let next = covered.endIndex < behind.endIndex ? behind[covered.endIndex] : nil
    let reachesFurther = try log.begins(next, behind: index) ? false : reachesFurther(name, than: index.lastSequence)
    files.removeSubrange(covered.startIndex..<(covered.endIndex - (reachesFurther ? 1 : 0)))
  }

  func reachesFurther(_ name: SegmentFileName, than last: UInt64) throws(LogError) -> Bool {
    try Self.end(of: name, in: log, sessionID, upTo: last + 2) > last + 1
  }

  /// The sequence behind the last frame of a file, as its trailer says, or as it can be read; 0 if it is gone.
  static func end(of name: SegmentFileName, in log: LogDirectory, _ sessionID: SessionID?, upTo limit: UInt64 = .max) throws(LogError) -> UInt64 {
    do throws(LogError) {
      let file = try SegmentFile.open(name, in: log)
      if let index = file.index { return index.lastSequence + 1 }
      var reader = LogReader(log, sessionID, reading: file, of: [name])
      var end: UInt64 = 0
      while end < limit, let item = try reader.nextItem() { if case .frame(let frame) = item { end = frame.sequence + 1 } }
      return end
    } catch {
      guard error.code == .notFound else { throw error }
      return 0
    }
  }

  private func framesMissing() -> Damage { damage(.framesMissing, "missing: the file that followed this one is gone", at: offset) }

  /// The file that comes next is gone: its frames stand in another one, or are lost. They are lost only if two equal listings in a row show it.
  private mutating func findReplacement() throws(LogError) -> Step {
    if readsOneFile { return .item(.damage(framesMissing())) }
    var lastListing: [SegmentFileName] = []
    while true {
      let listing = try listing()
      let rest = listing.filter { $0.firstSequence >= nextSequence }
      let first = rest.first?.firstSequence ?? .max
      if first > nextSequence, let step = try goOnElsewhere(among: listing, before: first) { return step }
      if rest.first?.firstSequence == nextSequence || listing == lastListing {
        if try !follow(with: rest), listing != lastListing {
          lastListing = listing
          continue
        }
        if case .none = later { return .item(.damage(framesMissing())) }
        return .again
      }
      lastListing = listing
    }
  }
}

extension LogDirectory {
  /// Whether all of a file can be read; false if it is gone.
  func isWhole(_ name: SegmentFileName, of sessionID: SessionID?) throws(LogError) -> Bool {
    do throws(LogError) {
      var reader = LogReader(self, sessionID, reading: try SegmentFile.open(name, in: self), of: [name])
      while try reader.next() != nil {}
      return true
    } catch {
      guard error.code == .corrupt || error.code == .notFound else { throw error }
      return false
    }
  }

  /// Whether a file says that it follows the end of this sealed one.
  func begins(_ name: SegmentFileName?, behind index: SealedIndex) throws(LogError) -> Bool {
    guard let name else { return false }
    do throws(LogError) {
      var file = try SegmentFile.open(name, in: self)
      let before = try LogReader.segmentHeader(at: 0, in: &file, self).predecessor
      return before?.lastSequence == index.lastSequence && before?.lastCRC == index.lastCRC && before?.salt == index.lastSalt
    } catch {
      guard [.corrupt, .notFound, .unsupportedVersion].contains(error.code) else { throw error }
      return false
    }
  }
}
