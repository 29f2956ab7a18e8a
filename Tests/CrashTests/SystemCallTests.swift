import LogStorage
import TestSupport
import Testing

extension OneAtATime {
  /// System calls that fail: strace makes the k-th call of a kind return an error, for every k that touches the storage directory or standard output.
  struct SystemCallTests {
    enum Workload: String, CaseIterable {
      case start, startPower, resume, resumePower, reopen, seal
    }

    /// One call, or it and all that follow it.
    private struct Fault {
      let call: String
      let error: String
      let number: Int
      let isForGood: Bool

      var injection: String { "inject=\(call):error=\(error):when=\(number)\(isForGood ? "+" : "")" }
    }

    private static let calls = [
      "write", "pwrite64", "fdatasync", "fsync", "rename", "renameat2", "ftruncate", "openat", "mkdir", "read", "pread64", "newfstatat", "getdents64",
      "fcntl", "unlink", "utimensat",
    ]

    private static let writing: Set = ["write", "pwrite64", "fdatasync", "fsync", "ftruncate"]
    /// Interrupted, they are made again.
    private static let repeated = writing.union(["read", "pread64"])

    private static let messages = [
      "EIO": "Input/output error", "ENOSPC": "No space left on device", "EINTR": "Interrupted system call", "EMFILE": "Too many open files",
    ]

    @Test(arguments: Workload.allCases)
    func nothingAcknowledgedIsLost(_ workload: Workload) async throws {
      guard try await canTrace() else { return }
      var random = SeededGenerator(seed: seed)
      var faults = try await faults(of: workload).shuffled(using: &random)
      // Half of the quick form's are those that an acknowledgement hangs on.
      let first = faults.indices.filter { Self.writing.contains(faults[$0].call) }.prefix(6)
      for (place, index) in first.enumerated() { faults.swapAt(place, index) }
      var figures = (faults: 0, hit: 0, ended: 0, acknowledged: 0)
      for round in Rounds(quick: 12, among: faults.count) {
        let fault = faults[round]
        let place: Comment = "\(workload), \(fault.injection), seed \(seed)"
        let command = try Command()
        var session = try await prepared(workload, command)
        let trace = "\(command.storage)/trace"
        let before = session.acknowledged
        let (attempt, plan) = try await run(workload, &session, command, ["-e", "trace=\(fault.call)", "-e", fault.injection, "-o", trace])
        figures.faults += 1
        // strace counts for each thread: what was meant for the one that seals has hit the loader.
        if workload == .seal, attempt.status == 127 { continue }
        try #require([0, 74].contains(attempt.status), "exit code \(attempt.status), \(place): \(attempt.errors)")
        let traced = String(decoding: try DiskFileSystem().bytes(of: trace), as: UTF8.self)
        figures.hit += traced.contains("(INJECTED)") ? 1 : 0
        if fault.error == "EINTR", Self.repeated.contains(fault.call) { #expect(attempt.status == 0, "\(place): \(attempt.errors)") }
        if attempt.status == 0 {
          #expect(attempt.acknowledged == plan.notes.count, place)
        } else {
          figures.ended += 1
          let message = Self.messages[fault.error] ?? fault.error
          // A message that can't be written says nothing.
          let isMute = fault.call == "write" && fault.isForGood
          #expect(isMute || attempt.errors.contains(message), "\(place): \(attempt.errors)")
        }
        try await session.check(command, attempt, place)
        // A view costs no record; what became of it is said.
        let hasLostView = attempt.errors.contains("its view")
        if attempt.status == 0 { try await session.checkProjection(command, isClosed: plan.closes, comparesView: !hasLostView, place) }
        try await session.checkResume(command, place)
        try await session.checkProjection(command, place)
        figures.acknowledged += session.acknowledged - before - 1
      }
      report(
        "failing system calls, \(workload)",
        "\(figures.faults) of \(faults.count) faults, \(figures.hit) of them hit, \(figures.ended) ended the run, "
          + "\(figures.acknowledged) acknowledged actions checked, 0 lost")
    }

    private func prepared(_ workload: Workload, _ command: Command) async throws -> KnownSession {
      var session = KnownSession(id: "s")
      if [.start, .startPower, .seal].contains(workload) { return session }
      let plan = KnownSession.Plan(notes: (0..<3).map { _ in session.newNote(size: 300) }, closes: workload == .reopen)
      try await session.check(command, try await session.record(command, plan), "preparation")
      return session
    }

    /// Three actions, each acknowledged before the next, and a close or none; bounded in time.
    private func run(
      _ workload: Workload, _ session: inout KnownSession, _ command: Command, _ options: [String]
    ) async throws -> (KnownSession.Attempt, KnownSession.Plan) {
      var plan = KnownSession.Plan(waitsForEach: true, closes: workload != .resume)
      plan.notes = (0..<3).map { _ in session.newNote(size: 300) }
      plan.options = ["--durability", workload == .startPower || workload == .resumePower ? "power" : "process"]
      // Each action finds its file full, and what was full is sealed meanwhile.
      if workload == .seal { plan.options += ["--segment-size", "600"] }
      plan.through = ["timeout", "--signal=KILL", "120", "strace", "-f", "-qq", "--seccomp-bpf"] + options + ["--"]
      return (try await session.record(command, plan), plan)
    }

    /// What can fail in a run in which nothing does.
    private func faults(of workload: Workload) async throws -> [Fault] {
      let command = try Command()
      var session = try await prepared(workload, command)
      let trace = "\(command.storage)/trace"
      let (attempt, _) = try await run(workload, &session, command, ["-y", "-e", "trace=\(Self.calls.joined(separator: ","))", "-o", trace])
      try #require(attempt.status == 0, "\(attempt.errors)")
      // strace counts the calls of each thread.
      var counts: [String: Int] = [:]
      var faults: [Fault] = []
      for line in String(decoding: try DiskFileSystem().bytes(of: trace), as: UTF8.self).split(separator: "\n") {
        // The process, perhaps padded, then the call.
        let words = line.split(separator: " ", omittingEmptySubsequences: true)
        guard words.count >= 2, let parenthesis = words[1].firstIndex(of: "("), !line.contains("resumed>") else { continue }
        let call = String(words[1][..<parenthesis])
        counts["\(words[0]) \(call)", default: 0] += 1
        // What the loader and the runtime do is not the command's doing.
        let isStandardStream = words[1].hasPrefix("write(1<") || words[1].hasPrefix("read(0<")
        guard isStandardStream || line.contains(command.storage), let number = counts["\(words[0]) \(call)"] else { continue }
        for error in ["EIO", "ENOSPC", "EINTR"] + (call == "openat" ? ["EMFILE"] : []) {
          faults.append(Fault(call: call, error: error, number: number, isForGood: false))
          // An endless row of interruptions is none that a kernel makes.
          if error != "EINTR" { faults.append(Fault(call: call, error: error, number: number, isForGood: true)) }
        }
      }
      try #require(faults.count > 50, "strace saw too little")
      return faults
    }

    private func canTrace() async throws -> Bool {
      let result = try? await runProgram("strace", ["-f", "-qq", "--seccomp-bpf", "-e", "inject=sync:error=EIO", "-o", "/dev/null", "--", "true"])
      if result?.status != 0 { print("SKIPPED: no failing system calls, for there is no strace that may trace: \(result?.errors ?? "")") }
      return result?.status == 0
    }
  }
}
