import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// The options of `record`: what they do, and which are usage errors.
@Suite(.timeLimit(.minutes(10)))
struct RecordOptionsTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private static let new = ["--label", "l", "--kernel-urn", "u"]

  @Test func helpSaysWhenOldSessionsStay() async throws {
    let help = try await bench.shell("COLUMNS=400 $C record --help").text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    #expect(help.contains("not where another opening has looked for them within the last minute"))
  }

  @Test(arguments: [
    [], ["--label", "l"], ["--kernel-urn", "u"], ["--resume", "s1", "--label", "l"], ["--resume", "s1", "--kernel-urn", "u"],
    ["--resume", "s1", "--kernel-action", "a"], ["--resume", "s1", "--session-id", "s2"],
    ["--resume", "s1", "--started-at", "2026-03-14T20:00:02.000000Z"], ["--resume", "s1", "--label", "l", "--kernel-urn", "u"],
    new + ["--started-at", "2026-03-14"], new + ["--started-at", "0999-03-14T20:00:02.000000Z"], new + ["--durability", "disk"],
    new + ["--view", "always"], new + ["--retention-hours", "-1"], new + ["--retention-hours", "nan"], new + ["--retention-hours", "inf"],
    new + ["--retention-hours", "soon"], new + ["--colour"], new + ["one", "two"], ["--label"],
  ])
  func usageErrors(_ options: [String]) async throws {
    _ = try await bench.record("s1", [action("a")])
    let before = try bench.bytes(bench.viewPath("s1"))
    let result = try await bench.run(["record"] + options, input: [])
    #expect(result.status == 64)
    #expect(result.text == "")
    // One line that says what is wrong, and where to read more.
    let isLine = result.errors.hasPrefix("ckprov-log: ") && result.errors.hasSuffix(" 'ckprov-log record --help' says more.\n")
    #expect(isLine && result.errors.count { $0 == "\n" } == 1, "\(result.errors)")
    #expect(try bench.names == ["s1.json", "s1.log"])
    #expect(try bench.bytes(bench.viewPath("s1")) == before)
  }

  @Test(arguments: [
    "", ".", "..", ".x", "-x", "../x", "/etc/x", "a/b", "a\nb", "a b", "é", "a\\b", "a\u{1b}[31m", String(repeating: "x", count: 65),
  ])
  func badIds(_ id: String) async throws {
    for arguments in [Self.new + ["--session-id"], ["--resume"]].map({ id.hasPrefix("-") ? $0.dropLast() + ["\($0.last!)=\(id)"] : $0 + [id] }) {
      let result = try await bench.run(["record"] + arguments, input: [])
      #expect(result.status == 64)
      #expect(result.errors.contains("is no session id: use 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot or a dash"), "\(result.errors)")
      #expect(!result.errors.contains("\u{1b}"))
    }
    #expect(try DiskFileSystem().names(in: bench.storage.path) == [])
  }

  @Test(arguments: ["x", "A.b_C-9", "0", String(repeating: "x", count: 64)])
  func goodIds(_ id: String) async throws {
    #expect(try await bench.record(id, [action("a")]).text == "\(id)\n")
    #expect(try await bench.notes(id) == ["a"])
  }

  @Test func headerIsAsGiven() async throws {
    let arguments = [
      "record", "--label", "--é \"l\"", "--kernel-urn", "ckp://Kernel#My.Kernel:v2.0", "--kernel-action", "-do.it", "--session-id", "s1",
      "--started-at",
      "2026-03-14T20:00:02.000500Z", "--no-close",
    ]
    #expect(try await bench.run(arguments, input: []).status == 0)
    let expected = """
      {
        "session_id": "s1",
        "urn": "ckp://Action#My.Kernel/session-1773518402000",
        "label": "--\\u00e9 \\"l\\"",
        "kernel_action": "-do.it",
        "started_at": "2026-03-14T20:00:02.000500Z",
        "was_associated_with": "ckp://Kernel#My.Kernel:v2.0",
        "outcome": "in_progress",
        "kernels_involved": [
          "My.Kernel"
        ],
        "actions": []
      }
      """
    #expect(try await bench.run("project", "s1").text == expected)
  }

  /// By a log, open or closed, and by a session that the reference wrote.
  @Test func takenIds() async throws {
    _ = try await bench.record("open", [action("a")], "--no-close")
    _ = try await bench.record("closed", [action("a")])
    _ = try DiskFileSystem().write(Array("{}".utf8), to: bench.viewPath("legacy"))
    for id in ["open", "closed", "legacy"] {
      let result = try await bench.run(newSession(id), input: [])
      #expect(result.status == 73 && result.text == "")
      #expect(result.errors.contains("session '\(id)' exists already; choose another id, or resume it"), "\(result.errors)")
    }
    #expect(try await bench.notes("open") == ["a"])
    #expect(try bench.bytes(bench.viewPath("legacy")) == Array("{}".utf8))
  }

  @Test(arguments: [("auto", true), ("close", true), ("never", false)])
  func view(_ choice: String, isWritten: Bool) async throws {
    #expect(try await bench.record("s1", [action("a")], "--view", choice).status == 0)
    #expect(try bench.exists(bench.viewPath("s1")) == isWritten)
    #expect(try await bench.outcome("s1") == "complete")
  }

  /// The lines that the reference's `_emit_live` prints, with control characters made visible.
  @Test func liveLines() async throws {
    let lines = [
      #"{"action_type":"deploy","outcome":"verified","generated_at":"2026-03-14T20:00:02.123456Z","note":"é"}"#,
      #"{"action_type":"deploy","outcome":"retry","attempt":2,"generated_at":"2026-03-14T20:00:02.999999Z","note":"a\nb\u001b"}"#,
    ]
    let result = try await bench.record("s1", lines, "--live", "--ack")
    let start = "CK.Test                  deploy                  "
    #expect(result.errors == "[20:00:02.123] \(start) + verified é\n[20:00:02.999] \(start) ~ retry    a\\x0ab\\x1b (attempt 2)\n")
    #expect(result.text == "s1\n1\n2\n")
  }

  // MARK: Retention

  @Test func retentionRemovesWhatWasLastWrittenLongAgo() async throws {
    for id in ["old", "new"] { _ = try await bench.record(id, [action("a")]) }
    for name in ["legacy-old", "legacy-new"] { try DiskFileSystem().write(Array("{}".utf8), to: bench.viewPath(name)) }
    let bench = bench
    _ = try await bench.recording(newSession("living")) { record in
      _ = try await record.line()
      for path in ["old.json", "legacy-old.json"] { try age("\(bench.sessions)/\(path)") }
      for id in ["old", "living"] {
        for name in try DiskFileSystem().names(in: bench.logPath(id)) { try age("\(bench.logPath(id))/\(name)") }
      }
      #expect(try await bench.run(newSession("s1"), input: []).status == 0)
      #expect(try bench.names.count == 9)
      #expect(try await bench.run(newSession("s2") + ["--retention-hours", "never"], input: []).status == 0)
      #expect(try bench.names.count == 11)
      #expect(try await bench.run(newSession("s3") + ["--retention-hours", "47.5"], input: []).status == 0)
    }
    let left = ["legacy-new.json", "living.json", "living.log", "new.json", "new.log", "s1.json", "s1.log", "s2.json", "s2.log", "s3.json", "s3.log"]
    #expect(try bench.names == left)
  }

  /// Makes a file look as if it was written 48 hours ago.
  private func age(_ path: String) throws {
    try DiskFileSystem().setModificationTime(of: path, to: (currentTime().microseconds - 48 * 3_600_000_000) * 1000)
  }

  /// Nothing else would become of it without a word.
  @Test(arguments: [
    #""$C" record --label $'caf\xe9' --kernel-urn u"#, #""$C" list --storage-dir $'caf\xe9'"#, #"CKPROV_STORAGE_DIR=$'caf\xe9' "$C" list"#,
  ])
  func textThatIsNotUTF8IsRefused(_ command: String) async throws {
    let result = try await bench.shell(command)
    #expect(result.status == 64 && result.text == "" && result.errors.contains("is not UTF-8"), "\(result.errors)")
    #expect(try DiskFileSystem().names(in: bench.storage.path) == [])
  }
}
