import TestSupport
import Testing

extension OneAtATime {
  /// Syncs that really fail: an ext4 image that is larger than the memory it stands in. Writing to the file succeeds, putting it on the disk does not;
  /// and the kernel says so once: a second sync of the same file succeeds, and what the first could not write is gone once the cache is.
  struct SyncFailureTests {
    @Test func failedSyncIsNeverAcknowledged() async throws {
      guard try await canMount(for: "failing syncs") else { return }
      var random = SeededGenerator(seed: seed)
      var figures = (rounds: 0, acknowledged: 0, cached: 0, tornTails: 0)
      for round in Rounds(quick: 3) {
        let place: Comment = "round \(round), seed \(seed)"
        var session = KnownSession(id: "s\(round)")
        var plan = KnownSession.Plan(options: ["--durability", "power"])
        let size = Int.random(in: 20...3000, using: &random)
        let pages = Int.random(in: 1...30, using: &random)
        // More than there is room for.
        plan.notes = (0..<(pages * 4096 / size + 50)).map { _ in session.newNote(size: size) }
        plan.waitsForEach = round % 2 == 0
        plan.closes = true
        let goesOnInCache = round % 3 != 1
        var known = KnownSession.Attempt()
        try await withMemory("24m") { memory in
          let image = "\(memory)/image"
          // The file system's own blocks are written, zeros as they are, so that it is the session's that find no room.
          let make = """
            truncate -s 200m "$1"; mkfs.ext4 -q -F -b 4096 -N 256 -J size=4 -E packed_meta_blocks=1,nodiscard "$1"
            first=$(dumpe2fs "$1" 2> /dev/null | awk '/^  Free blocks: [0-9]/ { sub("-.*", "", $3); print $3; exit }')
            dd if="$1" of="$1" bs=4096 count="$first" conv=notrunc status=none
            """
          try await shell(make, image)
          try await withImage(image, options: ",errors=continue") { disk in
            let fill = #"head -c $(($(df -k --output=avail "$1" | tail -n 1) * 1024 - $2 * 4096)) /dev/zero > "$1/filler""#
            try await shell(fill, memory, "\(pages)")
            let command = try Command(storage: disk)
            let attempt = try await session.record(command, plan)
            #expect(attempt.status == 74, "\(place): \(attempt.errors)")
            // Where a block of the journal found no room the whole file system gives up, perhaps before the session does.
            let isReadOnly = attempt.errors.contains("Read-only file system")
            #expect(isReadOnly || attempt.errors.contains("cannot sync this"), "\(place): \(attempt.errors)")
            #expect(attempt.acknowledged < plan.notes.count, place)
            if attempt.hasPrintedID { #expect(attempt.errors.contains("so nothing more is acknowledged"), "\(place): \(attempt.errors)") }
            try await session.check(command, attempt, place)
            try await shell(#"rm "$1/filler""#, memory)
            // What a resume finds may be in the cache alone: before it acknowledges more, it must be on the disk.
            guard goesOnInCache, session.hasStarted, !isReadOnly else {
              known = attempt
              return
            }
            figures.cached += 1
            try await session.checkResume(command, place, options: ["--durability", "power"])
            known = session.whole
          }
          try await withImage(image) { disk in
            let command = try Command(storage: disk)
            var survivor = KnownSession(id: session.id)
            try await survivor.check(command, known, place)
            if survivor.hasStarted { try await survivor.checkResume(command, place) }
            figures.tornTails += survivor.tornTails
          }
        }
        figures.rounds += 1
        figures.acknowledged += known.acknowledged
      }
      report(
        "failed syncs",
        "\(figures.rounds) rounds, \(figures.cached) resumed before the cache was dropped, \(figures.acknowledged) acknowledged actions checked, 0 lost; "
          + "\(figures.tornTails) torn tails")
    }
  }
}
