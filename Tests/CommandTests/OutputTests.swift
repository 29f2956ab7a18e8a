import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Where output goes: to readers that go away, and to terminals, which nothing in a session may steer.
@Suite(.timeLimit(.minutes(10)))
struct OutputTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// Descriptor 4 is a pipe without a reader; SIGPIPE is as a shell leaves it.
  private func withoutReader(_ command: String) async throws -> ProgramResult {
    try await bench.shell("mkfifo pipe; exec 3<>pipe 4>pipe 3<&-; env --default-signal=PIPE \"$C\" \(command) >&4; status=$?; rm pipe; exit $status")
  }

  @Test func readerThatGoesAwayEndsTheOutputQuietly() async throws {
    _ = try await bench.record("s1", (1...20).map { action("\($0)") })
    for command in ["project s1", "cat s1", "show s1", "list", "list --json", "verify", "project s1 --write"] {
      let result = try await withoutReader(command)
      #expect(result.status == 0 && result.errors == "", "\(command): \(result.status) \(result.errors)")
    }
  }

  @Test func readerThatGoesAwayInTheMiddle() async throws {
    _ = try await bench.record("s1", [action(String(repeating: "x", count: 3 << 20)), action("b")])
    for command in ["project s1", "cat s1", "list --json"] {
      let result = try await bench.shell("\"$C\" \(command) | head -c 100; exit ${PIPESTATUS[0]}")
      #expect(result.status == 0 && result.errors == "" && result.output.count == 100, "\(command)")
    }
  }

  /// Nor is one that was closed before the command began.
  @Test func closedOutputIsAnError() async throws {
    _ = try await bench.record("s1", [action("a")])
    for command in ["project s1", "cat s1", "show s1", "list", "verify s1", "path s1"] {
      let result = try await bench.shell("\"$C\" \(command) >&-")
      #expect(
        result.status == (command == "verify s1" ? 3 : 74) && result.errors.contains("standard output is closed"),
        "\(command): \(result.status) \(result.errors)")
    }
    #expect(try await bench.shell("\"$C\" project s1 --write >&-").status == 0)
  }

  /// Not a reader that went away: what was asked for is lost.
  @Test func fullOutputIsAnError() async throws {
    guard try bench.exists("/dev/full") else { return }
    _ = try await bench.record("s1", [action("a")])
    for command in ["project s1", "cat s1", "show s1", "list", "verify s1"] {
      let result = try await bench.shell("\"$C\" \(command) > /dev/full")
      #expect(
        result.errors == "ckprov-log: standard output: cannot write to standard output: No space left on device; make room\n", "\(result.errors)")
      #expect(result.status == (command == "verify s1" ? 3 : 74))
    }
  }

  /// At once or not at all, and nothing beside it.
  @Test(arguments: ["export s1 --format prov-json", "report s1", "project s1"], [("HUP", Int32(129)), ("INT", 130), ("TERM", 143)])
  func signalLeavesNothingBesideTheOutput(_ command: String, _ signal: (name: String, status: Int32)) async throws {
    _ = try bench.file("lines", (1...20_000).map { action("\($0)") + "\n" }.joined())
    let script = """
      "$C" record --label l --kernel-urn u --session-id s1 lines
      # It may have ended before.
      for attempt in {1..50}; do
        echo before > out
        env --default-signal=INT "$C" \(command) -o out & writer=$!
        until compgen -G '.out.*.tmp'; do kill -0 $writer || break; done > /dev/null
        kill -\(signal.name) $writer
        wait $writer; status=$?
        if ((status != 0)); then break; fi
      done
      ls -A; cat out; exit $status
      """
    let result = try await bench.shell(script)
    #expect(result.status == signal.status, "\(result.errors)")
    #expect(result.text == "s1\nlines\nout\nstorage\nbefore\n")
  }

  // MARK: Terminals

  /// What a command with a person before it shows of how far it is, in a terminal of so many columns. In the middle, which a condition of the shell finds
  /// (`isReading`: it has the file of the log open), it is stopped for a second, after which it must say it. On a busy machine it may
  /// have ended before it is stopped: then once more.
  /// - Parameter made: what the command makes, and must not be there before.
  private func progress(_ command: String, in middle: String, columns: Int = 200, made: String = "out") async throws -> [String] {
    let script = """
      isReading() { for file in /proc/$program/fd/*; do [ "$file" -ef storage/sessions/s1.log/*.seg* ] && return; done; return 1; }
      stty cols \(columns)
      \(command) & program=$!
      until \(middle); do kill -0 $program || break; done > /dev/null
      kill -STOP $program; sleep 1; kill -CONT $program; wait
      """
    _ = try bench.file("run", script)
    var shown: [String] = []
    for _ in 0..<20 where shown.isEmpty {
      let result = try await bench.shell("rm -rf \(made); script -qec 'bash run' /dev/null < /dev/null")
      shown = result.text.split(separator: "\r\u{1b}[K").dropFirst().map(String.init)
    }
    return shown
  }

  @Test func progressIsNoWiderThanTheTerminal() async throws {
    _ = try bench.file("lines", (1...20_000).map { action("\($0)") + "\n" }.joined())
    try #require(await bench.shell(#""$C" record --label l --kernel-urn u --session-id s1 lines"#).status == 0)
    for columns in [20, 45, 200] {
      let shown = try await progress("$C export s1 --format prov-json -o out", in: "compgen -G '.out.*.tmp'", columns: columns)
      #expect(!shown.isEmpty && shown.allSatisfy { $0.count <= columns }, "\(shown)")
      if columns == 200 { #expect(shown.allSatisfy { $0.contains(" of 20000 actions printed, ") }, "\(shown)") }
    }
  }

  private static let isMaking = "compgen -G 'storage/sessions/.*'"

  /// One long session among all, where nothing is said as long as it is the first. What is looked for is a pattern for which all of each action is read.
  @Test(arguments: [
    ("import s1.json", isMaking, " MiB of s1.json read"), ("import --all .", isMaking, " of 1 files looked at"),
    ("cat --all -g 'no[n]e'", "isReading", " of 1 sessions read"), ("cat --all -g 'no[n]e' -n 5", "isReading", " of 1 sessions read"),
    ("cat --all -g 'no[n]e' -r", "isReading", " of 1 sessions read"), ("cat s1 -g 'no[n]e'", "isReading", " of 20000 actions read"),
    ("cat s1 -g 'no[n]e' -r", "isReading", " of 20000 actions read"), ("cat s1 -g 'no[n]e' -n 5", "isReading", " of 20000 actions read"),
    ("diff s1 s1 --no-pager", "isReading", " of 40000 actions read"),
  ])
  func progressOfLongWork(_ command: String, middle: String, expected: String) async throws {
    _ = try bench.file("lines", (1...20_000).map { action("\($0)") + "\n" }.joined())
    let isImport = command.hasPrefix("import")
    let made = try await bench.shell(
      #""$C" record --label l --kernel-urn u --session-id s1 lines; \#(isImport ? "mv storage/sessions/s1.json .; rm -r storage" : "")"#)
    try #require(made.status == 0)
    let shown = try await progress("$C \(command) > out", in: middle, made: isImport ? "storage" : "out")
    #expect(shown.contains { $0.hasPrefix("[") && $0.contains(expected) }, "\(shown)")
  }

  private static let steering = "\u{1b}[31m\u{7}\r\u{8}\u{9b}2J\u{85}\u{202e}\u{2066}\u{61c}\u{200f}\u{7f}"

  private func steers(_ text: String) -> Bool {
    text.unicodeScalars.contains {
      $0 != "\n" && ($0.properties.generalCategory == .control || $0.properties.isBidiControl || $0.properties.generalCategory == .lineSeparator)
    }
  }

  @Test func nothingInASessionSteersTheTerminal() async throws {
    let escaped = Self.steering.unicodeScalars.map {
      "\\u" + String(repeating: "0", count: 4 - String($0.value, radix: 16).count) + String($0.value, radix: 16)
    }
    let text = "a" + escaped.joined() + "\\u2028\\nb"
    let line = """
      {"action_type":"\(text)","outcome":"\(text)","kernel":"\(text)","note":"\(text)","before_state":{"\(text)":"\(text)"},"after_state":{"\(text)":1}}
      """
    let arguments = [
      "record", "--label", Self.steering, "--kernel-urn", Self.steering, "--kernel-action", Self.steering, "--session-id", "s1", "--live",
    ]
    let recorded = try await bench.run(arguments, input: Array((line + "\n" + #"{"close":{"outcome":"\#(text)"}}"#).utf8))
    #expect(
      recorded.status == 0 && !steers(recorded.errors) && recorded.errors.contains("a\\x1b[31m\\x07\\x0d\\x08\\x9b2J\\x85\\u202e"),
      "\(recorded.errors)")
    for command in [
      "show s1", "show s1 --failures", "diff s1 s1 --all", "list", "cat s1", "cat s1 -o short", "cat s1 -o short-iso", "cat s1 -o verbose",
      "project s1", "verify", "list --json",
    ] {
      let shown = try await bench.run(command.split(separator: " ").map(String.init), input: [])
      #expect(shown.status == 0 && shown.output.count > 20 && !steers(shown.text), "\(shown.text)")
    }
    #expect(try await bench.run("show", "s1").text.split(separator: "\n").count == 13)
    #expect(try await bench.run("list").text.split(separator: "\n").count == 2)
  }

  @Test func nothingInAFileNameSteersTheTerminal() async throws {
    try await bench.makeLegacy("s1", [action("a")])
    let file = try bench.bytes(bench.viewPath("s1"))
    for name in ["s2\(Self.steering)", "s2\(Self.steering)2"] { try DiskFileSystem().write(file, to: bench.viewPath(name)) }
    let path = "\(bench.storage.path)/\(Self.steering)"
    for arguments in [
      ["list"], ["verify"], ["project", "s2"], ["import", path], newSession("s3") + [path], ["project", "s1", "-o", "\(path)/x"],
      ["project", Self.steering],
      ["record", "--resume", Self.steering], ["--\(Self.steering)"], ["record", "--view", Self.steering], [Self.steering],
    ] {
      let result = try await bench.run(arguments, input: [])
      #expect(result.text.count + result.errors.count > 20)
      #expect(!steers(result.text) && !steers(result.errors), "\(arguments[0]): \(result.errors)")
    }
  }

  @Test func namesInAMessageStayOnOneLine() async throws {
    for name in ["s2\nx", "s2\ny"] {
      try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
      try DiskFileSystem().write([], to: bench.viewPath(name))
    }
    #expect(try await bench.run("cat", "s2").errors == "ckprov-log: 's2' fits 2 sessions; say which: s2\\x0ax, s2\\x0ay\n")
  }
}
