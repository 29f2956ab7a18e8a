import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What became of a log that was damaged.
enum Outcome: String {
  case error
  case tornTail = "torn tail"
  case tailInDoubt = "tail in doubt"
  case shorter = "clean end, earlier"
  case sameNamed = "same data, named by verify"
  case same = "same data"
}

/// Reads a damaged log in every way that there is, and compares what is found with what was there: the data up to some point, and a named error or a legal torn
/// tail behind it, and nothing else.
struct Judge {
  let known: KnownLog
  let disk: MemoryDisk
  let place: String
  /// There is one damage.
  var isSingle = true

  private var log: LogDirectory { KnownLog.log(on: disk) }
  private var comment: Comment { "\(known.layout.rawValue): \(place)" }

  /// - Parameter keptAtLeast: which frames must be given by a reader that goes on behind damage, by their place in `known.frames`.
  mutating func judge(mustKeep: [Int] = [], resumes: Bool = false) throws -> Outcome {
    let strict = try readStrictly()
    let count = strict.count
    try readOn(strict, mustKeep)
    if strict.error == nil, count < known.frames.count { checkThatNothingVouched(for: count) }
    try checkState(strict)
    try checkProjection(strict)
    let verification = try verify(strict)
    if resumes { try resume(strict) }
    if strict.error != nil { return .error }
    if count == known.frames.count, strict.ending == .clean { return verification.isDamaged ? .sameNamed : .same }
    switch strict.ending {
    case .tornTail(let damage)?: return damage.kind == .tornTail ? .tornTail : .tailInDoubt
    default: return count == known.frames.count ? .same : .shorter
    }
  }

  private struct Strict {
    var count = 0
    var error: LogError?
    var ending: LogEnding?
  }

  private func isKnown(_ frame: FrameHeader, _ payload: UnsafeRawBufferPointer, at index: Int) -> Bool {
    known.frames.indices.contains(index) && known.frames[index].header == frame && known.frames[index].payload.elementsEqual(payload)
  }

  private func readStrictly() throws -> Strict {
    var found = Strict()
    do throws(LogError) {
      var reader = try LogReader.open(log, of: KnownLog.id)
      while let frame = try reader.next() {
        let isKnown = isKnown(frame, try reader.payload, at: found.count)
        #expect(isKnown, "\(place): frame \(found.count) is not the one that was written")
        found.count += 1
        guard found.count <= known.frames.count else { break }
      }
      found.ending = reader.ending
    } catch {
      found.error = error
      #expect(error.code == .corrupt && error.segment != nil && error.offset != nil, "\(place): \(error)")
    }
    return found
  }

  private func readOn(_ strict: Strict, _ mustKeep: [Int]) throws {
    var reader = try LogReader.open(log, of: KnownLog.id, goesBehindTail: true)
    var found: [Int] = []
    var damages: [Damage] = []
    var items = 0
    while let item = try reader.nextItem() {
      items += 1
      guard items < 1000 else {
        Issue.record("\(place): it does not end")
        return
      }
      switch item {
      case .frame(let frame):
        let index = Int(clamping: frame.sequence)
        let isKnown = isKnown(frame, try reader.payload, at: index)
        #expect(isKnown, "\(place): sequence \(frame.sequence) is not what was written")
        #expect(index > found.last ?? -1, "\(place): sequence \(frame.sequence) is given behind \(found.last ?? -1)")
        found.append(index)
      case .damage(let damage):
        damages.append(damage)
        #expect(!damage.description.isEmpty)
      }
    }
    #expect(found.starts(with: 0..<strict.count), comment)
    let isTold = strict.error != nil || strict.ending != .clean || strict.count < known.frames.count
    #expect(isTold || found.count == known.frames.count, comment)
    if strict.error != nil { #expect(!damages.isEmpty, comment) }
    let lost = Set(mustKeep).subtracting(found).sorted()
    #expect(
      lost.isEmpty, "\(place): \(known.layout.rawValue): the whole frames \(lost) are not given behind the damage: \(damages.map(\.description))")
  }

  /// A frame may be missing without an error only in the newest raw file, and only if nothing that is whole there vouches for it.
  private func checkThatNothingVouched(for missing: Int) {
    let newest = known.files.last!
    let frame = known.frames[missing]
    guard !newest.name.isSealed, frame.segment == newest.segments.lowerBound, frame.header.sequence > newest.name.firstSequence else {
      Issue.record("\(place): frame \(missing) is lost, and nothing was said")
      return
    }
    let bytes = disk.bytes(known.path(newest.name))
    for other in known.frames where other.segment == frame.segment && other.header.sequence >= frame.header.sequence {
      let isWhole = bytes.dropFirst(other.offset).starts(with: other.bytes[..<FrameHeader.size])
      #expect(
        !isWhole || other.header.vouchesBelow <= frame.header.sequence, "\(place): frame \(missing), for which another one vouches, is lost silently")
    }
  }

  private func checkState(_ strict: Strict) throws {
    do throws(LogError) {
      let state = try log.state(of: KnownLog.id)
      let counts = !isSingle && strict.error != nil ? Array(known.checkpoints.indices) : [known.frames.count, strict.count]
      let isRight = counts.contains { known.checkpoints.indices.contains($0) && known.checkpoints[$0] == state.checkpoint }
      #expect(isRight, "\(place): the state is not that of the frames, of which \(strict.count) can be read")
    } catch {
      #expect(error.code == .corrupt && strict.error != nil, "\(place): \(error)")
    }
  }

  private func checkProjection(_ strict: Strict) throws {
    do throws(LogError) {
      var projection = try SessionProjection.open(log, of: KnownLog.id)
      var json: [UInt8] = []
      while let block = try projection.next() { json += Array(block) }
      if projection.damage == nil {
        // With the newest file cut to the checkpoint it begins with, the session ends before a damage between the last action and that checkpoint.
        let isRight = (strict.error == nil || !isSingle) && json == known.projections[strict.count]
        #expect(isRight, "\(place): a view that is not that of \(strict.count) frames, and no damage is named")
      } else {
        #expect(strict.error != nil, "\(place): \(projection.damage?.description ?? "")")
        checkActions(json)
      }
    } catch {
      #expect(error.code == .corrupt && strict.error != nil, "\(place): \(error)")
    }
  }

  /// A view of a damaged log is whole in itself, and holds the first actions.
  private func checkActions(_ json: [UInt8]) {
    guard case .object(let session)? = try? json.withRawBytes({ json throws(LogError) in try JSONValue(json: json) }),
      case .array(let actions)? = session["actions"], session["session_id"] == .string("known")
    else {
      Issue.record("\(place): no view")
      return
    }
    for (index, action) in actions.enumerated() {
      guard case .object(let action) = action, action["seq"] == .integer(Int64(index + 1)), action["note"] == .string("note \(index + 1)") else {
        Issue.record("\(place): action \(index + 1) is wrong")
        return
      }
    }
  }

  private func verify(_ strict: Strict) throws -> Verification {
    let result = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(strict.error == nil || result.isDamaged, "\(place): verify finds nothing")
    let named = result.problems.allSatisfy { [.sealedIndex, .sealedTrailer].contains($0.cause) || $0.isTail }
    #expect(strict.error != nil || named, "\(place): \(result.problems.map(\.description))")
    let actions = known.frames[..<strict.count].count { $0.header.kind == .action }
    if strict.error != nil { #expect(result.actionsBeforeDamage == actions, comment) }
    #expect(result.actions >= actions, comment)
    let first = result.problems.first { !$0.isTail }
    if let error = strict.error, let first, first.cause != .sealedIndex {
      #expect(first.segment == error.segment && first.offset == error.offset && first.cause == error.damage?.cause, "\(place): \(first), \(error)")
    }
    return result
  }

  /// Goes on with a copy of the damaged log.
  private func resume(_ strict: Strict) throws {
    let copy = disk.copy()
    let log = KnownLog.log(on: copy)
    let before = copy.tree
    do {
      var writer = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), randomSalt: { 99 })
      #expect(strict.error == nil || isInSealedFile(strict.error), "\(place): resumed, though \(strict.error!)")
      let seq = writer.opened.summary.nextSeq
      let expected = known.checkpoints[strict.error == nil ? strict.count : known.frames.count]?.summary.nextSeq
      #expect(seq == expected || !isSingle && strict.error != nil, comment)
      try writer.append(.action, try KnownLog.action(seq))
      #expect(writer.flush().error == nil)
      try writer.sync()
      writer.release()
    } catch let error as LogError {
      #expect(error.code == .corrupt && strict.error != nil, "\(place): \(error)")
      let isUnchanged = copy.tree == before
      #expect(isUnchanged, "\(place): a resume that was refused has changed something")
      return
    }
    for (path, bytes) in before {
      let isUnchanged = copy.bytes(path) == bytes
      #expect(isUnchanged, "\(place): a resume has changed \(path)")
    }
    guard strict.error == nil else { return }
    // What nothing vouched for is copied into another segment, so frames have other numbers; records are as they were, and one more.
    let derived: [FrameKind] = [.checkpoint, .mark]
    let records = known.frames[..<strict.count].filter { !derived.contains($0.header.kind) }.map(\.payload)
    var reader = try LogReader.open(log, of: KnownLog.id)
    var found: [[UInt8]] = []
    while let frame = try reader.next() {
      if !derived.contains(frame.kind) { found.append(Array(try reader.payload)) }
    }
    #expect(found.dropLast() == records[...] && reader.ending == .clean, "\(place): changed by a resume")
    let isDamaged = try KnownLog.sessions(on: disk).verify(KnownLog.id).isDamaged
    #expect(try KnownLog.sessions(on: copy).verify(KnownLog.id).isDamaged == isDamaged, comment)
  }

  private func isInSealedFile(_ error: LogError?) -> Bool { error?.segment?.hasSuffix(".lz4") == true }
}
