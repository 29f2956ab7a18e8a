import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `list` and `show`: sessions for people, and for programs.
@Suite(.timeLimit(.minutes(10)))
struct ListTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// Started in this order: b, legacy, then a and c at the same time.
  private func recordSome() async throws {
    for (id, second) in [("c", 3), ("b", 1), ("legacy", 2), ("a", 3)] {
      let times = ["--started-at", "2026-03-14T20:00:0\(second).000000Z"]
      let close = #"{"close":{"ended_at":"2026-03-14T20:01:0\#(second).250000Z"}}"#
      let lines = [action("1"), action("2", outcome: "failed"), close].map { $0 + "\n" }.joined()
      try #require(await bench.run(newSession(id) + times, input: Array(lines.utf8)).status == 0)
    }
    try #require(await runProgram("rm", ["-r", bench.logPath("legacy")]).status == 0)
    try #require(await bench.run("record", "--resume", "b", "--no-close", input: action("3")).status == 0)
  }

  @Test func tableIsNewestFirst() async throws {
    try await recordSome()
    let result = try await bench.run("list")
    #expect(result.status == 0 && result.errors == "")
    let rows = result.text.split(separator: "\n").map { $0.split(separator: #/  +/#).map(String.init) }
    #expect(rows[0] == ["SESSION", "STARTED", "OUTCOME", "ACTIONS", "DURATION", "SIZE", "LABEL"])
    let expected = [
      ["a", "2026-03-14 20:00:03", "partial", "2", "1 min 00 s"], ["c", "2026-03-14 20:00:03", "partial", "2", "1 min 00 s"],
      ["legacy", "2026-03-14 20:00:02", "partial", "2", "1 min 00 s"], ["b", "2026-03-14 20:00:01", "in_progress", "3"],
    ]
    #expect(rows.dropFirst().map { Array($0.prefix($0[0] == "b" ? 4 : 5)) } == expected)
    for row in rows.dropFirst() {
      #expect(row.last == "test" && row[row.count - 2].wholeMatch(of: /[0-9.]+ (B|KiB)/) != nil, "\(row)")
    }
    // Numbers stand to the right, and no line ends in space.
    let lines = result.text.split(separator: "\n")
    #expect(lines.allSatisfy { $0.last != " " } && Set(lines.map { $0.count - $0.split(separator: " ").last!.count - 2 }).count == 1)
  }

  @Test func filters() async throws {
    try await recordSome()
    let another = ["--label", "of another", "--kernel-urn", "ckp://Kernel#Other:v1.0", "--started-at", "2026-03-15T00:00:00.000000Z"]
    let line = #"{"action_type":"t","outcome":"verified","kernel":"ckp://Kernel#Third:v2.0"}"#
    try #require(await bench.run(["record", "--session-id", "d"] + another, input: Array(line.utf8)).status == 0)
    for (options, ids) in [
      ([], ["d", "a", "c", "legacy", "b"]), (["--outcome", "partial"], ["a", "c", "legacy"]), (["--outcome", "in_progress"], ["b"]),
      (["--label", "ano"], ["d"]), (["--label", "e", "--outcome", "complete"], ["d"]), (["--kernel", "Other"], ["d"]),
      (["--kernel", "ckp://Kernel#Other:v1.0"], ["d"]), (["--kernel", "CK.Test"], ["a", "c", "legacy", "b"]), (["--kernel", "CK"], []),
      (["--kernel", "Third"], ["d"]), (["--kernel", "ckp://Kernel#Third:v2.0"], ["d"]), (["--kernel", "ckp://Kernel#Other"], ["d"]),
      (["--kernel", "ckp://Kernel#Other:v2.0"], []), (["--kernel", "ckp://Kernel#CK.Test:v1.0"], ["a", "c", "legacy", "b"]),
      (["--since", "2026-03-14T20:00:03Z"], ["d", "a", "c"]), (["--until", "2026-03-14T20:00:02"], ["legacy", "b"]),
      (["--since", "2026-03-14T20:00:02", "--until", "2026-03-14"], ["a", "c", "legacy"]), (["--since", "today"], []),
    ] as [([String], [String])] {
      let table = try await bench.run(["list"] + options, input: [])
      #expect(table.text.split(separator: "\n").dropFirst().map { String($0.prefix { $0 != " " }) } == ids, "\(options) \(table.text)")
      #expect(try await json(bench.run(["list", "--json"] + options, input: []).output).elements.map { $0["session_id"].text } == ids)
    }
    #expect(try await bench.run("list", "--since", "2026-02", "--until", "2026-01").status == 64)
  }

  @Test func jsonIsAnArrayOfWholeSessions() async throws {
    try await recordSome()
    let result = try await bench.run("list", "--json")
    #expect(result.status == 0 && result.errors == "")
    var expected: [String] = []
    for id in ["a", "c", "legacy", "b"] {
      expected.append(try await bench.run("project", id).text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n"))
    }
    #expect(result.text == "[\n" + expected.joined(separator: ",\n") + "\n]\n")
  }

  /// On standard error, where that is a terminal; here each file takes long to open.
  @Test func whoWaitsLongerThanASecondIsToldHowFarItIs() async throws {
    guard (try? await runProgram("strace", ["-f", "true"]))?.status == 0 else {
      print("SKIPPED: no strace here, so nothing is made to take long")
      return
    }
    try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
    for number in 0..<100 { _ = try bench.file("storage/sessions/s\(number).json", "{}") }
    let list = #"strace -f -qq -o /dev/null -e trace=openat -e inject=openat:delay_enter=20000 "$C" list"#
    let watched = try await bench.shell("script -qec '\(list) > table' /dev/null")
    #expect(watched.status == 0 && watched.text.contains(#/^\r\e\[K\[=* *\] [0-9]+ of 100 names looked at, [0-9]+\/s, [0-9.]+ s left\r\e\[K/#))
    #expect(watched.text.hasSuffix("left\r\u{1B}[K"))
    #expect(try bench.bytes("\(bench.storage.path)/table").starts(with: Array("SESSION".utf8)))
    let alone = try await bench.shell(list)
    #expect(alone.status == 0 && alone.errors == "" && alone.text.hasPrefix("SESSION"))
    #expect(try await bench.shell(#"script -qec '"$C" list > table' /dev/null"#).text == "")
  }

  @Test func emptyDirectory() async throws {
    #expect(try await bench.run("list", "--json").text == "[]\n")
    #expect(try await bench.run("list").text == "SESSION  STARTED  OUTCOME  ACTIONS  DURATION  SIZE  LABEL\n")
  }

  @Test func whatIsDamagedIsPassedOver() async throws {
    try bench.copyVector("corruption")
    try bench.copyVector("torn-tail")
    try DiskFileSystem().write(Array("{".utf8), to: bench.viewPath("broken"))
    let sessions = try json(await bench.run("list", "--json").output).elements
    #expect(sessions.map { $0["session_id"].text } == ["torn-tail"])
    let table = try await bench.run("list")
    #expect(table.status == 0 && table.text.contains("torn-tail") && !table.text.contains("corruption") && !table.text.contains("broken"))
  }

  @Test func sessionIsListedOnceWithItsView() async throws {
    _ = try await bench.record("s1", [action("a")])
    #expect(try json(await bench.run("list", "--json").output).elements.count == 1)
    // Its name, but another session.
    try DiskFileSystem().write(Array(#"{"session_id":"s1","urn":"u","started_at":"2000-01-01T00:00:00.000000Z"}"#.utf8), to: bench.viewPath("s1"))
    #expect(try json(await bench.run("list", "--json").output).elements.count == 2)
  }

  @Test func livingSessionIsListed() async throws {
    let bench = bench
    _ = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n")
      #expect(try await record.line() == "1")
      let sessions = try json(await bench.run("list", "--json").output).elements
      #expect(sessions.count == 1 && sessions[0]["outcome"] == "in_progress" && sessions[0]["actions"].elements.count == 1)
    }
  }
}
