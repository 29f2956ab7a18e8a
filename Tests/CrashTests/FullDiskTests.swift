import LogStorage
import ProvenanceLog
import TestSupport
import Testing

extension OneAtATime {
  /// Disks that are full at every byte, and then have room again.
  struct FullDiskTests {
    /// A limit on the size of files cuts a write off at any byte. The last run of each session has no limit.
    @Test func fullAtEveryByte() async throws {
      let command = try Command()
      var random = SeededGenerator(seed: seed)
      // So long is a file of what is recorded below, its close included.
      let sizes = Array(0...2400).shuffled(using: &random)
      var figures = (limits: 0, acknowledged: 0, refused: 0)
      for round in Rounds(quick: 40, among: 2 * sizes.count) {
        let limit = sizes[round % sizes.count]
        let place: Comment = "at most \(limit) bytes a file, round \(round), seed \(seed)"
        var session = KnownSession(id: "s\(round)")
        let options = ["--durability", round % 3 == 0 ? "power" : "process"]
        // The file of the resume is limited, too.
        for run in 0..<2 {
          var plan = KnownSession.Plan(options: options, through: ["prlimit", "--fsize=\(limit)"])
          plan.notes = [30, 1, 300, 90].map { session.newNote(size: $0) }
          plan.waitsForEach = (round < sizes.count) == (round % 2 == 0)
          plan.closes = run == 1
          let attempt = try await session.record(command, plan)
          try await session.check(command, attempt, place)
          if attempt.status != 0 {
            figures.refused += 1
            #expect(attempt.status == 74 && attempt.errors.contains("File too large; raise the limit"), "\(place): \(attempt.errors)")
          } else {
            #expect(attempt.acknowledged == plan.notes.count, place)
          }
        }
        try await session.checkResume(command, place)
        #expect(session.tornTails == 0, "what could not be written whole is cut off, \(place)")
        try await session.checkProjection(command, place)
        figures.limits += 1
        figures.acknowledged += session.acknowledged
        try await shell(#"rm -r "$1""#, command.storage + "/storage")
      }
      report(
        "full at a byte",
        "\(figures.limits) of \(2 * sizes.count) limits, \(figures.refused) runs ended by them, \(figures.acknowledged) acknowledged actions checked, 0 lost"
      )
    }

    /// A file system in memory is full at every page, and is made larger while its writer lives, or for the next one.
    @Test func fullFileSystem() async throws {
      guard try await canMount(for: "full file systems") else { return }
      var random = SeededGenerator(seed: seed)
      var figures = (rounds: 0, acknowledged: 0, refused: 0)
      for round in Rounds(quick: 10) {
        let place: Comment = "round \(round), seed \(seed)"
        let size = Int.random(in: 20...5000, using: &random)
        let pages = Int.random(in: 0...20, using: &random)
        try await withMemory("1m") { memory in
          let command = try Command(storage: memory)
          var session = KnownSession(id: "s\(round)")
          try await shell(#"head -c $(($(df -k --output=avail "$1" | tail -n 1) * 1024 - $2 * 4096)) /dev/zero > "$1/filler""#, memory, "\(pages)")
          for _ in 0..<2 {
            var plan = KnownSession.Plan(options: ["--durability", round % 2 == 0 ? "power" : "process"])
            plan.notes = (0..<(pages * 4096 / size + 30)).map { _ in session.newNote(size: size) }
            plan.waitsForEach = Bool.random(using: &random)
            let attempt = try await session.record(command, plan)
            #expect(attempt.status == 74 && attempt.errors.contains("No space left on device; make room"), "\(place): \(attempt.errors)")
            try await session.check(command, attempt, place)
            figures.refused += 1
          }
          try await shell(#"rm "$1/filler""#, memory)
          if session.hasStarted { try await session.checkResume(command, place) }
          #expect(session.tornTails == 0, place)
          figures.rounds += 1
          figures.acknowledged += session.acknowledged
        }
      }
      report(
        "full file system",
        "\(figures.rounds) rounds, \(figures.refused) runs ended by it, \(figures.acknowledged) acknowledged actions checked, 0 lost")
    }

    @Test(arguments: ProvChain.Durability.allCases)
    func livingWriterGoesOn(_ durability: ProvChain.Durability) async throws {
      guard try await canMount(for: "full file systems") else { return }
      var random = SeededGenerator(seed: seed)
      var figures = (rounds: 0, recorded: 0, refused: 0)
      for round in Rounds(quick: 5) {
        let place: Comment = "round \(round), seed \(seed)"
        try await withMemory("64k") { memory in
          var options = ProvChain.Options()
          options.durability = durability
          // The background syncs come in between, with their marks.
          options.syncInterval = .milliseconds(1)
          options.notice = { _ in }
          let prov = try ProvChain(
            storageDirectory: memory, label: "l", kernelURN: "ckp://Kernel#K:v1.0", sessionID: try SessionID("s"), options: options)
          var notes: [String] = []
          for kilobytes in stride(from: 64, through: 160, by: 32) {
            try await shell(#"mount -o remount,size="$2"k "$1""#, memory, "\(kilobytes)")
            var error: LogError?
            while error == nil {
              let sizes = (0..<Int.random(in: 1...5, using: &random)).map { _ in Int.random(in: 1...3000, using: &random) }
              let batch = sizes.enumerated().map { "\(notes.count + $0.offset)" + String(repeating: "x", count: $0.element) }
              do throws(BatchError) {
                let seqs = try prov.recordActions(batch.map { Action(actionType: "t", outcome: "verified", note: JSONString($0)) })
                #expect(seqs == Int64(notes.count + 1)..<Int64(notes.count + 1 + batch.count), place)
                notes += batch
              } catch let failure {
                error = failure.error
                notes += batch.prefix(failure.kept)
              }
            }
            #expect(error?.code == .noSpace, "\(place): \(String(describing: error))")
            #expect(prov.actionCount == UInt64(notes.count), place)
            figures.refused += 1
          }
          try await shell(#"mount -o remount,size=2m "$1""#, memory)
          try prov.close()
          let command = try Command(storage: memory)
          #expect(try await command.notes("s", place) == notes, place)
          let verified = try await command.run("verify", "s")
          #expect(verified.status == 0, "\(place): \(verified.text)\(verified.errors)")
          figures.rounds += 1
          figures.recorded += notes.count
        }
      }
      report(
        "full under a living writer, \(durability)",
        "\(figures.rounds) rounds, \(figures.refused) times full, \(figures.recorded) recorded actions checked, 0 lost")
    }
  }
}
