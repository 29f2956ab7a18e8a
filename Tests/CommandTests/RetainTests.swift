import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `retain`: what is too old or too much goes, and is named.
@Suite(.timeLimit(.minutes(10)))
struct RetainTests {
  private let bench: Bench

  init() async throws {
    bench = try Bench()
    for (id, hours) in [("s1", 50), ("s2", 49), ("s3", 2), ("s4", 1)] {
      _ = try await bench.record(id, [action("a")])
      try age(id, hours)
    }
  }

  private func age(_ id: String, _ hours: Int) throws {
    let log = try DiskFileSystem().names(in: bench.logPath(id)).map { "\(bench.logPath(id))/\($0)" }
    for path in log + [bench.viewPath(id)] where try bench.exists(path) {
      try DiskFileSystem().setModificationTime(of: path, to: (currentTime().microseconds - Int64(hours) * 3_600_000_000) * 1000)
    }
  }

  private func size(_ id: String) throws -> UInt64 {
    try DiskFileSystem().names(in: bench.logPath(id)).reduce(bench.size(bench.viewPath(id))) { try $0 + bench.size("\(bench.logPath(id))/\($1)") }
  }

  private func logs(_ ids: String...) -> [String] { ids.flatMap { ["\($0).json", "\($0).log"] } }

  @Test func namesWhatItRemoves() async throws {
    let result = try await bench.run("retain")
    let pattern = #/s1  removed  [0-9.]+ KiB  last written [0-9]{4}-[0-9-]{5} [0-9:]{8}, --hours/#
    #expect(result.status == 0 && result.errors == "")
    let lines = result.text.split(separator: "\n")
    #expect(lines.count == 3 && lines[0].wholeMatch(of: pattern) != nil && lines[1].hasPrefix("s2  removed  "), "\(result.text)")
    #expect(lines.last?.wholeMatch(of: #/2 sessions removed, [0-9.]+ KiB freed; 2 left, [0-9.]+ KiB/#) != nil, "\(result.text)")
    #expect(try bench.names == logs("s3", "s4"))
  }

  /// Age counts beside another rule only if it is asked for.
  @Test(arguments: [
    (["--hours", "49.5"], ["s2", "s3", "s4"]), (["--keep", "3"], ["s2", "s3", "s4"]), (["--keep", "4"], ["s1", "s2", "s3", "s4"]),
    (["--keep", "4", "--hours", "48"], ["s3", "s4"]), (["--keep", "1", "--hours", "48"], ["s4"]), (["--max-bytes", "1G"], ["s1", "s2", "s3", "s4"]),
    (["--max-bytes", "1"], []),
  ])
  func rules(_ options: [String], _ left: [String]) async throws {
    #expect(try await bench.run(["retain"] + options, input: []).status == 0)
    #expect(try bench.names == left.flatMap { ["\($0).json", "\($0).log"] })
  }

  /// A session gets a hole that makes all of them exactly so long, then longer by a byte.
  @Test(arguments: [("1000000", 1_000_000), ("100K", 100 << 10), ("10M", 10 << 20), ("10G", 10 << 30), ("10T", 10 << 40)] as [(String, UInt64)])
  func sizesHaveUnits(_ text: String, _ bytes: UInt64) async throws {
    let all = try ["s1", "s2", "s3", "s4"].reduce(0) { try $0 + size($1) }
    let hole = try DiskFileSystem().create("\(bench.logPath("s4"))/hole")
    try hole.truncate(to: bytes - all)
    #expect(try await bench.run("retain", "--max-bytes", text, "--dry-run").text.hasPrefix("0 sessions would go"))
    try hole.truncate(to: bytes - all + 1)
    #expect(try await bench.run("retain", "--max-bytes", text, "--dry-run").text.hasPrefix("s1  would go"))
  }

  @Test func dryRunChangesNothing() async throws {
    let result = try await bench.run("retain", "--dry-run")
    #expect(result.status == 0 && result.text.hasPrefix("s1  would go  ") && result.text.contains("\n2 sessions would go, "), "\(result.text)")
    #expect(try bench.names == logs("s1", "s2", "s3", "s4"))
  }

  /// Of many it said nothing before all were gone, and nothing at all when it was stopped. They go by 64; here each sync takes long.
  @Test func whatIsGoneIsSaidAtOnce() async throws {
    guard (try? await runProgram("strace", ["-D", "-f", "true"]))?.status == 0 else {
      print("SKIPPED: no strace here, so nothing is made to take long")
      return
    }
    for number in 1...150 { _ = try bench.file("storage/sessions/old\(number).json", "{}") }
    let script = """
      touch -d '-50 hours' storage/sessions/old*; mkdir again; cp -rp storage again
      bash slowly & until [ -s out ]; do kill -0 $! || break; sleep 0.01; done; kill $!; wait $!; echo $?; grep -c ' removed ' out
      export CKPROV_STORAGE_DIR=again
      script -qec 'bash slowly' /dev/null < /dev/null
      """
    let slowly = #"exec strace -D -f -qq -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=400000 "$C" retain > out"#
    _ = try bench.file("slowly", slowly)
    let result = try await bench.shell(script)
    let lines = result.text.split(whereSeparator: \.isNewline)
    #expect(lines.prefix(2) == ["143", "64"], "\(result.text) \(result.errors)")
    #expect(result.text.contains(#/\[=+ *\] 128 of 152 sessions removed, [0-9]+\/s, [0-9.]+ s left/#), "\(result.text)")
    #expect(try await bench.shell("tail -n 1 out").text.hasPrefix("152 sessions removed, "))
  }

  @Test func jsonIsForPrograms() async throws {
    let sizes = try ["s1", "s2", "s3", "s4"].map(size)
    let bench = bench
    _ = try await bench.recording(["record", "--resume", "s3", "--no-close"]) { record in
      _ = try await record.line()
      try age("s3", 60)
      let left = try size("s3") + sizes[3]
      let report = try json(await bench.run("retain", "--json").output)
      #expect(report["dry_run"] == .bool(false) && report["failed"].elements.isEmpty)
      #expect(report["removed"].elements.map { $0["session_id"].text } == ["s1", "s2"])
      let first = try #require(report["removed"].elements.first)
      #expect(first["bytes"] == JSONValue(sizes[0]) && first["rule"].text == "hours" && first["is_legacy"] == .bool(false))
      #expect(Timestamp(first["last_written"].text) != nil)
      #expect(report["in_use"].elements == [.object(["session_id": .string("s3"), "is_legacy": .bool(false)])])
      #expect(report["bytes_freed"] == JSONValue(sizes[0] + sizes[1]) && report["bytes_left"] == JSONValue(left))
      #expect(report["sessions_left"] == .integer(2))
      #expect(try await bench.run("retain").text.hasPrefix("s3  stays    somebody is at work on it\n"))
    }
  }

  @Test func whatCannotBeRemovedIsNamedAndTheOthersGo() async throws {
    try #require(await runProgram("chmod", ["-R", "a+rwX", bench.storage.path]).status == 0)
    try #require(await runProgram("chmod", ["a-w", "\(bench.logPath("s1"))/lock"]).status == 0)
    let result = try await bench.run("retain", isPrivileged: false)
    #expect(result.status == 77 && result.errors.hasPrefix("ckprov-log: \(bench.logPath("s1"))/lock: cannot open this: Permission denied"))
    #expect(result.text.contains(#/\ns1  stays +cannot be removed, see below\n/#), "\(result.text)")
    #expect(try bench.names == logs("s1", "s3", "s4"))
    let report = try await bench.run("retain", "--json", isPrivileged: false)
    #expect(report.status == 77)
    let failed = try #require(try json(report.output)["failed"].elements.first)
    #expect(failed["session_id"].text == "s1" && failed["message"].text.contains("Permission denied"))
  }

  /// It was renamed, and then could not be deleted; a dry run said nothing of it.
  @Test func aLogThatCannotBeEmptiedStays() async throws {
    _ = try await bench.record("a", [action("a")])
    try #require(await runProgram("chmod", ["-R", "a+rwX", bench.storage.path]).status == 0)
    try #require(await runProgram("chmod", ["a-w", bench.logPath("a")]).status == 0)
    let before = try treeContents(bench.sessions)
    for arguments in [["rm", "a"], ["retain", "--dry-run", "--keep", "0"]] {
      let result = try await bench.run(arguments, input: [], isPrivileged: false)
      #expect(result.status == 77 && result.errors.contains("a.log: cannot change what is in this directory: Permission denied"), "\(result.errors)")
      #expect(try treeContents(bench.sessions) == before)
    }
    try #require(await runProgram("chmod", ["a-w", bench.sessions]).status == 0)
    let result = try await bench.run("rm", "a", isPrivileged: false)
    #expect(result.status == 77 && result.errors.contains("storage/sessions: cannot change what"), "\(result.errors)")
    #expect(try treeContents(bench.sessions) == before)
  }

  /// What the log beside a JSON file is can't be known then: the file was taken for a session of its own, and went.
  @Test func aViewStaysWhereItsLogCannotBeRead() async throws {
    try #require(await runProgram("chmod", ["-R", "a+rwX", bench.storage.path]).status == 0)
    _ = try await bench.record("view", [action("a")])
    try #require(await runProgram("chmod", ["a+w", bench.sessions]).status == 0)
    try #require(await runProgram("chmod", ["0600", "\(bench.logPath("view"))/00000000000000000000.seg"]).status == 0)
    let result = try await bench.run(["retain", "--hours", "0"], input: [], isPrivileged: false)
    #expect(result.status == 77 && result.errors.contains("view.log"), "\(result.errors)")
    #expect(try bench.names.contains("view.json") && bench.names.contains("view.log"))
    #expect(try await !bench.run("stats", "--disk-usage", isPrivileged: false).text.contains("\nview "))
  }

  @Test func sizeThatCannotBeReachedIsSaid() async throws {
    _ = try await bench.run("record", "--resume", "s4", "--no-close", input: action("b"))
    let result = try await bench.run("retain", "--max-bytes", "10")
    #expect(result.status == 0)
    let reason = ", which is more than --max-bytes: what is left has not ended, is in use, or cannot be read or removed\n"
    #expect(result.text.hasSuffix(reason), "\(result.text)")
    #expect(try bench.names == ["s4.log"])
  }

  @Test func emptyDirectory() async throws {
    #expect(try await Bench().run("retain").text == "0 sessions removed, 0 B freed; 0 left, 0 B\n")
  }

  @Test(arguments: [
    ["--hours", "nan"], ["--hours", "inf"], ["--hours=-1"], ["--keep=-1"], ["--max-bytes", "1X"], ["--max-bytes", "M"], ["--max-bytes", "+1"],
    ["--max-bytes", "1.5G"], ["--max-bytes", "17179869184G"], ["--max-bytes", ""], ["s1"],
  ])
  func usage(_ options: [String]) async throws {
    #expect(try await bench.run(["retain"] + options, input: []).status == 64)
    #expect(try bench.names == logs("s1", "s2", "s3", "s4"))
  }
}
