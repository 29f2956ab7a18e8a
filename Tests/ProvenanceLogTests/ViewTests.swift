import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// The Session JSON beside a log.
struct ViewTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func start(_ view: ProvChain.View, _ fileSystem: WatchedFileSystem? = nil) throws -> ProvChain {
    let prov = try storage.start(
      "a",
      storage.options {
        $0.view = view
        if let fileSystem { $0.fileSystem = fileSystem }
      })
    try prov.recordAction(action())
    return prov
  }

  private func viewIsProjection(_ prov: ProvChain) throws -> Bool {
    try disk.bytes(of: prov.filePath) == storage.project(prov.sessionID.description).json
  }

  /// Whatever follows its start: the JSON of a session in progress has no end to be found.
  @Test func longViewOfAnOpenSessionIsKnown() throws {
    do {
      let prov = try storage.start("a", storage.options)
      for _ in 0..<8 { try prov.recordAction(action(note: JSONString(String(repeating: "é", count: 20_000)))) }
    }
    try storage.sessions.writeView(of: try SessionID("a"))
    #expect(try disk.status(of: "\(storage.sessions.path)/a.json")!.size > 900_000)
    #expect(try storage.store.listSessions().count == 1)
    let prov = try storage.resume("a")
    #expect(try disk.status(of: prov.filePath) == nil)
  }

  // MARK: When

  @Test(arguments: [ProvChain.View.automatic, .always, .upTo(rawBytes: 1 << 20)])
  func viewAppearsAtClose(_ view: ProvChain.View) throws {
    let prov = try start(view)
    #expect(try disk.status(of: prov.filePath) == nil)
    try prov.close()
    #expect(try viewIsProjection(prov))
    #expect(storage.notices.all == [])
    #expect(try disk.status(of: prov.filePath)?.modified == storage.log("a").modified())
  }

  @Test func neverMeansNever() throws {
    let prov = try start(.never)
    try prov.close()
    #expect(try disk.status(of: prov.filePath) == nil)
    #expect(storage.notices.all == [])
  }

  @Test func longSessionSaysHowToProjectIt() throws {
    let prov = try start(.upTo(rawBytes: 0))
    #expect(try prov.close().outcome == "complete")
    #expect(try disk.status(of: prov.filePath) == nil)
    #expect(storage.notices.all.count == 1)
    #expect(storage.notices.all[0].contains("ckprov-log project a --write"))
    let size = try storage.log("a").rawSize()
    #expect(size == (try disk.status(of: try storage.segment("a"))?.size))
  }

  @Test func limitIsExact() throws {
    // The digits of a duration are bytes, too.
    func closed(_ view: ProvChain.View) throws -> ProvChain {
      let prov = try storage.start(
        "a",
        storage.options {
          $0.view = view
          $0.clock = { Timestamp(microseconds: 1_800_000_000_000_000)! }
        })
      try prov.recordAction(action())
      try prov.close()
      return prov
    }
    _ = try closed(.never)
    let size = try storage.log("a").rawSize()
    for (limit, isWritten) in [(size - 1, false), (size, true)] {
      try storage.sessions.remove(try SessionID("a"))
      let prov = try closed(.upTo(rawBytes: limit))
      #expect((try disk.status(of: prov.filePath) != nil) == isWritten)
    }
  }

  // MARK: Reopening

  @Test func resumeRemovesTheView() throws {
    let first = try start(.always)
    try first.close()
    let second = try storage.resume("a")
    #expect(try disk.status(of: first.filePath) == nil)
    try second.close()
    #expect(try viewIsProjection(second))
  }

  @Test func viewOfAPreviousCloseIsReplaced() throws {
    let prov = try start(.always)
    try prov.close(outcome: "one")
    // As if the removal at reopening had been lost in a crash.
    let old = try disk.bytes(of: prov.filePath)
    try prov.recordAction(action())
    try disk.write(old, to: prov.filePath)
    try prov.close(outcome: "two")
    #expect(try viewIsProjection(prov))
  }

  // MARK: A log that goes on meanwhile

  /// Closed right before an older view would take the place of the one that the close has written.
  @Test func aCloseMeanwhileHasTheLastWord() throws {
    let prov = try start(.always)
    let watched = WatchedFileSystem()
    let isClosed = Atomic(false)
    watched.setRule { operation in
      if case .rename(_, prov.filePath) = operation, !isClosed.exchange(true, ordering: .relaxed) {
        do {
          try prov.recordAction(action())
          try prov.close()
        } catch {
          Issue.record(error)
        }
      }
      return nil
    }
    try SessionsDirectory(storageDirectory: storage.path, fileSystem: watched).writeView(of: prov.sessionID)
    let wasClosed = isClosed.load(ordering: .relaxed)
    #expect(wasClosed)
    #expect(try viewIsProjection(prov) && storage.sessions.verify(prov.sessionID, isDeep: true).problemCount == 0)
  }

  /// Reopened and closed in another way, without another action.
  @Test func anotherEndMeanwhileHasTheLastWord() throws {
    let prov = try start(.always)
    try prov.close(outcome: "one")
    let watched = WatchedFileSystem()
    let isClosed = Atomic(false)
    watched.setRule { operation in
      if case .rename(_, prov.filePath) = operation, !isClosed.exchange(true, ordering: .relaxed) {
        do { try storage.resume("a").close(outcome: "two") } catch { Issue.record(error) }
      }
      return nil
    }
    try SessionsDirectory(storageDirectory: storage.path, fileSystem: watched).writeView(of: prov.sessionID)
    let wasClosed = isClosed.load(ordering: .relaxed)
    #expect(wasClosed)
    #expect(try viewIsProjection(prov) && storage.store.getSession("a").outcome == "two")
  }

  /// What the view holds more has been recorded since the log was looked at: that log has lost nothing.
  @Test func whoComesTooLateLeavesTheView() throws {
    let prov = try start(.always)
    var projection = try SessionProjection.open(try storage.log("a"), of: prov.sessionID)
    try prov.recordAction(action())
    try prov.close()
    try storage.sessions.writeView(&projection)
    #expect(try viewIsProjection(prov))
  }

  // MARK: A log that lost its end

  /// At every border between frames and in every frame: a view that holds more than the log stays as it is, byte for byte.
  @Test func isNotReplacedByLess() throws {
    let prov = try start(.never)
    for index in 2...4 { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: index * 20_000)))) }
    try prov.close()
    let (segment, id) = (try storage.segment("a"), try SessionID("a"))
    let whole = try disk.bytes(of: segment)
    try storage.sessions.writeView(of: id)
    let view = try disk.bytes(of: prov.filePath)
    var reader = try LogReader.open(storage.log("a"), of: id)
    var sizes: [UInt64] = []
    while let frame = try reader.next() { if frame.kind == .action || frame.kind == .sessionClosed { sizes.append(reader.place.offset) } }
    // In and before each record; what is cut off was not vouched for, so that the log is none the worse for it.
    for size in sizes.flatMap({ [$0, $0 + 30] }) {
      try disk.write(Array(whole.prefix(Int(size))), to: segment)
      let error = logError { try storage.sessions.writeView(of: id) }
      #expect(error?.code == .corrupt && error?.message.contains("up to seq 4, the log up to ") == true, "\(size): \(String(describing: error))")
      let session = try SessionProjection.open(storage.log("a"), of: id).session
      #expect(errorCode { try storage.sessions.checkMayReplace(prov.filePath, by: session) } == .corrupt)
      #expect(try disk.bytes(of: prov.filePath) == view)
    }
    try disk.write(whole, to: segment)
    try storage.sessions.writeView(of: id)
  }

  @Test func resumeSetsAsideWhatHoldsMore() throws {
    let view: [UInt8]
    do {
      let prov = try start(.never)
      try prov.recordAction(action())
      try storage.sessions.writeView(of: try SessionID("a"))
      view = try disk.bytes(of: prov.filePath)
    }
    let segment = try storage.segment("a")
    let last = try #require(try disk.bytes(of: segment).firstRange(of: Array("\"seq\":2,".utf8)))
    try disk.cut(segment, to: UInt64(last.lowerBound))
    let prov = try storage.resume("a")
    #expect(prov.actionCount == 1)
    #expect(try disk.status(of: prov.filePath) == nil)
    let aside = try asides()
    #expect(aside.count == 1 && storage.notices.all.contains { $0.contains(aside[0]) }, "\(storage.notices.all)")
    #expect(try disk.bytes(of: path(storage.sessions.path, aside[0])) == view)
  }

  // MARK: What is not ours

  enum Stranger: CaseIterable { case legacy, directory, link }

  /// Put where the view would be after the session has started: it stays, and costs a notice.
  @Test(arguments: Stranger.allCases)
  func whatIsNoViewStays(_ stranger: Stranger) throws {
    let prov = try start(.always)
    let target = "\(storage.path)/target"
    try disk.write([1], to: target)
    switch stranger {
    case .legacy:
      try disk.write(Array(#"{"session_id":"a","urn":"u","started_at":"2020-01-01T00:00:00.000000Z","actions":[]}"#.utf8), to: prov.filePath)
    case .directory: _ = try disk.makeDirectory(prov.filePath)
    case .link: try makeLink(prov.filePath, to: target)
    }
    let before = try storage.contents().filter { !$0.key.contains("a.log") }
    #expect(try prov.close().outcome == "complete")
    #expect(storage.notices.all.count == 1, "\(storage.notices.all)")
    // Reopening and closing again leave it alone too.
    #expect(try prov.recordAction(action()).seq == 2)
    try prov.close()
    let after = try storage.contents().filter { !$0.key.contains("a.log") }
    let isSame = before == after
    #expect(isSame, "\(after.keys.sorted())")
    #expect(try disk.bytes(of: target) == [1])
    #expect(try storage.seqs("a") == [1, 2])
    #expect(try storage.log("a").segments().count == 2)
  }

  private func asides() throws -> [String] {
    try disk.names(in: storage.sessions.path).filter { $0.hasPrefix(".a.json.") && $0.hasSuffix(".aside") }
  }

  enum Rot: CaseIterable { case id, urn, start, noJSON, empty, zeros }

  /// What may have been the view makes way, and is kept; `verify` names it until then.
  @Test(arguments: Rot.allCases)
  func aDamagedViewMakesWay(_ rot: Rot) throws {
    let prov = try start(.always)
    try prov.close()
    let view = try disk.bytes(of: prov.filePath)
    func damage() throws -> [UInt8] {
      var bytes = view
      func change(_ word: String) { bytes[bytes.firstRange(of: Array(word.utf8))!.upperBound] ^= 1 }
      switch rot {
      case .id: change("\"session_id\": \"")
      case .urn: change("\"urn\": \"ckp://")
      case .start: change("\"started_at\": \"20")
      case .noJSON: bytes = Array("{\"session_id\": \"a\",".utf8)
      case .empty: bytes = []
      case .zeros: bytes = Array(repeating: 0, count: 5000)
      }
      try disk.write(bytes, to: prov.filePath)
      return bytes
    }
    // Written anew; taken up again, and closed; gone with its log.
    var damaged = [try damage()]
    let found = try storage.sessions.verify(prov.sessionID, isDeep: true).problems
    #expect(found.map(\.cause) == [.view] && found[0].message.contains("project a --write"), "\(found)")
    #expect(try storage.store.listSessions().count == 1)
    let aside = try #require(try storage.sessions.writeView(of: prov.sessionID))
    #expect(try disk.bytes(of: aside) == damaged[0] && disk.bytes(of: prov.filePath) == view)
    #expect(try storage.sessions.verify(prov.sessionID, isDeep: true).problems.isEmpty)
    damaged.append(try damage())
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(try storage.notices.all.count == 1 && asides().count == 2, "\(storage.notices.all)")
    damaged.append(try damage())
    try prov.close()
    #expect(try viewIsProjection(prov) && storage.notices.all.count == 2 && asides().count == 3, "\(storage.notices.all)")
    damaged.append(try damage())
    try storage.sessions.remove(prov.sessionID)
    #expect(try storage.store.listSessions().isEmpty && disk.status(of: prov.filePath) == nil)
    #expect(try Set(asides().map { try disk.bytes(of: path(storage.sessions.path, $0)) }) == Set(damaged) && asides().count == 4)
  }

  @Test func eachFlippedBitOfAViewIsNamed() throws {
    let prov = try start(.always)
    try prov.close()
    let view = try disk.bytes(of: prov.filePath)
    for bit in 0..<view.count * 8 {
      var bytes = view
      bytes[bit / 8] ^= 1 << UInt8(bit % 8)
      try disk.write(bytes, to: prov.filePath)
      #expect(try storage.sessions.verify(prov.sessionID, isDeep: true).problems.map(\.cause) == [.view], "bit \(bit)")
    }
  }

  @Test func legacySessionHidesNoLog() throws {
    let prov = try start(.never)
    let json = String(decoding: try storage.project("a").json, as: UTF8.self)
    let legacy = json.replacing("a test", with: "legacy").replacing(prov.session.startedAt.description, with: "2020-01-01T00:00:00.000000Z")
      .replacing(prov.session.urn.description, with: "ckp://Action#Test/session-1")
    try disk.write(Array(legacy.utf8), to: prov.filePath)
    #expect(try storage.store.getSession("a").label == "a test")
    #expect(try storage.store.listSessions().map(\.label) == ["a test", "legacy"])
  }

  // MARK: Failures

  /// Whatever fails while the view is written: a notice, no half file, and the session is closed all the same.
  @Test func failureCostsANoticeAlone() throws {
    let watched = WatchedFileSystem()
    let prov = try start(.always, watched)
    let isOfView: @Sendable (DiskOperation) -> Bool = { operation in
      switch operation {
      case .create(let path), .write(let path, _), .sync(let path), .rename(let path, _), .setModificationTime(let path): path.contains("/.a.json.")
      default: false
      }
    }
    for failing in 0..<5 {
      watched.forget()
      watched.setRule { operation in isOfView(operation) && watched.count(isOfView) == failing + 1 ? .init(.noSpace, written: 10) : nil }
      #expect(try prov.close(outcome: JSONString("\(failing)")).outcome == JSONString("\(failing)"))
      #expect(storage.notices.all.count == failing + 1, "\(storage.notices.all)")
      #expect(storage.notices.all.last?.contains("ckprov-log project a --write") == true)
      #expect(try disk.status(of: prov.filePath) == nil)
      #expect(try disk.names(in: storage.sessions.path) == ["a.log"])
      #expect(try storage.store.getSession("a").outcome == JSONString("\(failing)"))
    }
    watched.setRule(nil)
    try prov.close()
    #expect(try viewIsProjection(prov))
  }

  /// The view of a damaged log may be the best that there is.
  @Test func damagedLogDoesNotReplaceItsView() throws {
    let prov = try start(.always)
    try prov.recordAction(action(note: "second"))
    try prov.close()
    let view = try disk.bytes(of: prov.filePath)
    let segment = try storage.segment("a")
    let place = try #require(try disk.bytes(of: segment).firstRange(of: Array("second".utf8)))
    try disk.flipBit(at: UInt64(place.lowerBound), of: segment)
    #expect(errorCode { try storage.sessions.writeView(of: prov.sessionID) } == .corrupt)
    #expect(errorCode { try storage.resume("a") } == .corrupt)
    let isKept = try disk.bytes(of: prov.filePath) == view
    #expect(isKept)
    #expect(try disk.names(in: storage.sessions.path).sorted() == ["a.json", "a.log"])
  }

  /// A view that cannot be removed is out of date, but the session goes on.
  @Test func viewThatCannotBeRemovedCostsANotice() throws {
    let watched = WatchedFileSystem()
    let prov = try start(.always, watched)
    try prov.close()
    watched.setRule { if case .remove(prov.filePath) = $0 { .init(.noPermission) } else { nil } }
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(storage.notices.all.count == 1)
    watched.setRule(nil)
    try prov.close()
    #expect(try viewIsProjection(prov))
  }
}
