import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Power cuts while a damaged log is recovered, on the simulated disk: the damaged log is there or the new one, and what the original held is never gone.
struct RecoverTests {
  private let id = "d"

  private func sessions(_ disk: SimulatedDisk) -> SessionsDirectory { SessionsDirectory(storageDirectory: "store", fileSystem: disk) }

  /// A closed session of five actions with a view, the payload of the third damaged.
  private func damaged() throws -> SimulatedDisk {
    let disk = SimulatedDisk()
    var options = ProvChain.Options()
    options.fileSystem = disk
    options.view = .always
    options.timer = { _, _ in }
    let prov = try ProvChain(
      storageDirectory: "store", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: try SessionID(id), options: options)
    for count in 1...5 { try prov.recordAction(actionType: "t", outcome: "verified", note: "note \(count)") }
    try prov.close()
    let log = sessions(disk).log(of: try SessionID(id))
    let file = try disk.open(log.path(of: try #require(try log.segments().first).description), for: .readingAndWriting)
    var bytes = try readBytes(of: file, at: 0)
    bytes[try #require(bytes.firstRange(of: Array("note 3".utf8))).lowerBound] ^= 1
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: 0) }
    try file.sync()
    // A view is derived, and not made durable by a close.
    try disk.syncDirectory(sessions(disk).path)
    return disk
  }

  /// Notes that can be read out of a directory, past damage.
  private func notes(in log: LogDirectory) throws -> [String] {
    var notes: [String] = []
    var reader = try LogReader.open(log, of: try SessionID(id))
    while let item = try reader.nextItem() {
      if case .frame(let frame) = item, frame.kind == .action { notes.append(try ActionRecord(payload: try reader.payload).note.description) }
    }
    return notes
  }

  @Test(arguments: RecoveryMode.allCases)
  func crashesDuringRecovery(_ mode: RecoveryMode) throws {
    var random = SeededGenerator(seed: setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: .min ... .max))
    let disk = try damaged()
    let before = disk.operations.count
    #expect(try sessions(disk).recover(try SessionID(id), mode).kept == (mode == .tail ? 2 : 4))
    let kept = mode == .tail ? ["note 1", "note 2"] : ["note 1", "note 2", "note 4", "note 5"]
    var (states, originals, recovered) = (0, 0, 0)
    for point in CrashPoint.all(of: disk.operations, on: disk.base, losses: 0, using: &random).dropFirst(before) {
      for round in 0..<(1 << min(point.doubts, 5)) {
        let image = point.doubts <= 5 ? point.state { round >> $0 & 1 == 1 } : point.state(keeping: 0.5, garbage: 0, using: &random)
        let after = SimulatedDisk(image)
        let sessions = sessions(after)
        let log = sessions.log(of: try SessionID(id))
        states += 1
        let found = try notes(in: log)
        if found == kept, try !sessions.verify(try SessionID(id)).isDamaged {
          recovered += 1
          // The original stands aside, whole.
          let aside = try after.names(in: sessions.path).filter { $0.hasPrefix(".\(id).log.") && $0.hasSuffix(".aside") }
          #expect(aside.count == 1)
          #expect(try notes(in: LogDirectory(path: sessions.path + "/" + aside[0], fileSystem: after)) == ["note 1", "note 2", "note 4", "note 5"])
        } else {
          originals += 1
          #expect(found == ["note 1", "note 2", "note 4", "note 5"], "round \(round)")
          // It can be done again.
          #expect(try sessions.recover(try SessionID(id), mode).kept == UInt64(kept.count))
          #expect(try notes(in: log) == kept)
        }
        // The view, which holds what the log has lost, is in its place or aside.
        let views = try after.names(in: sessions.path).filter { $0 == "\(id).json" || ($0.hasPrefix(".\(id).json.") && $0.hasSuffix(".aside")) }
        #expect(views.count == 1)
      }
    }
    print("RESULT: crash states of a recovery, \(mode): \(states) states, \(originals) before the exchange, \(recovered) behind it")
    #expect(originals > 0 && recovered > 0)
  }
}
