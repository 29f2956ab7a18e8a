import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Every cause that a report may name (Format/reports.md), made once: what `verify` says of it.
struct CauseTests {
  private let known = KnownLog.of(.raw)
  private let merged = KnownLog.of(.merged)
  private var salt: UInt32 { known.segments[1].header.salt }
  /// An action in a file that is not the newest.
  private var action: KnownLog.Frame { known.frames[5] }

  private func path(_ index: Int) -> String { known.path(known.files[index].name) }

  @Test(arguments: Damage.Cause.allCases)
  func everyCauseCanBeMetAndIsNamed(_ cause: Damage.Cause) throws {
    let disk = try make(cause)
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id, isDeep: true)
    let first = try #require(verification.problems.first)
    #expect(first.cause == cause, "\(verification.problems)")
    #expect(first.description.hasSuffix("[\(first.kind.rawValue): \(cause.rawValue)]"))
    let expected: (kind: Damage.Kind, size: UInt64, lost: UInt64)
    switch cause {
    case .unvouched: expected = (.tornTail, 5, 0)
    case .neverWritten, .headerChecksum, .tooLong, .payloadChecksum: expected = (.corruption, UInt64(action.bytes.count), 1)
    case .overrun: expected = (.corruption, UInt64(known.segments[1].bytes.count - action.offset), 4)
    case .wrongSequence: expected = (.corruption, 0, 1)
    case .segmentHeader: expected = (.corruption, 136, 0)
    case .sealedIndex, .sealedTrailer, .record, .checkpoint: expected = (.corruption, 0, first.framesLost)
    case .chunk: expected = (.corruption, UInt64(known.segments[1].bytes.count), 5)
    case .firstFile: expected = (.missing, 0, 4)
    case .framesMissing: expected = (.missing, 0, 5)
    case .otherSession: expected = (.unexpected, UInt64(known.segments[1].bytes.count), 0)
    case .otherSegment, .fileName, .view: expected = (.unexpected, 0, 0)
    }
    #expect(first.kind == expected.kind && first.size == expected.size && first.framesLost == expected.lost, "\(first)")
    let hasChecksums = [.headerChecksum, .payloadChecksum, .chunk].contains(cause)
    #expect((first.storedCRC != nil) == hasChecksums && (first.storedCRC == first.computedCRC) != hasChecksums, "\(first)")
    #expect(verification.isDamaged == (cause != .unvouched))
  }

  /// Readers do not need it, `verify` and `recover` compare it: a new log has right ones.
  @Test(arguments: [0, 4], RecoveryMode.allCases)
  func aWrongCheckpointCostsNothing(_ index: Int, _ mode: RecoveryMode) throws {
    let disk = known.disk()
    let checkpoint = known.frames[index]
    let (file, salt) = index == 0 ? (0, known.segments[0].header.salt) : (1, salt)
    let digit = checkpoint.payload.firstRange(of: Array(#""actions":"#.utf8))!.upperBound
    disk.update(path(file)) {
      $0[checkpoint.offset + FrameHeader.size + digit] = UInt8(ascii: "7")
      Forger.sealFrame(at: checkpoint.offset, salt: salt, in: &$0)
    }
    let sessions = KnownLog.sessions(on: disk)
    var verification = try sessions.verify(KnownLog.id)
    #expect(verification.problems.map(\.cause) == [.checkpoint] && verification.actionsBeforeDamage == 8, "\(verification.problems)")
    #expect(verification.problems.first?.offset == UInt64(checkpoint.offset))
    let recovery = try sessions.recover(KnownLog.id, mode)
    #expect(recovery.problems.map(\.cause) == [.checkpoint] && recovery.kept == 8 && recovery.lostCount == 0, "\(recovery)")
    verification = try sessions.verify(KnownLog.id)
    #expect(verification.problemCount == 0 && verification.actions == 8)
  }

  /// Under right checksums a text holds a byte that none may hold: the JSON ends before it, and a new log is without it.
  @Test func anActionThatIsNoJSON() throws {
    let disk = known.disk()
    let note = action.payload.firstRange(of: Array(#""note":"n"#.utf8))!.upperBound - 1
    disk.update(path(1)) {
      $0[action.offset + FrameHeader.size + note] = 0xFF
      Forger.sealFrame(at: action.offset, salt: salt, in: &$0)
    }
    let sessions = KnownLog.sessions(on: disk)
    var projection = try SessionProjection.open(KnownLog.log(on: disk), of: KnownLog.id)
    var json: [UInt8] = []
    while let block = try projection.next() { json += block }
    let value = try json.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    guard case .object(let session) = value, case .array(let actions)? = session["actions"] else { preconditionFailure("no session") }
    #expect(actions.count == 2)
    let damage = projection.damage
    let error = try #require(damage)
    #expect(error.code == .corrupt && error.sequence == action.header.sequence && error.message.contains("'recover known'"), "\(error)")
    #expect(try sessions.verify(KnownLog.id, isDeep: true).problems.map(\.cause) == [.record])
    for mode in RecoveryMode.allCases {
      let plan = try sessions.planRecovery(of: KnownLog.id, mode)
      #expect(plan.problems.map(\.cause) == [.record] && plan.kept == (mode == .tail ? 2 : 7), "\(plan)")
    }
    #expect(try sessions.recover(KnownLog.id, .salvage).lost == [3...3])
    #expect(try sessions.verify(KnownLog.id, isDeep: true).problemCount == 0)
  }

  /// White space in it is no reason to lose an action.
  @Test func anActionInAnotherForm() throws {
    let disk = known.disk()
    var isAsLong = false
    let comma = action.payload.firstRange(of: Array(#""note":"n"#.utf8))!.lowerBound - 1
    disk.update(path(1)) {
      let old = Array(action.payload)
      let payload = Array(old[...comma]) + [UInt8(ascii: " ")] + old[(comma + 1)...]
      let frame = Forger.frame(payload, sequence: action.header.sequence, unsynced: action.header.unsynced, salt: salt)
      $0.replaceSubrange(action.offset..<action.offset + action.bytes.count, with: frame)
      isAsLong = frame.count == action.bytes.count
    }
    try #require(isAsLong)
    let sessions = KnownLog.sessions(on: disk)
    #expect(try sessions.planRecovery(of: KnownLog.id, .salvage).kept == 8)
    _ = try sessions.recover(KnownLog.id, .salvage)
    let verification = try sessions.verify(KnownLog.id, isDeep: true)
    #expect(verification.problemCount == 0 && verification.actions == 8)
  }

  /// The tail in doubt is a class of its own, of the same cause.
  @Test func aTailInDoubt() throws {
    let disk = known.disk()
    disk.update(path(2)) { $0[known.frames[13].offset + 40] ^= 1 }
    let problems = try KnownLog.sessions(on: disk).verify(KnownLog.id).problems
    #expect(problems.map(\.kind) == [.tailInDoubt] && problems.map(\.cause) == [.unvouched], "\(problems)")
  }

  private func make(_ cause: Damage.Cause) throws -> MemoryDisk {
    let disk = known.disk()
    let (at, salt) = (action.offset, salt)
    func change(_ index: Int = 1, _ body: (inout [UInt8]) -> Void) { disk.update(path(index), body) }
    switch cause {
    case .unvouched: change(2) { $0 += [1, 2, 3, 4, 5] }
    case .neverWritten: change { for index in at..<at + action.bytes.count { $0[index] = 0 } }
    case .headerChecksum: change { $0[at + 12] ^= 1 }
    case .tooLong:
      change {
        Forger.store(64 << 20 + 1, 4, at: at, in: &$0)
        Forger.sealFrameHeader(at: at, salt: salt, in: &$0)
      }
    case .overrun: change { $0.removeSubrange((at + 100)...) }
    case .payloadChecksum: change { $0[at + 40] ^= 1 }
    case .wrongSequence: change { $0.removeSubrange(at..<at + action.bytes.count) }
    case .segmentHeader:
      change(0) { $0.removeLast(KnownLog.evidence.count) }
      change { $0[20] ^= 1 }
    case .record:
      change {
        $0[at + FrameHeader.size + 7] = UInt8(ascii: "9")
        $0[at + FrameHeader.size + 8] = UInt8(ascii: ";")
        Forger.sealFrame(at: at, salt: salt, in: &$0)
      }
    case .checkpoint:
      let checkpoint = known.frames[4]
      let digit = checkpoint.payload.firstRange(of: Array(#""actions":2"#.utf8))!.upperBound - 1
      change {
        $0[checkpoint.offset + FrameHeader.size + digit] = UInt8(ascii: "3")
        Forger.sealFrame(at: checkpoint.offset, salt: salt, in: &$0)
      }
    case .firstFile: try disk.remove(path(0))
    case .framesMissing:
      change(0) { $0.removeLast(KnownLog.evidence.count) }
      try disk.remove(path(1))
    case .otherSession:
      change {
        $0[64] = UInt8(ascii: "x")
        Forger.sealSegmentHeader(in: &$0)
      }
      change(0) { $0.removeLast(KnownLog.evidence.count) }
    case .otherSegment:
      change(0) { $0.removeLast(KnownLog.evidence.count) }
      change {
        $0[60] ^= 1
        Forger.sealSegmentHeader(in: &$0)
      }
    case .fileName: try disk.rename(path(1), to: known.path(SegmentFileName(firstSequence: 5)))
    case .view:
      try disk.remove(path(2))
      try KnownLog.sessions(on: disk).writeView(of: KnownLog.id)
      disk.update("\(KnownLog.sessions)/\(KnownLog.id).json") { $0[$0.count - 20] ^= 1 }
    case .sealedIndex, .sealedTrailer, .chunk:
      for index in 0..<3 { try disk.remove(path(index)) }
      for file in merged.files { disk.set(merged.path(file.name), file.bytes) }
      disk.update(merged.path(merged.files[0].name)) { bytes in
        switch cause {
        case .sealedIndex: bytes[bytes.count - 4] ^= 1
        case .chunk: bytes[sealedChunks(bytes)[1].start + 40] ^= 1
        default:
          bytes[bytes.count - 72 + 48] ^= 1
          Forger.sealTrailer(in: &bytes)
        }
      }
    }
    return disk
  }
}
