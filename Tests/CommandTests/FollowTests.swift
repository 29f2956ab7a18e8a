import ProvenanceLog
import TestSupport
import Testing

/// `cat --follow`.
@Suite(.timeLimit(.minutes(10)))
struct FollowTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private func note(_ line: String?) throws -> String { try json(Array(#require(line).utf8))["note"].text }

  /// Through new segments, sealing, a compaction, the death of a writer and a resume.
  @Test func followsUntilTheSessionIsClosed() async throws {
    try #require(await bench.record("s1", [action("1")], "--no-close").status == 0)
    let followed = try await bench.recording(["cat", "-f", "s1"]) { program in
      #expect(try await note(program.line()) == "1")
      var count = 1
      for _ in 0..<3 {
        let lines = (0..<200).map { action("\(count + 1 + $0) \(String(repeating: "x", count: 400))") }
        let recording = ["record", "--resume", "s1", "--no-close", "--segment-size", "16K"]
        try #require(await bench.run(recording, input: Array(lines.map { $0 + "\n" }.joined().utf8)).status == 0)
        try #require(await bench.run("compact", "s1").status == 0)
        for _ in lines {
          count += 1
          #expect(try await note(program.line()).hasPrefix("\(count) "))
        }
      }
      let writer = try await bench.recording(["record", "--resume", "s1", "--ack"]) { writer in
        try await writer.write(action("last") + "\n")
        #expect(try await note(program.line()) == "last")
        try writer.kill()
      }
      #expect(writer.status != 0)
      try #require(await bench.run("close", "s1").status == 0)
      #expect(try await program.line() == nil)
    }
    #expect(followed.status == 0 && followed.errors == "", "\(followed.errors)")
  }

  @Test func aSessionThatIsRemovedMeanwhile() async throws {
    try #require(await bench.record("s1", [action("1")], "--no-close").status == 0)
    let bench = bench
    let result = try await bench.recording(["cat", "--follow", "s1"]) { follower in
      #expect(try await note(follower.line()) == "1")
      try #require(await bench.run("rm", "s1").status == 0)
      #expect(try await follower.line() == nil)
    }
    #expect(result.status == 66 && result.errors == "ckprov-log: session 's1' was removed meanwhile; 'ckprov-log list' shows what is there\n")
  }

  @Test func aClosedSessionIsPrinted() async throws {
    try #require(await bench.record("s1", [action("1"), action("2")]).status == 0)
    #expect(try await bench.run("cat", "--follow", "s1").output == bench.run("cat", "s1").output)
    #expect(try await bench.run("cat", "--follow", "--from-seq", "2", "s1").output == bench.run("cat", "--from-seq", "2", "s1").output)
  }

  @Test func lastLinesAndWhatComesThen() async throws {
    try #require(await bench.record("s1", (1...5).map { action("\($0)") }, "--no-close").status == 0)
    let followed = try await bench.recording(["cat", "-f", "-n", "2", "s1"]) { program in
      for expected in ["4", "5"] { #expect(try await note(program.line()) == expected) }
      try #require(await bench.run("record", "--resume", "s1", "--no-close", input: action("6")).status == 0)
      #expect(try await note(program.line()) == "6")
      try program.terminate()
    }
    #expect(followed.status != 0)
  }

  @Test func endsBehindTheLastSeqThatIsWanted() async throws {
    try #require(await bench.record("s1", (1...3).map { action("\($0)") }, "--no-close").status == 0)
    #expect(try await bench.run("cat", "--follow", "--to-seq", "2", "s1").output == bench.run("cat", "--to-seq", "2", "s1").output)
  }

  /// A reader that goes away ends it, though nothing is recorded.
  @Test func endsWithItsReader() async throws {
    try #require(await bench.record("s1", [action("1")], "--no-close").status == 0)
    let result = try await bench.shell("timeout 60 $C cat --follow s1 | head -n 1; echo ${PIPESTATUS[0]}")
    #expect(result.text.hasSuffix("\n0\n"), "\(result.text)")
  }

  // MARK: All sessions

  /// What is there, then what comes in sessions that were open, that are taken up again, and that are new.
  @Test(arguments: [[], ["-n", "1"]])
  func followsAllSessions(_ options: [String]) async throws {
    try #require(await bench.record("closed", [action("c1")], "--view", "never").status == 0)
    try #require(await bench.record("open", [action("o1")], "--no-close", "--view", "never").status == 0)
    let bench = bench
    let followed = try await bench.recording(["cat", "--all", "-f", "-o", "json"] + options) { program in
      func expect(_ notes: String...) async throws {
        for note in notes {
          let line = try #require(try await program.line())
          #expect(try json(Array(line.utf8))["note"].text == note)
        }
      }
      if options.isEmpty { try await expect("c1") }
      try await expect("o1")
      try #require(await bench.run("record", "--resume", "open", "--view", "never", input: action("o2") + "\n" + action("o3")).status == 0)
      try await expect("o2", "o3")
      _ = try await bench.recording(newSession("new") + ["--ack", "--view", "never"]) { writer in
        #expect(try await writer.line() == "new")
        for number in 1...3 {
          try await writer.write(action("n\(number)") + "\n")
          try await expect("n\(number)")
        }
      }
      try #require(await bench.run("record", "--resume", "closed", "--view", "never", input: action("c2")).status == 0)
      try await expect("c2")
      try #require(await bench.run("rm", "open").status == 0)
      try #require(await bench.record("last", [action("l1")]).status == 0)
      try await expect("l1")
      try program.terminate()
    }
    #expect(followed.status != 0 && followed.errors == "", "\(followed.errors)")
  }

  /// Where the system watches no directories, they are looked at now and then.
  @Test(arguments: [["project", "--follow", "--all"], ["cat", "--follow", "--all"]])
  func withoutWatches(_ arguments: [String]) async throws {
    guard try await bench.shell("command -v strace").status == 0 else {
      print("SKIPPED: without strace nothing can be made to fail")
      return
    }
    try #require(await bench.record("s1", [action("1")], "--no-close", "--view", "never").status == 0)
    for call in ["inotify_add_watch", "inotify_init1"] {
      let script = """
        wait_for() { for _ in $(seq 600); do if grep -q "$1" out "\(bench.viewPath("s1"))" 2> /dev/null; then return; fi; sleep 0.1; done; exit 9; }
        strace -f -qq -o trace -e inject=\(call):error=ENOSPC sh -c 'echo $$ > pid; exec "$@"' - "$C" \(arguments.joined(separator: " ")) > out & tracer=$!
        wait_for '"note": *"1"'
        sleep 3 # longer than what was written just now is looked at again anyway
        echo '\(action("\(call)"))' | "$C" record --resume s1 --no-close --view never > resumed
        wait_for '"note": *"\(call)"'
        kill $(cat pid); wait $tracer; rm -f "\(bench.viewPath("s1"))"
        grep -q ENOSPC trace
        """
      let result = try await bench.shell(script)
      #expect(result.status == 0, "\(call): \(result.status) \(result.errors)")
    }
  }
}
