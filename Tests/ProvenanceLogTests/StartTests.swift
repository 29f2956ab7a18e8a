import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

struct StartTests {
  private let storage: Storage

  init() throws {
    storage = try Storage()
  }

  // MARK: Ids

  @Test func drawnIDThatIsTakenIsDrawnAgain() throws {
    let log = try storage.start("00000001")
    try DiskFileSystem().write([], to: "\(storage.sessions.path)/00000002.json")
    let next = Atomic<UInt32>(1)
    let counting: @Sendable () -> UInt32 = { next.add(1, ordering: .relaxed).oldValue }
    let prov = try storage.start(nil, storage.options { $0.idSource = counting })
    #expect(prov.sessionID.description == "00000003")
    #expect(next.load(ordering: .relaxed) == 4)
    withExtendedLifetime(log) {}
  }

  /// The reference makes its directories and syncs none of them.
  @Test func directoriesOfAnotherProgramAreMadeDurable() throws {
    let disk = DiskFileSystem()
    for directory in ["storage", "storage/sessions"] { _ = try disk.makeDirectory("\(storage.path)/\(directory)") }
    let watched = WatchedFileSystem()
    let prov = try storage.start("a", storage.options { $0.fileSystem = watched })
    let operations = watched.operations
    let make = try #require(operations.firstIndex { if case .makeDirectory(let path) = $0 { path.hasSuffix("a.log") } else { false } })
    for parent in [storage.path, "\(storage.path)/storage"] {
      let sync = try #require(operations.firstIndex(of: .syncDirectory(parent)))
      #expect(sync < make)
    }
    withExtendedLifetime(prov) {}
  }

  @Test func drawingEndsWhenEveryIDIsTaken() throws {
    try storage.start("00000001").close()
    #expect(errorCode { try storage.start(nil, storage.options { $0.idSource = { 1 } }) } == .alreadyExists)
  }

  enum Taken: CaseIterable { case living, dead, closed, legacy, file, link, damaged }

  @Test(arguments: Taken.allCases)
  func givenIDThatIsTakenIsRefusedAndNothingChanges(_ taken: Taken) throws {
    let disk = DiskFileSystem()
    try storage.sessions.make()
    let path = storage.sessions.path
    var living: ProvChain?
    switch taken {
    case .living: living = try storage.start("a")
    case .dead: try storage.start("a").recordAction(action())
    case .closed: try storage.start("a", storage.options { $0.view = .never }).close()
    case .legacy: try disk.write([0x7B], to: "\(path)/a.json")
    case .file: try disk.write([], to: "\(path)/a.log")
    case .link: try makeLink("\(path)/a.log", to: storage.path)
    case .damaged:
      try storage.start("a").recordAction(action())
      try disk.cut(try storage.segment("a"), to: 0)
    }
    let before = try storage.contents()
    let error = try #require(logError { try storage.start("a") })
    #expect(error.code == .alreadyExists)
    #expect(error.path == "\(path)/a.log")
    let isUnchanged = try storage.contents() == before
    #expect(isUnchanged)
    withExtendedLifetime(living) {}
  }

  @Test(arguments: ["", ".", "..", ".a", "-a", "a/b", "a b", "é", "a\n", "a\0", String(repeating: "a", count: 65)])
  func textThatIsNoIDIsRefused(_ text: String) throws {
    #expect(errorCode { try SessionID(text) } == .invalidInput)
    #expect(errorCode { try storage.store.getSession(text) } == .invalidInput)
  }

  @Test(arguments: ["a", "0", "_", "A.z_0-9", "a.json", "a..", String(repeating: "a", count: 64)])
  func everyIDCanBeUsed(_ text: String) throws {
    try storage.start(text).close()
    #expect(try storage.store.getSession(text).sessionID.description == text)
    #expect(try storage.store.listSessions().map(\.sessionID.description) == [text])
    #expect(try storage.resume(text).actionCount == 0)
  }

  // MARK: Creation

  enum Leftover: CaseIterable { case directory, lock, temporary, all }

  @Test(arguments: Leftover.allCases)
  func creationThatDidNotFinishIsTakenOver(_ leftover: Leftover) throws {
    let disk = DiskFileSystem()
    let log = try storage.log("a")
    try storage.sessions.make()
    _ = try disk.makeDirectory(log.path)
    if leftover != .directory, leftover != .temporary { try disk.write([], to: log.path(of: "lock")) }
    if leftover == .temporary || leftover == .all { try disk.write([1, 2, 3], to: log.path(of: SegmentFileName(firstSequence: 0).temporaryName)) }
    #expect(try storage.store.listSessions().isEmpty)
    #expect(errorCode { try storage.store.getSession("a") } == .notFound)
    #expect(errorCode { try storage.resume("a") } == .notFound)

    let prov = try storage.start("a")
    try prov.recordAction(action())
    #expect(try storage.seqs("a") == [1])
    #expect(try disk.names(in: log.path).sorted() == ["00000000000000000000.seg", "lock"])
  }

  /// Between `mkdir` and the first segment of another process.
  @Test func creationByALivingProcessIsLeftAlone() throws {
    try storage.sessions.make()
    let log = try storage.log("00000001")
    _ = try DiskFileSystem().makeDirectory(log.path)
    let lock = try LogLock(.writer, of: log)
    #expect(errorCode { try storage.start("00000001") } == .alreadyExists)
    let next = Atomic<UInt32>(1)
    let drawn = try storage.start(nil, storage.options { $0.idSource = { next.add(1, ordering: .relaxed).oldValue } })
    #expect(drawn.sessionID.description == "00000002")
    #expect(try DiskFileSystem().names(in: log.path) == ["lock"])
    withExtendedLifetime(lock) {}
  }

  /// Another process has made the log's directory, failed, and takes it away again while this one has just found it.
  @Test func creationThatIsTakenBackIsClaimedAnew() throws {
    try storage.sessions.make()
    let log = try storage.log("a")
    _ = try DiskFileSystem().makeDirectory(log.path)
    let disk = WatchedFileSystem()
    disk.setRule { operation in
      if case .create(log.path(of: "lock")) = operation, disk.count({ $0 == operation }) == 1 { try? DiskFileSystem().removeDirectory(log.path) }
      return nil
    }
    let prov = try storage.start("a", storage.options { $0.fileSystem = disk })
    #expect(try prov.recordAction(action()).seq == 1)
    #expect(try storage.seqs("a") == [1])
  }

  @Test func ofManyStartsOfOneIDOneWins() throws {
    for round in 0..<20 {
      let results = Mutex<[Result<ProvChain, any Error>]>([])
      onThreads(8) { _ in
        let result = Result { try storage.start("round\(round)") }
        results.withLock { $0.append(result) }
      }
      let (started, errors) = results.withLock { results in
        (results.compactMap { try? $0.get() }, results.compactMap { result in logError { try result.get() }?.code })
      }
      #expect(started.count == 1)
      #expect(errors.allSatisfy { $0 == .alreadyExists }, "\(errors)")
      try started.first?.recordAction(action())
      #expect(try storage.seqs("round\(round)") == [1])
    }
  }

  /// Whatever fails while a session is made: it is there, empty and whole, or its id is free.
  @Test(arguments: [LogError.Code.io, .noSpace])
  func failedStartLeavesASessionOrNone(_ code: LogError.Code) throws {
    let disk = WatchedFileSystem()
    var failures = 0
    while true {
      let id = "at\(failures)"
      disk.forget()
      disk.setRule { [failures] _ in disk.operations.count == failures + 1 ? .init(code) : nil }
      // From the second on the directories are there.
      guard let error = logError({ try storage.start(id, storage.options { $0.fileSystem = disk }) }) else { break }
      #expect(error.code == code || error.code == .poisoned)
      if try disk.status(of: try storage.log(id).path) != nil, try !storage.log(id).segments().isEmpty {
        #expect(try storage.store.getSession(id).actionCount == 0)
        #expect(try storage.resume(id).recordAction(action()).seq == 1)
      } else {
        #expect(try storage.store.listSessions().allSatisfy { $0.sessionID.description != id })
        #expect(try storage.start(id).recordAction(action()).seq == 1)
      }
      failures += 1
    }
    #expect(failures >= 8)
  }

  @Test func headerThatIsTooLongLeavesNothing() throws {
    let label = String(repeating: "x", count: 300_000)
    #expect(errorCode { try ProvChain(storageDirectory: storage.path, label: label, kernelURN: "k") } == .tooLarge)
    #expect(try DiskFileSystem().names(in: storage.sessions.path).filter { $0 != ".retained" }.isEmpty)
  }

  // MARK: What it holds

  @Test func headerIsWhatWasGiven() throws {
    let startedAt = Timestamp("2026-03-14T20:00:02.000001Z")!
    let label = JSONString(utf16: [0x61, 0xD800, 0x62])
    let prov = try ProvChain(
      storageDirectory: storage.path, label: label, kernelURN: "ckp://Kernel#Name:v1.0", kernelAction: "begin", sessionID: try SessionID("a"),
      startedAt: startedAt, options: storage.options)
    for session in [prov.session, try storage.store.getSession("a")] {
      #expect(session.sessionID == prov.sessionID)
      #expect(session.label == label)
      #expect(session.kernelAction == "begin")
      #expect(session.startedAt == startedAt)
      #expect(session.wasAssociatedWith == "ckp://Kernel#Name:v1.0")
      #expect(session.urn == "ckp://Action#Name/session-1773518402000")
      #expect(session.kernelsInvolved == ["Name"])
      #expect(session.outcome == "in_progress")
      #expect(session.endedAt == nil && session.durationMS == nil)
      #expect(session.actionCount == 0 && session.outcomeCounts == OutcomeCounts())
      #expect(session.path == prov.logPath && !session.isLegacy)
    }
    #expect(prov.logPath == "\(storage.path)/storage/sessions/a.log")
    #expect(prov.filePath == "\(storage.path)/storage/sessions/a.json")
    #expect(prov.actionCount == 0)
  }

  @Test func idIsEightHexDigits() throws {
    let prov = try storage.start(nil, storage.options { $0.idSource = { 0xAB } })
    #expect(prov.sessionID.description == "000000ab")
  }
}
