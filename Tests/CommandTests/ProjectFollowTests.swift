import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `project --follow`.
@Suite(.timeLimit(.minutes(10)))
struct ProjectFollowTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// Until the view of a session is what `project` prints.
  private func waitForView(_ id: String) async throws {
    let expected = try await bench.run("project", id).output
    while try !bench.exists(bench.viewPath(id)) || bench.bytes(bench.viewPath(id)) != expected { try await Task.sleep(for: .milliseconds(10)) }
  }

  @Test func viewsOfAllAreKept() async throws {
    try #require(await bench.record("closed", [action("1")], "--view", "never").status == 0)
    try #require(await bench.record("open", [action("1")], "--no-close").status == 0)
    let bench = bench
    let result = try await bench.recording(["project", "--follow", "--all"]) { keeper in
      try await waitForView("closed")
      try await waitForView("open")
      let (start, clock) = (ContinuousClock.now, ContinuousClock())
      var versions: Set<FileIdentity> = []
      _ = try await bench.recording(newSession("new") + ["--ack", "--view", "never"]) { writer in
        #expect(try await writer.line() == "new")
        for number in 1...400 {
          try await writer.write(action("\(number)") + "\n")
          #expect(try await writer.line() == String(number))
          if let identity = try DiskFileSystem().status(of: bench.viewPath("new"))?.identity { versions.insert(identity) }
          if number % 100 == 0 { try await waitForView("new") }
        }
      }
      // The end, too; and no more often than once a second.
      try await waitForView("new")
      #expect(try await bench.outcome("new") == "complete" && Double(versions.count) <= (clock.now - start) / .seconds(1) + 2)
      // One that is taken up again, without a view of its own making.
      try #require(await bench.run("record", "--resume", "closed", "--view", "never", input: action("2")).status == 0)
      try await waitForView("closed")
      // What is removed does not come back.
      try #require(await bench.run("rm", "open", "new").status == 0)
      try #require(await bench.record("last", [action("1")], "--view", "never").status == 0)
      try await waitForView("last")
      while try bench.names != ["closed.json", "closed.log", "last.json", "last.log"] { try await Task.sleep(for: .milliseconds(10)) }
      try keeper.terminate()
    }
    #expect(result.status != 0 && result.errors == "", "\(result.errors)")
  }

  @Test func oneSessionUntilItHasEnded() async throws {
    try #require(await bench.record("other", [action("1")], "--view", "never").status == 0)
    try #require(await bench.record("s1", [action("1")], "--no-close").status == 0)
    let result = try await bench.recording(["project", "-f", "s"]) { _ in
      try await waitForView("s1")
      try #require(await bench.run("record", "--resume", "s1", "--view", "never", input: action("2")).status == 0)
    }
    #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    #expect(try await bench.bytes(bench.viewPath("s1")) == bench.run("project", "s1").output)
    #expect(try !bench.exists(bench.viewPath("other")))
    // Of one that has ended, once.
    #expect(try await bench.run("project", "-f", "other").status == 0)
    #expect(try await bench.bytes(bench.viewPath("other")) == bench.run("project", "other").output)
  }

  @Test func whatCannotBeWrittenIsNamedOnce() async throws {
    try await bench.recordTwice("s1", [action("a"), action("b")], [action("c")])
    try DiskFileSystem().remove(bench.viewPath("s1"))
    try bench.damage("s1", actionWithNote: "b")
    let result = try await bench.recording(["project", "--follow", "--all"]) { keeper in
      for number in 1...3 {
        try #require(await bench.record("good\(number)", [action("1")], "--view", "never").status == 0)
        try await waitForView("good\(number)")
      }
      try keeper.terminate()
    }
    #expect(result.errors.split(separator: "\n").count == 1 && result.errors.hasPrefix("ckprov-log: session s1: "), "\(result.errors)")
    #expect(try !bench.exists(bench.viewPath("s1")))
  }

  @Test(arguments: ["--follow", "--all", "--all s1", "--follow --all s1", "--follow s1 -o x"])
  func whatDoesNotGoTogether(_ arguments: String) async throws {
    #expect(try await bench.run(["project"] + arguments.split(separator: " ").map(String.init), input: []).status == 64)
  }
}
