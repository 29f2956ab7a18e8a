import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Logs that no writer of ours has made, every checksum in them right.
struct HostileTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  /// A newest file that was replaced by the first one ended in a mark of its own: the view was cut down to it, and nothing was said.
  @Test func swappedNewestFileIsDamageAndTheViewStays() throws {
    let prov = try storage.start("a")
    for _ in 0..<3 { try prov.recordAction(action()) }
    try prov.close()
    try prov.recordAction(action())
    try prov.close()
    let view = try disk.bytes(of: prov.filePath)
    try disk.write(try disk.bytes(of: try storage.segment("a", 0)), to: try storage.segment("a"))
    #expect(try storage.project("a").damage?.code == .corrupt)
    #expect(errorCode { try storage.sessions.writeView(of: prov.sessionID) } == .corrupt)
    let isKept = try disk.bytes(of: prov.filePath) == view
    #expect(isKept)
  }

  /// One file of a time that nanoseconds in 64 bits cannot hold ended every command on its directory.
  @Test(arguments: ["2400-01-01", "1600-01-01"])
  func timesBeyondTheClockAreNoTrap(_ date: String) async throws {
    let prov = try storage.start("a")
    try prov.close()
    #expect(try await runProgram("touch", ["-d", date, try storage.segment("a"), prov.filePath]).status == 0)
    #expect(try storage.store.listSessions().count == 1)
    _ = try storage.log("a").modified()
  }

  /// Its header and summary decide which view is removed at a resume, or by retention.
  @Test func aCheckpointOfAnotherSessionIsRefused() throws {
    let victim = try storage.start("victim")
    try victim.close()
    let view = try disk.bytes(of: victim.filePath)
    let payloads = try CraftedLog.beginning(of: victim.session)
    try write(payloads, as: "thief")
    #expect(errorCode { try storage.log("thief").state(of: SessionID("thief")) } == .corrupt)
    #expect(errorCode { try storage.resume("thief") } == .corrupt)
    guard case .damaged = try storage.verify("thief").finding else {
      Issue.record("another session's start was taken for this one's")
      return
    }
    let isKept = try disk.bytes(of: victim.filePath) == view
    #expect(isKept)
  }

  @Test(arguments: [
    #""note":"\#u{1B}[2J""#, #""note":"é""#, #""note": """#, #""note":"\/""#, #""attempt":01,"note":"""#, #""note":"","note":"""#, #""note":null"#,
    #""note":7"#,
  ])
  func aPayloadThatIsNotInItsFormIsDamage(_ members: String) throws {
    let prov = try storage.start("other")
    let start = #"{"seq":1,"action_type":"t","outcome":"o","urn":"ckp://Action#K/t-1","kernel":"k","#
    let generatedAt = #""generated_at":"1970-01-01T00:00:00.001000Z","#
    func payload(_ members: String) -> [UInt8] { Array((start + #""attempt":1,"# + generatedAt + members + "}").utf8) }
    for (id, members) in [("good", #""note":"""#), ("bad", members)] {
      let beginning = try CraftedLog.beginning(of: prov.session, as: id)
      try write(beginning + [(.action, payload(members))], as: id)
      #expect(try storage.verify(id, isDeep: true).isDamaged == (id == "bad"), "\(id): \(members)")
    }
  }

  @Test func aFirstCheckpointThatClaimsWhatIsNotThereIsDamage() throws {
    let prov = try storage.start("a")
    var summary = SessionSummary(kernelName: "K")
    summary.apply(seq: 77, outcome: .verified, kernelName: "K")
    let header = try CraftedLog.header(of: prov.session, as: "b")
    try write([(.checkpoint, try Checkpoint(header: header, summary: summary).payload()), (.sessionStarted, try header.payload())], as: "b")
    #expect(try storage.verify("b").isDamaged)
  }

  /// It was taken over by a resume and by recovery, and nothing said where it stands.
  @Test func aSecondStartIsDamageForEveryone() throws {
    let prov = try storage.start("other")
    for _ in 0..<2 { try prov.recordAction(action()) }
    let actions = try storage.payloads("other").map { (FrameKind.action, Array($0.utf8)) }
    let beginning = try CraftedLog.beginning(of: prov.session, as: "a")
    try write(beginning + [actions[0], beginning[1], actions[1]], as: "a")
    let found = try storage.verify("a")
    #expect(found.problems.map(\.cause) == [.record] && found.actions == 2 && found.actionsBeforeDamage == 1, "\(found)")
    for error in [logError { try storage.resume("a") }, try storage.project("a").damage] {
      #expect(error?.code == .corrupt && error?.segment != nil && error?.sequence == 3 && error?.offset != nil, "\(String(describing: error))")
    }
    for mode in RecoveryMode.allCases {
      let plan = try storage.sessions.planRecovery(of: SessionID("a"), mode)
      #expect(plan.kept == (mode == .tail ? 1 : 2) && plan.problems.map(\.cause) == [.record], "\(plan)")
    }
    _ = try storage.sessions.recover(SessionID("a"), .salvage)
    #expect(try storage.verify("a").problems.isEmpty)
    #expect(try storage.seqs("a") == [1, 2])
  }

  /// A record with right checksums that does not fit those before it: whoever stops there says where.
  @Test func aSeqOutOfOrderIsNamedWithItsPlace() throws {
    let prov = try storage.start("other")
    for _ in 0..<2 { try prov.recordAction(action()) }
    let actions = try storage.payloads("other").map { (FrameKind.action, Array($0.utf8)) }
    try write(try CraftedLog.beginning(of: prov.session, as: "a") + [actions[1], actions[0]], as: "a")
    let damage = try #require(try storage.project("a").damage)
    #expect(damage.message.contains("seq 1 comes after seq 2") && damage.segment != nil && damage.sequence == 3, "\(damage)")
    let error = logError {
      var reader = try LogReader.open(try storage.log("a"), of: SessionID("a"))
      while try reader.next() != nil {}
    }
    #expect(error?.message == damage.message && error?.sequence == 3, "\(String(describing: error))")
  }

  private func write(_ frames: [(FrameKind, [UInt8])], as id: String) throws {
    let log = try storage.log(id)
    _ = try disk.makeDirectory(log.path)
    try disk.write(try CraftedLog.segment(frames, as: id), to: log.path(of: SegmentFileName(firstSequence: 0).description))
  }
}

/// Bytes with right checksums around whatever they hold.
private enum CraftedLog {
  static func header(of session: Session, as id: String) throws -> SessionHeader {
    SessionHeader(
      sessionID: try SessionID(id), urn: session.urn, label: session.label, kernelAction: session.kernelAction, startedAt: session.startedAt,
      wasAssociatedWith: session.wasAssociatedWith)
  }

  static func beginning(of session: Session, as id: String? = nil) throws -> [(FrameKind, [UInt8])] {
    let header = try CraftedLog.header(of: session, as: id ?? session.sessionID.description)
    let checkpoint = Checkpoint(header: header, summary: SessionSummary(kernelName: "K"))
    return [(.checkpoint, try checkpoint.payload()), (.sessionStarted, try header.payload())]
  }

  static func segment(_ frames: [(FrameKind, [UInt8])], as id: String) throws -> [UInt8] {
    var buffer = ByteBuffer()
    SegmentHeader(sessionID: try SessionID(id), salt: 9, firstSequence: 0, firstSeq: 1, predecessor: nil).append(to: &buffer)
    for (sequence, frame) in frames.enumerated() {
      try buffer.appendFrame(frame.0, frame.1, sequence: UInt64(sequence), unsynced: UInt64(sequence), salt: 9)
    }
    return Array(buffer.bytes)
  }
}
