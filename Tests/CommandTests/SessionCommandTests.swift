import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `close`, `rm` and `path`.
@Suite(.timeLimit(.minutes(10)))
struct SessionCommandTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  // MARK: close

  @Test func closeEndsACrashedSession() async throws {
    try #require(await bench.record("s1", [action("1"), action("2", outcome: "failed")], "--no-close").status == 0)
    try #require(try !bench.exists(bench.viewPath("s1")))
    let closed = try await bench.run("close", "s", "--ended-at", "2030-01-01T00:00:00.000000Z")
    #expect(closed.status == 0 && closed.text == "s1  partial\n" && closed.errors == "")
    let view = try json(bench.bytes(bench.viewPath("s1")))
    #expect(view["ended_at"].text == "2030-01-01T00:00:00.000000Z" && view["actions"].elements.count == 2)
    let again = try await bench.run("close", "s1", "--outcome", "other")
    #expect(again.status == 0 && again.text == "" && again.errors == "ckprov-log: session s1 has ended already: partial\n")
    #expect(try await bench.outcome("s1") == "partial")
  }

  @Test func closeTakesAnOutcome() async throws {
    try #require(await bench.record("s1", [], "--no-close").status == 0)
    #expect(try await bench.run("close", "@", "--outcome", "-aborted").text == "s1  -aborted\n")
    #expect(try await bench.outcome("s1") == "-aborted")
  }

  /// Killed between its end and its view: it has ended, and cklib would not see it.
  @Test func closeMakesAMissingView() async throws {
    try #require(await bench.record("s1", [action("1")]).status == 0)
    let view = try bench.bytes(bench.viewPath("s1"))
    try DiskFileSystem().remove(bench.viewPath("s1"))
    let result = try await bench.run("close", "s1")
    #expect(result.status == 0 && result.errors.hasSuffix("its view was missing, and is made\n"), "\(result.errors)")
    #expect(try bench.bytes(bench.viewPath("s1")) == view)
    let again = try await bench.run("close", "s1")
    #expect(again.status == 0 && again.errors.hasSuffix("has ended already: complete\n"), "\(again.errors)")
  }

  @Test func whatClosesNothing() async throws {
    try await bench.makeLegacy("legacy", [action("1")])
    let legacy = try await bench.run("close", "legacy")
    #expect(legacy.status == 66 && legacy.errors.contains("session 'legacy' has no log yet; 'ckprov-log import' makes one of this file"))
    #expect(try await bench.run("close", "nobody").status == 66)
    let recording = try await bench.recording(newSession("s1")) { program in
      try #require(await program.line() == "s1")
      let result = try await bench.run("close", "s1")
      #expect(result.status == 75 && result.text == "", "\(result.errors)")
    }
    #expect(recording.status == 0)
  }

  // MARK: rm

  @Test func removeTakesTheViewToo() async throws {
    for id in ["a1", "a2", "b1"] { try #require(await bench.record(id, [action(id)]).status == 0) }
    try await bench.makeLegacy("legacy", [action("1")])
    // One is not found: none goes.
    #expect(try await bench.run("rm", "a1", "c").status == 66)
    #expect(try await bench.run("rm", "a1", "a").status == 65)
    #expect(try bench.names == ["a1.json", "a1.log", "a2.json", "a2.log", "b1.json", "b1.log", "legacy.json"])
    let result = try await bench.run("rm", "a1", "l", "b", "a1")
    #expect(result.status == 0 && result.text == "" && result.errors == "")
    #expect(try bench.names == ["a2.json", "a2.log"])
  }

  @Test func aSessionInUseStays() async throws {
    try #require(await bench.record("s2", [action("1")]).status == 0)
    let recording = try await bench.recording(newSession("s1")) { program in
      try #require(await program.line() == "s1")
      let result = try await bench.run("rm", "s1", "s2")
      #expect(result.status == 75 && result.errors.contains("s1.log"), "\(result.errors)")
    }
    #expect(recording.status == 0)
    #expect(try bench.names == ["s1.json", "s1.log"])
  }

  /// Here each sync takes long.
  @Test func whoWaitsLongerThanASecondIsToldHowFarItIs() async throws {
    guard (try? await runProgram("strace", ["-f", "true"]))?.status == 0 else {
      print("SKIPPED: no strace here, so nothing is made to take long")
      return
    }
    try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
    for number in 10..<30 { _ = try bench.file("storage/sessions/s\(number).json", "{}") }
    let remove = #"strace -f -qq -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=40000 "$C" rm s{10..29}"#
    let result = try await bench.shell("script -qec \"bash -c '\(remove)'\" /dev/null < /dev/null")
    let shown = #/^\r\e\[K\[=* *\] [0-9]+ of 20 sessions removed, [0-9]+\/s, [0-9.]+ s left\r/#
    #expect(result.status == 0 && result.text.contains(shown), "\(result.text)")
    #expect(result.text.hasSuffix("left\r\u{1B}[K"))
    #expect(try bench.names.isEmpty)
  }

  // MARK: path

  @Test func pathOfALogAndOfAFile() async throws {
    try #require(await bench.record("s1", [action("1")]).status == 0)
    try await bench.makeLegacy("legacy", [action("1")])
    #expect(try await bench.run("path", "s").text == bench.logPath("s1") + "\n")
    #expect(try await bench.run("path", "legacy").text == bench.viewPath("legacy") + "\n")
    #expect(try await bench.run("path", "x").status == 66)
  }
}
