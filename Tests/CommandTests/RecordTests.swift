import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What `record` prints, when it records, and when it closes.
@Suite(.timeLimit(.minutes(10)))
struct RecordTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test func idIsPrintedBeforeAnyInput() async throws {
    let result = try await bench.recording(newSession("s1")) { record in
      let first = try await record.line()
      #expect(first == "s1")
    }
    #expect(result.status == 0)
    #expect(result.text == "" && result.errors == "")
  }

  @Test func drawnIdIsEightHexDigits() async throws {
    let result = try await bench.run("record", "--label", "l", "--kernel-urn", "ckp://Kernel#K:v1.0")
    #expect(result.text.wholeMatch(of: /[0-9a-f]{8}\n/) != nil, "\(result.text)")
    let session = try await bench.project(String(result.text.prefix(8)))
    #expect(session["label"] == "l")
  }

  @Test func nothingButTheIdIsPrintedWithoutAck() async throws {
    let result = try await bench.record("s1", [action("a"), closing])
    #expect(result.text == "s1\n" && result.errors == "")
  }

  @Test func ackGivesTheSeqOfEachAction() async throws {
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      #expect(try await record.line() == "s1")
      try await record.write(action("a") + "\n")
      #expect(try await record.line() == "1")
      try await record.write(action("b") + "\n" + closing + "\n" + action("c") + "\n")
      #expect(try await record.line() == "2")
      #expect(try await record.line() == "3")
    }
    #expect(result.status == 0 && result.text == "")
    #expect(try await bench.notes("s1") == ["a", "b", "c"])
  }

  @Test(arguments: ["process", "power"])
  func whatWasReadIsRecordedBeforeItWaitsForMore(durability: String) async throws {
    let bench = bench
    let result = try await bench.recording(newSession("s1") + ["--ack", "--durability", durability]) { record in
      _ = try await record.line()
      // The second line is not whole; the first must not wait for it.
      try await record.write(action("a") + "\n" + #"{"action_type":"t","out"#)
      #expect(try await record.line() == "1")
      #expect(try await bench.notes("s1") == ["a"])
      try await record.write(#"come":"failed"}"# + "\n")
      #expect(try await record.line() == "2")
      #expect(try await bench.project("s1")["outcome"] == "in_progress")
    }
    #expect(result.status == 0)
    #expect(try await bench.project("s1")["outcome"] == "partial")
  }

  /// Counted by strace: a hundred lines cost what one costs.
  @Test func linesThatArriveTogetherShareAWriteAndASync() async throws {
    guard (try? await runProgram("strace", ["-f", "true"]))?.status == 0 else {
      print("SKIPPED: no strace here, so writes and syncs of `record` are not counted")
      return
    }
    var calls: [(writes: Int, syncs: Int)] = []
    for count in [1, 100] {
      _ = try bench.file("lines", (0..<count).map { action("\($0)") + "\n" }.joined())
      let script = """
        strace -f -qq -e trace=pwrite64,fdatasync -o trace "$C" record --label l --kernel-urn u --durability power --view never --session-id s\(count) lines
        """
      try #require(await bench.shell(script).status == 0)
      let trace = String(decoding: try bench.bytes(bench.storage.path + "/trace"), as: UTF8.self)
      calls.append((trace.matches(of: /pwrite64\(/).count, trace.matches(of: /fdatasync\(/).count))
      #expect(try await bench.notes("s\(count)").count == count)
    }
    // A background sync may come in between.
    #expect(calls[0].writes >= 3 && calls[1].writes <= calls[0].writes + 4, "\(calls)")
    #expect(calls[0].syncs >= 3 && calls[1].syncs <= calls[0].syncs + 4, "\(calls)")
  }

  // MARK: Closing

  @Test func endOfInputClosesTheSession() async throws {
    _ = try await bench.record("s1", [action("a"), action("b", outcome: "failed")])
    let session = try await bench.project("s1")
    #expect(session["outcome"] == "partial")
    #expect(session["ended_at"].text.hasSuffix("Z"))
    #expect(try bench.exists(bench.viewPath("s1")))
  }

  @Test func noCloseLeavesItOpen() async throws {
    _ = try await bench.record("s1", [action("a")], "--no-close")
    let session = try await bench.project("s1")
    #expect(session["outcome"] == "in_progress" && session["ended_at"] == .null)
    #expect(try !bench.exists(bench.viewPath("s1")))
  }

  @Test(arguments: [[], ["--no-close"]])
  func whatWasJustClosedIsNotClosedAgain(options: [String]) async throws {
    let lines = action("a") + "\n" + #"{"close":{"outcome":"aborted","ended_at":"2026-03-14T20:00:02.000001Z"}}"# + "\n \n"
    _ = try await bench.run(newSession("s1") + options, input: Array(lines.utf8))
    let session = try await bench.project("s1")
    #expect(session["outcome"] == "aborted" && session["ended_at"] == "2026-03-14T20:00:02.000001Z")
    #expect(try frameKinds("s1").filter { $0 == .sessionClosed }.count == 1)
  }

  @Test func closeLineInTheMiddleAndReopening() async throws {
    let result = try await bench.record(
      "s1", [action("a"), #"{"close":{"outcome":"aborted"}}"#, action("b"), closing, action("c", outcome: "failed")], "--ack")
    #expect(result.text == "s1\n1\n2\n3\n")
    let session = try await bench.project("s1")
    #expect(session["outcome"] == "partial" && session["ended_at"] != .null)
    #expect(try frameKinds("s1").filter { $0 == .sessionClosed }.count == 3)
    let projected = try await bench.run("project", "s1").output
    #expect(try bench.bytes(bench.viewPath("s1")) == projected)
  }

  @Test func reopeningRemovesTheView() async throws {
    let bench = bench
    _ = try await bench.recording(newSession("s1") + ["--ack", "--no-close"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n" + closing + "\n" + action("b") + "\n")
      #expect(try await record.line() == "1")
      #expect(try await record.line() == "2")
      #expect(try !bench.exists(bench.viewPath("s1")))
    }
    #expect(try await bench.outcome("s1") == "in_progress")
  }

  @Test func emptyInputIsASessionWithoutActions() async throws {
    let result = try await bench.record("s1", [])
    #expect(result.status == 0)
    let session = try await bench.project("s1")
    #expect(session["outcome"] == "complete" && session["actions"] == [])
  }

  private func frameKinds(_ id: String) throws -> [FrameKind] {
    var reader = try LogReader.open(LogDirectory(path: bench.logPath(id), fileSystem: DiskFileSystem()), of: try SessionID(id))
    var kinds: [FrameKind] = []
    while let frame = try reader.next() { kinds.append(frame.kind) }
    return kinds
  }
}
