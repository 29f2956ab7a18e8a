internal import LogFormat
package import LogStorage
package import ProvenanceModel

/// What a session's log is like, after all of it was read.
package struct Verification: Sendable {
  /// The first problems; a log that holds nothing else must not fill the memory.
  package fileprivate(set) var problems: [Damage] = []
  package fileprivate(set) var problemCount: UInt64 = 0
  /// A writer is at work; what it has written so far is judged up to its last whole frame.
  package fileprivate(set) var isBeingWritten = false
  /// Whole frames, and what they hold.
  package fileprivate(set) var frames: UInt64 = 0
  package fileprivate(set) var actions: UInt64 = 0
  package fileprivate(set) var bytes: UInt64 = 0
  /// Actions in front of the first damage: what readers give, and `recover --mode tail` keeps.
  package fileprivate(set) var actionsBeforeDamage: UInt64 = 0
  package fileprivate(set) var isDamaged = false
  /// Damage was met that readers stop at.
  package fileprivate(set) var stopsReaders = false
  /// At the end of the log.
  package fileprivate(set) var bytesInDoubt: UInt64 = 0

  package static let problemsMax = 1000

  static let otherCheckpoint = "checkpoint differs from what the frames before it add up to"
  static let otherStart = "the session that starts here is another one"
  static let otherForm = "the action is not in the form in which it must be stored"

  package enum Finding: Sendable {
    case clean
    case writing
    case tornTail(bytes: UInt64)
    /// The first damage.
    case damaged(Damage)
  }

  package var finding: Finding {
    if let damage = problems.first(where: { !$0.isTail }) { return .damaged(damage) }
    if problemCount > 0 { return .tornTail(bytes: bytesInDoubt) }
    return isBeingWritten ? .writing : .clean
  }

  fileprivate mutating func note(_ damage: Damage, stopsReaders: Bool = true) {
    problemCount += 1
    if problems.count < Self.problemsMax { problems.append(damage) }
    guard !damage.isTail else { return }
    isDamaged = true
    guard stopsReaders, !self.stopsReaders else { return }
    self.stopsReaders = true
    actionsBeforeDamage = actions
  }
}

extension SessionsDirectory {
  /// Reads every frame, checks every checksum and link, and compares each checkpoint with what the frames add up to, and each index with the frames; goes on
  /// behind damage.
  ///
  /// - Parameters:
  ///   - isDeep: each action is checked for the form that Format/record.md prescribes, the times in indexes too, LZ4's own
  ///     checksums, and the view, if there is one, byte for byte.
  ///   - progress: gets how many bytes of frames were read.
  /// - Throws: `LogError` if it cannot be read: `notFound`, `unsupportedVersion`, `noPermission`, `io`.
  package func verify(_ id: SessionID, isDeep: Bool = false, progress: (UInt64) -> Void = { _ in }) throws(LogError) -> Verification {
    var verifier = Verifier(id, isDeep: isDeep)
    var reader = try LogReader.open(log(of: id), of: id)
    while let item = try reader.nextItem() {
      switch item {
      case .frame(let frame):
        let before = verifier.result.bytes
        try verifier.take(frame, &reader)
        if before >> 20 != verifier.result.bytes >> 20 { progress(verifier.result.bytes) }
      case .damage(let damage): verifier.take(damage, reader)
      }
    }
    verifier.finish(reader.ending)
    if verifier.result.problemCount == 0 {
      // Files that nobody reads, since another one covers them.
      do throws(LogError) { _ = try log(of: id).leftovers(of: id, removing: false) } catch let error where error.code == .corrupt {
        verifier.take(
          Damage(.otherSegment, error.message, segment: error.segment ?? "", offset: 0, sequences: (error.sequence ?? 0)..<(error.sequence ?? 0)),
          stopsReaders: false)
      } catch let error where error.code == .notFound {
        // Compaction has taken them away meanwhile.
      }
    }
    if isDeep { for damage in try log(of: id).contentDamage() { verifier.take(damage, stopsReaders: false) } }
    if isDeep, !verifier.result.stopsReaders, let header = verifier.summary.header { try verifier.compareView(of: header, in: self) }
    return verifier.result
  }
}

/// The form in which an action must be stored, all that Format/record.md says of its members being true.
/// - Throws: `LogError` `corrupt`, `invalidInput` if it is not.
func canonicalForm(ofAction payload: UnsafeRawBufferPointer) throws(LogError) -> [UInt8] {
  _ = try ActionRecord(payload: payload)
  var parser = try JSONParser(payload)
  var canonical = ByteBuffer(capacity: payload.count)
  try parser.transcode(to: &canonical)
  try parser.end()
  if parser.metNullMember, try JSONValue(json: payload).hasNullMember { throw LogError(.corrupt, "the action has a member that is null") }
  return Array(canonical.bytes)
}

private struct Verifier {
  let id: SessionID
  let isDeep: Bool
  var result = Verification()
  var summary = SummaryBuilder()
  /// The very first one, which stands before the frame that it is taken from.
  private var firstCheckpoint: (checkpoint: Checkpoint, offset: UInt64)?
  /// Frames that are lost are missing in the summary, too.
  private var canCompare = true
  private var file: (name: SegmentFileName, identity: FileIdentity, index: IndexCheck?)?
  /// Of the segment whose header was found wrong last: once is enough.
  private var saltOfNamed: UInt32?
  private var lastOffset: UInt64 = 0
  private var lastSequence: UInt64 = 0

  init(_ id: SessionID, isDeep: Bool) {
    self.id = id
    self.isDeep = isDeep
  }

  mutating func take(_ damage: Damage, _ reader: borrowing LogReader) {
    let stopsReaders = reader.stopsReaders(damage)
    // What was lost in this file is read from another one: its index says more than was met.
    if !stopsReaders { file?.index = nil }
    take(damage, stopsReaders: stopsReaders)
  }

  mutating func take(_ damage: Damage, stopsReaders: Bool = true) {
    result.note(damage, stopsReaders: stopsReaders)
    guard stopsReaders, ![.sealedIndex, .sealedTrailer].contains(damage.cause) else { return }
    noteIndex()
    canCompare = false
  }

  mutating func take(_ frame: FrameHeader, _ reader: inout LogReader) throws(LogError) {
    if file.map({ reader.isReading($0.identity) }) != true {
      closeFile()
      file = (reader.fileName, reader.fileIdentity, reader.isEnteredInside ? nil : reader.index.map { IndexCheck($0, includesTimes: isDeep) })
    }
    let offset = reader.frameOffset
    let payload = try reader.payload
    if file?.index?.takes(frame, at: offset) == false {
      file?.index?.take(frame, payload: payload, at: offset, of: reader.currentSegment, nextSeq: summary.summary.nextSeq)
    }
    do throws(LogError) {
      try check(frame, payload, reader)
    } catch {
      guard error.code == .corrupt || error.code == .invalidInput else { throw error }
      let place = reader.place
      let cause: Damage.Cause = frame.kind == .checkpoint ? .checkpoint : .record
      // Who reads all frames does not need the checkpoints.
      take(
        Damage(cause, error.message, segment: place.segment, offset: place.offset, sequences: frame.sequence..<frame.sequence + 1),
        stopsReaders: cause == .record)
    }
    if canCompare, let damage = reader.firstSeqDamage(frame, nextSeq: summary.summary.nextSeq), saltOfNamed != reader.currentSegment.header.salt {
      saltOfNamed = reader.currentSegment.header.salt
      result.note(damage, stopsReaders: false)
    }
    lastOffset = offset
    lastSequence = frame.sequence
    result.frames += 1
    if frame.kind == .action { result.actions += 1 }
    result.bytes += UInt64(frame.frameSize)
  }

  private mutating func check(_ frame: FrameHeader, _ payload: UnsafeRawBufferPointer, _ reader: borrowing LogReader) throws(LogError) {
    if frame.kind == .checkpoint {
      let checkpoint = try Checkpoint(payload: payload)
      if frame.sequence == 0 { firstCheckpoint = (checkpoint, reader.frameOffset) } else { try compare(checkpoint) }
    }
    if isDeep, frame.kind == .action {
      guard try canonicalForm(ofAction: payload).elementsEqual(payload) else {
        throw LogError(.corrupt, Verification.otherForm)
      }
    }
    // Behind damage the start of the session may be known from a checkpoint alone.
    let isStart = frame.kind == .sessionStarted && summary.header == nil
    // Until a checkpoint says what session it is.
    if !canCompare, summary.header == nil, frame.kind == .action || frame.kind == .sessionClosed { return }
    try summary.apply(frame.kind, payload: payload, trustingCheckpoint: !canCompare && !isStart)
    if frame.kind == .sessionStarted {
      if let (checkpoint, offset) = firstCheckpoint, canCompare, !summary.agrees(with: checkpoint) {
        take(Damage(.checkpoint, Verification.otherCheckpoint, segment: reader.place.segment, offset: offset, sequences: 0..<1), stopsReaders: false)
      }
      guard summary.header?.sessionID == id else { throw LogError(.corrupt, Verification.otherStart) }
    }
  }

  /// Behind the last frame of a file.
  private mutating func closeFile() {
    file?.index?.finishChunk()
    let index = file?.index?.index
    noteIndex()
    // One that has made way for a wider one, in which reading goes on, was not read to its end.
    guard let file, let index, index.lastSequence == lastSequence else { return }
    func damage(_ cause: Damage.Cause, _ message: String) -> Damage {
      Damage(cause, message, segment: file.name.description, offset: lastOffset, sequences: lastSequence + 1..<lastSequence + 1)
    }
    let nextSeq = summary.summary.nextSeq
    if canCompare, index.nextSeq != nextSeq {
      let message = "the sealed file's trailer says that seq \(index.nextSeq) comes next, and it is \(nextSeq); \(Self.mending)"
      take(damage(.sealedTrailer, message), stopsReaders: false)
    }
    do throws(LogError) {
      try compare(try index.checkpoint.withRawBytes { bytes throws(LogError) in try Checkpoint(payload: bytes) })
    } catch {
      take(damage(.checkpoint, "closing \(error.message); \(Self.mending)"), stopsReaders: false)
    }
  }

  private static let mending = "'compact --level 9' makes the end of the file anew"

  /// What was found in the chunks of a sealed file, and its index says otherwise. Who reads all does not need it.
  private mutating func noteIndex() {
    guard canCompare, let file, let index = file.index else { return }
    self.file?.index = nil
    for (chunk, message) in index.differences {
      let place = chunk.firstSequence..<chunk.firstSequence
      let damage = Damage(.sealedIndex, "\(message); \(Self.mending)", segment: file.name.description, offset: chunk.rawOffset, sequences: place)
      take(damage, stopsReaders: false)
    }
  }

  mutating func finish(_ ending: LogEnding?) {
    closeFile()
    switch ending {
    case .tornTail(let damage)?:
      result.note(damage)
      result.bytesInDoubt = damage.size
    case .writing?: result.isBeingWritten = true
    default: break
    }
    if !result.stopsReaders { result.actionsBeforeDamage = result.actions }
  }

  private func compare(_ checkpoint: Checkpoint) throws(LogError) {
    guard canCompare, !summary.agrees(with: checkpoint) else { return }
    throw LogError(.corrupt, summary.checkpoint == nil ? "checkpoint stands before the start of the session" : Verification.otherCheckpoint)
  }

  /// A view may be missing or out of date while a session is open; that of a closed one is what projecting gives.
  mutating func compareView(of header: SessionHeader, in directory: SessionsDirectory) throws(LogError) {
    let place =
      switch try directory.jsonKind(of: id, header) {
      case .view, .missing: String?.none
      case .damaged: "the view is damaged where it says what session it is; 'ckprov-log project \(id) --write' sets it aside and makes it anew"
      case .another: "another session of this id stands where the view is to be; move it away"
      case .noFile: "what stands where the view is to be is no file; move it away"
      }
    if let place {
      return result.note(Damage(.view, place, segment: "\(id).json", offset: 0, sequences: 0..<0), stopsReaders: false)
    }
    guard summary.summary.end != nil else {
      let session = Checkpoint(header: header, summary: summary.summary)
      // What it holds more may have been recorded since.
      guard try directory.viewHoldsMore(than: session), !directory.log(of: id).hasChanged(since: session) else { return }
      return result.note(
        Damage(
          .view, "the view holds more than the log, which has lost its end; keep it: 'record --resume \(id)' sets it aside", segment: "\(id).json",
          offset: 0, sequences: 0..<0), stopsReaders: false)
    }
    guard try directory.viewDiffers(of: header), !directory.log(of: id).hasChanged(since: Checkpoint(header: header, summary: summary.summary)) else {
      return
    }
    result.note(
      Damage(
        .view, "the view differs from what the log says; 'ckprov-log project \(id) --write' makes it anew", segment: "\(id).json", offset: 0,
        sequences: 0..<0), stopsReaders: false)
  }
}
