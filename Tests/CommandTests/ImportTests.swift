import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `import`: Session JSON of the reference's becomes a log, if it can be given back byte by byte.
@Suite(.timeLimit(.minutes(10)))
struct ImportTests {
  private let bench: Bench
  /// A session as the reference would have left it, and where it stands.
  private let legacy: [UInt8]
  private let file: String
  private static let modified: Int64 = 1_600_000_000_123_456_789

  init() async throws {
    let other = try Bench()
    _ = try await other.record("s1", [action("a"), action("é", outcome: "failed"), action("c")])
    legacy = try other.bytes(other.viewPath("s1"))
    bench = try Bench()
    file = try bench.file("old.json", legacy)
    try DiskFileSystem().setModificationTime(of: file, to: Self.modified)
  }

  @Test func becomesALog() async throws {
    let result = try await bench.run("import", file)
    #expect(result.status == 0 && result.text == "s1\n" && result.errors == "")
    #expect(try await bench.run("project", "s1").output == legacy)
    #expect(try await bench.notes("s1") == ["a", "é", "c"])
    #expect(try await bench.run("verify").text.hasPrefix("s1  clean  3 actions"))
    #expect(try bench.names == ["s1.log"])
  }

  @Test func originalStaysAndItsTimeIsCarriedOver() async throws {
    #expect(try await bench.run("import", file).status == 0)
    #expect(try bench.bytes(file) == legacy)
    #expect(try DiskFileSystem().status(of: file)?.modified == Self.modified)
    let names = try DiskFileSystem().names(in: bench.logPath("s1")).filter { $0.hasSuffix(".seg") }
    for name in names { #expect(try DiskFileSystem().status(of: "\(bench.logPath("s1"))/\(name)")?.modified == Self.modified) }
    // So it is as old as it was.
    #expect(try await bench.run(newSession("s2") + ["--retention-hours", "48"], input: []).status == 0)
    #expect(try bench.names == ["s2.json", "s2.log"])
  }

  @Test func inItsPlaceTheOriginalBecomesTheView() async throws {
    try SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem()).make()
    try DiskFileSystem().write(legacy, to: bench.viewPath("s1"))
    #expect(try await bench.run("import", bench.viewPath("s1")).status == 0)
    #expect(try json(await bench.run("list", "--json").output).elements.count == 1)
    #expect(try await bench.run("record", "--resume", "s1", "--ack", input: action("d")).text == "s1\n4\n")
    #expect(try await bench.notes("s1") == ["a", "é", "c", "d"])
  }

  /// The reference strips null members from objects, in lists too, but not in tuples, which its JSON does not tell from lists.
  @Test func nullMembersStayInsideArrays() async throws {
    let other = try Bench()
    for (id, evidence, isTaken) in [("tuple", #"{"t":[{"a":"NULL"}]}"#, true), ("dict", #"{"t":{"a":"NULL"}}"#, false)] {
      try await other.makeLegacy(id, [#"{"action_type":"t","outcome":"verified","evidence":\#(evidence)}"#])
      let text = String(decoding: try other.bytes(other.viewPath(id)), as: UTF8.self)
      let file = try bench.file("\(id).json", text.replacing(#""NULL""#, with: "null"))
      let result = try await bench.run("import", file)
      #expect(result.status == (isTaken ? 0 : 65) && result.errors.contains("a member is null") != isTaken, "\(id): \(result.errors)")
      if isTaken { #expect(try await bench.run("project", id).output == bench.bytes(file)) }
    }
    let verified = try await bench.run("verify", "--deep")
    #expect(verified.status == 0, "\(verified.text)")
  }

  /// What the reference would not have written is refused with the byte from which on it differs.
  @Test(arguments: [
    ("\n}", "\n}\n"), (#""label": "test""#, #""label":"test""#), (#""note": "a""#, #""note": "\u0061""#), (#""\u00e9""#, #""é""#),
    (#""attempt": 1"#, #""attempt": 1.0"#), (#""seq": 2"#, #""seq": 1"#), (#""outcome": "partial""#, #""result": "partial""#),
    (#""kernels_involved": ["#, #""kernels_involved": ["X","#), ("{", "[1"), (#""actions": ["#, #""actions": [[], "#),
    (#""session_id": "s1""#, #""session_id": "../s1""#),
    ("  \"urn\"", "\"urn\""), ("ckp://Action#CK.Test/t", "ckp://Action#CK.Test/u"),
  ])
  func whatCannotBeReproducedIsRefused(_ old: String, _ new: String) async throws {
    let text = String(decoding: legacy, as: UTF8.self)
    let changed = text.replacing(old, with: new, maxReplacements: 1)
    try #require(changed != text)
    let path = try bench.file("changed.json", changed)
    let result = try await bench.run("import", path)
    #expect(result.status == 65 && result.text == "")
    #expect(result.errors.hasPrefix("ckprov-log: \(path)") && result.errors.filter { $0 == "\n" }.count == 1, "\(result.errors)")
    #expect(try bench.bytes(path) == Array(changed.utf8))
    #expect(try !bench.exists(bench.sessions) || bench.names == [])
  }

  @Test func refusalNamesTheByte() async throws {
    let path = try bench.file("changed.json", legacy + [0x0A])
    let result = try await bench.run("import", path)
    #expect(result.errors.hasPrefix("ckprov-log: \(path), offset \(legacy.count): something follows the session"), "\(result.errors)")
    let text = String(decoding: legacy, as: UTF8.self)
    let offset = text.utf8.distance(from: text.startIndex, to: text.firstRange(of: #""label": "#)!.upperBound) - 1
    _ = try bench.file("changed.json", text.replacing(#""label": "#, with: #""label":"#))
    #expect(
      try await bench.run("import", path).errors.hasPrefix(
        "ckprov-log: \(path), offset \(offset): this is not what the reference writes, from here on"))
  }

  @Test func idThatIsTaken() async throws {
    #expect(try await bench.run("import", file).status == 0)
    let again = try await bench.run("import", file)
    #expect(again.status == 73 && again.errors.contains("session 's1' has a log already"), "\(again.errors)")
    try await bench.makeLegacy("s2", [action("x")])
    let path = try bench.file("two.json", String(decoding: legacy, as: UTF8.self).replacing(#""session_id": "s1""#, with: #""session_id": "s2""#))
    let other = try await bench.run("import", path)
    #expect(other.status == 73 && other.errors.contains("s2.json: another session of the same id stands here"), "\(other.errors)")
    #expect(try bench.names == ["s1.log", "s2.json"])
  }

  /// Nothing was acknowledged in it.
  @Test(arguments: [[], ["lock"], ["lock", ".00000000000000000000.seg.tmp"]])
  func creationThatDidNotFinishIsTakenOver(_ names: [String]) async throws {
    let log = try unfinishedLog(names)
    // A refused file takes nothing away.
    let changed = try bench.file("changed.json", legacy + [0x0A])
    #expect(try await bench.run("import", changed).status == 65)
    #expect(try DiskFileSystem().names(in: log.path).sorted() == names.sorted())
    let result = try await bench.run("import", file)
    #expect(result.status == 0 && result.text == "s1\n" && result.errors == "", "\(result.errors)")
    #expect(try await bench.run("project", "s1").output == legacy)
    #expect(try bench.names == ["s1.log"])
    #expect(try DiskFileSystem().names(in: log.path).sorted() == ["00000000000000000000.seg", "lock"])
  }

  @Test func creationThatGoesOnIsLeftAlone() async throws {
    let log = try unfinishedLog(["lock"])
    let lock = try LogLock(.writer, of: log)
    let living = try await bench.run("import", file)
    #expect(living.status == 75 && living.errors.contains("another writer is at work on this session"), "\(living.errors)")
    #expect(try bench.names == ["s1.log"])
    #expect(try DiskFileSystem().names(in: log.path) == ["lock"])
    withExtendedLifetime(lock) {}
  }

  @Test func whatIsNoneOfOursKeepsItsPlace() async throws {
    let log = try unfinishedLog(["lock", "notes.txt"])
    let result = try await bench.run("import", file)
    #expect(result.status == 73, "\(result.errors)")
    #expect(try bench.names == ["s1.log"])
    #expect(try DiskFileSystem().names(in: log.path).sorted() == ["lock", "notes.txt"])
  }

  private func unfinishedLog(_ names: [String]) throws -> LogDirectory {
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem())
    try sessions.make()
    let log = sessions.log(of: try SessionID("s1"))
    _ = try DiskFileSystem().makeDirectory(log.path)
    for name in names { try DiskFileSystem().write([], to: log.path(of: name)) }
    return log
  }

  @Test func severalFilesEachForItself() async throws {
    let text = String(decoding: legacy, as: UTF8.self)
    let second = try bench.file("two.json", text.replacing(#""session_id": "s1""#, with: #""session_id": "s2""#))
    let result = try await bench.run("import", file, bench.storage.path + "/none.json", second)
    #expect(result.status == 66 && result.text == "s1\ns2\n")
    #expect(result.errors == "ckprov-log: \(bench.storage.path)/none.json: cannot open this: No such file or directory\n")
    #expect(try await bench.run("import").status == 64)
  }

  @Test func openSessionStaysOpen() async throws {
    let other = try Bench()
    _ = try await other.record("open", [action("a")], "--no-close")
    let path = try bench.file("open.json", try await other.run("project", "open").output)
    #expect(try await bench.run("import", path).status == 0)
    #expect(try await bench.run("record", "--resume", "open", "--ack", input: action("b")).text == "open\n2\n")
    #expect(try await bench.outcome("open") == "complete")
  }
}
