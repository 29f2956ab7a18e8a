import Glibc
import LogStorage
import TestSupport
import Testing

extension OneAtATime {
  /// Places and limits under which nothing can be recorded: the exit code says of which kind the trouble is, the message names it.
  struct EnvironmentTests {
    @Test func readOnlyFileSystem() async throws {
      guard try await canMount(for: "read-only file systems") else { return }
      try await withMemory("1m") { memory in
        let command = try Command(storage: memory)
        var session = KnownSession(id: "s")
        let plan = KnownSession.Plan(notes: [session.newNote(size: 30)])
        try await session.check(command, try await session.record(command, plan), "before")
        try await shell(#"mount -o remount,ro "$1""#, memory)
        var attempt = try await session.record(command, plan)
        #expect(attempt.status == 77 && attempt.lines.isEmpty && attempt.errors.contains("Read-only file system"), "\(attempt.errors)")
        attempt = try await KnownSession(id: "new").record(command, plan)
        #expect(attempt.status == 77 && attempt.lines.isEmpty && attempt.errors.contains("Read-only file system"), "\(attempt.errors)")
        let written = try await command.run("project", "s", "--write")
        #expect(written.status == 77 && written.errors.contains("Read-only file system"), "\(written.errors)")
        // Reading needs no right to write.
        try await session.checkProjection(command, "read-only")
        for arguments in [["verify"], ["list"], ["show", "s"]] { #expect(try await command.run(arguments).status == 0) }
      }
    }

    /// It becomes read-only under a living writer.
    @Test(arguments: ["power", "process"])
    func readOnlyUnderAWriter(_ durability: String) async throws {
      guard try await canMount(for: "read-only file systems") else { return }
      try await withMemory("16m") { memory in
        try await shell(#"truncate -s 8m "$1/image"; mkfs.ext4 -q -F "$1/image""#, memory)
        try await withImage("\(memory)/image") { disk in
          let command = try Command(storage: disk)
          var session = KnownSession(id: "s")
          var plan = KnownSession.Plan(
            notes: (0..<9).map { _ in session.newNote(size: 100) }, waitsForEach: true, options: ["--durability", durability])
          plan.meanwhile = (4, { try await shell(#"mount -o remount,abort "$1""#, disk) })
          let attempt = try await session.record(command, plan)
          #expect([74, 77].contains(attempt.status) && attempt.acknowledged == 4, "\(attempt.errors)")
          #expect(attempt.errors.contains("Read-only file system") || attempt.errors.contains("Input/output error"), "\(attempt.errors)")
          try await session.check(command, attempt, "\(durability)")
        }
      }
    }

    @Test func noPermission() async throws {
      let command = try Command()
      try await shell(#"chmod 755 "$1""#, command.storage)
      func unprivileged(_ arguments: [String]) async throws -> ProgramResult {
        try await runProgram(command.program, arguments + ["--storage-dir", command.storage], isPrivileged: false)
      }
      var session = KnownSession(id: "s")
      var result = try await unprivileged(session.arguments)
      #expect(result.status == 77 && result.text == "" && result.errors.contains("Permission denied"), "\(result.errors)")
      let plan = KnownSession.Plan(notes: [session.newNote(size: 30)])
      try await session.check(command, try await session.record(command, plan), "as root")
      for arguments in [session.arguments, KnownSession(id: "new").arguments, ["project", "s", "--write"]] {
        result = try await unprivileged(arguments)
        #expect(result.status == 77 && result.text == "" && result.errors.contains("Permission denied"), "\(arguments): \(result.errors)")
      }
      #expect(try await unprivileged(["cat", "s"]).status == 0)
      try await shell(#"chmod 700 "$1/s.log""#, command.sessions)
      for (arguments, status) in [(["cat", "s"], 77), (["project", "s"], 77), (["verify", "s"], 3)] as [([String], Int32)] {
        result = try await unprivileged(arguments)
        #expect(
          result.status == status && (result.text + result.errors).contains("Permission denied"), "\(arguments): \(result.text)\(result.errors)")
      }
    }

    /// A storage directory that cannot be made.
    @Test func impossibleDirectory() async throws {
      let command = try Command()
      try await shell(#"touch "$1/file""#, command.storage)
      let long = String(repeating: "a", count: 300)
      for (directory, status, message) in [
        ("\(command.storage)/file", 74, "Not a directory"), ("\(command.storage)/file/below", 74, "Not a directory"),
        ("/proc/none", 66, "No such file or directory"), ("\(command.storage)/\(long)", 74, "File name too long"),
      ] as [(String, Int32, String)] {
        let attempt = try await KnownSession(id: "s").record(Command(storage: directory), KnownSession.Plan(notes: ["a"]))
        #expect(attempt.status == status && attempt.lines.isEmpty && attempt.errors.contains(message), "\(directory): \(attempt.errors)")
      }
    }

    /// Records in files that were removed are kept for nobody: with `power` none is acknowledged, with `process` the next sync says so.
    @Test(arguments: ["power", "process"])
    func removedUnderAWriter(_ durability: String) async throws {
      for victim in ["storage", "storage/sessions/s.log", "storage/sessions/s.log/00000000000000000000.seg", "storage/sessions/s.log/lock"] {
        let command = try Command()
        var session = KnownSession(id: "s")
        var plan = KnownSession.Plan(
          notes: (0..<9).map { _ in session.newNote(size: 100) }, waitsForEach: true, options: ["--durability", durability])
        plan.closes = victim == "storage"
        plan.meanwhile = (4, { try await shell(#"rm -r "$1/$2""#, command.storage, victim) })
        let attempt = try await session.record(command, plan)
        #expect(attempt.status == 74 && attempt.errors.contains("another program has removed this"), "\(victim): \(attempt.status) \(attempt.errors)")
        #expect(attempt.acknowledged == (durability == "power" ? 4 : 9), "\(victim)")
      }
    }

    /// Moved elsewhere, and a link put in its place: readers follow none, so nobody would find what is written behind it.
    @Test(arguments: ["power", "process"])
    func aLinkInThePlaceOfALog(_ durability: String) async throws {
      let command = try Command()
      var session = KnownSession(id: "s")
      var plan = KnownSession.Plan(
        notes: (0..<9).map { _ in session.newNote(size: 3000) }, waitsForEach: true, options: ["--durability", durability, "--segment-size", "8K"])
      plan.closes = false
      plan.meanwhile = (4, { try await shell(#"cd "$1"; mv s.log ../moved; ln -s ../moved s.log"#, command.sessions) })
      let attempt = try await session.record(command, plan)
      #expect(attempt.status == 74 && attempt.errors.contains("another program has removed this"), "\(attempt.status) \(attempt.errors)")
    }

    /// Few open files are allowed: fewer than anything can run with, then fewer than a session needs.
    @Test func openFileLimit() async throws {
      let command = try Command()
      var figures = (limits: 0, refused: 0, acknowledged: 0)
      for limit in 4...24 {
        let place: Comment = "\(limit) open files"
        let through = ["prlimit", "--nofile=\(limit):\(limit)"]
        // Below this it is the loader that can't open its libraries.
        guard try await runProgram(through[0], through.dropFirst() + [command.program, "--version"]).status == 0 else { continue }
        var session = KnownSession(id: "s\(limit)")
        for run in 0..<2 {
          let notes = (0..<3).map { _ in session.newNote(size: 30) }
          let plan = KnownSession.Plan(
            notes: notes, waitsForEach: true, closes: run == 1, options: ["--durability", limit % 2 == 0 ? "power" : "process"], through: through)
          let attempt = try await session.record(command, plan)
          #expect([0, 74].contains(attempt.status), "exit code \(attempt.status), \(place): \(attempt.errors)")
          if attempt.status == 74 {
            #expect(attempt.errors.contains("raise the limit of open files (ulimit -n)"), "\(place): \(attempt.errors)")
            figures.refused += 1
          }
          try await session.check(command, attempt, place)
        }
        try await session.checkResume(command, place)
        figures.limits += 1
        figures.acknowledged += session.acknowledged
      }
      #expect(figures.refused > 0)
      report(
        "open file limit",
        "\(figures.limits) limits, \(figures.refused) runs refused, \(figures.acknowledged) acknowledged actions checked, 0 lost")
    }
  }
}
