import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `record --resume`: going on after a crash, and reopening.
@Suite(.timeLimit(.minutes(10)))
struct ResumeTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test func goesOnWithTheNextSeq() async throws {
    _ = try await bench.record("s1", [action("a"), action("b")], "--no-close")
    let result = try await bench.run("record", "--resume", "s1", "--ack", input: action("c") + "\n" + action("d"))
    #expect(result.status == 0 && result.text == "s1\n3\n4\n" && result.errors == "")
    let session = try await bench.project("s1")
    #expect(session["actions"].elements.map { $0["seq"] } == [1, 2, 3, 4])
    #expect(session["outcome"] == "complete")
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  @Test func whatCannotBeResumedIsSaid() async throws {
    try await bench.makeLegacy("old", [action("a")])
    for isEmpty in [false, true] {
      if isEmpty { _ = try DiskFileSystem().makeDirectory(bench.logPath("old")) }
      let result = try await bench.run("record", "--resume", "old")
      #expect(result.status == 66 && result.errors.contains("'ckprov-log import' makes one of this file"), "\(result.errors)")
    }
    _ = try DiskFileSystem().makeDirectory(bench.logPath("new"))
    let result = try await bench.run("record", "--resume", "new")
    #expect(result.status == 66 && result.errors.contains("was never started") && result.errors.contains("this id is free"), "\(result.errors)")
    #expect(try await bench.run("import", bench.viewPath("old")).status == 0)
    #expect(try await bench.run("record", "--resume", "old", input: action("b")).status == 0)
    #expect(try await bench.notes("old") == ["a", "b"])
  }

  @Test func takesTheOtherOptions() async throws {
    _ = try await bench.record("s1", [action("a")], "--no-close")
    let file = try bench.file("lines", action("b"))
    let options = ["--durability", "power", "--ack", "--view", "never", "--retention-hours", "never", "--live", file]
    let result = try await bench.run(["record", "--resume", "s1"] + options, input: [])
    #expect(result.status == 0 && result.text == "s1\n2\n" && result.errors.contains("verified b\n"))
    #expect(try !bench.exists(bench.viewPath("s1")))
    #expect(try await bench.run("record", "--resume", "s1", "--no-close", input: action("c")).status == 0)
    #expect(try await bench.outcome("s1") == "in_progress")
  }

  @Test func closedSessionIsReopenedAndItsViewRemoved() async throws {
    _ = try await bench.record("s1", [action("a"), #"{"close":{"outcome":"aborted"}}"#])
    let bench = bench
    _ = try await bench.recording(["record", "--resume", "s1", "--ack"]) { record in
      #expect(try await record.line() == "s1")
      #expect(try !bench.exists(bench.viewPath("s1")))
      try await record.write(action("b", outcome: "failed") + "\n")
      #expect(try await record.line() == "2")
      #expect(try await bench.outcome("s1") == "in_progress")
    }
    #expect(try await bench.outcome("s1") == "partial")
    let projected = try await bench.run("project", "s1").output
    #expect(try bench.bytes(bench.viewPath("s1")) == projected)
  }

  @Test func leftAsItWasItKeepsItsEnd() async throws {
    let close = #"{"close":{"outcome":"aborted","ended_at":"2026-03-14T20:00:02.000001Z"}}"#
    _ = try await bench.record("s1", [action("a"), close])
    let before = try bench.bytes(bench.viewPath("s1"))
    #expect(try await bench.run("record", "--resume", "s1").status == 0)
    #expect(try bench.bytes(bench.viewPath("s1")) == before)
    #expect(try await bench.run("record", "--resume", "s1", "--no-close").status == 0)
    #expect(try await bench.run("project", "s1").output == before)
  }

  @Test func idIsWholeOrTheNewest() async throws {
    _ = try await bench.record("session", [action("a")], "--no-close")
    let result = try await bench.run("record", "--resume", "sess")
    #expect(result.status == 66 && result.text == "")
    #expect(
      result.errors.hasPrefix("ckprov-log: no session 'sess' in ") && result.errors.hasSuffix("; --resume wants the whole id, as in 'session'\n"))
    for (text, advice) in [("sessiox", "did you mean 'session'?"), ("other", "'ckprov-log list' shows what is there")] {
      let missing = try await bench.run("record", "--resume", text)
      #expect(missing.status == 66 && missing.text == "" && missing.errors.hasSuffix("; \(advice)\n"), "\(missing.errors)")
    }
    #expect(try await bench.run("record", "--resume", "@", "--ack", input: action("b")).text == "session\n2\n")
  }

  @Test func legacySessionMustBeImportedFirst() async throws {
    try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
    try DiskFileSystem().write(Array("{}".utf8), to: bench.viewPath("legacy"))
    let result = try await bench.run("record", "--resume", "legacy")
    #expect(result.status == 66 && result.errors.contains("'ckprov-log import"), "\(result.errors)")
  }

  @Test func secondWriterIsTurnedAway() async throws {
    let bench = bench
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      let second = try await bench.run("record", "--resume", "s1")
      #expect(second.status == 75 && second.text == "")
      #expect(second.errors.contains("another writer is at work on this session; wait for it, or end it"), "\(second.errors)")
      try await record.write(action("a") + "\n")
      #expect(try await record.line() == "1")
    }
    #expect(result.status == 0)
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("b")).text == "s1\n2\n")
  }

  /// A closed session belongs to nobody, though the process that closed it lives on.
  @Test func afterACloseLineAnotherMayGoOn() async throws {
    let bench = bench
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n" + closing + "\n")
      #expect(try await record.line() == "1")
      while try !bench.exists(bench.viewPath("s1")) { try await Task.sleep(for: .milliseconds(5)) }
      while try await bench.run("record", "--resume", "s1", "--no-close", input: action("b")).status == 75 {}
      try await record.write(action("c") + "\n")
      #expect(try await record.line() == "3")
    }
    #expect(result.status == 0)
    #expect(try await bench.notes("s1") == ["a", "b", "c"])
  }

  @Test func tornTailIsLeftOutAndSaid() async throws {
    try bench.copyVector("torn-tail")
    let before = try await bench.notes("torn-tail")
    let result = try await bench.run("record", "--resume", "torn-tail", "--ack", input: action("after"))
    #expect(result.status == 0 && result.text == "torn-tail\n\(before.count + 1)\n")
    #expect(result.errors.contains("bytes behind the last whole record are in doubt and were left out"), "\(result.errors)")
    #expect(try await bench.notes("torn-tail") == before + ["after"])
    #expect(try await bench.run("verify", "torn-tail").status == 0)
  }

  @Test func corruptionIsRefusedAndNothingChanges() async throws {
    try bench.copyVector("corruption")
    let segment = bench.logPath("corruption") + "/00000000000000000000.seg"
    let before = try bench.bytes(segment)
    let result = try await bench.run("record", "--resume", "corruption")
    #expect(result.status == 65 && result.text == "")
    #expect(result.errors.contains("corruption.log/00000000000000000000.seg, sequence "), "\(result.errors)")
    let isSame = try bench.bytes(segment) == before
    #expect(isSame)
  }
}
