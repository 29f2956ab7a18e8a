import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `ckprov-log` over a storage directory of its own.
struct Bench {
  let storage: TemporaryDirectory
  private let command: String

  init() throws {
    storage = try TemporaryDirectory()
    command = try commandPath()
  }

  /// Where logs and views are.
  var sessions: String { storage.path + "/storage/sessions" }

  /// What stands there, in order, but for what openings leave.
  var names: [String] {
    get throws { try DiskFileSystem().names(in: sessions).filter { ![".swept", ".retained"].contains($0) }.sorted() }
  }

  func logPath(_ id: String) -> String { "\(sessions)/\(id).log" }
  func viewPath(_ id: String) -> String { "\(sessions)/\(id).json" }

  func run(_ arguments: String..., input: String = "", isPrivileged: Bool = true) async throws -> ProgramResult {
    try await run(arguments, input: Array(input.utf8), isPrivileged: isPrivileged)
  }

  func run(_ arguments: [String], input: [UInt8], isPrivileged: Bool = true) async throws -> ProgramResult {
    try await runProgram(command, arguments + ["--storage-dir", storage.path], input: input, isPrivileged: isPrivileged)
  }

  /// Runs it through a shell, for what only a shell does to a program's streams; `$C` is the command, the storage directory in its environment.
  func shell(_ script: String) async throws -> ProgramResult {
    try await runProgram("bash", ["-c", script], environment: ["C": command, "CKPROV_STORAGE_DIR": storage.path], workingDirectory: storage.path)
  }

  /// Records a new session from lines of input.
  func record(_ id: String, _ lines: [String], _ options: String...) async throws -> ProgramResult {
    try await run(newSession(id) + options, input: Array(lines.map { $0 + "\n" }.joined().utf8))
  }

  /// Records in steps; see `withProgram`.
  func recording(_ arguments: [String], _ body: (inout RunningProgram) async throws -> Void) async throws -> ProgramResult {
    try await withProgram(command, arguments + ["--storage-dir", storage.path], body: body)
  }

  func project(_ id: String) async throws -> JSONValue {
    let result = try await run("project", id)
    try #require(result.status == 0, "\(result.errors)")
    return try json(result.output)
  }

  /// The notes of a session's actions, in order: in these tests they tell actions apart.
  func notes(_ id: String) async throws -> [String] {
    let result = try await run("cat", id)
    try #require(result.status == 0, "\(result.errors)")
    return try result.output.split(separator: 0x0A).map { try json(Array($0))["note"].text }
  }

  func outcome(_ id: String) async throws -> String { try await project(id)["outcome"].text }

  func exists(_ path: String) throws -> Bool { try DiskFileSystem().status(of: path) != nil }
  func bytes(_ path: String) throws -> [UInt8] { try DiskFileSystem().bytes(of: path) }
  func size(_ path: String) throws -> UInt64 { try DiskFileSystem().status(of: path)?.size ?? 0 }

  /// A file in the storage directory.
  func file(_ name: String, _ bytes: [UInt8]) throws -> String {
    let path = "\(storage.path)/\(name)"
    try DiskFileSystem().write(bytes, to: path)
    return path
  }

  func file(_ name: String, _ text: String) throws -> String { try file(name, Array(text.utf8)) }

  /// A session as the reference would have left it: its JSON alone.
  func makeLegacy(_ id: String, _ lines: [String]) async throws {
    try #require(await record(id, lines).status == 0)
    try #require(await runProgram("rm", ["-r", logPath(id)]).status == 0)
  }

  /// A session of two segments, so that nothing in the first is in doubt.
  func recordTwice(_ id: String, _ first: [String], _ second: [String]) async throws {
    try #require(await record(id, first, "--no-close").status == 0)
    try #require(await run(["record", "--resume", id], input: Array(second.map { $0 + "\n" }.joined().utf8)).status == 0)
  }

  /// Flips a bit of the action with this note.
  func damage(_ id: String, actionWithNote note: String) throws {
    let mark = Array(#""note":"\#(note)""#.utf8)
    for name in try DiskFileSystem().names(in: logPath(id)).sorted() where name.hasSuffix(".seg") {
      var segment = try bytes("\(logPath(id))/\(name)")
      guard let offset = segment.indices.first(where: { segment[$0...].starts(with: mark) }) else { continue }
      segment[offset] ^= 1
      return try DiskFileSystem().write(segment, to: "\(logPath(id))/\(name)")
    }
    Issue.record("no action has the note \(note)")
  }

  /// Copies a log of Format/vectors here; it is its session's name.
  func copyVector(_ name: String) throws {
    let fileSystem = DiskFileSystem()
    try SessionsDirectory(storageDirectory: storage.path, fileSystem: fileSystem).make()
    _ = try fileSystem.makeDirectory(logPath(name))
    let source = repositoryPath() + "/Format/vectors/\(name).log"
    for file in try fileSystem.names(in: source) { try fileSystem.write(try bytes("\(source)/\(file)"), to: "\(logPath(name))/\(file)") }
  }

  /// What a vector's projection must be.
  func vectorJSON(_ name: String) throws -> [UInt8] { try bytes(repositoryPath() + "/Format/vectors/\(name).json") }
}

/// The arguments of `record` for a session of this id.
func newSession(_ id: String) -> [String] { ["record", "--label", "test", "--kernel-urn", "ckp://Kernel#CK.Test:v1.0", "--session-id", id] }

/// A line that records an action with this note.
func action(_ note: String, outcome: String = "verified") -> String { #"{"action_type":"t","outcome":"\#(outcome)","note":"\#(note)"}"# }

let closing = #"{"close":{}}"#

func json(_ bytes: [UInt8]) throws -> JSONValue {
  try bytes.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
}

/// Members and elements of a value; `null` and empty where there is none.
extension JSONValue {
  subscript(key: JSONString) -> JSONValue {
    if case .object(let object) = self { object[key] ?? .null } else { .null }
  }

  var elements: [JSONValue] {
    if case .array(let elements) = self { elements } else { [] }
  }

  var integer: Int64 {
    if case .integer(let integer) = self { integer } else { -1 }
  }

  var text: String {
    if case .string(let text) = self { text.description } else { "" }
  }
}
