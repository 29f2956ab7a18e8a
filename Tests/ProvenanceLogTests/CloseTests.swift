import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

struct CloseTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  /// Each resume begins a file. From a number on a close merges them, however small they are.
  @Test func manyResumesLeaveFewFiles() throws {
    let options = storage.options { $0.sealingSizeMin = 1 << 20 }
    var prov = try storage.start("a", options)
    for round in 0..<40 {
      try prov.recordAction(action())
      try prov.close()
      #expect(try storage.log("a").segments().count < 17, "round \(round)")
      prov = try storage.resume("a", options)
    }
    try prov.close()
    #expect(try storage.seqs("a") == Array(1...40))
    #expect(try storage.verify("a").problems.isEmpty)
  }

  // MARK: Outcomes

  @Test(
    arguments: [
      ([], "complete"), (["verified"], "complete"), (["failed"], "failed"), (["failed", "retry"], "failed"), (["failed", "verified"], "partial"),
      (["retry"], "complete"), (["skipped", "odd"], "complete"),
    ] as [([JSONString], JSONString)])
  func outcomeIsDerived(_ outcomes: [JSONString], _ expected: JSONString) throws {
    let prov = try storage.start("a")
    for outcome in outcomes { try prov.recordAction(action("t", outcome)) }
    #expect(try prov.close().outcome == expected)
    #expect(try storage.store.getSession("a").outcome == expected)
  }

  @Test func givenOutcomeAndEndWin() throws {
    let start = Timestamp("2026-03-14T20:00:02.000000Z")!
    let prov = try storage.start("a", storage.options { $0.clock = { start } })
    try prov.recordAction(action("t", "failed"))
    let session = try prov.close(outcome: "odd", endedAt: Timestamp("2026-03-14T20:00:01.000000Z")!)
    #expect(session.outcome == "odd" && session.durationMS == -1000)
    #expect(session.endedAt == Timestamp("2026-03-14T20:00:01.000000Z")!)
    #expect(try storage.store.getSession("a").durationMS == -1000)
  }

  // MARK: Small sessions

  /// What a session asks of the disk from its start to its close, beside a write an action, does not grow with it.
  @Test(arguments: ProvChain.Durability.allCases)
  func smallSessionCostsLittle(_ durability: ProvChain.Durability) throws {
    var calls: [Int] = []
    for count in [1, 10, 100] {
      let disk = SimulatedDisk()
      let counter = Mutex(0)
      disk.setRule { _ in
        counter.withLock { $0 += 1 }
        return nil
      }
      var options = storage.options
      options.durability = durability
      options.fileSystem = disk
      options.sealingSizeMin = 32 << 10
      let prov = try ProvChain(storageDirectory: "/k", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, options: options)
      for _ in 0..<count { try prov.recordAction(action()) }
      try prov.close()
      // With `power` a sync, too, and a look at the log and its lock.
      calls.append(counter.withLock { $0 } - count * (durability == .power ? 4 : 1))
      #expect(try disk.names(in: prov.logPath).sorted() == ["00000000000000000000.seg", "lock"])
    }
    #expect(calls[0] == calls[1] && calls[1] == calls[2] && calls[0] < 80, "\(calls)")
  }

  // MARK: Again

  @Test func actionAfterCloseReopens() throws {
    let prov = try storage.start("a")
    try prov.recordAction(action())
    try prov.close(outcome: "first")
    #expect(try disk.status(of: prov.filePath) != nil)
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(try disk.status(of: prov.filePath) == nil)
    for session in [prov.session, try storage.store.getSession("a")] {
      #expect(session.outcome == "in_progress" && session.endedAt == nil && session.actionCount == 2)
    }
    #expect(try prov.close().outcome == "complete")
    #expect(try storage.seqs("a") == [1, 2])
    let viewIsRight = try disk.bytes(of: prov.filePath) == storage.project("a").json
    #expect(viewIsRight)
  }

  @Test func lastCloseCounts() throws {
    let prov = try storage.start("a")
    try prov.close(outcome: "first")
    try prov.close(outcome: "second")
    #expect(prov.session.outcome == "second")
    #expect(try storage.store.getSession("a").outcome == "second")
    let view = String(decoding: try disk.bytes(of: prov.filePath), as: UTF8.self)
    #expect(view.contains(#""outcome": "second""#) && !view.contains("first"))
    guard case .clean = try storage.verify("a").finding else { throw LogError(.corrupt, "not clean") }
  }

  /// A lookup of a closed session needs only the last bytes of its newest file.
  @Test func closedLogEndsWithItsCheckpoint() throws {
    let prov = try storage.start("a")
    try prov.recordAction(action())
    try prov.close()
    var reader = try LogReader.open(try storage.log("a"), of: prov.sessionID)
    var kinds: [FrameKind] = []
    while let frame = try reader.next() { kinds.append(frame.kind) }
    #expect(kinds == [.checkpoint, .sessionStarted, .action, .sessionClosed, .checkpoint, .mark])
    #expect(reader.vouchedBelow >= 5)
    // The action itself is not looked at for it.
    try disk.flipBit(at: 900, of: try storage.segment("a"))
    #expect(try storage.store.getSession("a").outcome == "complete")
  }

  // MARK: One writer

  @Test func secondWriterIsLockedOut() throws {
    let prov = try storage.start("a")
    let before = try storage.contents()
    let error = try #require(logError { try storage.resume("a") })
    #expect(error.code == .locked && error.path == prov.logPath)
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
    try prov.recordAction(action())
    #expect(errorCode { try storage.resume("a") } == .locked)
  }

  @Test func closeGivesTheLockBack() throws {
    let first = try storage.start("a")
    try first.close()
    let second = try storage.resume("a")
    #expect(try second.recordAction(action()).seq == 1)
    withExtendedLifetime(first) {}
  }

  @Test func whoComesBackFindsWhatAnotherDid() throws {
    let first = try storage.start("a")
    try first.recordAction(action("first", "failed"))
    try first.close()
    let second = try storage.resume("a")
    try second.recordAction(action("second", "verified"))

    #expect(errorCode { try first.recordAction(action()) } == .locked)
    #expect(errorCode { try first.close() } == .locked)
    #expect((try? first.recordActions([action()])) == nil)
    try first.sync()
    #expect(first.session.outcome == "failed" && first.actionCount == 1)

    try second.close(outcome: "theirs")
    #expect(try first.close().outcome == "partial")
    #expect(first.actionCount == 2)
    #expect(try first.recordAction(action("third")).seq == 3)
    #expect(errorCode { try second.recordAction(action()) } == .locked)
    try first.close()
    #expect(try storage.actions("a").map(\.actionType) == ["first", "second", "third"])
  }

  @Test func whoComesBackToARemovedSessionIsTold() throws {
    let prov = try storage.start("a")
    try prov.close()
    try storage.sessions.remove(prov.sessionID)
    #expect(errorCode { try prov.recordAction(action()) } == .notFound)
    #expect(errorCode { try prov.close() } == .notFound)
    #expect(try storage.store.listSessions().isEmpty)
  }

  /// The session was removed when it was old, and its name has been given to another since.
  @Test func whoComesBackDoesNotWriteIntoAnothersSession() throws {
    let prov = try storage.start("a")
    try prov.close()
    try storage.sessions.remove(prov.sessionID)
    try storage.start("a").close(outcome: "another")
    let before = try storage.contents()
    #expect(errorCode { try prov.recordAction(action()) } == .notFound)
    #expect(errorCode { try prov.close() } == .notFound)
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
  }
}
