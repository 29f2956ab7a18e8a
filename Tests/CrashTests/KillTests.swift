import TestSupport
import Testing

extension OneAtATime {
  /// SIGKILL at any moment: while the session starts, while actions come in, in a resume, in a close.
  struct KillTests {
    @Test func nothingAcknowledgedIsLost() async throws {
      let command = try Command()
      var random = SeededGenerator(seed: seed)
      var figures = (rounds: 0, killed: 0, acknowledged: 0, sessions: 0, tornTails: 0)
      var session = KnownSession(id: "s0")
      for round in Rounds(quick: 40) {
        let place: Comment = "round \(round), seed \(seed)"
        let plan = plan(for: &session, round, &random)
        let attempt = try await session.record(command, plan)
        try #require([0, 137].contains(attempt.status), "exit code \(attempt.status), \(place): \(attempt.errors)")
        let before = (session.acknowledged, session.tornTails)
        try await session.check(command, attempt, place)
        if attempt.status == 0 { #expect(attempt.acknowledged == plan.notes.count, place) }
        if session.hasStarted, round % 7 == 0 { try await session.checkProjection(command, place) }
        figures.rounds += 1
        figures.killed += attempt.status == 137 ? 1 : 0
        figures.acknowledged += session.acknowledged - before.0
        figures.tornTails += session.tornTails - before.1
        // Some sessions are killed once, some go on over many rounds.
        if session.notes.count > 3000 || Int.random(in: 0..<20, using: &random) == 0 {
          if session.hasStarted { try await session.checkResume(command, place) }
          figures.sessions += 1
          session = KnownSession(id: "s\(round + 1)")
        }
      }
      report(
        "kill -9",
        "\(figures.rounds) rounds, \(figures.killed) killed before their end, \(figures.sessions + 1) sessions, "
          + "\(figures.acknowledged) acknowledged actions checked, \(figures.tornTails) torn tails, 0 lost")
    }

    private func plan(for session: inout KnownSession, _ round: Int, _ random: inout SeededGenerator) -> KnownSession.Plan {
      var plan = KnownSession.Plan()
      let count = [0, 1, 3, 20, 150].randomElement(using: &random)!
      // Now and then more than a pipe holds, and more than is written at once.
      let size = count <= 20 && Int.random(in: 0..<6, using: &random) == 0 ? 200_000 : Int.random(in: 20...1200, using: &random)
      plan.notes = (0..<count).map { _ in session.newNote(size: size) }
      plan.waitsForEach = Bool.random(using: &random)
      plan.closes = Bool.random(using: &random)
      plan.options = ["--durability", round % 2 == 0 ? "power" : "process"]
      // Full files are sealed meanwhile.
      if Bool.random(using: &random) { plan.options += ["--segment-size", "16K"] }
      let acknowledged = Bool.random(using: &random) ? 0 : Int.random(in: 0...count, using: &random)
      plan.kill = (acknowledged, random.delay(upTo: acknowledged == 0 ? .milliseconds(60) : .milliseconds(5)))
      return plan
    }
  }
}
