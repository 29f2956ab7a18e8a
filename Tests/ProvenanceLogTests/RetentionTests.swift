import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// What goes when a session is opened: what was last written too long ago.
struct RetentionTests {
  private let storage: Storage
  private let disk = DiskFileSystem()
  private let now = Timestamp("2026-03-14T20:00:00.000000Z")!

  init() throws {
    storage = try Storage()
  }

  private var options: ProvChain.Options {
    storage.options { [now] in
      $0.clock = { now }
      $0.view = .always
    }
  }

  /// Opens a session, which is what removes others.
  private func open(hours: Double?, _ options: ProvChain.Options? = nil) throws {
    _ = try ProvChain(
      storageDirectory: storage.path, label: "l", kernelURN: "k", retentionHours: hours, sessionID: try SessionID("opener"),
      options: options ?? self.options)
    try storage.sessions.remove(try SessionID("opener"))
  }

  private func closed(_ id: String, hoursAgo: Double) throws {
    let prov = try storage.start(id, options)
    try prov.recordAction(action())
    try prov.close()
    try age(id, hours: hoursAgo)
  }

  /// All files of a session were last written then.
  private func age(_ id: String, hours: Double) throws {
    let log = try storage.log(id)
    for name in try log.segments() { try touch(log.path(of: name.description), hoursAgo: hours) }
    let view = "\(storage.sessions.path)/\(id).json"
    if try disk.status(of: view) != nil { try touch(view, hoursAgo: hours) }
  }

  private func touch(_ path: String, hoursAgo: Double) throws {
    try disk.setModificationTime(of: path, to: now.microseconds * 1000 - Int64(hoursAgo * 3600e9))
  }

  private func legacy(_ id: String, hoursAgo: Double) throws {
    let path = "\(storage.sessions.path)/\(id).json"
    try storage.sessions.make()
    try disk.write(Array("{}".utf8), to: path)
    try touch(path, hoursAgo: hoursAgo)
  }

  private var names: [String] {
    get throws { try disk.names(in: storage.sessions.path).sorted() }
  }

  // MARK: Age

  @Test func whatIsOlderGoesWithItsView() throws {
    try closed("old", hoursAgo: 49)
    try closed("young", hoursAgo: 47)
    try legacy("old-legacy", hoursAgo: 49)
    try legacy("young-legacy", hoursAgo: 47)
    _ = try storage.start("open", options)
    try age("open", hours: 49)
    try open(hours: 48)
    #expect(try names == ["young-legacy.json", "young.json", "young.log"])
  }

  /// It was taken for the view of a log that is none.
  @Test func legacySessionBesideALogThatWasNeverStarted() throws {
    try legacy("a", hoursAgo: 49)
    _ = try disk.makeDirectory(storage.log("a").path)
    #expect(try storage.sessions.use().sessions.count(where: \.session.isLegacy) == 1)
    try open(hours: 48)
    #expect(try names == ["a.log"])
  }

  /// The reference went on with a session that has become a log since, or the log has lost its end: what the view holds more is nowhere else.
  @Test func viewThatHoldsMoreIsSetAside() throws {
    try closed("a", hoursAgo: 49)
    let view = "\(storage.sessions.path)/a.json"
    let more = try disk.bytes(of: view)
    let log = try storage.log("a")
    let newest = log.path(of: try #require(try log.segments().last).description)
    // Without the action and what closed the session.
    let start = try #require(more.isEmpty ? nil : try disk.bytes(of: newest).firstRange(of: Array(#"{"seq":1,"#.utf8))?.lowerBound)
    try disk.write(Array(try disk.bytes(of: newest)[..<(start - FrameHeader.size)]), to: newest)
    try touch(newest, hoursAgo: 49)
    let report = try storage.sessions.retain(RetentionRules(hours: 48), now: now)
    #expect(report.removed.count == 1 && report.removed[0].bytes < UInt64(more.count) + 1000, "\(report)")
    let aside = try #require(try names.first { $0.hasSuffix(".aside") })
    #expect(try names == [aside] && aside.hasPrefix(".a.json.") && disk.bytes(of: "\(storage.sessions.path)/\(aside)") == more)
  }

  /// Somebody's file has a log's name: what stands beside it is a session all the same.
  @Test func legacySessionBesideAFileWithTheNameOfALog() throws {
    try legacy("a", hoursAgo: 49)
    try disk.write([1], to: try storage.log("a").path)
    #expect(try storage.sessions.use().sessions.map(\.jsonBytes) == [2])
    #expect(try storage.sessions.retain(RetentionRules(hours: 48), now: now).removed.count == 1)
    #expect(try names == ["a.log"])
  }

  /// As long as nothing whole says which session a log is, the JSON beside it counts with it.
  @Test func jsonBesideALogThatCannotBeRead() throws {
    try closed("a", hoursAgo: 49)
    let log = try storage.log("a")
    try disk.write([], to: log.path(of: try #require(try log.segments().first).description))
    let size = try #require(try disk.status(of: "\(storage.sessions.path)/a.json")).size
    #expect(try storage.sessions.use().sessions.map(\.jsonBytes) == [size])
    try touch(log.path(of: try #require(try log.segments().first).description), hoursAgo: 49)
    let report = try storage.sessions.retain(RetentionRules(hours: 48), now: now)
    #expect(report.removed.map(\.bytes) == [0], "\(report)")
    #expect(try names.count { $0.hasSuffix(".aside") } == 1)
  }

  /// It was renamed, and then could not be deleted, now or ever.
  @Test func logWithADirectoryInItStaysWhole() throws {
    try closed("a", hoursAgo: 49)
    _ = try disk.makeDirectory(storage.log("a").path(of: "mine"))
    let before = try treeContents(storage.sessions.path)
    let report = try storage.sessions.retain(RetentionRules(hours: 48), now: now)
    #expect(report.removed.isEmpty && report.sessionsLeft == 1 && report.failures.count == 1)
    #expect(report.failures.first?.error.path == (try storage.log("a").path(of: "mine")))
    #expect(try treeContents(storage.sessions.path) == before)
  }

  @Test func newestFileIsTheAge() throws {
    for id in ["a", "b"] {
      do {
        let prov = try storage.start(id, storage.options { $0.segmentSizeMax = 1 })
        for _ in 0..<3 { try prov.recordAction(action()) }
      }
      try age(id, hours: 100)
    }
    try touch(try storage.segment("b", 1), hoursAgo: 1)
    try open(hours: 48)
    #expect(try names == ["b.log"])
  }

  @Test(arguments: [nil, .infinity, .nan, 1e300, 100] as [Double?])
  func nothingIsOldEnough(_ hours: Double?) throws {
    try closed("a", hoursAgo: 99)
    try open(hours: hours)
    #expect(try names == ["a.json", "a.log"])
  }

  /// As in the reference: what was written before now, or before a moment to come.
  @Test(arguments: [0, -1, -1e300, -.infinity] as [Double])
  func nothingIsYoungEnough(_ hours: Double) throws {
    try closed("a", hoursAgo: 0.1)
    try open(hours: hours)
    #expect(try names == [])
  }

  @Test func creationThatDidNotFinishGoesToo() throws {
    try storage.sessions.make()
    let path = try storage.log("a").path
    _ = try disk.makeDirectory(path)
    try touch(path, hoursAgo: 49)
    _ = try disk.makeDirectory(try storage.log("b").path)
    try open(hours: 48)
    #expect(try names == ["b.log"])
  }

  // MARK: At most once a minute

  private enum Mark: String, CaseIterable { case swept, retained }

  private func mark(_ mark: Mark) -> String { "\(storage.sessions.path)/.\(mark)" }

  /// As many seconds from now as it says.
  private func set(_ mark: Mark, seconds: Double) throws {
    try disk.setModificationTime(of: self.mark(mark), to: (currentTime().microseconds + Int64(seconds * 1e6)) * 1000)
  }

  private var onceAMinute: ProvChain.Options {
    var options = options
    options.retentionInterval = ProvChain.Options().retentionInterval
    return options
  }

  @Test func nextOpeningWithinAMinuteLeavesTheDirectoryAlone() throws {
    try closed("a", hoursAgo: 49)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained"])
    try closed("b", hoursAgo: 49)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained", "b.json", "b.log"])
    try set(.retained, seconds: -59)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained", "b.json", "b.log"])
    try set(.retained, seconds: -60)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained"])
    try closed("c", hoursAgo: 49)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained", "c.json", "c.log"])
  }

  @Test(arguments: [-1e9, -60, 61, 1e9])
  func clockThatWasSetDoesNotPutItOffForEver(_ seconds: Double) throws {
    try closed("a", hoursAgo: 49)
    try disk.write([], to: mark(.retained))
    try set(.retained, seconds: seconds)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained"])
    let distance = try #require(try disk.status(of: mark(.retained))).modified - currentTime().microseconds * 1000
    #expect(abs(distance) < 30_000_000_000)
  }

  /// Commands that remove nothing may be started all the time.
  @Test func whoOnlySweepsDoesNotPutItOff() throws {
    try closed("a", hoursAgo: 49)
    try open(hours: nil, onceAMinute)
    #expect(try names == [".swept", "a.json", "a.log"])
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained", ".swept"])
  }

  @Test func resumeTakesItsTurnToo() throws {
    for id in ["a", "b", "c"] { try closed(id, hoursAgo: 49) }
    _ = try ProvChain(resuming: try SessionID("a"), storageDirectory: storage.path, options: onceAMinute)
    #expect(try names == [".retained", "a.log"])
    try closed("b", hoursAgo: 49)
    _ = try ProvChain(resuming: try SessionID("a"), storageDirectory: storage.path, options: onceAMinute)
    #expect(try names == [".retained", "a.log", "b.json", "b.log"])
  }

  /// Something else has the mark's name, or the disk is full: every opening looks, and none fails.
  @Test func markThatCannotBeMadeKeepsNothingFromOpening() throws {
    try closed("a", hoursAgo: 49)
    let watched = WatchedFileSystem()
    let retained = mark(.retained)
    watched.setRule { if case .create(retained) = $0 { .init(.noSpace) } else { nil } }
    var failing = onceAMinute
    failing.fileSystem = watched
    try open(hours: 48, failing)
    #expect(try names == [])
    _ = try disk.makeDirectory(retained)
    try set(.retained, seconds: -100)
    for id in ["a", "b"] {
      try closed(id, hoursAgo: 49)
      try open(hours: 48, onceAMinute)
      #expect(try names == [".retained"])
    }
    try disk.removeDirectory(retained)
    let target = "\(storage.path)/target"
    try disk.write([1], to: target)
    try makeLink(retained, to: target)
    try set(.retained, seconds: -100)
    try closed("a", hoursAgo: 49)
    try open(hours: 48, onceAMinute)
    #expect(try names == [".retained"])
    #expect(try disk.bytes(of: target) == [1])
    #expect(try disk.status(of: retained)?.kind == .file)
  }

  // MARK: Who is at work

  @Test func livingWriterStays() throws {
    let living = try storage.start("a", options)
    try living.recordAction(action())
    try age("a", hours: 49)
    try open(hours: 48)
    #expect(try living.recordAction(action()).seq == 2)
    try living.close()
    try age("a", hours: 49)
    try open(hours: 48)
    #expect(try names == [])
  }

  @Test func maintainedLogStays() throws {
    try closed("a", hoursAgo: 49)
    let lock = try LogLock(.maintainer, of: try storage.log("a"))
    try open(hours: 48)
    #expect(try names == ["a.json", "a.log"])
    withExtendedLifetime(lock) {}
  }

  @Test func resumedSessionStays() throws {
    try closed("a", hoursAgo: 49)
    try closed("b", hoursAgo: 49)
    let prov = try ProvChain(resuming: try SessionID("a"), storageDirectory: storage.path, options: options)
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(try names == ["a.log"])
  }

  /// Between the look at its age and the lock another process has gone on with it, and closed it again.
  @Test func ageIsLookedAtAgainUnderTheLock() throws {
    try closed("a", hoursAgo: 49)
    let log = try storage.log("a")
    try disk.remove(log.path(of: "lock"))
    let watched = WatchedFileSystem()
    let segment = try storage.segment("a")
    let fresh = now.microseconds * 1000
    watched.setRule { operation in
      if case .create(log.path(of: "lock")) = operation { try? DiskFileSystem().setModificationTime(of: segment, to: fresh) }
      return nil
    }
    SessionsDirectory(storageDirectory: storage.path, fileSystem: watched).tidy(retentionHours: 48, every: .zero, now: now)
    #expect(try names == ["a.json", "a.log"])
    #expect(try storage.seqs("a") == [1])
  }

  // MARK: What cannot be read or removed

  @Test func strangersStay() throws {
    let target = try Storage()
    try target.start("a").close()
    try storage.sessions.make()
    let path = storage.sessions.path
    try disk.write([1], to: "\(path)/file.log")
    _ = try disk.makeDirectory("\(path)/directory.json")
    try makeLink("\(path)/link.log", to: try target.log("a").path)
    try makeLink("\(path)/pointer.json", to: target.path)
    try disk.write([1], to: "\(path)/other.txt")
    try disk.write([1], to: "\(path)/.hidden.json")
    let before = try target.contents()
    try open(hours: -1e6)
    #expect(try names == [".hidden.json", "directory.json", "file.log", "link.log", "other.txt", "pointer.json"])
    let isUnchanged = try target.contents() == before
    #expect(isUnchanged)
  }

  @Test func damagedSessionGoesButNotWhatMayBeItsOnlyCopy() throws {
    try closed("a", hoursAgo: 49)
    try disk.cut(try storage.segment("a"), to: 10)
    try age("a", hours: 49)
    try touch("\(storage.sessions.path)/a.json", hoursAgo: 1)
    try open(hours: 48)
    let left = try names
    #expect(left.count == 1 && left[0].hasPrefix(".a.json.") && left[0].hasSuffix(".aside"), "\(left)")
  }

  @Test func failureIsPassedOver() throws {
    for id in ["a", "b", "c"] { try closed(id, hoursAgo: 49) }
    let watched = WatchedFileSystem()
    watched.setRule { operation in
      if case .rename(let path, _) = operation, path.hasSuffix("/b.log") { .init(.noPermission) } else { nil }
    }
    var failing = options
    failing.fileSystem = watched
    try open(hours: 48, failing)
    #expect(try names.filter { $0.hasSuffix(".log") } == ["b.log"])
    #expect(try storage.seqs("b") == [1])
  }
}
