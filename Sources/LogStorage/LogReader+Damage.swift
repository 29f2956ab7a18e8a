package import LogFormat
package import ProvenanceModel

// How reading goes on behind damage. Each place is passed once, forwards, so the work is bounded by the size of the file.

extension LogReader {
  func damage(
    _ cause: Damage.Cause, _ message: String, at offset: UInt64? = nil, size: UInt64 = 0, sequences: Range<UInt64>? = nil
  ) -> Damage {
    Damage(
      cause, message, segment: file.name.description, offset: offset ?? self.offset, size: size,
      sequences: sequences ?? nextSequence..<nextSequence)
  }

  /// Goes on behind what is no frame that follows the last one.
  /// - Parameter header: what stands there, if its checksum is right.
  mutating func skip(_ cause: Damage.Cause, _ header: FrameHeader?, _ limit: Limit) throws(LogError) -> Damage {
    var damage = damage(cause, Self.message(cause))
    if cause == .headerChecksum || cause == .payloadChecksum { try addChecksums(to: &damage) }
    isInterrupted = isInterrupted || cause != .payloadChecksum
    switch header {
    case let header? where cause == .payloadChecksum: pass(header)
    case let header?
    where cause == .wrongSequence && header.sequence > nextSequence
      && header.sequence <= min(lastPossible, Self.lastPossible(at: offset, from: file.name.firstSequence)):
      nextSequence = header.sequence
    case let header? where cause == .wrongSequence:
      offset += UInt64(header.frameSize)
      // What it claims can't be: it is the one that comes next.
      if header.sequence > nextSequence { nextSequence += 1 }
    default: try findNextFrame(limit)
    }
    damage.size = offset - damage.offset
    damage.sequences = damage.sequences.lowerBound..<max(nextSequence, damage.sequences.lowerBound)
    return damage
  }

  /// The greatest sequence that a frame of this file may have, as what stands behind it says.
  private var lastPossible: UInt64 {
    // One that begins before is no evidence: it holds what this file holds, or takes the log up again.
    if case .header(let next) = later, next.firstSequence >= nextSequence { return max(next.firstSequence, 1) - 1 }
    return file.index?.lastSequence ?? .max
  }

  /// The same of a frame at `place`: those before it need room.
  private static func lastPossible(at place: UInt64, from first: UInt64) -> UInt64 { first + place / UInt64(FrameHeader.size) }

  /// A whole frame that can't be what it says: a session has one start, in its first segment.
  mutating func passSecondStart(_ header: FrameHeader) -> Damage {
    let sequences = header.sequence..<header.sequence + 1
    let damage = damage(.record, "a session starts here, in the middle of one", size: UInt64(header.frameSize), sequences: sequences)
    pass(header)
    return damage
  }

  /// What the header of the segment that is being read says of the seqs, where it contradicts the frame that was returned last: who looks for a few actions is
  /// led by it.
  /// - Parameter nextSeq: behind that frame.
  package func firstSeqDamage(_ frame: FrameHeader, nextSeq: Int64) -> Damage? {
    guard frame.sequence == segment.firstSequence, segment.firstSeq != nextSeq else { return nil }
    let message = "the segment's header says that seq \(segment.firstSeq) comes next, and it is \(nextSeq); 'recover' makes a new log"
    return damage(.segmentHeader, message, at: segmentStart)
  }

  /// To the next frame of this segment, or the next segment of this session, that has not been read; else to the end.
  private mutating func findNextFrame(_ limit: Limit) throws(LogError) {
    let (salt, sessionID, expected) = (segment.salt, segment.sessionID, nextSequence)
    let (last, first) = (lastPossible, file.name.firstSequence)
    var found: (at: UInt64, sequence: UInt64, segment: SegmentHeader?)?
    // A file may be shorter than its successor says.
    let end = min(limit.offset, fileSize)
    let stopped = try scan(from: offset + 8, to: end) { at, bytes in
      if let header = FrameHeader(bytes, salt: salt), header.sequence >= expected,
        header.sequence <= min(last, Self.lastPossible(at: at, from: first))
      {
        found = (at, header.sequence, nil)
      } else if SegmentHeader.beginsWithMagic(bytes), let header = try? SegmentHeader(bytes), header.sessionID == sessionID,
        header.firstSequence >= expected
      {
        found = (at, header.firstSequence, header)
      }
      return found == nil
    }
    guard let found else {
      offset = max(offset, stopped < end ? stopped : limit.offset)
      // What the segment began with may be lost, too; asked again, its name must not vouch for it for ever.
      if stopped >= end { nextSequence = max(expected, sequenceBehind(limit)) }
      return
    }
    offset = found.at
    nextSequence = found.sequence
    if let header = found.segment { try enter(header, at: found.at) }
  }

  /// The first sequence that can stand behind the current file.
  private func sequenceBehind(_ limit: Limit) -> UInt64 {
    if case .header(let header) = later { return header.firstSequence }
    if let index = file.index { return index.lastSequence + 1 }
    return segment.vouchesBelow
  }

  /// A sealed file whose first chunk, with the header in it, can't be unpacked: the index says what stands in the others, or they do themselves.
  mutating func enterBehindChunk(_ chunk: Damage) throws(LogError) -> Damage {
    let next = nextSequence
    segment = headerAsNamed(salt: segment.salt)
    segmentStart = 0
    vouchedBelow = max(vouchedBelow, segment.firstSequence, file.index.map { $0.lastSequence + 1 } ?? 0)
    var damage = try skipChunk(chunk)
    damage.sequences = next..<max(next, nextSequence)
    return damage
  }

  /// Goes on with the chunk behind one that can't be unpacked.
  mutating func skipChunk(_ damage: Damage) throws(LogError) -> Damage {
    var damage = damage
    isInterrupted = true
    offset = damage.offset + damage.size
    damage.sequences = nextSequence..<max(nextSequence, damage.sequences.upperBound)
    nextSequence = damage.sequences.upperBound
    if file.index == nil {
      // Another segment may have begun in it. What stands in the chunks behind it that can't be unpacked is lost with it.
      if wholeBehind.offset < offset { wholeBehind = try firstFrame(from: offset, notBelow: nextSequence) ?? .none }
      if wholeBehind.offset < fileSize {
        enterSegment(salt: wholeBehind.salt, notBefore: damage.sequences.lowerBound)
        nextSequence = max(nextSequence, wholeBehind.sequence)
      } else if case .header(let next) = later {
        nextSequence = max(nextSequence, next.firstSequence)
      }
      damage.sequences = damage.sequences.lowerBound..<nextSequence
    } else if let next = file.chunk(at: offset), next.salt != 0 {
      enterSegment(salt: next.salt, notBefore: damage.sequences.lowerBound)
    }
    return damage
  }

  /// Of the segment that is read now the header is lost: it begins at this sequence or behind it.
  private mutating func enterSegment(salt: UInt32, notBefore sequence: UInt64) {
    if salt != segment.salt { segment.firstSequence = max(segment.firstSequence, sequence) }
    segment.salt = salt
  }

  /// A file whose first bytes are damaged. Its name says where it begins, and a frame's checksums under which salt it was made.
  mutating func enterWithoutHeader(_ error: LogError) throws(LogError) -> Damage {
    var damage = damage(.segmentHeader, error.message, at: 0, size: fileSize)
    let first = file.name.firstSequence
    let next = nextSequence
    damage.sequences = next..<max(next, first)
    // One that begins before the end of what was read takes the log up again with copies, or follows a file that it was to say the end of; unless it holds the
    // segment that was read last, and reaches further.
    guard let found = try firstFrame(from: UInt64(SegmentHeader.size), notBelow: first) else { return damage }
    let holdsStart = first < segment.firstSequence || first == segment.firstSequence && found.sequence >= next
    let isSame = first < next && (found.salt == segment.salt || holdsStart)
    // What stands before the place is none of that segment.
    guard first != segment.firstSequence || isSame || found.sequence >= next else { return damage }
    let passes = first < next ? next + (isSame ? 0 : 1) : 0
    begin(headerAsNamed(salt: found.salt), at: 0, size: SegmentHeader.size)
    passesBelow = max(passesBelow, passes)
    (offset, nextSequence) = (found.offset, found.sequence)
    // What stood before it is lost with the header.
    isInterrupted = found.sequence > first
    damage.size = offset
    damage.sequences = next..<max(next, found.sequence)
    return damage
  }

  /// What a file's name says of the header that it must begin with.
  private func headerAsNamed(salt: UInt32) -> SegmentHeader {
    let first = file.name.firstSequence
    return SegmentHeader(
      sessionID: sessionID ?? segment.sessionID, salt: salt, firstSequence: first, firstSeq: 1,
      predecessor: first == 0 ? nil : SegmentEnd(salt: 0, size: 0, lastSequence: first - 1, lastCRC: 0))
  }

  /// The first frame from a place on that is whole under some salt: its header's checksum says which, that of its payload whether it is. Or the first segment
  /// that begins there.
  ///
  /// Of what only looks like a frame, no more is read of a file than it is long.
  private mutating func firstFrame(from start: UInt64, notBelow least: UInt64) throws(LogError) -> Whole? {
    let (end, last, first, id) = (fileSize, lastPossible, file.name.firstSequence, sessionID ?? segment.sessionID)
    var at = start
    while at < end {
      var candidate: FrameHeader?
      var begin: SegmentHeader?
      at = try scan(from: at, to: end) { place, bytes in
        guard bytes.count >= FrameHeader.size else { return true }
        if SegmentHeader.beginsWithMagic(bytes), let header = try? SegmentHeader(bytes), header.sessionID == id,
          least...max(least, last) ~= header.firstSequence
        {
          begin = header
          return false
        }
        let header = FrameHeader(unchecked: bytes)
        let isPossible =
          header.kind.isReadable && header.payloadSize <= FrameHeader.payloadSizeMax && UInt64(header.frameSize) <= end - place
          && least <= header.sequence && header.sequence <= min(last, Self.lastPossible(at: place, from: first))
        if isPossible { candidate = header }
        return !isPossible
      }
      if let begin { return Whole(offset: at, sequence: begin.firstSequence, salt: begin.salt) }
      guard let candidate else {
        // It was stopped by a chunk.
        guard at < end, let chunk = file.chunk(at: at) else { return nil }
        at = chunk.rawOffset + UInt64(chunk.rawSize)
        continue
      }
      guard candidate.frameSize <= searchRoom else { return nil }
      do throws(LogError) {
        let bytes = try file.bytes(at: at, atLeast: candidate.frameSize)
        let salt = FrameHeader.salt(of: bytes)
        if case .frame = inspectFrame(bytes, available: bytes.count, salt: salt, sequence: candidate.sequence) {
          return Whole(offset: at, sequence: candidate.sequence, salt: salt)
        }
        searchRoom -= UInt64(candidate.frameSize)
      } catch {
        guard error.damage?.cause == .chunk else { throw error }
      }
      at += 8
    }
    return nil
  }

  /// Calls `body` at every eighth byte of a part of the file, with what stands from there on: at least a frame header or a segment header, unless
  /// the part ends before. Stretches that read as zeros are passed over.
  /// - Returns: where it was stopped by `body`, by a chunk that can't be unpacked, or by the end of the part.
  @discardableResult
  mutating func scan(from start: UInt64, to end: UInt64, _ body: (UInt64, UnsafeRawBufferPointer) -> Bool) throws(LogError) -> UInt64 {
    let headersSize = SegmentHeader.sizeMax + 8
    var at = start
    while at < end {
      let window: UnsafeRawBufferPointer
      do throws(LogError) {
        // No more than that: what is in memory is not to be moved for a few bytes more at each damage.
        window = try file.bytes(at: at, atLeast: Int(min(end - at, UInt64(headersSize))))
      } catch {
        guard let damage = error.damage, damage.cause == .chunk else { throw error }
        return damage.offset
      }
      let size = min(window.count, Int(clamping: end - at))
      guard size > 0 else { return end }
      // The last headers of a window are looked at in the next one, where all of them is there.
      let isLast = at + UInt64(size) >= end
      let stop = isLast ? size : max(8, size - SegmentHeader.sizeMax)
      if !UnsafeRawBufferPointer(rebasing: window[..<size]).contains(where: { $0 != 0 }) {
        at += UInt64((size + 7) & ~7)
        if at < end { at = max(at, try file.nextData(from: at).map { $0 & ~7 } ?? end) }
        continue
      }
      for step in stride(from: 0, to: stop, by: 8) {
        if !body(at + UInt64(step), UnsafeRawBufferPointer(rebasing: window[step..<size])) { return at + UInt64(step) }
      }
      at += UInt64((stop + 7) & ~7)
    }
    return end
  }

  private mutating func addChecksums(to damage: inout Damage) throws(LogError) {
    let bytes = try file.bytes(at: offset, atLeast: FrameHeader.size)
    guard bytes.count >= FrameHeader.size else { return }
    let header = FrameHeader(unchecked: bytes)
    if damage.cause == .headerChecksum {
      (damage.storedCRC, damage.computedCRC) = (header.headerCRC, FrameHeader.crc(of: bytes, salt: segment.salt))
    } else {
      let frame = try file.bytes(at: offset, atLeast: FrameHeader.size + header.payloadSize)
      let payload = UnsafeRawBufferPointer(rebasing: frame[FrameHeader.size..<FrameHeader.size + header.payloadSize])
      (damage.storedCRC, damage.computedCRC) = (header.payloadCRC, crc32c(segment.salt, payload))
    }
  }

  private static func message(_ cause: Damage.Cause) -> String {
    switch cause {
    case .neverWritten: "nothing is written here, where a frame must be"
    case .headerChecksum: "the frame header's checksum is wrong"
    case .tooLong: "the frame is longer than any may be"
    case .overrun: "the frame reaches behind the end of what the log has here"
    case .payloadChecksum: "the payload's checksum is wrong"
    case .wrongSequence: "this is not the frame that comes next"
    default: "another segment begins here than the one that must follow"
    }
  }
}

extension FrameProblem {
  var cause: Damage.Cause {
    switch self {
    case .neverWritten: .neverWritten
    case .headerChecksum: .headerChecksum
    case .tooLong: .tooLong
    case .overrun: .overrun
    case .payloadChecksum: .payloadChecksum
    case .wrongSequence: .wrongSequence
    }
  }
}
