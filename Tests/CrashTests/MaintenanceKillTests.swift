import LogStorage
import ProvenanceLog
import TestSupport
import Testing

extension OneAtATime {
  /// SIGKILL at any moment of a seal, a compaction, a removal and an import: nothing is lost, nothing is there twice, and the next run takes away what was left.
  struct MaintenanceKillTests {
    private enum Work: CaseIterable { case seal, compact, pack, retain, importLegacy }

    @Test func nothingIsLostOrDoubled() async throws {
      let template = try Command()
      let notes = try await makeTemplate(template)
      let view = try DiskFileSystem().bytes(of: "\(template.sessions)/s.json")
      var random = SeededGenerator(seed: seed)
      var figures: [String: (rounds: Int, killed: Int, undone: Int)] = [:]
      // How long each takes if nobody kills it.
      var durations: [Work: Duration] = [:]
      for round in Rounds(quick: 40) {
        let work = Work.allCases[round % Work.allCases.count]
        let place: Comment = "\(work), round \(round), seed \(seed)"
        let command = try Command()
        try await shell(#"cp -a "$1/storage" "$2""#, template.storage, command.storage)
        let delay = durations[work].map { $0 * Double.random(in: 0...1.1, using: &random) }
        let start = ContinuousClock.now
        let end = try await run(work, command, killingAfter: delay, place)
        if delay == nil { durations[work] = .now - start }
        let isUndone = try await check(work, command, notes, view, place)
        figures["\(work)", default: (0, 0, 0)].rounds += 1
        figures["\(work)"]!.killed += end.status == 137 ? 1 : 0
        figures["\(work)"]!.undone += isUndone ? 1 : 0
      }
      for (work, figures) in figures.sorted(by: { $0.key < $1.key }) {
        report(
          "kill -9 in \(work)",
          "\(figures.rounds) rounds, \(figures.killed) killed before their end, \(figures.undone) left undone, 0 lost, 0 doubled")
      }
    }

    /// A closed session of three raw files, with its view.
    private func makeTemplate(_ command: Command) async throws -> [String] {
      var session = KnownSession(id: "s")
      for (count, closes) in [(1500, false), (1200, false), (5, true)] {
        let plan = KnownSession.Plan(notes: (0..<count).map { _ in session.newNote(size: 700) }, closes: closes)
        let attempt = try await session.record(command, plan)
        try #require(attempt.status == 0, "\(attempt.errors)")
        try await session.check(command, attempt, "the template")
      }
      let files = try names(of: command, "s.log").filter { $0.hasSuffix(".seg") }
      try #require(files.count == 3, "\(files)")
      return session.notes
    }

    private func run(_ work: Work, _ command: Command, killingAfter delay: Duration?, _ place: Comment) async throws -> ProgramResult {
      var arguments: [String]
      switch work {
      case .seal: arguments = ["record", "--resume", "s", "--view", "never"]
      case .compact: arguments = ["compact"]
      case .pack:
        try await #require(command.run("compact").status == 0, place)
        arguments = ["compact", "--level", "9"]
      case .retain: arguments = ["retain", "--keep", "0"]
      case .importLegacy:
        try await shell(#"rm -r "$1/s.log""#, command.sessions)
        arguments = ["import", "\(command.sessions)/s.json"]
      }
      arguments += ["--storage-dir", command.storage]
      return try await withProgram(command.program, arguments) { program in
        let killing = delay.map { [program] in program.kill(after: $0) }
        // Enough that its close is worth a seal.
        if work == .seal {
          for number in 0..<100 {
            let note = "more\(number)" + String(repeating: "y", count: 500)
            _ = try? await program.write(#"{"action_type":"t","outcome":"verified","note":"\#(note)"}"# + "\n")
          }
          try? await program.finish()
        }
        await killing?.value
      }
    }

    /// - Returns: whether the work was not done.
    private func check(_ work: Work, _ command: Command, _ notes: [String], _ view: [UInt8], _ place: Comment) async throws -> Bool {
      let found = try await command.notes("s", place)
      let hasLog = try names(of: command, "").contains("s.log")
      let isUndone =
        switch work {
        case .retain: hasLog
        case .importLegacy: !hasLog
        default: try names(of: command, "s.log").contains { $0.hasSuffix(".seg") }
        }
      switch work {
      case .retain:
        // Whole, or gone for who reads the log; a view alone would look like a session.
        try #require(found == nil || found == notes, place)
        let files = try names(of: command, "")
        try #require(found == nil ? !files.contains("s.json") : hasLog, "\(files), \(place)")
        try await #require(command.run("retain", "--keep", "0").status == 0, place)
        try await openAnother(command)
        try #require(names(of: command, "").filter { $0.contains("s.") && !$0.contains("other") } == [], place)
        return isUndone
      case .importLegacy:
        try #require(found == notes, place)
        let again = try await command.run("import", "\(command.sessions)/s.json")
        try #require(again.status == (isUndone ? 0 : 73), "\(again.errors), \(place)")
        try await openAnother(command)
        try #require(!names(of: command, "").contains { $0.hasPrefix(".s.") }, place)
      case .seal:
        // What was read before the end came is there; what came before that, all of it.
        let more = try #require(found, place)
        try #require(more.count >= notes.count && Array(more.prefix(notes.count)) == notes, place)
        for (index, note) in more.dropFirst(notes.count).enumerated() { try #require(note.hasPrefix("more\(index)y"), place) }
      case .compact, .pack:
        try #require(found == notes, place)
        try #require(DiskFileSystem().bytes(of: "\(command.sessions)/s.json") == view, place)
      }
      let verified = try await command.run("verify", "--deep", "s")
      try #require([0, 1].contains(verified.status), "\(verified.text)\(verified.errors), \(place)")
      if work == .seal { try await #require(command.run("record", "--resume", "s").status == 0, place) }
      try await #require(command.run("compact").status == 0, place)
      let after = try names(of: command, "s.log").filter { $0 != "lock" }
      try #require(
        after.filter { $0.hasSuffix(".seg.lz4") }.count == 1 && after.allSatisfy { $0.hasSuffix(".seg.lz4") || $0.hasSuffix(".aside") },
        "\(after), \(place)")
      try #require(try await command.notes("s", place) == found, place)
      if work != .seal { try #require(try await command.run("project", "s").output == view, place) }
      return isUndone
    }

    /// Leftovers are swept by who opens a session an hour later.
    private func openAnother(_ command: Command) async throws {
      try await shell(#"find "$1" -name '.*' -exec touch -h -d '2 hours ago' {} +"#, command.sessions)
      try await #require(
        runProgram(command.program, ["record", "--label", "l", "--kernel-urn", "u", "--session-id", "other", "--storage-dir", command.storage]).status
          == 0)
    }

    private func names(of command: Command, _ directory: String) throws -> [String] {
      try DiskFileSystem().names(in: "\(command.sessions)/\(directory)").sorted()
    }
  }
}
