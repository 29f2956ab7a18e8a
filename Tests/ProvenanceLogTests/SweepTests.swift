import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What work that died has left goes when a session is opened; what may be alive, and every other dot-name, stays.
struct SweepTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
    try storage.sessions.make()
  }

  private func path(_ name: String) -> String { "\(storage.sessions.path)/\(name)" }

  private func file(_ name: String, hoursAgo: Double = 2) throws {
    try disk.write([1], to: path(name))
    try touch(name, hoursAgo: hoursAgo)
  }

  private func directory(_ name: String, hoursAgo: Double = 2) throws {
    _ = try disk.makeDirectory(path(name))
    for file in ["lock", "00000000000000000000.seg"] { try disk.write([1], to: "\(path(name))/\(file)") }
    try touch(name, hoursAgo: hoursAgo)
  }

  private func touch(_ name: String, hoursAgo: Double) throws {
    try disk.setModificationTime(of: path(name), to: (currentTime().microseconds - Int64(hoursAgo * 3600e6)) * 1000)
  }

  private enum Opening: CaseIterable { case start, startWithRetention, resume, command }

  private func open(_ opening: Opening) async throws {
    let options = storage.options { $0.view = .never }
    switch opening {
    case .start, .startWithRetention:
      _ = try ProvChain(
        storageDirectory: storage.path, label: "l", kernelURN: "k", retentionHours: opening == .start ? nil : 48, sessionID: try SessionID("opener"),
        options: options)
    case .resume:
      try storage.start("opener", options).close()
      _ = try storage.resume("opener", options)
    case .command:
      let arguments = ["record", "--label", "l", "--kernel-urn", "k", "--session-id", "opener", "--view", "never", "--storage-dir", storage.path]
      try #require(await runProgram(try commandPath(), arguments).status == 0)
    }
    try storage.sessions.remove(try SessionID("opener"))
  }

  private var names: [String] {
    get throws { try disk.names(in: storage.sessions.path).filter { $0 != ".swept" }.sorted() }
  }

  @Test(arguments: Opening.allCases)
  private func leftoversGo(_ opening: Opening) async throws {
    for name in [".a.json.1f.tmp", ".a.b-c.json.0.tmp", ".\(String(repeating: "x", count: 64)).json.ffffffff.tmp"] { try file(name) }
    for name in [".a.log.2.tmp", ".a.log.3.removed", ".a.log.4.tmp.log.5.tmp"] { try directory(name) }
    _ = try disk.makeDirectory(path(".b.log.6.tmp"))
    try touch(".b.log.6.tmp", hoursAgo: 1.01)
    try await open(opening)
    #expect(try names == [])
  }

  @Test func nextOpeningWithinAMinuteLeavesTheDirectoryAlone() throws {
    var options = storage.options
    options.retentionInterval = .seconds(60)
    _ = try storage.start("a", options)
    try file(".a.json.1.tmp")
    _ = try storage.start("b", options)
    #expect(try names == [".a.json.1.tmp", "a.log", "b.log"])
    try disk.setModificationTime(of: path(".swept"), to: (currentTime().microseconds - 60_000_000) * 1000)
    _ = try storage.start("c", options)
    #expect(try names == ["a.log", "b.log", "c.log"])
  }

  /// Written within the hour, or locked.
  @Test func whatMayBeAliveStays() async throws {
    try file(".a.json.1.tmp", hoursAgo: 0.9)
    try file(".b.json.1.tmp", hoursAgo: -100)
    try directory(".a.log.2.tmp", hoursAgo: 0.9)
    try directory(".a.log.3.removed", hoursAgo: 0.9)
    try directory(".a.log.4.tmp")
    try directory(".a.log.5.removed")
    let locks = try [".a.log.4.tmp", ".a.log.5.removed"].map { try LogLock(.writer, of: LogDirectory(path: path($0), fileSystem: disk)) }
    let before = try names
    try await open(.start)
    #expect(try names == before)
    withExtendedLifetime(locks) {}
  }

  @Test func everyOtherNameStays() async throws {
    let target = try Storage()
    try target.start("t").close()
    for name in [
      ".a.json.1.aside", ".a.log.1.tmp", ".hidden", ".a.txt.1.tmp", ".a.json.tmp", ".a.json..tmp", ".a.json.x.tmp", ".a.json.123456789.tmp",
      "..json.1.tmp", ".-a.json.1.tmp", ".a b.json.1.tmp", ".a.json.1.tmp.aside", ".a.json.1.removed", "a.json.1.tmp",
    ] { try file(name) }
    for name in [".a.log.1.aside", ".a.json.1.tmp", ".a.log.1.tmp2", "a.log.1.removed", ".a.log.aside.1.tmp.aside"] { try directory(name) }
    try makeLink(path(".l.json.1.tmp"), to: try target.segment("t"))
    try makeLink(path(".l.log.1.tmp"), to: try target.log("t").path)
    for name in [".l.json.1.tmp", ".l.log.1.tmp"] { try touch(name, hoursAgo: 2) }
    let before = (try names, try target.contents())
    try await open(.startWithRetention)
    #expect(try names == before.0)
    let isUnchanged = try target.contents() == before.1
    #expect(isUnchanged)
  }

  /// It may be at work for longer than an hour; after its last write as well.
  @Test func importHoldsItsLockToTheEnd() throws {
    let prov = try storage.start("a", storage.options { $0.view = .always })
    try prov.recordAction(action())
    try prov.close()
    let json = "\(storage.path)/a.json"
    try disk.write(try disk.bytes(of: prov.filePath), to: json)
    try storage.sessions.remove(prov.sessionID)
    let watched = WatchedFileSystem()
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    watched.setRule { operation in
      switch operation {
      case .create(let name) where name.hasSuffix(".seg.tmp"): break
      case .rename(_, sessions.logPath(prov.sessionID)): break
      default: return nil
      }
      for name in (try? DiskFileSystem().names(in: sessions.path)) ?? [] where name.hasPrefix(".a.log.") {
        try? DiskFileSystem().setModificationTime(of: "\(sessions.path)/\(name)", to: 0)
      }
      sessions.tidy(retentionHours: nil, every: .zero, now: currentTime())
      return nil
    }
    #expect(try sessions.importSession(json) == prov.sessionID)
    #expect(try storage.seqs("a") == [1])
    #expect(try names == ["a.log"])
  }

  @Test func resumeSweepsTheSegmentsOfItsLog() throws {
    try storage.start("a").recordAction(action())
    let log = try storage.log("a")
    let others = [".00000000000000000007.seg.lz4.tmp", ".00000000000000000007.seg.aside", ".7.seg.tmp", ".x.tmp"]
    for name in [".00000000000000000007.seg.tmp", ".00000000000000000008.seg.tmp"] + others { try disk.write([1], to: log.path(of: name)) }
    let prov = try storage.resume("a")
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(try disk.names(in: log.path).filter { $0.hasPrefix(".") }.sorted() == others.sorted())
  }

  @Test func failureIsPassedOver() async throws {
    for name in [".a.json.1.tmp", ".b.json.1.tmp", ".c.json.1.tmp"] { try file(name) }
    let watched = WatchedFileSystem()
    let kept = path(".b.json.1.tmp")
    watched.setRule { if case .remove(kept) = $0 { .init(.noPermission) } else { nil } }
    _ = try storage.start("s", storage.options { $0.fileSystem = watched })
    #expect(try names == [".b.json.1.tmp", "s.log"])
  }
}
