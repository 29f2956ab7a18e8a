import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `import --all`: a directory of the reference's sessions becomes logs, and what is missing is made up for.
@Suite(.timeLimit(.minutes(10)))
struct ImportAllTests {
  private let bench: Bench

  init() async throws {
    bench = try Bench()
    for id in ["s1", "s2", "s3"] { try await bench.makeLegacy(id, [action(id), action("b")]) }
  }

  private func view(_ id: String) throws -> [UInt8] { try bench.bytes(bench.viewPath(id)) }

  /// In a directory beside the storage's.
  private func moveAway(_ ids: String...) async throws -> String {
    let directory = "\(bench.storage.path)/old"
    try #require(await runProgram("mkdir", ["-p", directory]).status == 0)
    for id in ids { try DiskFileSystem().rename(bench.viewPath(id), to: "\(directory)/\(id).json") }
    return directory
  }

  private func change(_ path: String, _ old: String, _ new: String) throws {
    let text = String(decoding: try bench.bytes(path), as: UTF8.self)
    try #require(text.contains(old))
    try DiskFileSystem().write(Array(text.replacing(old, with: new).utf8), to: path)
  }

  @Test func inPlaceTheFilesBecomeViews() async throws {
    _ = try await bench.record("log", [action("a")])
    try DiskFileSystem().setModificationTime(of: bench.viewPath("s2"), to: 1_600_000_000_123_456_789)
    let views = try ["s1", "s2", "s3"].map(view)
    let result = try await bench.run("import", "--all")
    #expect(result.status == 0 && result.text == "s1\ns2\ns3\n" && result.errors == "")
    #expect(try bench.names == ["log", "s1", "s2", "s3"].flatMap { ["\($0).json", "\($0).log"] })
    #expect(try ["s1", "s2", "s3"].map(view) == views)
    #expect(try await bench.run("project", "s2").output == views[1])
    #expect(try DiskFileSystem().status(of: "\(bench.logPath("s2"))/00000000000000000000.seg")?.modified == 1_600_000_000_123_456_789)
    #expect(try json(await bench.run("list", "--json").output).elements.count == 4)
    let again = try await bench.run("import", "--all")
    #expect(again.status == 0 && again.text == "" && again.errors == "")
  }

  @Test func whatCannotBeReproducedIsNamedAndTheOthersAreDone() async throws {
    try change(bench.viewPath("s1"), #""attempt": 1"#, #""attempt": 1.0"#)
    try DiskFileSystem().write(Array("[]".utf8), to: bench.viewPath("s0"))
    let left = try view("s1")
    let result = try await bench.run("import", "--all")
    #expect(result.status == 65 && result.text == "s2\ns3\n")
    let errors = result.errors.split(separator: "\n")
    try #require(errors.count == 2)
    for (error, id) in zip(errors, ["s0", "s1"]) { #expect(error.hasPrefix("ckprov-log: \(bench.viewPath(id))")) }
    #expect(try view("s1") == left)
    #expect(try bench.names == ["s0.json", "s1.json", "s2.json", "s2.log", "s3.json", "s3.log"])
    #expect(try await bench.run("import", "--all").status == 65)
  }

  @Test func fromAnotherDirectoryItGoesOnWithWhatIsMissing() async throws {
    let directory = try await moveAway("s1", "s2", "s3")
    try DiskFileSystem().rename("\(directory)/s3.json", to: "\(bench.storage.path)/later.json")
    try DiskFileSystem().write([1], to: "\(directory)/.hidden.json")
    try DiskFileSystem().write([1], to: "\(directory)/notes.txt")
    #expect(try await bench.run("import", "--all", directory).text == "s1\ns2\n")
    #expect(try bench.names == ["s1.log", "s2.log"])
    try DiskFileSystem().rename("\(bench.storage.path)/later.json", to: "\(directory)/later.json")
    let result = try await bench.run("import", "--all", directory)
    #expect(result.status == 0 && result.text == "s3\n")
    #expect(try await bench.run("import", "--all", directory).text == "")
    #expect(try DiskFileSystem().names(in: directory).sorted() == [".hidden.json", "later.json", "notes.txt", "s1.json", "s2.json"])
  }

  /// Of two files with one session the longer one may have been met second.
  @Test func fileThatHoldsMoreThanTheLogIsNamed() async throws {
    let directory = try await moveAway("s1")
    _ = try await bench.run("import", "--all", directory)
    _ = try await bench.run("record", "--resume", "s1", "--view", "close", input: action("c"))
    let longer = try view("s1")
    try #require(await runProgram("rm", ["-r", bench.logPath("s1"), bench.viewPath("s1")]).status == 0)
    _ = try await bench.run("import", "--all", directory)
    try DiskFileSystem().write(longer, to: "\(directory)/s1-longer.json")
    let result = try await bench.run("import", "--all", directory)
    #expect(result.status == 73 && result.text == "")
    #expect(result.errors.hasPrefix("ckprov-log: ") && result.errors.contains("if the file holds more"), "\(result.errors)")
  }

  @Test func anotherSessionOfTheSameIDIsNamed() async throws {
    let other = try view("s1")
    _ = try await bench.run("import", "--all")
    try DiskFileSystem().write(other, to: bench.viewPath("s1"))
    try change(bench.viewPath("s1"), #""started_at": "2"#, #""started_at": "1"#)
    let result = try await bench.run("import", "--all")
    #expect(result.status == 73 && result.text == "" && result.errors.contains("session 's1' has a log already"), "\(result.errors)")
  }

  /// Its log would have a view of another name, and be listed twice.
  @Test func inPlaceTheNameMustBeTheID() async throws {
    try DiskFileSystem().rename(bench.viewPath("s2"), to: bench.viewPath("copy"))
    let result = try await bench.run("import", "--all")
    #expect(result.status == 65 && result.text == "s1\ns3\n")
    #expect(result.errors.hasPrefix("ckprov-log: \(bench.viewPath("copy")): this is session 's2', and not named so"), "\(result.errors)")
    #expect(try bench.names == ["copy.json", "s1.json", "s1.log", "s3.json", "s3.log"])
  }

  @Test func killedItGoesOnNextTime() async throws {
    for number in 10..<40 { try DiskFileSystem().write(view("s1").replacingID(with: "s\(number)"), to: bench.viewPath("s\(number)")) }
    let count = 33
    let bench = bench
    var kills = 0
    while kills < 100 {
      kills += 1
      let result = try await bench.recording(["import", "--all"]) { program in
        let killer = program.kill(after: .milliseconds(Int.random(in: 5...20 * kills)))
        while try await program.line() != nil {}
        _ = await killer.value
      }
      if result.status == 0 { break }
      #expect(result.status == 137)
    }
    #expect(kills < 100)
    #expect(try await bench.run("import", "--all").text == "")
    #expect(try bench.names.count { $0.hasSuffix(".log") } == count)
    let verified = try await bench.run("verify", "--deep")
    #expect(verified.status == 0 && verified.text.split(separator: "\n").count == count, "\(verified.text)")
  }

  /// It can't be found under the name that it is listed with.
  @Test func aNameThatIsNotUTF8IsNamed() async throws {
    try await bench.makeLegacy("s", [action("a")])
    _ = try await bench.shell("mv storage/sessions/s.json storage/sessions/$'caf\\xe9.json'")
    for command in [["import", "--all"], ["retain"], ["stats", "--disk-usage"], ["stats"], ["verify"]] {
      let result = try await bench.run(command, input: [])
      #expect(result.status == (command == ["verify"] ? 3 : 65), "\(command): \(result)")
      #expect((result.errors + result.text).contains("the name of this file is not UTF-8; rename it"), "\(command): \(result)")
    }
  }

  /// That there is one already would be no advice.
  @Test func aLogThatCannotBeReadIsNamedWithTheReason() async throws {
    guard try await bench.run("--version", isPrivileged: false).status == 0 else { return }
    try #require(await bench.record("a1", [action("a")]).status == 0)
    try #require(await runProgram("chmod", ["-R", "a=rwX", bench.storage.path]).status == 0)
    let segment = bench.logPath("a1") + "/00000000000000000000.seg"
    try #require(await runProgram("chmod", ["0", segment]).status == 0)
    let result = try await bench.run("import", "--all", isPrivileged: false)
    #expect(result.status == 77 && result.errors.hasPrefix("ckprov-log: \(segment): ") && result.errors.contains("Permission denied"), "\(result)")
  }

  /// What stands in a log under such a name could not be removed with it.
  @Test func aLogWithANameThatIsNotUTF8Stays() async throws {
    try await bench.makeLegacy("s", [action("a")])
    #expect(try await bench.run("import", "--all").status == 0)
    _ = try await bench.shell("touch storage/sessions/s.log/$'caf\\xe9'")
    let result = try await bench.run("retain", "--keep", "0")
    #expect(result.status == 65 && result.errors.contains("s.log/caf\u{FFFD}: the name of this file is not UTF-8; rename it"), "\(result)")
    #expect(try bench.names.contains("s.log"))
    // Of another directory it is the path there that is named.
    let directory = try await moveAway()
    _ = try await bench.shell("touch \(directory)/$'caf\\xe9.json'")
    let imported = try await bench.run("import", "--all", directory)
    #expect(imported.status == 65 && imported.errors.contains("\(directory)/caf\u{FFFD}.json: the name"), "\(imported)")
  }

  @Test func nothingToImport() async throws {
    let result = try await Bench().run("import", "--all")
    #expect(result.status == 0 && result.text == "" && result.errors.contains("there is no such directory"), "\(result.errors)")
    let missing = try await bench.run("import", "--all", "\(bench.storage.path)/none")
    #expect(missing.status == 66 && missing.errors.contains("/none: cannot list this directory: No such file or directory"), "\(missing.errors)")
    #expect(try await bench.run("import", "--all", "a", "b").status == 64)
    #expect(try await bench.run("import").status == 64)
  }

  /// They share the syncs of directories, and each is on stable storage before it gets its name.
  @Test func syncsAreShared() async throws {
    let watched = WatchedFileSystem()
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: watched)
    var imported: [String] = []
    try sessions.importAll { result throws(LogError) in imported.append(try result.get().description) }
    #expect(imported == ["s1", "s2", "s3"])
    let syncs = watched.operations.filter { $0.isSync || $0.isSyncDirectory }
    // Of each log its file and its directory; the sessions' directory, and twice those above it.
    #expect(syncs.count == 3 * 2 + 3, "\(syncs)")
    #expect(watched.operations.last == .syncDirectory(sessions.path))
    let names = watched.operations.indices.filter { if case .rename(_, let path) = watched.operations[$0] { path.hasSuffix(".log") } else { false } }
    #expect(names.count == 3 && watched.operations[names[0]...].allSatisfy { !$0.isSync && !$0.isWrite })
    for path in ["s1", "s2", "s3"].map({ bench.logPath($0) }) {
      #expect(try LogDirectory(path: path, fileSystem: watched).state(of: nil).ending == .clean)
    }
  }

  /// What is removed since it was listed is passed over.
  @Test func fileThatIsGoneIsPassedOver() async throws {
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: DiskFileSystem())
    let bench = bench
    var imported: [String] = []
    try sessions.importAll(progress: { done, _ in if done == 0 { try? DiskFileSystem().remove(bench.viewPath("s2")) } }) { result throws(LogError) in
      imported.append(try result.get().description)
    }
    #expect(imported == ["s1", "s3"])
  }

  /// They are synced on several threads.
  @Test func manyAtOnce() async throws {
    for number in 10..<100 { try DiskFileSystem().write(view("s1").replacingID(with: "s\(number)"), to: bench.viewPath("s\(number)")) }
    let watched = WatchedFileSystem()
    watched.setRule { if case .sync(let path) = $0, path.contains(".s50.log.") { .init(.io) } else { nil } }
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: watched)
    var (imported, errors): ([String], [LogError]) = ([], [])
    try sessions.importAll {
      switch $0 {
      case .success(let id): imported.append(id.description)
      case .failure(let error): errors.append(error)
      }
    }
    #expect(imported.count == 92 && imported == imported.sorted() && errors.count == 1)
    #expect(watched.count(\.isSync) == 93)
    for id in imported {
      // Both of its own syncs come before its name.
      let name = watched.operations.firstIndex { if case .rename(_, let path) = $0 { path == bench.logPath(id) } else { false } }
      let before = watched.operations[..<(try #require(name))]
      #expect(before.contains { if case .sync(let path) = $0 { path.contains(".\(id).log.") } else { false } }, "\(id)")
      #expect(before.contains { if case .syncDirectory(let path) = $0 { path.contains(".\(id).log.") } else { false } }, "\(id)")
    }
    let verified = try await bench.run("verify", "--deep")
    #expect(verified.status == 0 && verified.text.split(separator: "\n").count == 93)
  }

  /// One log that cannot be synced, or gets no name, is not there, and the others are.
  @Test(arguments: ["sync", "name"])
  func failureOfOneIsNamed(_ what: String) async throws {
    let watched = WatchedFileSystem()
    watched.setRule { operation in
      switch operation {
      case .sync(let path) where what == "sync" && path.contains(".s2.log."): .init(.io)
      case .rename(_, let path) where what == "name" && path.hasSuffix("/s2.log"): .init(.io)
      default: nil
      }
    }
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: watched)
    var (imported, errors): ([String], [LogError]) = ([], [])
    try sessions.importAll {
      switch $0 {
      case .success(let id): imported.append(id.description)
      case .failure(let error): errors.append(error)
      }
    }
    #expect(imported == ["s1", "s3"] && errors.count == 1)
    #expect(try bench.names == ["s1.json", "s1.log", "s2.json", "s3.json", "s3.log"])
    #expect(try await bench.run("import", "--all").text == "s2\n")
  }

  @Test func sessionThatIsThereTwiceIsImportedOnce() async throws {
    let directory = try await moveAway("s1", "s2")
    try DiskFileSystem().write(try bench.bytes("\(directory)/s1.json"), to: "\(directory)/copy.json")
    let result = try await bench.run("import", "--all", directory)
    #expect(result.status == 0 && result.text == "s1\ns2\n" && result.errors == "")
  }

  @Test func fullDiskEndsIt() async throws {
    let watched = WatchedFileSystem()
    watched.setRule { if case .write = $0 { .init(.noSpace) } else { nil } }
    let sessions = SessionsDirectory(storageDirectory: bench.storage.path, fileSystem: watched)
    #expect(throws: LogError.self) { try sessions.importAll { _ in Issue.record("there is room for nothing") } }
    #expect(try bench.names == ["s1.json", "s2.json", "s3.json"])
  }

  /// Of the same session, as far as its id, its times and its last seq say.
  @Test func aFileThatDiffersFromItsLogIsNamed() async throws {
    let directory = try await moveAway("s1")
    try DiskFileSystem().write(try bench.bytes("\(directory)/s1.json"), to: "\(directory)/t1.json")
    #expect(try await bench.run("import", "--all", directory).status == 0)
    try change("\(directory)/t1.json", #""note": "s1""#, #""note": "S1""#)
    for _ in 0..<2 {
      let result = try await bench.run("import", "--all", directory)
      #expect(
        result.status == 73 && result.text == "" && result.errors.contains("t1.json") && result.errors.contains("differs from it"), "\(result.errors)"
      )
    }
    try #require(await bench.run("rm", "s1").status == 0)
    let result = try await bench.run("import", "--all", directory)
    #expect(result.status == 73 && result.text == "s1\n" && result.errors.contains("t1.json"), "\(result.errors)")
  }

  /// Each log that is being made holds files open.
  @Test func fewFilesMayBeOpen() async throws {
    for number in 10..<90 { try await bench.makeLegacy("n\(number)", [action("a")]) }
    let result = try await bench.shell("ulimit -n 60; \"$C\" import --all")
    #expect(result.status == 0 && result.text.split(separator: "\n").count == 83, "\(result.errors)")
    let retained = try await bench.shell("ulimit -n 60; \"$C\" retain --keep 0")
    #expect(retained.status == 0 && retained.text.hasSuffix("; 0 left, 0 B\n"), "\(retained.errors)")
  }
}

extension [UInt8] {
  fileprivate func replacingID(with id: String) -> [UInt8] {
    Array(String(decoding: self, as: UTF8.self).replacing(#""session_id": "s1""#, with: #""session_id": "\#(id)""#).utf8)
  }
}
