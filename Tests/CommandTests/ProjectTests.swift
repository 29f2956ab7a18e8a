import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `project` and `cat`.
@Suite(.timeLimit(.minutes(10)))
struct ProjectTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test(arguments: ["started", "closed", "segments", "sealed", "sealed-and-raw"])
  func printsTheSessionJSON(_ vector: String) async throws {
    try bench.copyVector(vector)
    let result = try await bench.run("project", vector)
    let isSame = try result.output == bench.vectorJSON(vector)
    #expect(isSame && result.status == 0 && result.errors == "", "\(result.errors)")
  }

  @Test func catPrintsTheActionsAsJSONLines() async throws {
    try bench.copyVector("segments")
    let result = try await bench.run("cat", "segments")
    #expect(result.status == 0 && result.errors == "")
    let actions = try json(bench.vectorJSON("segments"))["actions"].elements
    #expect(actions.count > 2)
    let lines = try actions.map { try $0.compactJSON() + [0x0A] }.joined()
    #expect(result.output == Array(lines))
  }

  @Test(arguments: ["-o", "--output"])
  func outputToAFile(_ option: String) async throws {
    _ = try await bench.record("s1", [action("a")])
    for before in [nil, "what was there"] {
      let path = bench.storage.path + "/out.json"
      if let before { _ = try bench.file("out.json", before) }
      let result = try await bench.run("project", "s1", option, path)
      #expect(result.status == 0 && result.text == "" && result.errors == "")
      let view = try bench.bytes(bench.viewPath("s1"))
      #expect(try bench.bytes(path) == view)
    }
    #expect(try DiskFileSystem().names(in: bench.storage.path).sorted() == ["out.json", "storage"])
  }

  @Test func outputReplacesRegularFilesOnly() async throws {
    _ = try await bench.record("s1", [action("a")])
    let pipe = bench.storage.path + "/pipe"
    #expect(try await runProgram("mkfifo", [pipe]).status == 0)
    for path in [pipe, bench.sessions] {
      let result = try await bench.run("project", "s1", "-o", path)
      #expect(result.status == 74 && result.errors.contains("\(path): this is no regular file"), "\(result.errors)")
    }
    #expect(try DiskFileSystem().status(of: pipe)?.kind == .other)
    let missing = try await bench.run("project", "s1", "-o", bench.storage.path + "/none/out")
    #expect(missing.status == 66 && missing.errors.contains("No such file or directory"), "\(missing.errors)")
    #expect(try await bench.run("project", "s1", "-o", "x", "--write").status == 64)
  }

  /// A session that is kept as JSON may have no other copy. Its directory is known by whatever path leads there.
  @Test func outputReplacesNoOtherSession() async throws {
    _ = try await bench.record("s1", [action("a")])
    try await bench.makeLegacy("old", [action("b")])
    let (view, old) = try (bench.bytes(bench.viewPath("s1")), bench.bytes(bench.viewPath("old")))
    try #require(await runProgram("ln", ["-s", bench.sessions, bench.storage.path + "/link"]).status == 0)
    for (session, path) in [
      ("s1", bench.viewPath("old")), ("s1", "storage/../storage/sessions/old.json"), ("s1", "link/old.json"), ("old", bench.viewPath("s1")),
    ] {
      let result = try await bench.shell(#""$C" project \#(session) -o \#(path)"#)
      #expect(result.status == 73 && result.errors.hasSuffix(".json: the JSON of another session stands here; move it away\n"), "\(result.errors)")
    }
    // The session's own view, a JSON file of itself, a file elsewhere, or none.
    for (session, path) in [("s1", bench.viewPath("s1")), ("old", bench.viewPath("old")), ("s1", "old.json"), ("s1", bench.viewPath("new"))] {
      let result = try await bench.shell(#"test -e old.json || echo {} > old.json; "$C" project \#(session) -o \#(path)"#)
      #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    }
    #expect(try bench.bytes(bench.viewPath("s1")) == view)
    #expect(try bench.bytes(bench.viewPath("old")) == old)
    #expect(try bench.bytes(bench.viewPath("new")) == view && bench.bytes(bench.storage.path + "/old.json") == view)
  }

  @Test func writePutsTheViewInItsPlace() async throws {
    _ = try await bench.record("s1", [action("a")], "--no-close")
    let result = try await bench.run("project", "s1", "--write")
    #expect(result.status == 0 && result.text == "" && result.errors == "")
    let projected = try await bench.run("project", "s1").output
    #expect(try bench.bytes(bench.viewPath("s1")) == projected)
    // Another session's file is left alone.
    _ = try await bench.record("s2", [action("b")])
    let other = try bench.bytes(bench.viewPath("s2"))
    try DiskFileSystem().write(other, to: bench.viewPath("s1"))
    let refused = try await bench.run("project", "s1", "--write")
    #expect(
      refused.status == 73 && refused.errors.contains("s1.json: the JSON of another session stands here; move it away"), "\(refused.errors)")
    #expect(try bench.bytes(bench.viewPath("s1")) == other)
  }

  @Test func livingSession() async throws {
    let bench = bench
    _ = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      for (index, note) in ["a", "b"].enumerated() {
        try await record.write(action(note) + "\n")
        #expect(try await record.line() == "\(index + 1)")
        let projected = try await bench.run("project", "s1")
        #expect(projected.status == 0 && projected.errors == "")
        #expect(try json(projected.output)["actions"].elements.last?["note"].text == note)
        #expect(try await bench.notes("s1").last == note)
      }
      #expect(try await bench.run("project", "s1", "--write").status == 0)
      #expect(try bench.exists(bench.viewPath("s1")))
    }
  }

  // MARK: Damage

  @Test(arguments: [["project"], ["project", "--write"], ["project", "-o", "out"], ["cat"]])
  func tornTailIsNoDamage(_ arguments: [String]) async throws {
    try bench.copyVector("torn-tail")
    let result = try await bench.shell(#""$C" \#(arguments.joined(separator: " ")) torn-tail"#)
    #expect(result.status == 0)
    let message =
      /ckprov-log: session torn-tail: [0-9]+ bytes behind the last whole record are in doubt and are left out; 'record --resume torn-tail' goes on\n/
    #expect(result.errors.wholeMatch(of: message) != nil, "\(result.errors)")
    let written = arguments.contains("-o") ? "\(bench.storage.path)/out" : arguments.contains("--write") ? bench.viewPath("torn-tail") : nil
    let output = try written.map(bench.bytes) ?? result.output
    let expected = try bench.vectorJSON("torn-tail")
    if arguments == ["cat"] {
      #expect(try output.split(separator: 0x0A).map { try json(Array($0)) } == json(expected)["actions"].elements)
    } else {
      #expect(output == expected)
    }
  }

  /// In the first of two segments, in the newest one, and in its header.
  @Test(arguments: ["b", "d", "header"])
  func damageEndsTheOutputAndIsSaid(_ place: String) async throws {
    try await bench.recordTwice("s1", [action("a"), action("b")], [action("c"), action("d"), action("e")])
    let view = try bench.bytes(bench.viewPath("s1"))
    let out = try bench.file("out.json", "what was there")
    if place == "header" {
      let newest = "\(bench.logPath("s1"))/\(try DiskFileSystem().names(in: bench.logPath("s1")).filter { $0.hasSuffix(".seg") }.max()!)"
      var segment = try bench.bytes(newest)
      segment[30] ^= 1
      try DiskFileSystem().write(segment, to: newest)
    } else {
      try bench.damage("s1", actionWithNote: place)
    }
    let whole = place == "b" ? ["a"] : place == "d" ? ["a", "b", "c"] : ["a", "b"]

    let projected = try await bench.run("project", "s1")
    #expect(projected.status == 65)
    #expect(try json(projected.output)["actions"].elements.map { $0["note"].text } == whole)
    let damage = /ckprov-log: .*s1\.log\/[0-9]{20}\.seg, (sequence [0-9]+, )?offset [0-9]+: .+\n/
    #expect(projected.errors.wholeMatch(of: damage) != nil, "\(projected.errors)")

    let lines = try await bench.run("cat", "s1")
    #expect(lines.status == 65 && lines.errors.wholeMatch(of: damage) != nil)
    #expect(try lines.output.split(separator: 0x0A).map { try json(Array($0))["note"].text } == whole)

    // No view is replaced by less.
    #expect(try await bench.run("project", "s1", "--write").status == 65)
    #expect(try await bench.run("project", "s1", "-o", out).status == 65)
    #expect(try bench.bytes(bench.viewPath("s1")) == view)
    #expect(try bench.bytes(out) == Array("what was there".utf8))
    #expect(try bench.names == ["s1.json", "s1.log"])
    #expect(try await bench.run("verify", "s1").status == 2)
  }

  /// Nobody has closed it, so that the damage shows when its newest file is looked at.
  @Test func damagedOpenSession() async throws {
    _ = try await bench.record("s1", [action("a"), action("b"), action("c")], "--no-close")
    try bench.damage("s1", actionWithNote: "b")
    let projected = try await bench.run("project", "s1")
    #expect(projected.status == 65)
    #expect(try json(projected.output)["actions"].elements.map { $0["note"].text } == ["a"])
    #expect(try await bench.run("cat", "s1").status == 65)
    #expect(try await bench.run("record", "--resume", "s1").status == 65)
    #expect(try await bench.run("list").status == 0)
  }

  // MARK: Sessions of the reference

  @Test func legacySession() async throws {
    try await bench.makeLegacy("old", [action("a"), action("b")])
    let file = try bench.bytes(bench.viewPath("old"))
    let projected = try await bench.run("project", "old")
    #expect(projected.output == file && projected.status == 0 && projected.errors == "")
    #expect(try await bench.run("project", "old", "--write").status == 0)
    #expect(try bench.bytes(bench.viewPath("old")) == file)
    let out = bench.storage.path + "/out.json"
    #expect(try await bench.run("project", "old", "-o", out).status == 0)
    #expect(try bench.bytes(out) == file)
    #expect(try await bench.notes("old") == ["a", "b"])
  }

  @Test func brokenLegacySession() async throws {
    try await bench.makeLegacy("old", [action("a")])
    try DiskFileSystem().write(Array(#"{"session_id": "old","#.utf8), to: bench.viewPath("old"))
    for command in ["project", "cat", "show"] {
      let result = try await bench.run(command, "old")
      #expect(result.status == 65 && result.errors.contains("old.json, offset 21: this file is no JSON: "), "\(result.errors)")
    }
  }
}
