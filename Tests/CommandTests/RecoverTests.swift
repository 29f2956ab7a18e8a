import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `recover` on logs that are damaged in one place: what it keeps, what it says is gone, and what it leaves of the original.
@Suite(.timeLimit(.minutes(10)))
struct RecoverTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  enum Wound: String, CaseIterable, Sendable {
    case payload, frameHeader, segmentHeader, missingFile, firstFile, chunk, firstChunk, index, indexOfAnOlderFile, trailer

    var session: String {
      switch self {
      case .chunk, .firstChunk, .index, .trailer: "sealed"
      case .indexOfAnOlderFile: "sealed-and-raw"
      default: "s1"
      }
    }

    /// Of actions that have the seqs from 1 on.
    func kept(_ mode: String, of all: [Int64]) -> [Int64] {
      switch (self, mode) {
      case (.payload, "tail"), (.frameHeader, "tail"), (.segmentHeader, "tail"), (.missingFile, "tail"): [1, 2]
      case (.payload, _), (.frameHeader, _): all.filter { $0 != 3 }
      case (.missingFile, _): all.filter { $0 != 3 && $0 != 4 }
      case (.firstFile, "tail"), (.firstChunk, "tail"): []
      case (.firstFile, _): all.filter { $0 > 2 }
      case (.chunk, _): [1]
      case (.firstChunk, _): all.filter { $0 > 1 }
      default: all
      }
    }

    func isClosed(_ mode: String) -> Bool {
      switch (self, mode) {
      case (.indexOfAnOlderFile, _): false
      case (.index, _), (.trailer, _): true
      default: mode == "salvage"
      }
    }
  }

  /// Three files with two actions each, the last of them closed; or a sealed log.
  private func make(_ wound: Wound) async throws {
    guard wound.session == "s1" else {
      try bench.copyVector(wound.session)
      try #require(await bench.run("project", wound.session, "--write").status == 0)
      return
    }
    try #require(await bench.record("s1", [action("1"), action("2")], "--no-close").status == 0)
    for (notes, option) in [(["3", "4"], ["--no-close"]), (["5", "6"], [])] {
      let lines = notes.map { action($0) + "\n" }.joined()
      try #require(await bench.run(["record", "--resume", "s1"] + option, input: Array(lines.utf8)).status == 0)
    }
  }

  private func files(_ id: String) throws -> [String] {
    try DiskFileSystem().names(in: bench.logPath(id)).filter { $0.contains(".seg") }.sorted().map { "\(bench.logPath(id))/\($0)" }
  }

  private func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    var bytes = try bench.bytes(path)
    body(&bytes)
    try DiskFileSystem().write(bytes, to: path)
  }

  private func inflict(_ wound: Wound) async throws {
    let files = try files(wound.session)
    switch wound {
    case .payload: try bench.damage("s1", actionWithNote: "3")
    case .frameHeader:
      let third = try await frames("s1").filter { $0["kind"].text == "action" }[2]
      guard case .integer(let offset) = third["offset"] else { throw LogError(.corrupt, "no offset") }
      try change(files[1]) { $0[Int(offset) + 16] ^= 1 }
    case .segmentHeader: try change(files[1]) { $0[20] ^= 1 }
    case .missingFile: try DiskFileSystem().remove(files[1])
    case .firstFile: try DiskFileSystem().remove(files[0])
    case .firstChunk: try change(files[0]) { $0[40] ^= 1 }
    case .chunk: try change(files[0]) { $0[$0.count / 2] ^= 1 }
    case .index, .indexOfAnOlderFile: try change(files[0]) { $0[$0.count - 80] ^= 1 }
    case .trailer:
      try change(files[0]) { bytes in
        bytes[bytes.count - 72 + 48] ^= 1
        let crc = bytes[(bytes.count - 72)..<(bytes.count - 4)].withUnsafeBytes { crc32c(0, $0) }
        for index in 0..<4 { bytes[bytes.count - 4 + index] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(index))) }
      }
    }
  }

  private func frames(_ id: String) async throws -> [JSONValue] {
    try await bench.run("dump", id, "--json").output.split(separator: 0x0A).map { try json(Array($0)) }.filter { $0["frame"] != .null }
  }

  private func seqs(_ session: JSONValue) -> [Int64] {
    session["actions"].elements.map { if case .integer(let seq) = $0["seq"] { seq } else { -1 } }
  }

  private func tree(_ directory: String) throws -> [String: [UInt8]] {
    try Dictionary(uniqueKeysWithValues: DiskFileSystem().names(in: directory).map { ($0, try bench.bytes("\(directory)/\($0)")) })
  }

  private func asides(_ suffix: String) throws -> [String] {
    try bench.names.filter { $0.hasPrefix(".") && $0.hasSuffix(".aside") && $0.contains(suffix) }
  }

  @Test(arguments: Wound.allCases, ["salvage", "tail"])
  func whatIsWholeIsKept(_ wound: Wound, _ mode: String) async throws {
    let id = wound.session
    try await make(wound)
    let all = seqs(try await bench.project(id))
    try await inflict(wound)
    let (log, view) = (try tree(bench.logPath(id)), try bench.bytes(bench.viewPath(id)))

    let plan = try await bench.run("recover", id, "--mode", mode)
    #expect(plan.status == 0 && plan.text.contains("nothing was changed; --apply does it"), "\(plan.text) \(plan.errors)")
    #expect(try tree(bench.logPath(id)) == log && bench.bytes(bench.viewPath(id)) == view && asides("").isEmpty)

    let kept = wound.kept(mode, of: all)
    let applied = try await bench.run("recover", id, "--mode", mode, "--apply")
    #expect(applied.status == 0 && applied.errors == "", "\(applied.text) \(applied.errors)")
    #expect(applied.text.contains("kept: \(kept.count) actions"), "\(applied.text)")
    let known = plan.text.split(separator: "\n").dropLast()
    #expect(applied.text.split(separator: "\n").starts(with: known), "what was planned: \(plan.text)\nwhat was done: \(applied.text)")
    let gone = all.filter { !kept.contains($0) }
    if mode == "salvage", !gone.isEmpty {
      let first = gone.first!, last = gone.last!
      #expect(applied.text.contains("gone: \(gone.count) actions, seq \(first == last ? "\(first)" : "\(first) to \(last)")\n"), "\(applied.text)")
    }
    if gone.isEmpty { #expect(applied.text.contains("gone: no action that is known of"), "\(applied.text)") }

    // The new log is whole, and holds just that.
    #expect(try await bench.run("verify", "--deep", id).status == 0)
    let session = try await bench.project(id)
    #expect(seqs(session) == kept)
    #expect((session["outcome"].text != "in_progress") == wound.isClosed(mode))
    let again = try await bench.run("recover", id, "--apply")
    #expect(again.status == 0 && again.text == "\(id)  nothing to recover: \(kept.count) actions, all whole\n", "\(again.text)")

    // The original is there as it was, and so is its view.
    let logAside = try #require(try asides("\(id).log").first)
    #expect(
      try asides("\(id).log").count == 1 && tree("\(bench.sessions)/\(logAside)").filter { $0.key != "lock" } == log.filter { $0.key != "lock" })
    let viewAside = try #require(try asides("\(id).json").first)
    #expect(try bench.bytes("\(bench.sessions)/\(viewAside)") == view)
    #expect(applied.text.contains(logAside) && applied.text.contains(viewAside))

    // It is a session as before, also for the reference.
    #expect(try bench.exists(bench.viewPath(id)) == wound.isClosed(mode))
    let resumed = try await bench.run("record", "--resume", id, input: action("after") + "\n")
    #expect(resumed.status == 0, "\(resumed.errors)")
    let after = try await bench.run("project", id).output
    #expect(seqs(try json(after)) == kept + [(kept.last ?? 0) + 1])
    guard await referenceIsAvailable() else { return }
    let script = repositoryPath() + "/Tests/DifferentialTests/reference.py"
    let theirs = try await runProgram("python3", [script, "get", bench.storage.path, id])
    let isSame = theirs.output == after + [0x0A]
    #expect(isSame && theirs.status == 0, "\(theirs.text) \(theirs.errors)")
  }

  @Test func livingWriterIsNotDisturbed() async throws {
    let bench = bench
    _ = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n")
      #expect(try await record.line() == "1")
      let plan = try await bench.run("recover", "s1")
      #expect(plan.status == 0 && plan.text.contains("nothing to recover: 1 actions"), "\(plan.text) \(plan.errors)")
      let applied = try await bench.run("recover", "s1", "--apply")
      #expect(applied.status == 75 && applied.errors.contains("another writer is at work"), "\(applied.errors)")
    }
    #expect(try await bench.notes("s1") == ["a"])
  }

  /// Nothing vouches for what stands in it, and whole actions behind what is torn are still actions.
  @Test(arguments: ["salvage", "tail"])
  func aTailInDoubt(_ mode: String) async throws {
    try bench.copyVector("torn-tail")
    let result = try await bench.run("recover", "torn-tail", "--mode", mode, "--apply")
    let said = mode == "tail" ? "[tail_in_doubt: unvouched]" : "[tail_in_doubt: payload_checksum]"
    #expect(result.status == 0 && result.text.contains(said), "\(result.text)")
    #expect(seqs(try await bench.project("torn-tail")) == (mode == "salvage" ? [1, 3] : [1]))
    #expect(try await bench.run("verify", "--deep", "torn-tail").status == 0)
    #expect(result.text.contains(mode == "salvage" ? "gone: 1 actions, seq 2" : "gone: no action that is known of"), "\(result.text)")
  }

  @Test func aTornTailOfGarbage() async throws {
    try bench.copyVector("started")
    try change(try files("started")[0]) { $0 += Array(repeating: 7, count: 1000) }
    let plan = try await bench.run("recover", "started")
    #expect(plan.status == 0 && plan.text.contains("[torn_tail: unvouched]") && plan.text.contains("1 problem\n"), "\(plan.text)")
    let resumed = try await bench.run("record", "--resume", "started", input: action("a") + "\n")
    #expect(resumed.status == 0)
    #expect(try await bench.run("recover", "started").text.contains("nothing to recover: 1 actions"))
  }

  @Test func nothingThatSaysWhichSessionItIs() async throws {
    try bench.copyVector("closed")
    try change(try files("closed")[0]) { for index in $0.indices { $0[index] = 0xFF } }
    let before = try tree(bench.logPath("closed"))
    for arguments in [["recover", "closed"], ["recover", "closed", "--apply"]] {
      let result = try await bench.run(arguments, input: [])
      #expect(result.status == 65 && result.errors.contains("there is nothing to recover"), "\(result.errors)")
    }
    #expect(try tree(bench.logPath("closed")).filter { $0.key != "lock" } == before)
    #expect(try asides("").isEmpty)
  }

  // MARK: dump and verify

  @Test(arguments: Wound.allCases)
  func dumpGoesOnAndBothFormsAgree(_ wound: Wound) async throws {
    try await make(wound)
    let whole = try await frames(wound.session)
    try await inflict(wound)
    let text = try await bench.run("dump", wound.session)
    let lines = try await bench.run("dump", wound.session, "--json")
    #expect(text.status == 65 && lines.status == 65 && text.errors == lines.errors && !text.errors.isEmpty)
    let objects = try lines.output.split(separator: 0x0A).map { try json(Array($0)) }
    #expect(objects.count == text.text.split(separator: "\n").count)
    let found = objects.filter { $0["frame"] != .null }
    let damages = objects.filter { $0["damage"] != .null }
    #expect(!damages.isEmpty && text.text.split(separator: "\n").count { $0.hasPrefix("! ") } == damages.count)
    // Each record is one of those that were there, and all that are not lost are there. A mark behind the point at which the log was taken up again is shown where
    // the next file does not say where that is.
    let records = found.filter { !["mark", "checkpoint"].contains($0["kind"].text) }
    let wholeRecords = whole.filter { !["mark", "checkpoint"].contains($0["kind"].text) }
    #expect(records.allSatisfy { frame in wholeRecords.contains { $0 == frame } })
    let lost = damages.reduce(Int64(0)) { if case .integer(let count) = $1["damage"]["frames_lost"] { $0 + count } else { $0 } }
    #expect(records.count <= wholeRecords.count && Int64(records.count) + lost >= Int64(wholeRecords.count), "\(lines.text)")
    for frame in found { #expect(frame["header_crc"] == frame["computed_header_crc"] && frame["payload_crc"] == frame["computed_payload_crc"]) }
  }

  @Test(arguments: Wound.allCases)
  func verifySaysTheSameInBothForms(_ wound: Wound) async throws {
    try await make(wound)
    try await inflict(wound)
    let text = try await bench.run("verify", wound.session)
    let report = try await bench.run("verify", wound.session, "--json")
    #expect(text.status == 2 && report.status == 2)
    let object = try json(report.output)
    #expect(object["status"].text == "damaged" && object["session_id"].text == wound.session)
    let lines = text.text.split(separator: "\n").map(String.init)
    #expect(lines[0] == "\(wound.session)  corrupt  \(object["message"].text)")
    let problems = object["problems"].elements
    #expect(object["problem_count"] == .integer(Int64(problems.count)) && problems.count == lines.count - 1)
    for (problem, line) in zip(problems, lines.dropFirst()) {
      #expect(line.hasSuffix("\(problem["message"].text) [\(problem["class"].text): \(problem["cause"].text)]"), "\(line)")
      guard case .integer(let offset) = problem["offset"], case .integer(let sequence) = problem["sequence"] else {
        Issue.record("\(report.text)")
        return
      }
      #expect(line.hasPrefix("  \(problem["file"].text), offset \(offset)") && line.contains("\(sequence)"), "\(line)")
    }
    let tail = wound.kept("tail", of: seqs(try json(try await bench.run("project", wound.session).output)))
    #expect(object["actions_before_damage"] == .integer(Int64(tail.count)), "\(report.text)")
  }

  /// Nothing in such a log is damaged.
  @Test func aViewThatHoldsMoreThanTheLogIsNamed() async throws {
    try #require(await bench.record("s1", [action("1")], "--no-close").status == 0)
    let log = try files("s1").map { ($0, try bench.bytes($0)) }
    let view = try await bench.run("record", "--resume", "s1", input: action("2"))
    try #require(view.status == 0)
    for path in try files("s1") { try DiskFileSystem().remove(path) }
    for (path, bytes) in log { try DiskFileSystem().write(bytes, to: path) }
    for arguments in [["recover", "s1"], ["recover", "s1", "--apply"]] {
      let result = try await bench.run(arguments, input: [])
      #expect(
        result.status == 0 && result.text.contains("nothing to recover: 1 actions") && result.text.contains("its view holds more"), "\(result.text)")
    }
  }
}
