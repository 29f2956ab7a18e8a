import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// The Session JSON of logs that are not closed and whole; of those the differential test compares every byte.
struct ProjectionTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func object(_ json: [UInt8]) throws -> JSONObject {
    guard case .object(let object) = try json.withRawBytes({ bytes throws(LogError) in try JSONValue(json: bytes) }) else {
      throw LogError(.corrupt, "no object")
    }
    return object
  }

  private func seqs(_ object: JSONObject) throws -> [JSONValue?] {
    guard case .array(let actions)? = object["actions"] else { throw LogError(.corrupt, "no actions") }
    return actions.map { if case .object(let action) = $0 { action["seq"] } else { nil } }
  }

  @Test func sessionThatIsBeingWritten() throws {
    let prov = try storage.start("a")
    for count in 0..<4 {
      let projected = try storage.project("a")
      let session = try object(projected.json)
      #expect(projected.damage == nil && projected.bytesInDoubt == 0)
      #expect(session["outcome"] == "in_progress" && session["ended_at"] == nil && session["duration_ms"] == nil)
      #expect(try seqs(session) == (0..<count).map { .integer(Int64($0 + 1)) })
      try prov.recordAction(action())
    }
  }

  /// Removed while it is read: whoever has printed a part of it ends it, so that what is around it stays readable.
  @Test func whatIsRemovedMeanwhileIsEndedWhole() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1 << 20 })
    let note = JSONString(String(repeating: "n", count: 20_000))
    for _ in 0..<500 { try prov.recordAction(action(note: note)) }
    try prov.close()
    var projection = try SessionProjection.open(try storage.log("a"), of: try SessionID("a"))
    var json = Array(try #require(try projection.next()))
    try storage.sessions.remove(try SessionID("a"))
    do throws(LogError) {
      while let block = try projection.next() { json += Array(block) }
      Issue.record("nothing was noticed")
    } catch {
      #expect(error.code == .notFound, "\(error)")
    }
    projection.stop()
    while let block = try projection.next() { json += Array(block) }
    let found = try seqs(try object(json))
    #expect(!found.isEmpty && found == (1...found.count).map { .integer(Int64($0)) })
  }

  /// What a writer adds after the projection began is not in it.
  @Test func projectionIsOfOneMoment() throws {
    let prov = try storage.start("a")
    try prov.recordAction(action())
    var projection = try SessionProjection.open(try storage.log("a"), of: prov.sessionID)
    try prov.recordAction(action())
    try prov.close()
    var json: [UInt8] = []
    while let block = try projection.next() { json += Array(block) }
    let session = try object(json)
    #expect(projection.damage == nil)
    #expect(try seqs(session) == [1] && session["outcome"] == "in_progress")
  }

  /// Batches of actions, some of them printed by another thread, and actions whose JSON is far longer than they are.
  @Test(arguments: [1, 600, 3000])
  func longSession(count: Int) throws {
    let prov = try storage.start("a")
    let text = JSONValue.string(JSONString(String(repeating: "x", count: 700)))
    var deep: JSONValue = .array((0..<3000).map { .integer($0) })
    for _ in 0..<400 { deep = .array([deep]) }
    var actions = (0..<count).map { Action(actionType: "t", outcome: "verified", evidence: ["text": text, "number": .integer(Int64($0))]) }
    for index in stride(from: 0, to: count, by: 500) { actions[index].evidence = ["deep": deep] }
    try prov.recordActions(actions)
    for isClosed in [false, true] {
      if isClosed { try prov.close() }
      let projected = try storage.project("a")
      let session = try object(projected.json)
      #expect(projected.damage == nil)
      #expect(try seqs(session) == (1...count).map { .integer(Int64($0)) })
      var expected = ByteBuffer()
      try expected.appendIndented(.object(session))
      #expect(projected.json == Array(expected.bytes))
    }
  }

  @Test func sessionOfADeadWriter() throws {
    try storage.start("a").recordActions([action(), action()])
    try disk.append([1, 2, 3], to: try storage.segment("a"))
    let projected = try storage.project("a")
    #expect(projected.damage == nil && projected.bytesInDoubt == 3)
    let session = try object(projected.json)
    #expect(try seqs(session) == [1, 2] && session["outcome"] == "in_progress")
  }

  /// Each bit of an action in the middle: the JSON holds what stands before, complete in itself, and the damage is named.
  @Test func damageInTheMiddle() throws {
    let prov = try storage.start("a", storage.options { $0.durability = .power })
    for _ in 0..<3 { try prov.recordAction(action(note: "0123456789")) }
    try prov.close()
    let segment = try storage.segment("a")
    let payload = try storage.payloads("a")[1]
    let start = try #require(try disk.bytes(of: segment).firstRange(of: Array(payload.utf8))).lowerBound - FrameHeader.size
    for offset in start..<start + FrameHeader.size + payload.utf8.count where offset % 3 == 0 {
      try disk.flipBit(at: UInt64(offset), of: segment)
      let projected = try storage.project("a")
      #expect(projected.damage?.code == .corrupt && projected.damage?.sequence == 3 && projected.damage?.offset == UInt64(start))
      #expect(try seqs(try object(projected.json)) == [1])
      try disk.flipBit(at: UInt64(offset), of: segment)
    }
    #expect(try storage.project("a").damage == nil)
  }

  /// A checkpoint whose checksum is right and that says something else than the actions.
  @Test func checkpointThatIsWrongIsReported() throws {
    let header = try storage.start("b").session.header
    let log = try storage.log("a")
    _ = try disk.makeDirectory(log.path)
    let renamed = SessionHeader(
      sessionID: try SessionID("a"), urn: header.urn, label: header.label, kernelAction: "", startedAt: header.startedAt,
      wasAssociatedWith: header.wasAssociatedWith)
    do {
      var writer = try LogWriter.start(log, renamed, lock: try LogLock(.writer, of: log), randomSalt: { 1 })
      var summary = SummaryBuilder(renamed).summary
      summary.apply(seq: 1, outcome: .verified, kernelName: "K")
      try writer.append(.checkpoint, try Checkpoint(header: renamed, summary: summary).payload())
      _ = writer.flush()
      try writer.roll(Checkpoint(header: renamed, summary: summary))
    }
    let projected = try storage.project("a")
    #expect(projected.damage?.code == .corrupt)
    #expect(try seqs(try object(projected.json)) == [])
    #expect(try storage.verify("a").isDamaged)
    #expect(errorCode { try storage.sessions.writeView(of: try SessionID("a")) } == .corrupt)
    #expect(try disk.names(in: storage.sessions.path).sorted() == ["a.log", "b.log"])
  }

  /// So many kernels that a checkpoint has no room for them: they are collected in a first pass.
  @Test func kernelsWithoutRoomInTheCheckpoint() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 100_000 })
    let name = String(repeating: "n", count: 1000)
    for count in 0..<200 {
      var next = action()
      next.kernel = JSONString("\(name)\(count)")
      try prov.recordAction(next)
    }
    let session = try prov.close()
    #expect(session.kernelsInvolved.count == 201)
    #expect(try storage.log("a").state(of: prov.sessionID).checkpoint.summary.kernelsComplete == false)
    guard case .array(let kernels)? = try object(try disk.bytes(of: prov.filePath))["kernels_involved"] else {
      throw LogError(.corrupt, "no kernels")
    }
    #expect(kernels.count == 201 && kernels.first == "K")
    guard case .clean = try storage.verify("a").finding else { throw LogError(.corrupt, "not clean") }

    let resumed = try storage.resume("a")
    try resumed.recordAction(action())
    try resumed.close()
    guard case .array(let again)? = try object(try disk.bytes(of: prov.filePath))["kernels_involved"] else { throw LogError(.corrupt, "no kernels") }
    let isSame = again == kernels
    #expect(isSame)
  }

  // MARK: Live line

  @Test func liveLineOfEachAction() throws {
    let lines = Lines()
    let at = Timestamp("2026-03-14T20:00:02.123456Z")!
    let prov = try storage.start(
      "a",
      storage.options {
        $0.liveLine = { lines.append($0) }
        $0.clock = { at }
      })
    try prov.recordAction(actionType: "t", outcome: "verified", note: "done")
    try prov.recordAction(actionType: "t\u{1B}[31m\n", outcome: "failed", kernel: "Other", beforeState: ["a": 1], afterState: ["a": 2], attempt: 2)
    #expect(errorCode { try prov.recordAction(actionType: "t", outcome: "x", intent: .object(deep)) } == .tooLarge)
    #expect(
      lines.all == [
        "[20:00:02.123] K                        t                        + verified done",
        "[20:00:02.123] Other                    t\\x1b[31m\\x0a                  x failed   a: 1 -> 2 (attempt 2)",
      ])
  }

  private var deep: JSONObject {
    (0..<600).reduce(into: JSONObject()) { object, _ in object = JSONObject(dictionaryLiteral: ("k", .object(object))) }
  }

  /// The line is for what was recorded.
  @Test func noLiveLineForWhatWasNotKept() throws {
    let lines = Lines()
    let watched = WatchedFileSystem()
    let prov = try storage.start(
      "a",
      storage.options {
        $0.liveLine = { lines.append($0) }
        $0.fileSystem = watched
        $0.durability = .power
      })
    watched.setRule { $0.isWrite ? .init(.noSpace) : nil }
    #expect(errorCode { try prov.recordAction(action()) } == .noSpace)
    watched.setRule { $0.isSync ? .init(.io) : nil }
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    #expect(lines.all == [])
  }
}
