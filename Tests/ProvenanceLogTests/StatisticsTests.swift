import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What sessions add up to.
struct StatisticsTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func statistics(_ locations: SessionStore.Location...) throws -> Statistics {
    var statistics = Statistics()
    for location in locations { try storage.store.add(location, to: &statistics) }
    return statistics
  }

  @Test func countsWhatIsInALog() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1 })
    let times = ["2026-03-14T20:00:02.000000Z", "2026-03-14T20:00:01.000000Z", "2026-03-14T20:00:03.000000Z"]
    let actions = [("x", "verified", ""), ("é", "failed", "Other"), ("x", "strange", "Other")]
    for (time, action) in zip(times, actions) {
      try prov.recordAction(
        actionType: action.0, outcome: action.1, kernel: action.2, generatedAt: Timestamp(time), note: "\"action_type\":\"no\"")
    }
    try prov.close()
    let log = try storage.log("a")
    let verification = try storage.verify("a")
    let statistics = try statistics(.log(prov.sessionID))
    #expect(statistics.sessions == 1 && statistics.legacySessions == 0 && statistics.actions == 3 && statistics.frames == verification.frames)
    #expect(statistics.files == UInt64(try log.segments().count) && statistics.segments == statistics.files && statistics.files > 2)
    #expect(statistics.rawBytes == (try log.rawSize()) && statistics.storedBytes == statistics.rawBytes)
    #expect(statistics.times == Timestamp(times[1])!...Timestamp(times[2])!)
    #expect(statistics.outcomes.names.map(\.name) == ["failed", "strange", "verified"])
    #expect(statistics.actionTypes.names.map(\.name) == ["x", "é"] && statistics.actionTypes.names.map(\.count) == [2, 1])
    #expect(statistics.kernels.names.map(\.name) == ["Other", "K"] && statistics.kernels.other == 0)
  }

  /// Merged and packed, the same frames stand in fewer bytes.
  @Test func compactionChangesBytesAlone() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1 })
    for _ in 0..<20 { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: 1000)))) }
    try prov.close()
    let before = try statistics(.log(prov.sessionID))
    _ = try storage.store.compact(prov.sessionID)
    let after = try statistics(.log(prov.sessionID))
    #expect(after.frames == before.frames && after.segments == before.segments && after.rawBytes == before.rawBytes)
    #expect(after.files < before.files && after.storedBytes < before.storedBytes / 2)
    #expect(after.storedBytes == (try storage.log("a").size()))
  }

  @Test func countsWhatTheReferenceHasLeft() throws {
    let prov = try storage.start("a", storage.options { $0.view = .always })
    try prov.recordAction(action("x"))
    try prov.close()
    try disk.rename(prov.filePath, to: "\(storage.sessions.path)/old.json")
    let both = try statistics(.log(prov.sessionID), .legacy("old"))
    #expect(both.sessions == 2 && both.legacySessions == 1 && both.actions == 2 && both.actionTypes.names.map(\.count) == [2])
    #expect(both.frames == (try statistics(.log(prov.sessionID))).frames)
    try disk.write(Array("{}".utf8), to: "\(storage.sessions.path)/none.json")
    #expect(errorCode { try statistics(.legacy("none")) } == .corrupt)
  }

  @Test func namesThatAreTooManyOrTooLongAreCountedTogether() throws {
    let prov = try storage.start("a")
    let long = String(repeating: "y", count: Tally.nameSizeMax)
    for name in ["\(long)y", long] { try prov.recordAction(action(JSONString(name))) }
    try prov.recordActions((1...1005).map { action("t\($0)") })
    try prov.recordActions([action("t1"), action("t1005")])
    let types = try statistics(.log(prov.sessionID)).actionTypes
    #expect(types.names.count == 1000 && types.other == 1 + 6 + 1)
    #expect(types.names[0].name == "t1" && types.names[0].count == 2)
    #expect(types.names.contains { $0.name == JSONString(long) } && types.names.contains { $0.name == "t999" })
    #expect(types.names.allSatisfy { $0.name.byteCount <= Tally.nameSizeMax })
  }

  @Test func whatStandsBeforeDamageIsCounted() throws {
    let prov = try storage.start("a")
    for _ in 0..<3 { try prov.recordAction(action()) }
    try prov.close()
    let payload = try storage.payloads("a")[1]
    let segment = try storage.segment("a")
    let bytes = try disk.bytes(of: segment)
    try disk.flipBit(at: UInt64(try #require(bytes.firstRange(of: Array(payload.utf8))).lowerBound), of: segment)
    var statistics = Statistics()
    #expect(errorCode { try storage.store.add(.log(prov.sessionID), to: &statistics) } == .corrupt)
    #expect(statistics.actions == 1 && statistics.sessions == 1)
  }

  @Test func diskUseKnowsWhatEachFileIsFor() throws {
    let prov = try storage.start("a", storage.options { $0.view = .always })
    try prov.recordAction(action())
    try prov.close()
    for (name, size) in [(".a.json.1.tmp", 1), (".a.json.1.aside", 10), ("old.json", 100), (".swept", 0), ("notes.txt", 1000)] {
      try disk.write(Array(repeating: 0, count: size), to: "\(storage.sessions.path)/\(name)")
    }
    for (name, size) in [(".a.log.1.removed", 3), (".a.log.1.aside", 30)] {
      _ = try disk.makeDirectory("\(storage.sessions.path)/\(name)")
      try disk.write(Array(repeating: 0, count: size), to: "\(storage.sessions.path)/\(name)/lock")
    }
    let use = try storage.sessions.use()
    #expect(use.sessions.map(\.session.name) == ["a", "old"] && use.failures.isEmpty)
    #expect(use.sessions[0].logBytes == (try storage.log("a").size()))
    #expect(use.sessions[0].jsonBytes == (try disk.status(of: prov.filePath))?.size)
    #expect(use.sessions[1].bytes == 100 && use.sessions[1].session.isLegacy)
    #expect(use.leftoverBytes == 4 && use.asideBytes == 40)
  }

  /// It was shown as a session.
  @Test func aCreationThatWasKilledIsLeftOver() throws {
    let prov = try storage.start("a")
    try prov.close()
    let before = try storage.sessions.use()
    let killed = try storage.log("b")
    _ = try disk.makeDirectory(killed.path)
    for name in ["lock", ".00000000000000000000.seg.tmp"] { try disk.write(Array(repeating: 0, count: 50), to: killed.path(of: name)) }
    let use = try storage.sessions.use()
    #expect(use.sessions.map(\.session.name) == ["a"] && use.leftoverBytes == 100)
    let report = try storage.sessions.retain(RetentionRules(), now: currentTime(), isDryRun: true)
    #expect(report.sessionsLeft == 1 && report.bytesLeft == before.sessions[0].bytes)
  }
}
