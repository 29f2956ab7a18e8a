import LogStorage
import ProvenanceLog
import TestSupport
import Testing

struct SessionStoreTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func closed(_ id: String, startedAt: String) throws {
    let prov = try ProvChain(
      storageDirectory: storage.path, label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: try SessionID(id),
      startedAt: Timestamp(startedAt)!, options: storage.options)
    try prov.recordAction(action())
    try prov.close()
  }

  /// A session as the reference leaves it.
  private func legacy(_ name: String, startedAt: String, id: String? = nil) throws {
    try storage.sessions.make()
    let json = """
      {"session_id": "\(id ?? name)", "urn": "ckp://Action#K/session", "label": "legacy", "kernel_action": "", "started_at": "\(startedAt)",
       "ended_at": "2026-01-01T00:00:00.000000Z", "was_associated_with": "ckp://Kernel#K:v1.0", "duration_ms": 5, "outcome": "partial",
       "kernels_involved": ["K"], "actions": [
         {"seq": 1, "action_type": "t", "outcome": "verified", "urn": "ckp://Action#K/t-1", "kernel": "ckp://Kernel#K:v1.0", "attempt": 1,
          "generated_at": "\(startedAt)", "note": ""},
         {"seq": 2, "action_type": "t", "outcome": "failed", "urn": "ckp://Action#Other/t-1", "kernel": "ckp://Kernel#Other:v1.0", "attempt": 1,
          "generated_at": "\(startedAt)", "note": "second"}]}
      """
    try disk.write(Array(json.utf8), to: "\(storage.sessions.path)/\(name).json")
  }

  private func listed() throws -> [String] { try storage.store.listSessions().map(\.sessionID.description) }

  // MARK: Lists

  @Test func newestFirstTiesByID() throws {
    try closed("b", startedAt: "2026-03-14T20:00:02.000000Z")
    try closed("a", startedAt: "2026-03-14T20:00:02.000000Z")
    try closed("old", startedAt: "1999-03-14T20:00:02.000000Z")
    try legacy("new", startedAt: "2026-03-14T20:00:02.000001Z")
    try legacy("a0", startedAt: "2026-03-14T20:00:02.000000Z")
    #expect(try listed() == ["new", "a", "a0", "b", "old"])
  }

  @Test func viewAndLogAreOneSession() throws {
    try closed("a", startedAt: "2026-03-14T20:00:02.000000Z")
    #expect(try disk.status(of: "\(storage.sessions.path)/a.json") != nil)
    let sessions = try storage.store.listSessions()
    #expect(sessions.count == 1)
    #expect(sessions[0].isLegacy == false && sessions[0].path.hasSuffix("/a.log"))
  }

  /// Of the log the checkpoint at its end, of the view its beginning; where it is to be removed, its end, too.
  @Test(arguments: [1, 3000]) func listReadsACheckpointASession(_ count: Int) throws {
    for id in ["a", "b"] {
      let prov = try storage.start(id)
      try prov.recordActions(Array(repeating: action(note: "something is said of each action"), count: count))
      try prov.close()
    }
    let watched = WatchedFileSystem()
    let store = SessionStore(SessionsDirectory(storageDirectory: storage.path, fileSystem: watched))
    #expect(try store.listSessions().map(\.actionCount) == [UInt64(count), UInt64(count)])
    #expect(watched.bytesRead < 2 * 8192)
    let before = watched.bytesRead
    _ = try store.getSession("b")
    #expect(watched.bytesRead - before < 4096)
    let report = try SessionsDirectory(storageDirectory: storage.path, fileSystem: watched).retain(
      RetentionRules(bytesMax: 0), now: currentTime(), isDryRun: true)
    #expect(report.removed.count == 2 && watched.bytesRead - before < 2 * 98_304)
  }

  /// Each listed the whole directory: a hundred names in a directory of thousands took seconds.
  @Test func manyNamesCostOneListing() throws {
    let ids = (10..<30).map { "s\($0)" }
    for id in ids { try storage.start(id).close() }
    let watched = WatchedFileSystem()
    let store = SessionStore(SessionsDirectory(storageDirectory: storage.path, fileSystem: watched))
    #expect(try store.locate(ids + ["s29"]).map(\.name) == ids + ["s29"])
    #expect(watched.listings.count { $0 == storage.sessions.path } == 1)
  }

  @Test func viewStandsForALogThatIsDamaged() throws {
    try closed("a", startedAt: "2026-03-14T20:00:02.000000Z")
    try disk.cut(try storage.segment("a"), to: 100)
    let sessions = try storage.store.listSessions()
    #expect(sessions.map(\.isLegacy) == [true])
    #expect(errorCode { try storage.store.getSession("a") } == .corrupt)
  }

  @Test func nowhereIsEmpty() throws {
    #expect(try SessionStore(storageDirectory: "\(storage.path)/nowhere").listSessions().isEmpty)
    #expect(errorCode { try SessionStore(storageDirectory: "\(storage.path)/nowhere").getSession("a") } == .notFound)
    #expect(try disk.names(in: storage.path).isEmpty)
  }

  /// What is damaged, or no session at all, is passed over in a list, and an error for who asks for it.
  @Test func whatIsDamagedIsPassedOverInLists() throws {
    try closed("good", startedAt: "2026-03-14T20:00:02.000000Z")
    try closed("torn", startedAt: "2026-03-14T20:00:02.000000Z")
    try disk.remove("\(storage.sessions.path)/torn.json")
    try disk.flipBit(at: 20, of: try storage.segment("torn"))
    for (name, text) in [("text", "not JSON"), ("half", "{\"session_id\":"), ("array", "[]"), ("empty", "{}"), ("nothing", "")] {
      try disk.write(Array(text.utf8), to: "\(storage.sessions.path)/\(name).json")
    }
    _ = try disk.makeDirectory("\(storage.sessions.path)/folder.json")
    try makeLink("\(storage.sessions.path)/link.json", to: "\(storage.sessions.path)/good.json")
    #expect(try listed() == ["good"])
    for name in ["torn", "text", "half", "array", "empty", "nothing"] {
      let error = try #require(logError { try storage.store.getSession(name) })
      #expect(error.code == .corrupt && error.path?.contains("/\(name).") == true, "\(error)")
    }
    #expect(errorCode { try storage.store.getSession("folder") } == .io)
    #expect(errorCode { try storage.store.getSession("link") } == .io)
  }

  @Test func versionOfTheFutureIsNamed() throws {
    try closed("a", startedAt: "2026-03-14T20:00:02.000000Z")
    let segment = try storage.segment("a")
    var bytes = try disk.bytes(of: segment)
    bytes[8] = 2
    bytes.replaceSubrange(132..<136, with: headerChecksum(bytes))
    try disk.write(bytes, to: segment)
    #expect(errorCode { try storage.store.getSession("a") } == .unsupportedVersion)
    #expect(errorCode { try storage.resume("a") } == .unsupportedVersion)
    let isUnchanged = try disk.bytes(of: segment) == bytes
    #expect(isUnchanged)
  }

  // MARK: One session

  @Test func exactIDWinsOverPrefix() throws {
    for id in ["abc", "abcd", "abd", "x"] { try closed(id, startedAt: "2026-03-14T20:00:02.000000Z") }
    try legacy("abcde", startedAt: "2026-03-14T20:00:02.000000Z")
    func found(_ text: String) throws -> String { try storage.store.getSession(text).sessionID.description }
    #expect(try found("abc") == "abc")
    #expect(try found("abcd") == "abcd")
    #expect(try found("abd") == "abd")
    #expect(try found("abcde") == "abcde")
    #expect(try found("x") == "x")
    let error = try #require(logError { try storage.store.getSession("ab") })
    #expect(error.code == .ambiguous)
    #expect(error.message.contains("abc, abcd, abcde, abd"), "\(error)")
    #expect(errorCode { try storage.store.getSession("abcdef") } == .notFound)
    #expect(errorCode { try storage.store.getSession("A") } == .notFound)
  }

  @Test func uniquePrefixIsEnough() throws {
    try closed("one", startedAt: "2026-03-14T20:00:02.000000Z")
    try legacy("two", startedAt: "2026-03-14T20:00:02.000000Z")
    #expect(try storage.store.getSession("o").sessionID.description == "one")
    #expect(try storage.store.getSession("tw").sessionID.description == "two")
    // A damaged one counts as well.
    try disk.write([], to: "\(storage.sessions.path)/once.json")
    #expect(errorCode { try storage.store.getSession("on") } == .ambiguous)
  }

  // MARK: Legacy

  @Test func legacySessionIsReadLikeAnyOther() throws {
    try legacy("a", startedAt: "2026-03-14T20:00:02.000000Z")
    let session = try storage.store.getSession("a")
    #expect(session.isLegacy && session.outcome == "partial" && session.durationMS == 5 && session.actionCount == 2)
    #expect(session.outcomeCounts.verified == 1 && session.outcomeCounts.failed == 1)
    #expect(session.kernelsInvolved == ["K", "Other"])
    #expect(try storage.actions("a").map(\.note) == ["", "second"])
  }

  @Test func legacySessionMayHaveAnyFileName() throws {
    try legacy("a name", startedAt: "2026-03-14T20:00:02.000000Z", id: "a")
    #expect(try listed() == ["a"])
    #expect(try storage.store.getSession("a").isLegacy)
  }

  // MARK: Actions

  /// Actions come one by one, from disk.
  @Test func actionsAreReadLazily() throws {
    let prov = try storage.start("a", storage.options { $0.durability = .power })
    for count in 0..<5 { try prov.recordAction(action(note: "note \(count)")) }
    try prov.close()
    let segment = try storage.segment("a")
    let fourth = try #require(try disk.bytes(of: segment).firstRange(of: Array("note 3".utf8)))
    try disk.flipBit(at: UInt64(fourth.lowerBound), of: segment)
    var reader = try storage.store.getSession("a").actions()
    for seq in Int64(1)...3 { #expect(try reader.next()?.seq == seq) }
    for _ in 0..<2 {
      do {
        _ = try reader.next()
        Issue.record("damage was passed over")
      } catch {
        #expect(error.code == .corrupt && error.sequence == 5)
      }
    }
  }

  @Test func removedSessionHasNoActions() throws {
    try closed("a", startedAt: "2026-03-14T20:00:02.000000Z")
    let session = try storage.store.getSession("a")
    try storage.sessions.remove(session.sessionID)
    #expect(errorCode { _ = try session.actions() } == .notFound)
    #expect(try disk.names(in: storage.sessions.path).isEmpty)
  }
}
