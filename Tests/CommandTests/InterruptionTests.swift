import ProvenanceLog
import TestSupport
import Testing

/// `record` that is stopped, killed, or left without a reader: what was read is kept, and the session can be resumed.
@Suite(.timeLimit(.minutes(10)))
struct InterruptionTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test(arguments: [("interrupt", 130), ("terminate", 143)])
  func signalKeepsWhatWasRead(_ signal: String, status: Int32) async throws {
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write(action("a") + "\n" + action("b") + "\nunfinished")
      #expect(try await record.line() == "1")
      #expect(try await record.line() == "2")
      if signal == "interrupt" { try record.interrupt() } else { try record.terminate() }
      // It ends by the signal, not by the end of its input.
      let end = try await record.line()
      #expect(end == nil)
    }
    #expect(result.status == status)
    let message = "ckprov-log: stopped; session s1 stays open for --resume; 10 bytes of an unfinished line were not recorded\n"
    #expect(result.errors == message)
    #expect(try await bench.outcome("s1") == "in_progress")
    #expect(try await bench.run("verify", "s1").status == 0)
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("c")).text == "s1\n3\n")
    #expect(try await bench.notes("s1") == ["a", "b", "c"])
  }

  /// Who stops it often ends its input in the same moment: it is the signal that counts, and a line without its end is none.
  @Test(arguments: [("INT", 130), ("TERM", 143)])
  func signalAtTheEndOfTheInput(_ signal: String, status: Int32) async throws {
    for (round, rest) in ["", "", "", "unfinished", action("b")].enumerated() {
      let script = """
        mkfifo pipe\(round); exec 3<>pipe\(round) 4>pipe\(round)
        env --default-signal=INT "$C" record --label l --kernel-urn u --session-id s\(round) --ack < pipe\(round) > output 3<&- 4>&- & writer=$!
        exec 3<&-; echo '\(action("a"))' >&4
        until [ "$(cat output 2> /dev/null)" = $'s\(round)\n1' ]; do kill -0 $writer || break; sleep 0.01; done
        printf %s '\(rest)' >&4; kill -\(signal) $writer; exec 4>&-
        wait $writer
        """
      let result = try await bench.shell(script)
      #expect(result.status == status, "\(result.errors)")
      #expect(result.errors.hasPrefix("ckprov-log: stopped; session s\(round) stays open for --resume"), "\(result.errors)")
      #expect(try await bench.outcome("s\(round)") == "in_progress")
      #expect(try await bench.notes("s\(round)") == ["a"])
    }
  }

  @Test func killedWriterIsResumed() async throws {
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write((1...500).map { action("\($0)") + "\n" }.joined())
      while try await record.line() != "500" {}
      try record.kill()
    }
    #expect(result.status == 137)
    #expect(try await bench.outcome("s1") == "in_progress")
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("501")).text == "s1\n501\n")
    #expect(try await bench.notes("s1") == (1...501).map(String.init))
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  /// A limit on the size of files stands for a full disk. Of lines that came together some are kept: those, and no others, are acknowledged.
  @Test func noSpaceKeepsAndAcknowledgesWhatFits() async throws {
    _ = try bench.file("lines", (1...200).map { action("\($0) " + String(repeating: "x", count: 1000)) + "\n" }.joined())
    let script = #"ulimit -f 64; "$C" record --label l --kernel-urn u --session-id s1 --ack lines"#
    let result = try await bench.shell(script)
    #expect(result.status == 74)
    #expect(result.errors.contains("s1.log/") && result.errors.contains("; raise the limit"), "\(result.errors)")
    let kept = try await bench.notes("s1")
    #expect(1..<200 ~= kept.count)
    #expect(result.text == "s1\n" + kept.indices.map { "\($0 + 1)\n" }.joined())
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("b")).text == "s1\n\(kept.count + 1)\n")
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  /// A named pipe that nobody writes to yet keeps neither the id back nor a signal off.
  @Test func namedPipe() async throws {
    let pipe = bench.storage.path + "/pipe"
    try #require(await runProgram("mkfifo", [pipe]).status == 0)
    let stopped = try await bench.recording(newSession("s1") + [pipe]) { record in
      let first = try await record.line()
      #expect(first == "s1")
      try record.terminate()
      let end = try await record.line()
      #expect(end == nil)
    }
    #expect(stopped.status == 143)
    let bench = bench
    let recorded = try await bench.recording(newSession("s2") + ["--ack", pipe]) { record in
      _ = try await record.line()
      _ = try await bench.shell("echo '\(action("a"))' > pipe")
      #expect(try await record.line() == "1")
    }
    #expect(recorded.status == 0)
    #expect(try await bench.notes("s2") == ["a"])
  }

  /// The reader of the acks is alive and does not read, so that writing them waits. A signal is heard all the same, and of what was read nothing is lost.
  @Test(arguments: [("INT", 130), ("TERM", 143)])
  func signalIsHeardWhileAcksAreNotRead(_ signal: String, status: Int32) async throws {
    // All of it is one read. The acks of what stands before the close are more than a pipe holds; behind it comes a batch of its own.
    let notes = (1...18_000).map(String.init)
    let lines = notes[..<14_000].map { action($0) } + [closing] + notes[14_000...].map { action($0) }
    _ = try bench.file("lines", lines.map { $0 + "\n" }.joined())
    let script = """
      mkfifo pipe; exec 3<>pipe
      env --default-signal=INT "$C" record --label l --kernel-urn u --session-id s1 --ack lines > pipe 2> errors & writer=$!
      until [ "$(stat -c %s storage/sessions/s1.log/*.seg)" -gt 1000000 ]; do sleep 0.01; done 2> /dev/null
      sleep 0.3
      kill -\(signal) $writer
      for wait in {1..600}; do kill -0 $writer || break; sleep 0.05; done 2> /dev/null
      kill -KILL $writer 2> /dev/null; wait $writer; status=$?; cat errors >&2; exit $status
      """
    let result = try await bench.shell(script)
    #expect(result.status == status)
    #expect(result.errors.hasPrefix("ckprov-log: stopped; session s1 stays open for --resume"), "\(result.errors)")
    #expect(try await bench.outcome("s1") == "in_progress")
    #expect(try await bench.notes("s1") == notes)
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("c")).text == "s1\n18001\n")
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  /// `nohup`, and a shell without job control for what it starts in the background, have SIGINT ignored; it stays so.
  @Test func signalThatWasIgnoredStaysIgnored() async throws {
    let script = """
      mkfifo input; exec 3<>input
      env --ignore-signal=INT "$C" record --label l --kernel-urn u --session-id s1 --ack < input > output & writer=$!
      until [ -s output ]; do sleep 0.01; done
      kill -INT $writer; sleep 0.1; echo '\(action("a"))' >&3
      until [ "$(wc -l < output)" = 2 ]; do kill -0 $writer || break; sleep 0.01; done
      kill -TERM $writer; wait $writer; status=$?; cat output; exit $status
      """
    let result = try await bench.shell(script)
    #expect(result.status == 143 && result.text == "s1\n1\n", "\(result.status) \(result.errors)")
  }

  // MARK: Standard streams

  /// Standard output may be one that its other holders do not want to block: no room is no error.
  @Test func outputThatDoesNotBlock() async throws {
    _ = try bench.file("lines", (1...20_000).map { action("\($0)") + "\n" }.joined())
    let script = """
      import os, subprocess, sys, time
      for arguments in ["record", "--label", "l", "--kernel-urn", "u", "--session-id", "s1", "--ack", "lines"], ["cat", "s1"], ["list", "--json"]:
          reader, writer = os.pipe()
          os.set_blocking(writer, False)
          process = subprocess.Popen([os.environ["C"], *arguments], stdout=writer)
          os.close(writer)
          time.sleep(0.3)
          with open(reader) as lines: print(sum(1 for line in lines))
          if process.wait(): sys.exit(process.wait())
      """
    _ = try bench.file("script.py", script)
    guard (try? await runProgram("python3", ["-c", ""]))?.status == 0 else {
      print("SKIPPED: a pipe that does not block is made with python3")
      return
    }
    let result = try await bench.shell("python3 script.py")
    #expect(result.status == 0, "\(result.errors)")
    let counts = result.text.split(separator: "\n").compactMap { Int($0) }
    #expect(counts.prefix(2) == [20_001, 20_000] && counts.last! > 100_000, "\(counts)")
  }

  /// `$1` is what stands behind the command: descriptor 4 is a pipe without a reader.
  private func recordWithoutReader(_ redirection: String, _ options: String = "") async throws -> ProgramResult {
    _ = try bench.file("lines", action("a") + "\n" + action("b") + "\n")
    let script = """
      mkfifo pipe; exec 3<>pipe 4>pipe 3<&-
      "$C" record --label l --kernel-urn u --session-id s1 \(options) lines \(redirection)
      """
    return try await bench.shell(script)
  }

  @Test(arguments: [">&4", ">&-"])
  func closedOutputIsNoReasonToStopWithoutAck(redirection: String) async throws {
    let result = try await recordWithoutReader(redirection)
    #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    #expect(try await bench.notes("s1") == ["a", "b"])
    #expect(try await bench.outcome("s1") == "complete")
  }

  @Test(arguments: [">&4", ">&-"])
  func closedOutputStopsItWithAck(redirection: String) async throws {
    let result = try await recordWithoutReader(redirection, "--ack")
    #expect(result.status == 74)
    #expect(result.errors == "ckprov-log: standard output was closed, so nothing can be acknowledged; session s1 stays open for --resume\n")
    #expect(try await bench.outcome("s1") == "in_progress")
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("c")).text == "s1\n3\n")
  }

  /// A file that is opened must not get the number of a closed standard stream: messages would be written into it.
  @Test(arguments: ["2>&-", ">&- 2>&-", "2>&4"])
  func closedErrorStreamHarmsNothing(redirection: String) async throws {
    let result = try await recordWithoutReader(redirection, "--live")
    #expect(result.status == 0)
    #expect(try await bench.notes("s1") == ["a", "b"])
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  @Test func closedInputIsAnError() async throws {
    let result = try await bench.shell(#""$C" record --label l --kernel-urn u --session-id s1 <&-"#)
    #expect(result.status == 74 && result.text == "s1\n")
    #expect(result.errors.hasPrefix("ckprov-log: standard input: cannot read this: "), "\(result.errors)")
  }

  @Test func missingFileLeavesNoSession() async throws {
    let result = try await bench.run(newSession("s1") + ["\(bench.storage.path)/none"], input: [])
    #expect(result.status == 66 && result.text == "")
    #expect(result.errors == "ckprov-log: \(bench.storage.path)/none: cannot open this: No such file or directory\n")
    #expect(try await bench.run(newSession("s1") + [bench.storage.path], input: []).status == 74)
    #expect(try !bench.exists(bench.sessions))
  }
}
