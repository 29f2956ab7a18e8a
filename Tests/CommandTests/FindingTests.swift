import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// How a session is found, and what is said when it cannot be.
@Suite(.timeLimit(.minutes(10)))
struct FindingTests {
  private let bench: Bench
  private static let readers = ["project", "cat", "show", "verify"]

  init() throws { bench = try Bench() }

  @Test(arguments: readers)
  func byIdOrBySomePrefixThatOnlyItHas(_ command: String) async throws {
    for id in ["abc", "abcd", "abx"] { _ = try await bench.record(id, [action(id)]) }
    try await bench.makeLegacy("legacy", [action("legacy")])
    for (text, id) in [("abc", "abc"), ("abcd", "abcd"), ("abx", "abx"), ("l", "legacy")] {
      let (found, exact) = (try await bench.run(command, text), try await bench.run(command, id))
      #expect(found.status == 0 && found.output == exact.output && found.text.contains(id))
    }
    let ambiguous = try await bench.run(command, "ab")
    #expect(ambiguous.status == 65 && ambiguous.text == "")
    #expect(ambiguous.errors == "ckprov-log: 'ab' fits 3 sessions; say which: abc, abcd, abx\n")
    for (text, advice) in [
      ("xyz", "'ckprov-log list' shows what is there"), ("abcde", "did you mean 'abcd'?"), ("legcay9", "'ckprov-log list' shows what is there"),
      ("bac", "'ckprov-log list' shows what is there"), ("ac", "did you mean 'abc'?"), ("lgacy", "did you mean 'legacy'?"),
      ("aby", "did you mean 'abc' or 'abx'?"), ("ABCD", "did you mean 'abcd' or 'abc'?"), ("LEG", "did you mean 'legacy'?"),
    ] {
      let missing = try await bench.run(command, text)
      #expect(missing.status == 66 && missing.text == "")
      #expect(missing.errors == "ckprov-log: no session '\(text)' in \(bench.sessions); \(advice)\n")
    }
  }

  @Test(arguments: readers, ["../s1", "/etc/passwd", "", ".x", "a\nb", "..", "a/../s1"])
  func whatIsNoId(_ command: String, _ id: String) async throws {
    let result = try await bench.run(command, id)
    #expect(result.status == 64 && result.errors.contains("is no session id: use 1 to 64 of"), "\(result.errors)")
  }

  /// Files that the reference left may have any name: they are named as they are shown.
  @Test(arguments: readers)
  func aFileIsNamedAsItIsShown(_ command: String) async throws {
    try await bench.makeLegacy("s1", [action("a")])
    let file = try bench.bytes(bench.viewPath("s1"))
    for name in ["bad id!", "ü\nb", "ü\nc"] { try DiskFileSystem().write(file, to: bench.viewPath(name)) }
    let list = try await bench.run("list").text
    for name in ["bad id!", "bad i", "ü\\x0ab", "ü\\x0ac"] {
      let result = try await bench.run(command, name)
      #expect(result.status == 0 && result.output.count > 20 && list.contains("\n" + name), "\(result.errors)")
    }
    let missing = try await bench.run(command, "bad id?")
    #expect(missing.status == (command == "verify" ? 3 : 65) && missing.errors.contains("'bad id?' is no session id: "), "\(missing.errors)")
    if command == "verify" {
      #expect(try await bench.run("rm", "ü\\x0ab").status == 0)
      #expect(try bench.names == ["bad id!.json", "s1.json", "ü\nc.json"])
    }
  }

  @Test(arguments: readers)
  func newestByAnAt(_ command: String) async throws {
    #expect(try await bench.run(command, "@").status == 66)
    for (id, second) in [("b", 2), ("c", 3), ("a", 1)] {
      try #require(await bench.run(newSession(id) + ["--started-at", "2026-03-14T20:00:0\(second).000000Z"], input: []).status == 0)
    }
    let (found, exact) = (try await bench.run(command, "@"), try await bench.run(command, "c"))
    #expect(found.status == 0 && found.output == exact.output)
  }

  @Test func manyCandidatesAreCut() async throws {
    let directory = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem())
    try directory.make()
    for index in 10..<60 { try DiskFileSystem().write([], to: bench.viewPath("s\(index)")) }
    let result = try await bench.run("cat", "s")
    #expect(result.status == 65 && result.errors.contains("fits 50 sessions; say which: s10, s11, ") && result.errors.hasSuffix(", s29, …\n"))
  }

  @Test func creationThatDidNotFinishIsNoSession() async throws {
    try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
    _ = try DiskFileSystem().makeDirectory(bench.logPath("s1"))
    try DiskFileSystem().write([], to: bench.logPath("s1") + "/lock")
    for command in ["project", "cat", "show"] { #expect(try await bench.run(command, "s1").status == 66) }
    #expect(try await bench.run("record", "--resume", "s1").status == 66)
    #expect(try await bench.run("list", "--json").text == "[]\n")
    #expect(try await bench.run("verify").status == 0)
    // Nothing was acknowledged in it, so the id is free.
    #expect(try await bench.record("s1", [action("a")]).status == 0)
  }

  // MARK: The storage directory

  @Test func storageDirectoryIsTheOptionOrTheEnvironmentOrHere() async throws {
    let script = """
      unset CKPROV_STORAGE_DIR
      record() { "$C" record --label l --kernel-urn u "$@" < /dev/null; }
      mkdir cwd; (cd cwd; record --session-id here)
      CKPROV_STORAGE_DIR=env record --session-id there
      CKPROV_STORAGE_DIR=env record --session-id option --storage-dir deep/er/
      CKPROV_STORAGE_DIR= record --session-id empty
      ls */storage/sessions deep/er/storage/sessions storage/sessions
      """
    let expected = """
      here
      there
      option
      empty
      cwd/storage/sessions:
      here.json
      here.log

      deep/er/storage/sessions:
      option.json
      option.log

      env/storage/sessions:
      there.json
      there.log

      storage/sessions:
      empty.json
      empty.log

      """
    let result = try await bench.shell(script)
    #expect(result.text == expected, "\(result.errors)")
  }

  /// Another one than the newest must not be meant by it.
  @Test func aDamagedSessionIsTheNewestAllTheSame() async throws {
    for (number, id) in ["s1", "s2"].enumerated() {
      try #require(await bench.record(id, [action(id)], "--started-at", "2026-03-14T20:00:0\(number).000000Z").status == 0)
    }
    let segment = bench.logPath("s2") + "/00000000000000000000.seg"
    var bytes = try bench.bytes(segment)
    bytes[bytes.count - 100] ^= 1
    try DiskFileSystem().write(bytes, to: segment)
    #expect(try await bench.run("path", "@").text.contains("s2.log"))
    // Its view stands for it where all are listed.
    for isThere in [true, false] {
      #expect(try await bench.run("list").text.contains("s2") == isThere)
      let all = try await bench.run("cat", "--all")
      #expect(all.status == 65 && all.text.contains("s1") && all.text.contains("s2") == isThere && all.errors.contains("s2.log/"), "\(all.errors)")
      #expect(try await bench.run("path", "@").text.contains("s2.log"))
      if isThere { try DiskFileSystem().remove(bench.viewPath("s2")) }
    }
  }

  /// Its name may be mistyped.
  @Test func aMissingDirectoryIsSaid() async throws {
    let message = "ckprov-log: \(bench.sessions): there is no such directory, and so no session"
    for command in [
      ["list"], ["list", "--json"], ["compact"], ["retain"], ["import", "--all"], ["cat", "--all"], ["stats"], ["stats", "--disk-usage"],
    ] {
      let result = try await bench.run(command, input: [])
      #expect(result.status == 0 && result.errors == message + "\n", "\(command): \(result.errors)")
    }
    let bench = bench
    let result = try await bench.recording(["project", "--follow", "--all"]) { keeper in
      try await Task.sleep(for: .milliseconds(200))
      #expect(try DiskFileSystem().names(in: bench.storage.path) == [])
      try #require(await bench.record("s1", [action("1")], "--view", "never").status == 0)
      while try !bench.exists(bench.viewPath("s1")) { try await Task.sleep(for: .milliseconds(10)) }
      try keeper.terminate()
    }
    #expect(result.errors == message + "; waiting for the first one\n")
    try #require(await bench.shell("rm -r storage").status == 0)
    let printed = try await bench.recording(["cat", "--follow", "--all"]) { printer in
      try await Task.sleep(for: .milliseconds(200))
      try #require(await bench.record("s2", [action("1")]).status == 0)
      #expect(try await printer.line()?.contains("s2") == true)
      try printer.terminate()
    }
    #expect(printed.errors == message + "; waiting for the first one\n")
  }

  /// One thing is wrong, and said once.
  @Test func aFileIsNoDirectory() async throws {
    let file = try bench.file("file", "")
    for command in [
      ["list"], ["compact"], ["retain"], ["cat", "--all"], ["cat", "--all", "--follow"], ["stats"], ["verify"], ["project", "--follow", "--all"],
    ] {
      let result = try await runProgram(try commandPath(), command + ["--storage-dir", file])
      let message = "ckprov-log: \(file)/storage/sessions: cannot list this directory: Not a directory; "
      #expect(result.status == (command == ["verify"] ? 3 : 74) && result.errors.hasPrefix(message), "\(command): \(result.errors)")
    }
  }

  @Test func readersMakeNothing() async throws {
    for arguments in [["list"], ["list", "--json"], ["verify"], ["project", "x"], ["cat", "x"], ["show", "x"]] {
      _ = try await bench.run(arguments, input: [])
    }
    #expect(try DiskFileSystem().names(in: bench.storage.path) == [])
  }

  // MARK: Access

  @Test func readOnlyStorage() async throws {
    guard try await bench.run("--version", isPrivileged: false).status == 0 else {
      print("SKIPPED: who is not root cannot run the command here, so permissions are not tested")
      return
    }
    _ = try await bench.record("s1", [action("a")])
    try #require(await runProgram("chmod", ["-R", "a=rX", bench.storage.path]).status == 0)
    for command in Self.readers { #expect(try await bench.run(command, "s1", isPrivileged: false).status == 0) }
    #expect(try await bench.run("list", isPrivileged: false).text.contains("s1"))
    for arguments in [
      newSession("s2"), ["record", "--resume", "s1"], ["project", "s1", "--write"], ["project", "s1", "-o", bench.storage.path + "/out"],
    ] {
      let result = try await bench.run(arguments, input: [], isPrivileged: false)
      #expect(result.status == 77 && result.text == "", "\(arguments)")
      #expect(result.errors.contains("\(bench.storage.path)/") && result.errors.contains(": Permission denied"), "\(result.errors)")
    }
    #expect(try bench.names == ["s1.json", "s1.log"])
    try #require(await runProgram("chmod", ["0", bench.logPath("s1"), bench.viewPath("s1")]).status == 0)
    for command in ["project", "cat", "show"] { #expect(try await bench.run(command, "s1", isPrivileged: false).status == 77) }
    #expect(try await bench.run("verify", isPrivileged: false).status == 3)
    #expect(try await bench.run("list", "--json", isPrivileged: false).text == "[]\n")
    try #require(await runProgram("chmod", ["-R", "u=rwX", bench.storage.path]).status == 0)
  }

  @Test func formatVersionThatItDoesNotKnow() async throws {
    try bench.copyVector("closed")
    try bench.makeUnsupported("closed")
    for arguments in [["project", "closed"], ["cat", "closed"], ["show", "closed"], ["record", "--resume", "closed"]] {
      let result = try await bench.run(arguments, input: [])
      #expect(result.status == 69 && result.text == "", "\(arguments)")
      #expect(
        result.errors.contains("closed.log/00000000000000000000.seg, offset 0: the segment has format version 7; this program reads version 1"),
        "\(result.errors)")
    }
    #expect(try await bench.run("list").text.split(separator: "\n").count == 1)
  }
}

extension Bench {
  /// Gives a log of one segment a format version of the future.
  func makeUnsupported(_ id: String) throws {
    let path = logPath(id) + "/00000000000000000000.seg"
    var segment = try bytes(path)
    segment[8] = 7
    let crc = segment.withUnsafeBytes { crc32c(0, UnsafeRawBufferPointer(rebasing: $0[..<132])) }
    withUnsafeBytes(of: crc.littleEndian) { segment.replaceSubrange(132..<136, with: $0) }
    try DiskFileSystem().write(segment, to: path)
  }
}
