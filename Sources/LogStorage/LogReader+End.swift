internal import LogFormat
internal import ProvenanceModel

// Where the frames end: what is seen there, of which `classify` says what it means.

extension LogReader {
  /// No frame stands here that follows the last one.
  mutating func judge(_ cause: Damage.Cause, _ header: FrameHeader?, _ limit: Limit) throws(LogError) -> Step {
    if try fileSizeHasChanged() { return .again }
    // The next file is opened, and says itself whether it is still there and follows.
    if offset >= limit.offset, case .header = later { return try nextFile() }
    if let verdict = settledVerdict(limit) { return .item(.damage(try pass(verdict, cause, header, limit))) }
    if let step = try changedFiles() { return step }
    let look = try look(limit)
    var verdict = classify(look.evidence)
    // What a damaged file said vouches for it.
    if verdict == .tailInDoubt, nextSequence < claimedBelow { verdict = .corrupt }
    if verdict != .goesOn, verdict != .corrupt, let step = try claimedElsewhere() { return step }
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
    case .corrupt: break
    case .tailInDoubt where goesBehindTail: break
    case .tornTail, .tailInDoubt: return .end(.tornTail(tail(verdict, upTo: look.doubtEnd)))
    default: return .end(.clean)
    }
    settled = Settled(behind: look.behind)
    searches += 1
    listed += files.count
    return .item(.damage(try pass(verdict, cause, header, limit)))
  }

  private mutating func pass(_ verdict: EndVerdict, _ cause: Damage.Cause, _ header: FrameHeader?, _ limit: Limit) throws(LogError) -> Damage {
    var damage = try skip(cause, header, limit)
    if verdict == .tailInDoubt { damage.kind = .tailInDoubt }
    return damage
  }

  /// What is known of this place by the looks at one before it, of the same file.
  private func settledVerdict(_ limit: Limit) -> EndVerdict? {
    guard offset < limit.offset else { return nil }
    if searches >= Self.searchesMax { return .corrupt }
    guard let settled else { return nil }
    guard let behind = settled.behind else { return .corrupt }
    if behind.vouches(for: nextSequence, at: offset) { return .corrupt }
    return goesBehindTail && behind.voucher.below <= nextSequence && behind.hasFrame(above: nextSequence, at: offset) ? .tailInDoubt : nil
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
        hasFramesBehind: false), behind: nil, doubtEnd: offset)
    guard next == .none else { return look }
    if !limit.isKnown {
      let behind = try lookBehind()
      look.behind = behind
      look.doubtEnd = behind.doubtEnd
      look.evidence.isVouchedFor = nextSequence < segment.vouchesBelow || behind.vouches(for: nextSequence, at: offset)
      look.evidence.hasFramesBehind = behind.hasFrame(above: nextSequence, at: offset)
      if look.evidence.place == .other, look.doubtEnd == offset { look.evidence.place = .blank }
    }
    look.evidence.hasWriter = holdsLock ? false : try log.hasLivingWriter()
    return look
  }

  /// What stands from the place to the end of the file: whether it says that the frame that is missing here was on stable storage.
  private mutating func lookBehind() throws(LogError) -> Behind {
    var behind = Behind(doubtEnd: offset)
    let (salt, sessionID) = (segment.salt, segment.sessionID)
    try scan(from: offset, to: fileSize) { at, bytes in
      if bytes.prefix(8).contains(where: { $0 != 0 }) { behind.doubtEnd = at + UInt64(min(8, bytes.count)) }
      if let header = FrameHeader(bytes, salt: salt) {
        if header.sequence >= behind.frame.sequence { behind.frame = (at, header.sequence) }
        if header.vouchesBelow >= behind.voucher.below { behind.voucher = (at, header.vouchesBelow) }
      } else if SegmentHeader.beginsWithMagic(bytes), let header = try? SegmentHeader(bytes), header.sessionID == sessionID,
        header.firstSequence >= behind.voucher.below
      {
        behind.voucher = (at, header.firstSequence)
      }
      return true
    }
    return behind
  }

  private func tail(_ verdict: EndVerdict, upTo end: UInt64) -> Damage {
    let what = verdict == .tornTail ? "a part of a write" : "a part of a write, and whole frames behind it"
    return Damage(
      .unvouched, "\(what), for which nothing vouches", kind: verdict == .tornTail ? .tornTail : .tailInDoubt, segment: file.name.description,
      offset: offset, size: end - offset, sequences: nextSequence..<nextSequence)
  }
}
