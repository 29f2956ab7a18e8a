import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Power cuts on the simulated disk: behind every operation of a workload, with every part of what was not durable there or not.
///
/// With `power` an action whose call has returned must be there afterwards; in every mode what is there is a prefix of what was recorded, and the session can be gone on with.
/// CKPROV_STATES sets how many states are made of each cut (default 6), CKPROV_SEED repeats a run.
struct PowerCutTests {
  enum Workload: String, CaseIterable { case append, roll, close, reopen, batch }

  @Test(arguments: ProvChain.Durability.allCases, Workload.allCases)
  func nothingPromisedIsLost(_ durability: ProvChain.Durability, _ workload: Workload) throws {
    let seed = setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: .min ... .max)
    let statesPerCut = setting("CKPROV_STATES").flatMap { Int($0) } ?? 6
    let disk = SimulatedDisk()
    let id = try SessionID("cut")
    let recorded = try run(workload, on: disk, id, durability)
    let operations = disk.operations
    var random = SeededGenerator(seed: seed)
    var states = 0
    for cut in 0...operations.count {
      for state in 0..<statesPerCut {
        let keeping = [0, 1, 0.5, 0.9, 0.1][state % 5]
        let (after, promised) = SimulatedDisk.afterPowerCut(operations[..<cut], keeping: keeping, using: &random)
        let place: Comment = "seed \(seed), cut behind operation \(cut), keeping \(keeping)"
        try check(after, id, promised: durability == .power ? promised : 0, recorded, place)
        states += 1
      }
    }
    print("power cuts: \(workload), \(durability): \(operations.count) operations, \(states) states, seed \(seed)")
  }

  private func options(_ disk: SimulatedDisk, _ durability: ProvChain.Durability) -> ProvChain.Options {
    var options = ProvChain.Options()
    options.fileSystem = disk
    options.durability = durability
    options.syncInterval = .seconds(3600)
    options.notice = { _ in }
    return options
  }

  /// - Returns: the notes of the actions, in their order.
  private func run(_ workload: Workload, on disk: SimulatedDisk, _ id: SessionID, _ durability: ProvChain.Durability) throws -> [JSONString] {
    var options = options(disk, durability)
    if workload == .roll { options.segmentSizeMax = 1200 }
    var notes: [JSONString] = []
    func action() -> Action {
      notes.append("action \(notes.count + 1) \(String(repeating: "x", count: notes.count * 97 % 700))")
      return Action(actionType: "cut", outcome: "verified", note: notes.last!)
    }
    func record(_ prov: ProvChain, _ count: Int) throws {
      for _ in 0..<count { disk.promise(try prov.recordAction(action()).seq) }
    }
    var prov: ProvChain? = try ProvChain(
      storageDirectory: "store", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: id, options: options)
    switch workload {
    case .append: try record(prov!, 6)
    case .roll: try record(prov!, 10)
    case .batch:
      for _ in 0..<3 { disk.promise(try prov!.recordActions([action(), action(), action()]).upperBound - 1) }
    case .close:
      try record(prov!, 3)
      try prov!.close()
    case .reopen:
      try record(prov!, 2)
      try prov!.close()
      try record(prov!, 2)
      prov = nil
      prov = try ProvChain(resuming: id, storageDirectory: "store", retentionHours: nil, options: options)
      try record(prov!, 2)
    }
    return notes
  }

  private func check(_ disk: SimulatedDisk, _ id: SessionID, promised: Int64, _ recorded: [JSONString], _ place: Comment) throws {
    let log = SessionsDirectory(storageDirectory: "store", fileSystem: disk).log(of: id)
    var notes = try notes(in: log, id, isStarted: promised > 0, place)
    #expect(notes == Array(recorded.prefix(notes.count)), place)
    #expect(notes.count >= promised, place)
    guard try disk.status(of: log.path) != nil, try !log.segments().isEmpty else { return }
    // It can be gone on with, and what was there stays.
    let prov = try ProvChain(resuming: id, storageDirectory: "store", retentionHours: nil, options: options(disk, .power))
    #expect(try prov.recordAction(Action(actionType: "after", outcome: "verified", note: "after")).seq == notes.count + 1, place)
    notes.append("after")
    #expect(try self.notes(in: log, id, isStarted: true, place) == notes, place)
  }

  private func notes(in log: LogDirectory, _ id: SessionID, isStarted: Bool, _ place: Comment) throws -> [JSONString] {
    var notes: [JSONString] = []
    do throws(LogError) {
      var reader = try LogReader.open(log, of: id)
      while let frame = try reader.next() {
        if frame.kind == .action { notes.append(try ActionRecord(payload: try reader.payload).note) }
      }
    } catch {
      // Cut while the session was being created.
      guard error.code == .notFound, !isStarted else {
        Issue.record("\(error) \(place)")
        return []
      }
    }
    return notes
  }
}
