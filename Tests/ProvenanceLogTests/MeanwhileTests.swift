import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Readers, while what they read is compacted, or taken up again behind a crash, right before each call that they make of the file system.
struct MeanwhileTests {
  enum Change: CaseIterable { case compact, packAnew, resume, resumeAndCompact, compactThenResume }

  private static let id = try! SessionID("a")

  private static func options(_ disk: MemoryDisk) -> ProvChain.Options {
    var options = ProvChain.Options()
    options.fileSystem = disk
    options.timer = { _, _ in }
    options.view = .never
    options.notice = { _ in }
    options.sealingSizeMin = nil
    options.segmentSizeMax = 1500
    return options
  }

  private static func start(on disk: MemoryDisk) throws -> ProvChain {
    try ProvChain(
      storageDirectory: "store", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: id, options: options(disk))
  }

  private static func resume(on disk: MemoryDisk) throws -> ProvChain {
    try ProvChain(resuming: id, storageDirectory: "store", retentionHours: nil, options: options(disk))
  }

  private static func sessions(on disk: MemoryDisk) -> SessionsDirectory { SessionsDirectory(storageDirectory: "store", fileSystem: disk) }

  /// Files whose ends are leftovers: marks of writers that gave it up, actions of writers that were killed.
  private static func history() throws -> [MemoryDisk] {
    var disk = MemoryDisk()
    var disks: [MemoryDisk] = []
    var prov = try start(on: disk)
    for round in 0..<5 {
      for _ in 0..<3 { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: 50 * round)))) }
      let killed = disk.copy()
      disks.append(killed)
      if round == 2 { _ = try sessions(on: killed).log(of: id).compact(id, CompactionRules(rawSizeMax: 0)) }
      disk = killed.copy()
      prov = try resume(on: disk)
      if round % 2 == 1 {
        // Given up, not killed.
        prov = try start(on: MemoryDisk())
        prov = try resume(on: disk)
      }
    }
    return disks
  }

  private static func make(_ change: Change, on disk: MemoryDisk) throws {
    let log = sessions(on: disk).log(of: id)
    switch change {
    case .compact: _ = try log.compact(id)
    case .packAnew: _ = try log.compact(id, CompactionRules(level: 9, rawSizeMax: 4000))
    case .resume: try resume(on: disk).recordAction(action())
    case .resumeAndCompact:
      try resume(on: disk).recordAction(action())
      _ = try log.compact(id)
    case .compactThenResume:
      _ = try log.compact(id)
      try resume(on: disk).recordAction(action())
    }
  }

  private static let readers: [(name: String, read: @Sendable (MemoryDisk) throws -> (actions: Int, problem: String?))] = [
    (
      "cat",
      { disk in
        var reader = try LogReader.open(sessions(on: disk).log(of: id), of: id)
        var count = 0
        while let frame = try reader.next() {
          guard frame.kind == .action else { continue }
          count += 1
          guard try ActionOutline(payload: try reader.payload).seq == count else { return (count, "seq \(count)") }
        }
        return (count, nil)
      }
    ),
    (
      "project",
      { disk in
        var projection = try SessionProjection.open(sessions(on: disk).log(of: id), of: id)
        var json: [UInt8] = []
        while let block = try projection.next() { json += Array(block) }
        let count = json.split(separator: 0x0A).count { $0.starts(with: Array(#"      "seq": "#.utf8)) }
        return (count, projection.damage.map { "\($0)" })
      }
    ),
    (
      "verify",
      { disk in
        let verification = try sessions(on: disk).verify(id)
        return (Int(verification.actions), verification.isDamaged ? "\(verification.finding)" : nil)
      }
    ),
    (
      "part",
      { disk in
        let filter = ActionFilter(seqs: 2...Int64.max)
        var reader = try LogReader.open(sessions(on: disk).log(of: id), of: id, for: filter)
        var count = 1
        while try reader.nextAction(filter) { count += 1 }
        return (count, nil)
      }
    ),
  ]

  @Test(arguments: Change.allCases)
  func readersDoNotNotice(_ change: Change) throws {
    for (number, base) in try Self.history().enumerated() {
      let expected = 3 * (number + 1)
      for reader in Self.readers {
        for call in 0... {
          let disk = base.copy()
          let calls = Atomic(0)
          disk.setHook { _ in
            guard calls.add(1, ordering: .relaxed).oldValue == call else { return }
            disk.setHook(nil)
            do { try Self.make(change, on: disk) } catch { Issue.record("\(change): \(error)") }
          }
          let place: Comment = "\(reader.name), \(change) before call \(call), history \(number)"
          do {
            let found = try reader.read(disk)
            #expect(found.actions >= expected && found.actions <= expected + 1 && found.problem == nil, "\(place): \(found)")
          } catch {
            Issue.record("\(place): \(error)")
          }
          if calls.load(ordering: .relaxed) <= call { break }
        }
      }
    }
  }
}
