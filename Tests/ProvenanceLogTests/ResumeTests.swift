import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Going on with a session whose writer ended without closing it.
struct ResumeTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  /// What a writer leaves that is killed behind so many actions. With `power` each vouches for those before it; with `process` nothing does.
  private func crash(_ id: String = "a", actions: Int, _ durability: ProvChain.Durability = .process) throws {
    let living = try Storage()
    let prov = try living.start(id, living.options { $0.durability = durability })
    for count in 0..<actions { try prov.recordAction(action(note: "note \(count)")) }
    try copyLog(id, from: living, to: storage)
    withExtendedLifetime(prov) {}
  }

  private func copyLog(_ id: String, from: Storage, to: Storage) throws {
    let (original, copy) = (try from.log(id), try to.log(id))
    try to.sessions.make()
    _ = try disk.makeDirectory(copy.path)
    for name in try original.segments().map(\.description) + ["lock"] {
      try disk.write(try disk.bytes(of: original.path(of: name)), to: copy.path(of: name))
    }
  }

  private func checkWhole(_ id: String = "a", actions: Int) throws {
    #expect(try storage.seqs(id) == Array(1...Int64(actions)))
    let verification = try storage.verify(id)
    #expect(!verification.isDamaged, "\(verification.finding)")
    #expect(verification.actions == UInt64(actions))
  }

  // MARK: After a crash

  @Test func droppedChainGoesOn() throws {
    try storage.start("a").recordAction(action())
    #expect(try storage.resume("a").recordAction(action()).seq == 2)
    try checkWhole(actions: 2)
  }

  @Test func goesOnWithTheNextSeq() throws {
    try crash(actions: 3)
    let prov = try storage.resume("a")
    #expect(prov.actionCount == 3 && prov.session.label == "a test")
    #expect(try prov.recordAction(action()).seq == 4)
    #expect(try prov.close().actionCount == 4)
    #expect(storage.notices.all == [])
    try checkWhole(actions: 4)
  }

  @Test func resumeOfAResume() throws {
    try crash(actions: 1)
    for round in 2...20 {
      let prov = try storage.resume("a")
      if round % 3 != 0 { try prov.recordAction(action()) }
      if round % 4 == 0 { try prov.close() }
    }
    try checkWhole(actions: 14)
    #expect(try storage.log("a").segments().count == 20)
    guard case .clean = try storage.verify("a").finding else { throw LogError(.corrupt, "not clean") }
  }

  @Test func whatIsNoLogIsNotFound() throws {
    try storage.sessions.make()
    #expect(errorCode { try storage.resume("none") } == .notFound)
    try disk.write(Array("{}".utf8), to: "\(storage.sessions.path)/legacy.json")
    #expect(errorCode { try storage.resume("legacy") } == .notFound)
    #expect(errorCode { try ProvChain(resuming: SessionID("a"), storageDirectory: "\(storage.path)/nowhere") } == .notFound)
    #expect(try disk.names(in: storage.path) == ["storage"])
  }

  /// A copy that is taken while a writer is at work is what a crash at that moment leaves.
  @Test func everyCopyGoesOn() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 8 << 10 })
    let acknowledged = Atomic<Int>(0)
    let writer = TestThread {
      for _ in 0..<1000 {
        do { try prov.recordAction(action(note: "0123456789")) } catch { Issue.record(error) }
        acknowledged.add(1, ordering: .releasing)
      }
    }
    for _ in 0..<12 {
      let copy = try Storage()
      let atLeast = acknowledged.load(ordering: .acquiring)
      try copyLog("a", from: storage, to: copy)
      let resumed = try copy.resume("a")
      let count = Int(resumed.actionCount)
      #expect(count >= atLeast)
      #expect(try resumed.recordAction(action()).seq == Int64(count + 1))
      try resumed.close()
      let verification = try copy.verify("a")
      #expect(!verification.isDamaged && verification.actions == UInt64(count + 1), "\(verification.finding)")
    }
    writer.join()
  }

  // MARK: Torn tails

  /// Every cut through the last action, for which nothing vouches, costs that action alone.
  @Test func tornActionIsDropped() throws {
    try crash(actions: 3)
    let whole = try disk.bytes(of: try storage.segment("a"))
    let payload = try #require(try storage.payloads("a").last).utf8.count
    let start = whole.count - FrameHeader.frameSize(payload: payload)
    for size in stride(from: start, to: start + FrameHeader.size + payload, by: 7) {
      let copy = try Storage()
      try copyLog("a", from: storage, to: copy)
      let segment = try copy.segment("a")
      try disk.cut(segment, to: UInt64(size))
      let torn = try disk.bytes(of: segment)
      let prov = try copy.resume("a")
      #expect(prov.actionCount == 2, "cut at \(size)")
      // Zeros and nothing are no bytes in doubt.
      let inDoubt = (torn[start...].lastIndex { $0 != 0 }).map { $0 + 1 - start } ?? 0
      let notices = copy.notices.all
      #expect(notices.count == (inDoubt > 0 ? 1 : 0) && notices.allSatisfy { $0.contains("a: ") }, "\(notices)")
      #expect(try prov.recordAction(action()).seq == 3)
      // What was torn stays as evidence.
      let isKept = try disk.bytes(of: segment) == torn
      #expect(isKept)
      #expect(!(try copy.verify("a").isDamaged))
    }
  }

  @Test(arguments: [1, 8, 100, 5000, 300_000])
  func garbageBehindTheEndIsLeftOut(_ size: Int) throws {
    try crash(actions: 2)
    var generator = SeededGenerator(seed: UInt64(size))
    let segment = try storage.segment("a")
    try disk.append((0..<size).map { _ in UInt8.random(in: 1...255, using: &generator) }, to: segment)
    let before = try disk.bytes(of: segment)
    #expect(try storage.project("a").bytesInDoubt == UInt64(size))
    let prov = try storage.resume("a")
    #expect(storage.notices.all.count == 1)
    #expect(try prov.recordAction(action()).seq == 3)
    #expect(try prov.close().actionCount == 3)
    let isKept = try disk.bytes(of: segment) == before
    #expect(isKept)
    try checkWhole(actions: 3)
  }

  @Test func zerosBehindTheEndAreNoDamage() throws {
    try crash(actions: 2)
    try disk.append(Array(repeating: 0, count: 10_000), to: try storage.segment("a"))
    #expect(try storage.resume("a").recordAction(action()).seq == 3)
    #expect(storage.notices.all == [])
    try checkWhole(actions: 3)
  }

  /// After a failed sync the cache may hold what the disk does not: what nothing vouches for is copied into the new file, and the old one is left alone.
  @Test func actionsThatNothingVouchesForAreCopied() throws {
    try crash(actions: 3)
    let watched = WatchedFileSystem()
    let old = try storage.segment("a")
    let before = try disk.bytes(of: old)
    let payloads = try storage.payloads("a")
    let prov = try storage.resume("a", storage.options { $0.fileSystem = watched })
    let touchesOld = watched.operations.contains {
      switch $0 {
      case .write(old, _), .truncate(old, _), .sync(old): true
      default: false
      }
    }
    #expect(!touchesOld)
    let isSame = try disk.bytes(of: old) == before
    #expect(isSame)
    // As if the cache had been dropped, and the disk had none of it.
    let first = try #require(before.firstRange(of: Array(#"{"seq":1"#.utf8)))
    try disk.write(Array(before[..<(first.lowerBound - FrameHeader.size)]) + [UInt8](repeating: 0, count: 512), to: old)
    #expect(try storage.payloads("a") == payloads)
    #expect(try prov.recordAction(action()).seq == 4)
    try prov.close()
    try checkWhole(actions: 4)
  }

  /// Who made the session may have died before its name was durable.
  @Test func namesAreMadeDurableFirst() throws {
    try crash(actions: 1)
    let watched = WatchedFileSystem()
    let prov = try storage.resume("a", storage.options { $0.fileSystem = watched })
    let operations = watched.operations
    let create = try #require(operations.firstIndex { if case .create(let path) = $0 { path.hasSuffix(".seg.tmp") } else { false } })
    for directory in [storage.sessions.path, try storage.log("a").path] {
      let sync = try #require(operations.firstIndex(of: .syncDirectory(directory)))
      #expect(sync < create)
    }
    withExtendedLifetime(prov) {}
  }

  /// Between opening and locking the lock's file the log is removed, and another one has its name: the lock says nothing about that one.
  @Test func lockOfALogThatWasRemovedIsNone() throws {
    try crash(actions: 1)
    let watched = WatchedFileSystem()
    let (path, aside) = (try storage.log("a").path, storage.path + "/aside")
    watched.beforeNextLock {
      _ = try? DiskFileSystem().rename(path, to: aside)
      _ = try? DiskFileSystem().makeDirectory(path)
      for name in (try? DiskFileSystem().names(in: aside)) ?? [] {
        if let bytes = try? DiskFileSystem().bytes(of: aside + "/" + name) { try? DiskFileSystem().write(bytes, to: path + "/" + name) }
      }
    }
    #expect(errorCode { try storage.resume("a", storage.options { $0.fileSystem = watched }) } == .notFound)
  }

  /// The copies are on stable storage before the new file has its name, and its mark says so: damage to them is no torn tail.
  @Test func copiesAreVouchedFor() throws {
    try crash(actions: 3)
    let prov = try storage.resume("a")
    // As it is right after the resume: a session that is given up leaves a mark of its own.
    let copy = try Storage()
    try copyLog("a", from: storage, to: copy)
    withExtendedLifetime(prov) {}
    let segment = try copy.segment("a")
    let last = try #require(try disk.bytes(of: segment).firstRange(of: Array(#""seq":3"#.utf8)))
    try disk.flipBit(at: UInt64(last.lowerBound), of: segment)
    #expect(errorCode { try copy.seqs("a") } == .corrupt)
    #expect(errorCode { try copy.resume("a") } == .corrupt)
  }

  /// A reader that has read what was copied afterwards goes on behind it, and reads nothing twice.
  @Test func readerGoesOnOverAResume() throws {
    try crash(actions: 3)
    let log = try storage.log("a")
    var reader = try LogReader.open(log, of: SessionID("a"))
    var seqs: [Int64] = []
    func readOn() throws {
      while let frame = try reader.next() {
        if frame.kind == .action { seqs.append(try ActionRecord(payload: try reader.payload).seq) }
      }
    }
    try readOn()
    for round in Int64(1)...4 {
      do {
        let prov = try storage.resume("a")
        try prov.recordAction(action())
        if round == 2 { try prov.close() }
        try readOn()
        if round == 3 { try prov.recordAction(action()) }
      }
      try readOn()
    }
    #expect(seqs == Array(1...8))
    #expect(try storage.seqs("a") == seqs)
  }

  // MARK: Corruption

  enum Voucher: CaseIterable { case laterAction, close, laterSegment }

  /// Damage to an action that something says was on stable storage: refused, nothing is changed, readers come up to it.
  @Test(arguments: Voucher.allCases)
  func damageThatSomethingVouchesForIsRefused(_ voucher: Voucher) throws {
    if voucher == .laterSegment {
      // Full with the third action.
      let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1300 })
      for count in 0..<4 { try prov.recordAction(action(note: "note \(count)")) }
      #expect(try storage.log("a").segments().count == 2)
    } else {
      try crash(actions: 3, voucher == .laterAction ? .power : .process)
    }
    if voucher == .close {
      let prov = try storage.start("b")
      try prov.recordActions((0..<3).map { action(note: "note \($0)") })
      try prov.close()
    }
    let id = voucher == .close ? "b" : "a"
    let segment = try storage.segment(id, 0)
    let second = try #require(try disk.bytes(of: segment).firstRange(of: Array("note 1".utf8)))
    try disk.flipBit(at: UInt64(second.lowerBound), of: segment)
    let before = try storage.contents()

    let error = try #require(logError { try storage.resume(id) })
    #expect(error.code == .corrupt && error.sequence == 3 && error.segment == "00000000000000000000.seg", "\(error)")
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
    #expect(errorCode { try storage.seqs(id) } == .corrupt)
    #expect(try storage.verify(id).isDamaged)
    let projected = try storage.project(id)
    #expect(projected.damage?.code == .corrupt && projected.damage?.sequence == 3)
    let value = try projected.json.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    guard case .object(let object) = value, case .array(let actions)? = object["actions"] else { throw LogError(.corrupt, "no session") }
    #expect(actions.count == 1)
  }

  @Test func logOfAnotherNameIsRefused() throws {
    try crash(actions: 1)
    try disk.rename(try storage.log("a").path, to: try storage.log("b").path)
    let before = try storage.contents()
    #expect(errorCode { try storage.resume("b") } == .corrupt)
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
  }

  @Test func linksAreNotFollowed() throws {
    try crash(actions: 1)
    let elsewhere = try Storage()
    try elsewhere.sessions.make()
    try makeLink(try elsewhere.log("a").path, to: try storage.log("a").path)
    #expect(errorCode { try elsewhere.resume("a") } == .io)
    #expect(errorCode { try elsewhere.store.getSession("a") } == .io)
    #expect(try elsewhere.store.listSessions().isEmpty)

    let inside = try Storage()
    try inside.sessions.make()
    _ = try disk.makeDirectory(try inside.log("a").path)
    try makeLink(try inside.log("a").path(of: "00000000000000000000.seg"), to: try storage.segment("a"))
    #expect(errorCode { try inside.resume("a") } == .io)
    try checkWhole(actions: 1)
  }
}
