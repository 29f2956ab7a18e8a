import LogStorage
import TestSupport
import Testing

extension OneAtATime {
  /// Power cuts of a real file system: ext4 on a loop device. The writer is killed, the image is copied while it is mounted, and the copy is mounted:
  /// it holds what the file system had sent to its disk by then, that is, what was synced.
  struct PowerCutTests {
    private struct Figures {
      var cuts = 0
      var acknowledged = 0
      var unacknowledged = 0
      var tornTails = 0
      var rolls = 0
    }

    /// With `power` all that was acknowledged is kept; with `process` what the runs before had acknowledged is, and of the last one's actions a prefix.
    @Test func powerMeansPower() async throws {
      guard try await canMount(for: "power cuts") else { return }
      var random = SeededGenerator(seed: seed)
      var figures = Figures()
      var rounds = Rounds(quick: 4)
      // A fresh file system now and then.
      while let first = rounds.next() {
        try await withMemory("1g") { memory in
          let image = "\(memory)/image"
          try await shell(#"truncate -s 400m "$1"; mkfs.ext4 -q -F -E lazy_itable_init=1 "$1""#, image)
          try await withImage(image) { disk in
            var round: Int? = first
            while let number = round {
              try await cut(number, image, disk, &random, &figures)
              round = number % 10 == 9 ? nil : rounds.next()
            }
          }
        }
      }
      report(
        "power cuts",
        "\(figures.cuts) cuts, \(figures.rolls) in or behind a roll, \(figures.acknowledged) acknowledged actions checked, 0 lost; "
          + "\(figures.unacknowledged) more were kept, \(figures.tornTails) torn tails")
    }

    /// A session in directories of its own is recorded in one or several runs, of which the last is cut off.
    private func cut(_ round: Int, _ image: String, _ disk: String, _ random: inout SeededGenerator, _ figures: inout Figures) async throws {
      let place: Comment = "cut \(round), seed \(seed)"
      let rolls = round % 10 == 4
      let command = try Command(storage: "\(disk)/kernel\(round)/a/b")
      var session = KnownSession(id: "s\(round)")
      // So many of its actions are on stable storage for certain.
      var promised = 0
      var attempt = KnownSession.Attempt()
      for run in 0...Int.random(in: 0...2, using: &random) {
        if run > 0 { try await session.check(command, attempt, place) }
        let before = session.notes.count
        let isPower = Int.random(in: 0..<3, using: &random) > 0
        let plan = plan(for: &session, isPower: isPower, rolls: rolls && run == 0, &random)
        attempt = try await session.record(command, plan)
        try #require([0, 137].contains(attempt.status), "\(place): \(attempt.errors)")
        // Who goes on with a session has put on stable storage what stood there before, whoever wrote it.
        if attempt.hasPrintedID { promised = before + (isPower || attempt.status == 0 ? attempt.acknowledged : 0) }
      }

      let copy = image + ".cut"
      try await shell(#"cp --sparse=always "$1" "$2""#, image, copy)
      var everything = session.whole
      everything.sent += attempt.sent
      everything.lines = everything.lines.isEmpty ? attempt.lines : everything.lines + attempt.lines.dropFirst()
      try await withImage(copy) { [everything] disk in
        let command = try Command(storage: "\(disk)/kernel\(round)/a/b")
        var survivor = KnownSession(id: session.id)
        try await survivor.check(command, everything, acknowledged: promised, place)
        if survivor.hasStarted {
          try await survivor.checkResume(command, place)
          try await survivor.checkProjection(command, place)
        }
        figures.unacknowledged += Swift.max(0, survivor.notes.count - 1 - promised)
        figures.tornTails += survivor.tornTails
      }
      figures.cuts += 1
      figures.acknowledged += promised
      figures.rolls += rolls ? 1 : 0
      try await shell(#"rm "$1"; rm -rf "$2""#, copy, "\(disk)/kernel\(round)")
    }

    private func plan(for session: inout KnownSession, isPower: Bool, rolls: Bool, _ random: inout SeededGenerator) -> KnownSession.Plan {
      var plan = KnownSession.Plan()
      // Above 64 MiB a log goes on in a new file.
      let count = rolls ? Int.random(in: 64...70, using: &random) : Int.random(in: 0...60, using: &random)
      let size = rolls ? 1 << 20 : Int.random(in: 20...1500, using: &random)
      plan.notes = (0..<count).map { _ in session.newNote(size: size) }
      plan.waitsForEach = rolls || Bool.random(using: &random)
      plan.closes = Int.random(in: 0..<3, using: &random) == 0
      plan.options = ["--durability", isPower ? "power" : "process"]
      // Full files are sealed meanwhile.
      if !rolls, Bool.random(using: &random) { plan.options += ["--segment-size", "8K"] }
      let acknowledged = rolls ? Int.random(in: 62...count, using: &random) : Int.random(in: 0...count, using: &random)
      plan.kill = (acknowledged, random.delay(upTo: acknowledged == 0 ? .milliseconds(80) : .milliseconds(10)))
      return plan
    }
  }
}
