import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What `cat` prints of what, and how.
@Suite(.timeLimit(.minutes(10)))
struct CatTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private static let lines = [
    #"{"action_type":"deploy.apply","outcome":"verified","kernel":"CK.Task","generated_at":"2026-03-14T20:00:01.000000Z","note":"first","#
      + #""intent":{"target":"prod","a.b":{"c":[10,{"d":null}]},"n":1.0}}"#,
    #"{"action_type":"deploy.apply","outcome":"failed","generated_at":"2026-03-14T20:00:02.000000Z","note":"Timed Out","attempt":2,"#
      + #""intent":{"target":"test"}}"#,
    #"{"action_type":"rollback","outcome":"retry","generated_at":"2026-03-14T20:00:03.500000Z","before_state":{"v":1},"#
      + #""after_state":{"v":2,"text":"caf\u00e9, \u001b[2J"}}"#,
    #"{"action_type":"rollback","outcome":"verified","generated_at":"2026-12-04T20:00:04.000000Z","intent":{"target":"prod"}}"#,
  ]

  /// Seqs of what is printed.
  private func seqs(_ arguments: String...) async throws -> [Int64] { try await seqs(arguments) }

  private func seqs(_ arguments: [String]) async throws -> [Int64] {
    let result = try await bench.run(["cat"] + arguments, input: [])
    #expect(result.status == 0 && result.errors == "", "\(arguments): \(result.errors)")
    return try result.text.split(separator: "\n").map { try json(Array($0.utf8))["seq"].integer }
  }

  private func record(_ id: String = "s1") async throws {
    try #require(await bench.record(id, Self.lines).status == 0)
  }

  @Test(arguments: [false, true])
  func matches(isLegacy: Bool) async throws {
    try await record()
    if isLegacy { try #require(await runProgram("rm", ["-r", bench.logPath("s1")]).status == 0) }
    let cases: [([String], [Int64])] = [
      (["outcome=verified"], [1, 4]), (["outcome=verified", "outcome=failed"], [1, 2, 4]), (["outcome=verified", "intent.target=prod"], [1, 4]),
      (["outcome=failed", "intent.target=prod"], []), (["intent.target=test"], [2]), (["attempt=2"], [2]), (["intent.n=1.0"], [1]),
      (["intent.n=1"], []),
      (["intent.a.b.c.0=10"], [1]), (["intent.a.b.c=[10,{}]"], [1]), (["intent.a.b.c.2=10"], []), (["kernel=CK.Task"], [1]),
      (["kernel=ckp://Kernel#CK.Task:v1.0"], [1]), (["nothing="], []), (["note="], [3, 4]), (["after_state.text=café, \u{1B}[2J"], [3]),
      (["seq=3", "seq=1"], [1, 3]), (["note=Timed Out"], [2]), (["note=timed out"], []), (["intent.a.b.c.1.d=null"], []),
    ]
    for (matches, expected) in cases {
      #expect(try await seqs(["s1"] + matches) == expected, "\(matches)")
    }
    for match in ["outcome", "=x", ""] {
      let result = try await bench.run("cat", "s1", match)
      #expect(result.status == 64 && result.errors.contains("is no match; give FIELD=VALUE"), "\(result.errors)")
    }
  }

  @Test func grep() async throws {
    try await record()
    let cases: [(String, [Int64])] = [
      ("timed.out", [2]), ("Timed.out", []), ("^test$", [2]), ("café", [3]), ("^(prod|test)$", [1, 2, 4]), ("target", []), ("-apply", []),
      ("apply$", [1, 2]),
    ]
    for (pattern, expected) in cases {
      #expect(try await seqs("s1", "-g", pattern) == expected, "\(pattern)")
    }
    #expect(try await seqs("s1", "--grep", "prod", "outcome=verified", "--from-seq", "2") == [4])
    let bad = try await bench.run("cat", "s1", "-g", "(")
    #expect(bad.status == 64 && bad.errors.contains("'(' is no regular expression"), "\(bad.errors)")
  }

  /// What fits is the control character; help says so.
  @Test func whatVerboseEscapesIsNoMatch() async throws {
    try await record()
    #expect(try await bench.run("cat", "s1", "-o", "verbose").text.contains(#"after_state.text=café, \x1b[2J"#))
    #expect(try await seqs("s1", #"after_state.text=café, \x1b[2J"#) == [])
    let help = try await bench.shell("COLUMNS=400 $C cat --help").text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    #expect(help.contains("but shows control characters as escapes, which no match undoes"))
  }

  /// What is looked for in the JSON before it is read must not hide what fits.
  @Test(
    arguments: [
      ("kelvin", [1]), ("Kelvin", []), ("KELVIN", []), ("elvin", [1]), (#"a"b"#, [2]), (#"b\\c"#, [2]), ("c/d", [2]), ("^say a", [2]),
      ("xyz*", [3, 4]), ("xyz?", [3, 4]), ("xyz+", [4]), ("xyz*?!", [4]), ("x+y", [3, 4]), ("xq*y", [3, 4]), ("x.z", [4]), ("XY", [4]),
      ("xy", [3, 4]), ("x{1}y", [3, 4]), ("zz|y", [2, 3, 4]), ("e\u{301}*", [1, 2, 3, 4, 5, 6]), ("é", [5]), ("caf.", [5]), ("~", [6]),
      ("\u{7F}", [6]), ("*", nil), (".*", [1, 2, 3, 4, 5, 6]),
    ] as [(String, [Int64]?)])
  func grepFindsAllThatFits(_ pattern: String, _ expected: [Int64]?) async throws {
    let notes = [#"\u212aelvin e"#, #"say a\"b\\c/d e"#, "e xy", "eXYZ!", #"caf\u00e9"#, #"~\u007f"#]
    _ = try await bench.record("s", notes.map { #"{"action_type":"-","outcome":"-","note":"\#($0)"}"# })
    guard let expected else { return #expect(try await bench.run("cat", "s", "-g", pattern).status == 64) }
    #expect(try await seqs("s", "-g", pattern) == expected)
  }

  @Test func reverseAndLast() async throws {
    try await record()
    #expect(try await seqs("-r", "s1") == [4, 3, 2, 1])
    #expect(try await seqs("-r", "-n", "2", "s1") == [4, 3])
    #expect(try await seqs("-n", "1", "s1", "outcome=verified") == [4])
    #expect(try await seqs("-n", "2", "s1", "outcome=verified") == [1, 4])
    #expect(try await seqs("-r", "s1", "action_type=deploy.apply") == [2, 1])
    #expect(try await seqs("-r", "--to-seq", "3", "--from-seq", "2", "s1") == [3, 2])
    #expect(try await seqs("-n", "0", "s1") == [])
    try await record("long")
    let lines = (0..<3000).map { action("\($0) \(String(repeating: "x", count: $0 % 1000 == 0 ? 5_000_000 : 10))") }
    let recording = ["record", "--resume", "long", "--segment-size", "1M"]
    try #require(await bench.run(recording, input: Array(lines.joined(separator: "\n").utf8)).status == 0)
    #expect(try await seqs("-r", "long") == (1...3004).reversed())
  }

  @Test func allSessions() async throws {
    for (id, second) in [("b", 2), ("c", 3), ("a", 1)] {
      let lines = [action(id + "1"), action(id + "2", outcome: "failed")]
      try #require(await bench.record(id, lines, "--started-at", "2026-03-14T20:00:0\(second).000000Z").status == 0)
    }
    try #require(await runProgram("rm", ["-r", bench.logPath("b")]).status == 0)
    func notes(_ arguments: String...) async throws -> [String] {
      let result = try await bench.run(["cat", "--all"] + arguments, input: [])
      #expect(result.status == 0 && result.errors == "", "\(result.errors)")
      return try result.text.split(separator: "\n").map { line in
        let action = try json(Array(line.utf8))
        #expect(line.hasPrefix("{\"session_id\":\"\(action["session_id"].text)\",\"seq\":"))
        #expect(action["note"].text.hasPrefix(action["session_id"].text))
        return action["note"].text
      }
    }
    #expect(try await notes() == ["a1", "a2", "b1", "b2", "c1", "c2"])
    #expect(try await notes("-r") == ["c2", "c1", "b2", "b1", "a2", "a1"])
    #expect(try await notes("outcome=failed") == ["a2", "b2", "c2"])
    #expect(try await notes("session_id=c", "session_id=a", "outcome=failed") == ["a2", "c2"])
    #expect(try await notes("-n", "3") == ["b2", "c1", "c2"])
    #expect(try await notes("-n", "2", "outcome=failed") == ["b2", "c2"])
    #expect(try await notes("-n", "3", "-r") == ["c2", "c1", "b2"])
  }

  /// What is damaged in one session keeps nobody from the others.
  @Test func aDamagedSessionAmongAll() async throws {
    for (number, id) in ["a", "b", "c"].enumerated() {
      let lines = [action(id + "1"), action(id + "2")]
      try #require(await bench.record(id, lines, "--started-at", "2026-03-14T20:00:0\(number).000000Z").status == 0)
    }
    try bench.damage("b", actionWithNote: "b2")
    for (arguments, expected) in [([], ["a1", "a2", "b1", "c1", "c2"]), (["-r"], ["c2", "c1", "a2", "a1"]), (["-n", "3"], ["a2", "c1", "c2"])] {
      let result = try await bench.run(["cat", "--all"] + arguments, input: [])
      #expect(
        result.status == 65 && result.errors.contains("b.log/") && result.errors.split(separator: "\n").count == 1, "\(arguments): \(result.errors)")
      #expect(try result.text.split(separator: "\n").map { try json(Array($0.utf8))["note"].text } == expected, "\(arguments)")
    }
  }

  @Test func formats() async throws {
    try await record()
    func printed(_ arguments: String...) async throws -> String {
      let result = try await bench.run(["cat", "s1"] + arguments, input: [])
      #expect(result.status == 0 && result.errors == "", "\(result.errors)")
      return result.text
    }
    let plain = try await printed()
    #expect(try await printed("-o", "json") == plain)
    #expect(try await printed("-o", "json-seq") == plain.split(separator: "\n").map { "\u{1E}\($0)\n" }.joined())
    let pretty = try await printed("-o", "json-pretty", "seq=2", "--output-fields", "seq,intent.target,nothing")
    #expect(pretty == "{\n  \"seq\": 2,\n  \"intent.target\": \"test\"\n}\n")
    #expect(try await printed("--output-fields", "outcome,seq", "-n", "1") == "{\"outcome\":\"verified\",\"seq\":4}\n")
    #expect(
      try await printed("-o", "short") == """
        Mar 14 20:00:01 CK.Task deploy.apply[1]: verified: first
        Mar 14 20:00:02 CK.Test deploy.apply[2]: failed (attempt 2): Timed Out
        Mar 14 20:00:03 CK.Test rollback[3]: retry: text: None -> café, \\x1b[2J | v: 1 -> 2
        Dec 04 20:00:04 CK.Test rollback[4]: verified

        """)
    #expect(try await printed("-o", "short-iso", "seq=2") == "2026-03-14T20:00:02.000000Z CK.Test deploy.apply[2]: failed (attempt 2): Timed Out\n")
    #expect(
      try await printed("-o", "csv", "--output-fields", "seq,note,intent.target,after_state,session_id") == """
        seq,note,intent.target,after_state,session_id\r
        1,first,prod,,s1\r
        2,Timed Out,test,,s1\r
        3,,,"{""v"":2,""text"":""caf\\u00e9, \\u001b[2J""}",s1\r
        4,,prod,,s1\r

        """)
    #expect(try await printed("-o", "csv") == bench.run("export", "s1", "--format", "csv").text)
    for option in ["-o", "--output"] { #expect(try await bench.run("cat", "s1", option, "xml").status == 64) }
    #expect(try await bench.run("cat", "s1", "-o", "short", "--output-fields", "seq").status == 64)
  }

  /// Each line of an action is a match that fits it.
  @Test func verboseLinesAreMatches() async throws {
    try await record()
    let text = try await bench.run("cat", "s1", "-o", "verbose", "--to-seq", "2").text
    #expect(text.hasPrefix("2026-03-14T20:00:01.000000Z [1]\n    seq=1\n    action_type=deploy.apply\n"))
    #expect(text.contains("\n\n2026-03-14T20:00:02.000000Z [2]\n"))
    for (number, action) in text.split(separator: "\n\n").enumerated() {
      let matches = action.split(separator: "\n").dropFirst().map { String($0.dropFirst(4)) }
      #expect(matches.count > 8)
      #expect(try await seqs(["s1"] + matches) == [Int64(number) + 1], "\(matches)")
    }
    #expect(try await !bench.run("cat", "s1", "-o", "verbose").text.contains("\u{1B}"))
  }

  /// As in journalctl, git log and tail.
  @Test func valuesThatAreJoined() async throws {
    try await record()
    #expect(try await bench.run("cat", "s1", "-n1", "-ojson").text == bench.run("cat", "s1", "-n", "1", "-o", "json").text)
    #expect(try await seqs("s1", "-n2") == [3, 4])
  }

  /// Two fields that look the same are two.
  @Test func fieldsAreComparedByTheirCodePoints() async throws {
    _ = try await bench.record("s", [#"{"action_type":"t","outcome":"verified","intent":{"\u00e9":1,"e\u0301":2}}"#])
    #expect(try await seqs("s", "intent.\u{e9}=1", "intent.e\u{301}=2") == [1])
    #expect(try await seqs("s", "intent.\u{e9}=1", "intent.e\u{301}=1") == [])
  }

  /// A part of a month, a day or an hour is no time: it once was another one.
  @Test(arguments: [
    "2026-1", "2026-03-1", "2026-03-14T1", "2026-03-14T20:0", "2026-03-14T20:00:0", "2026-03-14T20:00:02.", "-0x10h", "-1e1s", "-", "-h",
  ])
  func unfinishedTimes(_ time: String) async throws {
    for option in ["--since", "--until"] {
      let result = try await bench.run("cat", "--all", option, time)
      #expect(result.status == 64 && result.errors.contains("give a time as"), "\(result.errors)")
    }
  }

  @Test func aSessionThatIsNoLogIsNotFollowed() async throws {
    try await bench.makeLegacy("s", [action("a")])
    #expect(try await bench.run("cat", "-f", "s").status == 0)
    try await bench.makeLegacy("open", [action("a")])
    let open = try String(decoding: bench.bytes(bench.viewPath("open")), as: UTF8.self).replacing(/"ended_at": "[^"]*"/, with: #""ended_at": null"#)
    try DiskFileSystem().write(Array(open.utf8), to: bench.viewPath("open"))
    let result = try await bench.run("cat", "-f", "open")
    #expect(result.status == 65 && result.text == "" && result.errors.contains("'ckprov-log import' makes a log of it"), "\(result.errors)")
  }

  @Test func cursorFileGoesOn() async throws {
    try await record()
    let file = bench.storage.path + "/cursor"
    #expect(try await seqs("s1", "--cursor-file", file, "--to-seq", "2") == [1, 2])
    #expect(try String(decoding: bench.bytes(file), as: UTF8.self) == "{\"s1\":2}\n")
    #expect(try await seqs("s1", "--cursor-file", file, "outcome=failed") == [])
    #expect(try String(decoding: bench.bytes(file), as: UTF8.self) == "{\"s1\":4}\n")
    try #require(await bench.run("record", "--resume", "s1", "--no-close", input: action("e")).status == 0)
    try await record("s2")
    #expect(try await seqs("--all", "--cursor-file", file) == [5, 1, 2, 3, 4])
    #expect(try await seqs("--all", "--cursor-file", file) == [])
    let followed = try await bench.recording(["cat", "-f", "--cursor-file", file, "s1"]) { program in
      try #require(await bench.run("record", "--resume", "s1", "--no-close", input: action("f")).status == 0)
      #expect(try await program.line()?.contains("\"seq\":6,") == true)
      while try String(decoding: bench.bytes(file), as: UTF8.self) != "{\"s1\":6,\"s2\":4}\n" { try await Task.sleep(for: .milliseconds(5)) }
      try program.kill()
    }
    #expect(followed.status != 0)
    let nowhere = try await bench.run("cat", "s1", "--cursor-file", bench.storage.path + "/none/cursor")
    #expect(nowhere.status == 66 && nowhere.text == "" && nowhere.errors.contains("/none"), "\(nowhere)")
    for content in ["[1]", "{\"s1\":\"x\"}", "no", "{"] {
      try DiskFileSystem().write(Array(content.utf8), to: file)
      let result = try await bench.run("cat", "s1", "--cursor-file", file)
      #expect(result.status == 65 && result.text == "" && result.errors.contains("this is no cursor file"), "\(result.errors)")
      #expect(try bench.bytes(file) == Array(content.utf8))
    }
  }

  @Test(
    arguments: ["-f -r s", "--cursor-file c -n 1 s", "--cursor-file c -r s", "", "outcome=failed"].map {
      $0.split(separator: " ").map(String.init)
    })
  func whatDoesNotGoTogether(_ arguments: [String]) async throws {
    #expect(try await bench.run(["cat"] + arguments, input: []).status == 64)
  }
}
