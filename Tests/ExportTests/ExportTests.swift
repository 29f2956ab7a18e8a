import LogFormat
import LogStorage
import ProvenanceExport
import ProvenanceLog
import TestSupport
import Testing

/// What is exported, read by others: `exports.py` compares PyPI prov's and rdflib's reading with the Session JSON. CKPROV_EXPORT_COUNT sets the number of
/// random sessions (default 20), CKPROV_SEED repeats a run.
@Suite(.timeLimit(.minutes(20)))
struct ExportTests {
  private let storage: TemporaryDirectory
  private let store: SessionStore

  init() throws {
    storage = try TemporaryDirectory()
    store = SessionStore(storageDirectory: storage.path)
  }

  @Test func independentReadersAgree() async throws {
    guard await referenceIsAvailable(), await readersAreAvailable() else { return }
    let count = setting("CKPROV_EXPORT_COUNT") ?? "20"
    let seed = setting("CKPROV_SEED") ?? String(UInt32.random(in: .min ... .max))
    let generated = try await runProgram(
      "python3", [repositoryPath() + "/Tests/DifferentialTests/reference.py", "generate", "--all-timestamps", "--seed", seed, "--count", count])
    let directory = try TemporaryDirectory()
    for line in generated.output.split(separator: 0x0A) {
      let session = try Array(line).withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
      let id = try record(session)
      try DiskFileSystem().write(member(session, "expected").bytes, to: "\(directory.path)/\(id).json")
      for format in Export.Format.allCases {
        try DiskFileSystem().write(export(id.description, as: format), to: "\(directory.path)/\(id).\(format.rawValue)")
      }
    }
    let result = try await runProgram("python3", [directoryOfTests + "/exports.py", directory.path])
    #expect(result.status == 0, "seed \(seed): \(result.text) \(result.errors)")
    #expect(result.text.contains("{\"sessions\": \(count), "), "\(result.text)")
    print("exports: seed \(seed), \(result.text.split(separator: "\n").last ?? "")")
  }

  @Test(arguments: Export.Format.allCases)
  func legacySessionsAreExportedAsTheirLogs(_ format: Export.Format) throws {
    let prov = try start()
    for number in 1...3 { try prov.recordAction(actionType: "t", outcome: "failed", beforeState: ["n": JSONValue(number)], note: "\(number)") }
    try prov.close()
    let ofLog = try export("s", as: format)
    #expect(ofLog.count > 200)
    let (view, path) = (try DiskFileSystem().bytes(of: prov.filePath), prov.filePath)
    try SessionsDirectory(storageDirectory: storage.path, fileSystem: DiskFileSystem()).remove(prov.sessionID)
    try DiskFileSystem().write(view, to: path)
    #expect(try store.getSession("s").isLegacy)
    #expect(try export("s", as: format) == ofLog)
  }

  /// They differ only in what no text can show.
  @Test func kernelsOfLoneSurrogatesHaveNamesOfTheirOwn() throws {
    let prov = try start()
    for surrogate in [0xD800, 0xDFFF] as [UInt16] {
      try prov.recordAction(Action(actionType: "t", outcome: "verified", kernel: JSONString(utf16: [surrogate])))
    }
    try prov.close()
    for name in ["%23%ED%A0%80%3Av1%2E0 a prov:Agent", "%23%ED%BF%BF%3Av1%2E0 a prov:Agent"] {
      #expect(String(decoding: try export("s", as: .turtle), as: UTF8.self).contains(name))
    }
  }

  /// All passes see the same actions.
  @Test(arguments: Export.Format.allCases)
  func whatIsRecordedMeanwhileIsNotInIt(_ format: Export.Format) throws {
    let prov = try start()
    // More than a block of output, so that not all is read at once.
    for number in 1...1000 { try prov.recordAction(actionType: "t", outcome: "verified", afterState: ["n": JSONValue(number)]) }
    let before = try export("s", as: format)
    var export = Export(try store.getSession("s"), as: format)
    var bytes: [UInt8] = []
    while let block = try export.next() {
      bytes += Array(block)
      try prov.recordAction(actionType: "late", outcome: "verified", kernel: "another", beforeState: [:])
    }
    #expect(bytes == before)
    #expect(try self.export("s", as: format) != before)
  }

  @Test(arguments: Export.Format.allCases)
  func damagedSessionIsNamed(_ format: Export.Format) async throws {
    do {
      let prov = try start()
      for number in 1...50 { try prov.recordAction(actionType: "t", outcome: "verified", note: "number \(number)") }
    }
    let log = "\(storage.path)/storage/sessions/s.log"
    let name = try #require(try DiskFileSystem().names(in: log).first { $0.hasSuffix(".seg") })
    var bytes = try DiskFileSystem().bytes(of: "\(log)/\(name)")
    let mark = Array("number 25".utf8)
    let offset = try #require(bytes.indices.first { bytes[$0...].starts(with: mark) })
    bytes[offset] ^= 1
    try DiskFileSystem().write(bytes, to: "\(log)/\(name)")
    #expect(throws: LogError.self) { try export("s", as: format) }
    let output = "\(storage.path)/out"
    try DiskFileSystem().write(Array("before".utf8), to: output)
    let result = try await runProgram(
      try commandPath(), ["export", "s", "--storage-dir", storage.path, "--format", format.rawValue, "-o", output])
    #expect(result.status == 65 && result.errors.contains(name), "\(result.errors)")
    #expect(try DiskFileSystem().bytes(of: output) == Array("before".utf8))
  }

  @Test(arguments: Export.Format.allCases)
  func commandPrintsOrWritesTheSame(_ format: Export.Format) async throws {
    let prov = try start()
    try prov.recordAction(actionType: "t", outcome: "verified", kernel: "a kernel, \"odd\"", note: "line\none")
    try prov.close()
    let expected = try export("s", as: format)
    let arguments = ["export", "@", "--storage-dir", storage.path, "--format", format.rawValue]
    let printed = try await runProgram(try commandPath(), arguments)
    #expect(printed.status == 0 && printed.output == expected && printed.errors == "")
    let written = try await runProgram(try commandPath(), arguments + ["-o", "\(storage.path)/out"])
    #expect(written.status == 0 && written.text == "" && written.errors == "")
    #expect(try DiskFileSystem().bytes(of: "\(storage.path)/out") == expected)
  }

  // MARK: The page

  /// In headless Chromium, where it is used. What would be HTML, or end the script, is shown as text and does nothing.
  @Test func pageWorksInABrowser() async throws {
    guard await browserIsAvailable() else { return }
    var random = SeededGenerator(seed: setting("CKPROV_SEED").flatMap { UInt64($0) } ?? .random(in: .min ... .max))
    let hostile: [JSONString] = [
      "</script><script>window.wasAttacked = 1</script>", "<img src=x onerror='window.wasAttacked = 2'>", "<!--", "]]>", "&lt;b&gt;",
      "\u{2028}\u{0}\u{1B}[2J", "Größe \u{202E}desrever\u{2069}\u{85}",
      JSONString(utf16: [0xD800, 0x41]), "{{DATA}}", "{{TITLE}}", "${window.wasAttacked = 3}", "plain",
    ]
    func text() -> JSONString { hostile.randomElement(using: &random)! }
    let prov = try ProvChain(
      storageDirectory: storage.path, label: hostile[0], kernelURN: "ckp://Kernel#<b>:v1.0", kernelAction: hostile[1], retentionHours: nil,
      sessionID: SessionID("s"))
    let outcomes: [JSONString] = ["verified", "failed", "retry", "skipped", hostile[1], "plain"]
    for number in 0..<300 {
      let states: [Payload] = (0..<2).map { _ in
        [text(): .string(text()), "k\(Int.random(in: 0...3, using: &random))": [[:], [], 1.5, .double(.nan), ["<b>": nil]], "same": .string(text())]
      }
      let action = Action(
        actionType: number % 7 == 0 ? text() : "t\(number % 3)", outcome: outcomes[Int.random(in: 0..<outcomes.count, using: &random)],
        kernel: number % 11 == 0 ? text() : "", intent: [text(): .largeInteger(LargeInteger("123456789012345678901234567890")!)],
        evidence: number % 2 == 0 ? [:] : ["e": .string(text())], beforeState: states[0], afterState: number % 5 == 0 ? nil : states[1],
        attempt: Int64.random(in: 1...3, using: &random), note: number % 3 == 0 ? text() : "note\(number)")
      try prov.recordAction(action)
    }
    try prov.close()
    let page = "\(storage.path)/page.html"
    let written = try await runProgram(try commandPath(), ["report", "s", "--storage-dir", storage.path, "-o", page])
    #expect(written.status == 0 && written.errors == "")
    let bytes = try DiskFileSystem().bytes(of: page)
    #expect(try bytes == export("s", as: .html))
    // Of the two scripts and the title, no more.
    let count = String(decoding: bytes, as: UTF8.self).lowercased().split(separator: "</script").count
    #expect(count == 3)
    let result = try await runProgram("python3", [directoryOfTests + "/report.py", page, prov.filePath])
    #expect(result.status == 0 && result.text.contains("ok, "), "\(result.text) \(result.errors)")
    print("page: \(result.text)")
  }

  /// Also before the page's script does so: the file may be looked at on a terminal.
  @Test func titleShowsNothingThatSteers() throws {
    let label: JSONString = "a\u{1B}]0;b\u{7}\n<c>\u{202E}\u{0}"
    _ = try ProvChain(
      storageDirectory: storage.path, label: label, kernelURN: "ckp://Kernel#CK.Test:v1.0", retentionHours: nil, sessionID: SessionID("s"))
    let page = String(decoding: try export("s", as: .html), as: UTF8.self)
    #expect(page.contains(#"<title>a\x1b]0;b\x07\x0a&lt;c&gt;\u202e\x00</title>"#))
    #expect(!page.unicodeScalars.contains { $0 != "\n" && steersTerminal($0) })
  }

  // MARK: Sessions

  private func start() throws -> ProvChain {
    try ProvChain(
      storageDirectory: storage.path, label: "test", kernelURN: "ckp://Kernel#CK.Test:v1.0", retentionHours: nil, sessionID: SessionID("s"))
  }

  /// Records a session of `reference.py`.
  private func record(_ session: JSONValue) throws -> SessionID {
    let id = try SessionID(member(session, "session_id").description)
    let startedAt = try #require(Timestamp(member(session, "started_at").description))
    let prov = try ProvChain(
      storageDirectory: storage.path, label: member(session, "label"), kernelURN: member(session, "kernel_urn"),
      kernelAction: member(session, "kernel_action"), retentionHours: nil, sessionID: id, startedAt: startedAt)
    guard case .object(let members) = session, case .array(let steps)? = members["steps"] else { return id }
    for step in steps {
      var lines = LineReader()
      switch try member(step, "line").bytes.withRawBytes({ bytes throws(LogError) in try lines.read(bytes) }) {
      case .action: try prov.recordAction(try lines.action)
      case .close(let outcome, let endedAt): try prov.close(outcome: outcome, endedAt: endedAt)
      case .blank: Issue.record("a blank line")
      }
    }
    return id
  }

  private func export(_ id: String, as format: Export.Format) throws -> [UInt8] {
    var export = Export(try store.getSession(id), as: format)
    var bytes: [UInt8] = []
    while let block = try export.next() { bytes += Array(block) }
    return bytes
  }
}

private let directoryOfTests = repositoryPath() + "/Tests/ExportTests"

private func readersAreAvailable() async -> Bool {
  let result = try? await runProgram("python3", ["-c", "import prov, rdflib"])
  if result?.status != 0 { print("SKIPPED: no prov and rdflib for Python here, so no independent reader looks at what is exported") }
  return result?.status == 0
}

private func browserIsAvailable() async -> Bool {
  let result = try? await runProgram("sh", ["-c", "command -v chromium && command -v chromedriver && python3 -c 'import selenium'"])
  if result?.status != 0 { print("SKIPPED: no chromium, chromedriver and selenium for Python here, so no browser opens the page") }
  return result?.status == 0
}

private func member(_ value: JSONValue, _ key: JSONString) throws -> JSONString {
  guard case .object(let object) = value, case .string(let text)? = object[key] else { throw LogError(.invalidInput, "no text '\(key)'") }
  return text
}
