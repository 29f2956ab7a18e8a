import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `verify`: what it says of each session, and its own exit codes.
@Suite(.timeLimit(.minutes(10)))
struct VerifyTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// The newest file is gone: nothing in the log says so, the view does.
  @Test func aViewThatHoldsMoreIsNamed() async throws {
    try await bench.recordTwice("s1", [action("a")], [action("b")])
    let last = try #require(try DiskFileSystem().names(in: bench.logPath("s1")).filter { $0.hasSuffix(".seg") }.max())
    try DiskFileSystem().remove("\(bench.logPath("s1"))/\(last)")
    #expect(try await bench.run("verify", "s1").status == 0)
    let result = try await bench.run("verify", "--deep", "s1")
    #expect(result.status == 2 && result.text.contains("the view holds more than the log, which has lost its end"), "\(result.text)")
  }

  @Test(arguments: [
    ("closed", 0, "clean  "), ("sealed-and-raw", 0, "clean  "), ("torn-tail", 1, "torn tail  "), ("corruption", 2, "corrupt  "),
  ])
  func findings(_ vector: String, status: Int32, says: String) async throws {
    try bench.copyVector(vector)
    let result = try await bench.run("verify")
    #expect(result.status == status && result.errors == "")
    #expect(result.text.hasPrefix("\(vector)  \(says)"), "\(result.text)")
    // A line that says how much there is, and one for each problem.
    let lines = result.text.split(separator: "\n")
    #expect(lines.count == (status == 0 ? 1 : 2) && lines[0].contains(/[0-9]+ actions/), "\(result.text)")
    #expect(status == 0 || lines[1].contains(/^  [0-9]{20}.seg, offset [0-9]+, .*: .* \[[a-z_]+: [a-z_]+\]$/), "\(result.text)")
  }

  /// What was interrupted has left it there; nobody needs it.
  @Test func damagedFileBesideTheWholeOnesIsNamed() async throws {
    try bench.copyVector("closed")
    let name = "00000000000000000000.seg.lz4"
    try DiskFileSystem().write([1, 2, 3], to: bench.logPath("closed") + "/" + name)
    let result = try await bench.run("verify")
    let lines = result.text.split(separator: "\n")
    #expect(result.status == 2 && lines.count == 2, "\(result.text)")
    #expect(lines[0].contains(/^closed  corrupt  1 problem; all [0-9]+ actions can be read;/), "\(result.text)")
    #expect(lines.last?.contains(/\.seg\.lz4, offset 0.*: .*'compact' sets it aside \[corruption: [a-z_]+\]$/) == true, "\(result.text)")
    let json = try await bench.run("verify", "--json")
    #expect(json.status == 2 && json.text.contains(#""frames_lost":0,"#) && json.text.contains(name), "\(json.text)")
    // It counts as whole, too.
    let list = try await bench.run("list", "--json")
    #expect(list.status == 0 && list.text.contains("actions"), "\(list.text)")
    #expect(try await bench.run("compact", "closed").status == 0)
    #expect(try await bench.run("verify").status == 0)
  }

  @Test func livingWriterIsClean() async throws {
    let bench = bench
    _ = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n")
      #expect(try await record.line() == "1")
      let result = try await bench.run("verify", "s1")
      #expect(result.status == 0 && result.text.contains("s1  clean  1 actions") && result.text.contains("being written"), "\(result.text)")
    }
  }

  /// Corruption is worse than what cannot be read, and that is worse than a torn tail.
  @Test func worstFindingIsTheStatus() async throws {
    for vector in ["closed", "torn-tail"] { try bench.copyVector(vector) }
    try await bench.makeLegacy("old", [action("a")])
    let torn = try await bench.run("verify")
    #expect(torn.status == 1 && torn.text.split(separator: "\n").count == 4 && torn.text.contains("\nold  clean  1 actions"), "\(torn.text)")
    try bench.copyVector("started")
    try bench.makeUnsupported("started")
    #expect(try await bench.run("verify").status == 3)
    try bench.copyVector("corruption")
    #expect(try await bench.run("verify").status == 2)
    // Only what is asked for counts.
    #expect(try await bench.run("verify", "closed", "old").status == 0)
    #expect(try await bench.run("verify", "closed", "torn").status == 1)
  }

  @Test func formatVersionThatItDoesNotKnow() async throws {
    try bench.copyVector("closed")
    try bench.makeUnsupported("closed")
    let result = try await bench.run("verify", "closed")
    #expect(result.status == 3)
    #expect(result.text.contains("cannot read  ") && result.text.contains("format version 7; this program reads version 1"), "\(result.text)")
  }

  @Test func whatIsNotThere() async throws {
    let none = try await bench.run("verify")
    #expect(
      none.status == 66 && none.text == "" && none.errors.contains("no such directory") && none.errors.contains("--storage-dir"), "\(none.errors)")
    let missing = try await bench.run("verify", "s1")
    #expect(missing.status == 66 && missing.errors.contains("no session 's1' in ") && missing.errors.contains("'ckprov-log list'"))
  }

  @Test func jsonFileThatIsNoSession() async throws {
    try await bench.makeLegacy("old", [action("a")])
    for text in ["{", "[]", "{}", #"{"session_id":"old"}"#] {
      try DiskFileSystem().write(Array(text.utf8), to: bench.viewPath("old"))
      let result = try await bench.run("verify")
      #expect(result.status == 2 && result.text.hasPrefix("old  corrupt  "), "\(text): \(result.text)")
    }
  }

  @Test func viewIsCountedAsItsLog() async throws {
    _ = try await bench.record("s1", [action("a")])
    #expect(try bench.exists(bench.viewPath("s1")))
    #expect(try await bench.run("verify").text.split(separator: "\n").count == 1)
  }
}
