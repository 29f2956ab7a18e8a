import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `compact`, what `record` seals, and `cat` of a part.
@Suite(.timeLimit(.minutes(10)))
struct CompactTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private func files(_ id: String) throws -> [String] { try DiskFileSystem().names(in: bench.logPath(id)).filter { $0 != "lock" }.sorted() }

  @Test func recordSealsWhatItCloses() async throws {
    let lines = (1...300).map { action("\($0) " + String(repeating: "x", count: 500)) }
    #expect(try await bench.record("s1", lines).status == 0)
    #expect(try files("s1") == ["00000000000000000000.seg.lz4"])
    #expect(try await bench.run("project", "s1").output == bench.bytes(bench.viewPath("s1")))
    // Ten actions are not worth it.
    #expect(try await bench.record("s2", Array(lines.prefix(10))).status == 0)
    #expect(try files("s2") == ["00000000000000000000.seg"])
    let size = try bench.size("\(bench.logPath("s2"))/00000000000000000000.seg")
    let plan = try await bench.run("compact", "--dry-run")
    #expect(plan.status == 0 && plan.text == "s2  1 file, \(String(format(size))): would become 1 file\n", "\(plan.text)")
    let done = try await bench.run("compact", "s2", "s1")
    #expect(done.status == 0 && done.text.wholeMatch(of: /s2  1 file, .* -> 1 file, .*\ns1  nothing to do\n/) != nil, "\(done.text)")
    #expect(try files("s2") == ["00000000000000000000.seg.lz4"])
    #expect(try await bench.run("compact", "--level", "9").text.hasPrefix("s1  1 file, "))
    #expect(try await bench.run("verify", "--deep").status == 0)
    #expect(try await bench.run("project", "s1").output == bench.bytes(bench.viewPath("s1")))
  }

  private func format(_ size: UInt64) -> String { "\(size / 1024).\((size % 1024 * 10 + 512) / 1024) KiB" }

  /// All its work is in vain then, which is not that there was none.
  @Test func aWriterThatGoesOnMeanwhile() async throws {
    _ = try bench.file("lines", (1...20_000).map { action("\($0)") + "\n" }.joined())
    let script = """
      # It may have ended before it is stopped.
      for attempt in {1..50}; do
        rm -rf storage
        "$C" record --label l --kernel-urn u --session-id s1 --no-close lines && "$C" close s1
        "$C" compact s1 > said & compact=$!
        until compgen -G 'storage/sessions/s1.log/.*.lz4.tmp'; do kill -0 $compact || break; done
        kill -STOP $compact; echo '\(action("a"))' | "$C" record --resume s1 --no-close; kill -CONT $compact
        wait $compact; status=$?
        if ! grep -q ' -> ' said; then break; fi
      done 2> /dev/null
      cat said >&2; exit $status
      """
    let result = try await bench.shell(script)
    #expect(result.status == 0 && result.errors == "s1  2 files left as before: a writer went on with the session meanwhile\n", "\(result.errors)")
    #expect(try await bench.run("verify", "s1").text.contains("  clean  20001 actions"))
  }

  @Test func anotherCompactionKeepsItAway() async throws {
    _ = try await bench.record("s1", [action("a")])
    let log = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).log(of: try SessionID("s1"))
    let lock = try LogLock(.maintainer, of: log)
    let result = try await bench.run("compact", "s1")
    #expect(result.status == 75, "\(result.errors)")
    #expect(result.errors == "ckprov-log: \(log.path): locked: another maintainer is at work on this session; wait for it, or end it\n")
    withExtendedLifetime(lock) {}
  }

  @Test func badRequests() async throws {
    #expect(try await bench.run("compact", "none").status == 66)
    #expect(try await bench.run("compact", "--level", "13").status == 64)
    try await bench.makeLegacy("old", [action("a")])
    let legacy = try await bench.run("compact", "old")
    #expect(legacy.status == 66 && legacy.errors.contains("'ckprov-log import' makes one of this file"), "\(legacy.errors)")
    try await bench.recordTwice("s1", [action("a")], [action("b")])
    try bench.damage("s1", actionWithNote: "a")
    _ = try await bench.record("s2", [action("c")])
    let result = try await bench.run("compact")
    // The others are done.
    #expect(result.status == 65 && result.errors.contains("s1.log/00000000000000000000.seg"), "\(result.errors)")
    #expect(try files("s2") == ["00000000000000000000.seg.lz4"] && files("s1").allSatisfy { $0.hasSuffix(".seg") })
  }

  @Test func partOfASession() async throws {
    let lines = (1...9).map { #"{"action_type":"t","outcome":"verified","note":"\#($0)","generated_at":"2026-02-0\#($0)T12:00:00.000000Z"}"# }
    _ = try await bench.record("s1", lines)
    try await bench.makeLegacy("old", lines)
    for id in ["s1", "old"] {
      func notes(_ options: String...) async throws -> String {
        let result = try await bench.run(["cat", id] + options, input: [])
        #expect(result.status == 0, "\(result.errors)")
        return try result.output.split(separator: 0x0A).map { try json(Array($0))["note"].text }.joined()
      }
      #expect(try await notes("--from-seq", "3", "--to-seq", "5") == "345")
      #expect(try await notes("--from-seq", "8") == "89")
      #expect(try await notes("--to-seq", "2") == "12")
      #expect(try await notes("--since", "2026-02-03", "--until", "2026-02-05") == "345")
      #expect(try await notes("--since", "2026-02-08T12:00:00.000000Z") == "89")
      #expect(try await notes("--since", "2026-02-08T12:00:01Z") == "9")
      #expect(try await notes("--until", "2026-02-02T12") == "12")
      #expect(try await notes("--until", "2026-02", "--from-seq", "9") == "9")
      #expect(try await notes("--since", "2027") == "")
      #expect(try await notes("-n", "2") == "89")
      #expect(try await notes("--lines", "0") == "")
      #expect(try await notes("--lines", "9223372036854775807") == "123456789")
      #expect(try await notes("-n", "2", "--until", "2026-02-05") == "45")
      #expect(try await notes("-n", "2", "--from-seq", "9") == "9")
      #expect(try await notes("-n", "0", "--to-seq", "4") == "")
      #expect(try await notes("-n", "3", "--to-seq", "4", "--since", "2026-02-04") == "4")
      #expect(try await notes("--until", "yesterday", "--from-seq", "8") == "89")
      #expect(try await notes("--since", "-1h") == "")
      #expect(try await notes("--until", "-1.5d", "--from-seq", "8") == "89")
      #expect(try await notes("--since", "today", "--until", "now") == "")
    }
    for wrong in [
      "--lines -1", "--since then", "--since -2x", "--since -h", "--since --2h", "--since -1e99h", "--until tomorrow", "--since 2026-13",
      "--from-seq 2 --to-seq 1", "--since 2026-02-02 --until 2026-02-01",
    ] {
      #expect(try await bench.run(["cat", "s1"] + wrong.split(separator: " ").map(String.init), input: []).status == 64, "\(wrong)")
    }
  }

  /// A killed writer leaves its files as they are, for a compaction once the session is closed.
  @Test func killedWriterLeavesItToCompact() async throws {
    _ = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write((1...500).map { action("\($0)") + "\n" }.joined())
      while try await record.line() != "500" {}
      try record.kill()
    }
    #expect(try await bench.run("compact", "s1").text == "s1  nothing to do\n")
    #expect(try await bench.run("record", "--resume", "s1").status == 0)
    // If all was synced by then, what the resume wrote was not worth a seal.
    #expect(try await bench.run("compact").status == 0)
    #expect(try files("s1").filter { !$0.hasPrefix(".") } == ["00000000000000000000.seg.lz4"])
    #expect(try await bench.notes("s1") == (1...500).map(String.init))
  }
}
