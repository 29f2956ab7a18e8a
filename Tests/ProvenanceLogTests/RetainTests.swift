import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Retention by all its rules, as `retain` runs it.
struct RetainTests {
  private let storage: Storage
  private let disk = DiskFileSystem()
  private let now = Timestamp("2026-03-14T20:00:00.000000Z")!

  init() throws {
    storage = try Storage()
    try storage.sessions.make()
  }

  private func path(_ name: String) -> String { "\(storage.sessions.path)/\(name)" }

  /// A session with a view, last written so many hours ago.
  @discardableResult
  private func session(_ id: String, hoursAgo: Double, isClosed: Bool = true) throws -> UInt64 {
    let prov = try storage.start(id, storage.options { $0.view = .always })
    try prov.recordAction(action())
    if isClosed { try prov.close() }
    return try age(id, hoursAgo)
  }

  /// - Returns: bytes on disk.
  @discardableResult
  private func age(_ id: String, _ hours: Double) throws -> UInt64 {
    let log = try storage.log(id)
    var bytes = try log.size()
    for name in try log.segments() { try touch("\(id).log/\(name)", hours) }
    if let view = try disk.status(of: path("\(id).json")) {
      bytes += view.size
      try touch("\(id).json", hours)
    }
    return bytes
  }

  @discardableResult
  private func legacy(_ name: String, _ json: [UInt8], hoursAgo: Double) throws -> UInt64 {
    try disk.write(json, to: path("\(name).json"))
    try touch("\(name).json", hoursAgo)
    return UInt64(json.count)
  }

  private func touch(_ name: String, _ hours: Double) throws {
    try disk.setModificationTime(of: path(name), to: now.microseconds * 1000 - Int64(hours * 3600e9))
  }

  private func retain(_ rules: RetentionRules, isDryRun: Bool = false) throws -> RetentionReport {
    try storage.sessions.retain(rules, now: now, isDryRun: isDryRun)
  }

  private var names: [String] {
    get throws { try disk.names(in: storage.sessions.path).sorted() }
  }

  // MARK: Rules

  @Test func keepCountsWhatWasLastWritten() throws {
    let bytes = try [3, 1, 2].map { try session("s\($0)", hoursAgo: Double($0)) }
    try legacy("s4", Array("{}".utf8), hoursAgo: 1.5)
    // No session: it is none of those that are kept, nor of those that are too many.
    _ = try disk.makeDirectory(path("unstarted.log"))
    try touch("unstarted.log", 5)
    let report = try retain(RetentionRules(keep: 2))
    #expect(report.removed.map(\.session.name) == ["s3", "s2"] && report.removed.allSatisfy { $0.rule == .keep })
    #expect(report.removed.map(\.bytes) == [bytes[0], bytes[2]])
    #expect(report.removed[0].lastWritten.description == "2026-03-14T17:00:00.000000Z")
    #expect(report.sessionsLeft == 2 && report.bytesLeft == bytes[1] + 2)
    #expect(try names == ["s1.json", "s1.log", "s4.json", "unstarted.log"])
    #expect(try retain(RetentionRules(keep: 2)).removed.isEmpty)
    #expect(try retain(RetentionRules(keep: .max)).removed.isEmpty)
    #expect(try retain(RetentionRules(keep: 0)).removed.map(\.session.name) == ["s4", "s1"])
  }

  @Test func sizeTakesEndedSessionsOldestFirst() throws {
    let open = try session("open", hoursAgo: 9, isClosed: false)
    let old = try session("old", hoursAgo: 8)
    let view = try disk.bytes(of: path("old.json"))
    let ended = String(decoding: view, as: UTF8.self).replacing("old", with: "legacy-ended")
    let legacyEnded = try legacy("legacy-ended", Array(ended.utf8), hoursAgo: 7)
    try legacy("no-session", Array("{}".utf8), hoursAgo: 7)
    try session("damaged", hoursAgo: 6.5)
    try disk.flipBit(at: 300, of: try storage.segment("damaged", 0))
    try disk.cut(try storage.segment("damaged", 0), to: 400)
    try age("damaged", 6.5)
    let young = try session("young", hoursAgo: 6)
    let all = try retain(RetentionRules(bytesMax: .max)).bytesLeft
    #expect(try retain(RetentionRules(bytesMax: all)).removed.isEmpty)
    #expect(try retain(RetentionRules(bytesMax: all - 1)).removed.map(\.session.name) == ["old"])
    let report = try retain(RetentionRules(bytesMax: all - old - 1))
    #expect(report.removed.map(\.session.name) == ["legacy-ended"] && report.removed[0].rule == .bytesMax)
    #expect(report.bytesLeft == all - old - legacyEnded)
    let last = try retain(RetentionRules(bytesMax: 0))
    #expect(last.removed.map(\.session.name) == ["young"])
    #expect(last.bytesLeft == all - old - legacyEnded - young && last.bytesLeft > open && last.sessionsLeft == 3)
    #expect(try names == ["damaged.json", "damaged.log", "no-session.json", "open.log"])
  }

  @Test func severalRulesEachCount() throws {
    for hours in 1...6 { try session("s\(hours)", hoursAgo: Double(hours)) }
    let size = try retain(RetentionRules(), isDryRun: true).bytesLeft / 6
    let report = try retain(RetentionRules(hours: 5.5, keep: 4, bytesMax: size * 3 + size / 2))
    #expect(report.removed.map(\.session.name) == ["s6", "s5", "s4"])
    #expect(report.removed.map(\.rule) == [.hours, .keep, .bytesMax])
    #expect(try retain(RetentionRules()).removed.isEmpty)
  }

  @Test func dryRunChangesNothing() throws {
    for hours in 1...3 { try session("s\(hours)", hoursAgo: Double(hours)) }
    try legacy("s4", Array("{}".utf8), hoursAgo: 4)
    try disk.write([1], to: path(".s.json.1.tmp"))
    try disk.setModificationTime(of: path(".s.json.1.tmp"), to: 0)
    let before = try storage.contents()
    let dry = try retain(RetentionRules(hours: 2.5, keep: 1), isDryRun: true)
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
    let report = try retain(RetentionRules(hours: 2.5, keep: 1))
    #expect(dry.removed.map(\.session.name) == ["s4", "s3", "s2"])
    #expect(dry.removed.map(\.session.name) == report.removed.map(\.session.name) && dry.removed.map(\.bytes) == report.removed.map(\.bytes))
    #expect(dry.bytesLeft == report.bytesLeft && dry.sessionsLeft == report.sessionsLeft)
    // A real run also sweeps.
    #expect(try names == ["s1.json", "s1.log"])
  }

  // MARK: What stays

  @Test(arguments: [true, false])
  func whatIsInUseStays(_ isDryRun: Bool) throws {
    let living = try storage.start("living", storage.options)
    try living.recordAction(action())
    try age("living", 9)
    try session("maintained", hoursAgo: 8)
    try session("free", hoursAgo: 7)
    let lock = try LogLock(.maintainer, of: try storage.log("maintained"))
    let report = try retain(RetentionRules(hours: 5, keep: 0, bytesMax: 0), isDryRun: isDryRun)
    #expect(report.removed.map(\.session.name) == ["free"] && report.inUse.map(\.name) == ["living", "maintained"])
    #expect(report.failures.isEmpty && report.sessionsLeft == 2)
    #expect(try living.recordAction(action()).seq == 2)
    #expect(try storage.seqs("maintained") == [1])
    withExtendedLifetime(lock) {}
  }

  @Test func whatCannotBeRemovedIsNamed() throws {
    for id in ["a", "b", "c"] { try session(id, hoursAgo: 9) }
    try legacy("d", Array("{}".utf8), hoursAgo: 9)
    let watched = WatchedFileSystem()
    watched.setRule { operation in
      switch operation {
      case .rename(let path, _) where path.hasSuffix("/b.log"): .init(.noPermission)
      case .remove(let path) where path.hasSuffix("/d.json"): .init(.noPermission)
      default: nil
      }
    }
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    let report = try sessions.retain(RetentionRules(hours: 5), now: now)
    #expect(report.removed.map(\.session.name) == ["a", "c"] && report.failures.map(\.session.name) == ["b", "d"])
    #expect(report.failures.allSatisfy { $0.error.code == .noPermission } && report.sessionsLeft == 2)
    #expect(try storage.seqs("b") == [1])
  }

  /// The two syncs of a removal are what it costs; each session in a batch also holds two files open. What is gone is told behind them.
  @Test func sessionsThatGoTogetherShareTheSyncs() throws {
    for number in 0..<70 { try session("s\(number)", hoursAgo: 9) }
    let watched = WatchedFileSystem()
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    var told: [[Int]] = []
    #expect(try sessions.retain(RetentionRules(hours: 5), now: now, removed: { told.append([$0.count, $1]) }).removed.count == 70)
    #expect(told == [[0, 70], [64, 70], [6, 70]])
    #expect(watched.count { $0 == .syncDirectory(sessions.path) } == 4)
    #expect(try names.isEmpty)
  }

  /// Where nothing in the log is whole that says which session it is, what seems to be its view may be all that is left: it is set aside, and not counted as freed.
  @Test func whatMayBeTheOnlyCopyIsSetAsideAndNotFreed() throws {
    try session("a", hoursAgo: 9)
    let view = try disk.bytes(of: path("a.json"))
    try disk.cut(try storage.segment("a", 0), to: 10)
    try age("a", 9)
    #expect(try retain(RetentionRules(hours: 5), isDryRun: true).removed.map(\.bytes) == [10])
    let report = try retain(RetentionRules(hours: 5))
    #expect(report.removed.map(\.bytes) == [10] && report.sessionsLeft == 0)
    let left = try names
    #expect(left.count == 1 && left[0].hasPrefix(".a.json.") && left[0].hasSuffix(".aside"), "\(left)")
    let isKept = try disk.bytes(of: path(left[0])) == view
    #expect(isKept)
  }

  /// The view of a log that has lost its end may hold what is lost there.
  @Test func viewOfALogThatHasLostItsEndIsSetAside() throws {
    try session("a", hoursAgo: 9)
    let size = try disk.status(of: try storage.segment("a", 0))!.size
    try disk.flipBit(at: size - 100, of: try storage.segment("a", 0))
    #expect(errorCode { try storage.log("a").state(of: SessionID("a")) } == .corrupt)
    let bytes = try age("a", 9) - disk.status(of: path("a.json"))!.size
    for isDryRun in [true, false] { #expect(try retain(RetentionRules(hours: 5), isDryRun: isDryRun).removed.map(\.bytes) == [bytes]) }
    let left = try names
    #expect(left.count == 1 && left[0].hasPrefix(".a.json.") && left[0].hasSuffix(".aside"), "\(left)")
  }

  /// A creation that did not finish is no session; the one that the reference has left under its name is.
  @Test func anUnstartedLogGoesWithoutTheSessionBesideIt() throws {
    try session("other", hoursAgo: 1)
    let json = String(decoding: try disk.bytes(of: path("other.json")), as: UTF8.self)
    _ = try disk.makeDirectory(path("deadbeef.log"))
    try touch("deadbeef.log", 9)
    try legacy("deadbeef", Array(json.replacing("\"other\"", with: "\"deadbeef\"").utf8), hoursAgo: 1)
    #expect(try retain(RetentionRules(hours: 5)).sessionsLeft == 2)
    #expect(try names == ["deadbeef.json", "other.json", "other.log"])
  }

  /// Others go in its place.
  @Test func whatCannotBeRemovedKeepsNothingElse() throws {
    let sizes = try (1...6).map { try session("s\($0)", hoursAgo: Double(10 - $0)) }
    _ = try disk.makeDirectory(path("s1.log/sub"))
    try age("s1", 9)
    let all = try retain(RetentionRules()).bytesLeft
    let report = try retain(RetentionRules(bytesMax: all - sizes[1]))
    #expect(report.failures.map(\.session.name) == ["s1"] && report.removed.map(\.session.name) == ["s2"], "\(report)")
    #expect(report.bytesLeft == all - sizes[1])
  }

  /// A JSON file beside a log of the same name that is not its view: under the rules for itself.
  @Test func anotherSessionOfTheSameNameIsItsOwn() throws {
    try session("other", hoursAgo: 1)
    let json = try disk.bytes(of: path("other.json"))
    try session("a", hoursAgo: 9)
    try disk.remove(path("a.json"))
    let bytes = try legacy("a", json, hoursAgo: 3)
    let log = try storage.log("a").size()
    let uses = try storage.sessions.use().sessions.filter { $0.session.name == "a" }
    #expect(uses.map(\.session.isLegacy) == [false, true] && uses.map(\.bytes) == [log, bytes])
    #expect(try retain(RetentionRules(hours: 5), isDryRun: true).removed.map(\.bytes) == [log])
    #expect(try retain(RetentionRules(hours: 5)).removed.map(\.session.isLegacy) == [false])
    #expect(try names == ["a.json", "other.json", "other.log"])
    #expect(try retain(RetentionRules(hours: 2)).removed.map(\.session.isLegacy) == [true])
    #expect(try names == ["other.json", "other.log"])
  }

  /// Written between the look at its age and its removal: a legacy session by cklib, which takes no lock.
  @Test func whatWasWrittenMeanwhileStays() throws {
    try session("a", hoursAgo: 9)
    try legacy("b", Array("{}".utf8), hoursAgo: 8)
    let watched = WatchedFileSystem()
    let path = path("b.json")
    let fresh = now.microseconds * 1000
    let lock = try storage.log("a").path(of: "lock")
    try disk.remove(lock)
    watched.setRule { operation in
      if case .create(lock) = operation { try? DiskFileSystem().setModificationTime(of: path, to: fresh) }
      return nil
    }
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    let report = try sessions.retain(RetentionRules(hours: 5), now: now)
    #expect(report.removed.map(\.session.name) == ["a"] && report.inUse.map(\.name) == ["b"])
    #expect(try names == ["b.json"])
  }

  @Test func progressGoesOverAllNames() throws {
    for hours in 1...3 { try session("s\(hours)", hoursAgo: Double(hours)) }
    var seen: [Int] = []
    _ = try storage.sessions.retain(RetentionRules(), now: now) { done, total in seen += [done, total] }
    // Three logs and three views.
    #expect(seen == [0, 6, 1, 6, 2, 6, 3, 6, 4, 6, 5, 6])
  }

  /// How many may go is known before: by each rule they are the oldest.
  @Test(arguments: [
    (RetentionRules(hours: 2.5), 2), (RetentionRules(keep: 1), 3), (RetentionRules(hours: 2.5, keep: 3), 2), (RetentionRules(bytesMax: 20), 2),
    (RetentionRules(), 0),
  ])
  func howManyMayGo(_ rules: RetentionRules, _ count: Int) throws {
    for number in 1...4 { try legacy("s\(number)", Array("{\"n\": 1}".utf8), hoursAgo: Double(number)) }
    var told: [Int] = []
    _ = try storage.sessions.retain(rules, now: now, isDryRun: true, removed: { told.append($1) })
    #expect(told.first == count)
  }
}
