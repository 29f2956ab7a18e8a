import LogFormat
import LogStorage
import ProvenanceLog
import Subprocess
import SystemPackage

/// A directory for one test, in memory where the machine has such, removed with its last reference.
public final class TemporaryDirectory: Sendable {
  public let path: String

  public init() throws {
    let parent = try DiskFileSystem().status(of: "/dev/shm") == nil ? "/tmp" : "/dev/shm"
    path = "\(parent)/ckprov-test-\(UInt64.random(in: .min ... .max))"
    _ = try DiskFileSystem().makeDirectory(path)
  }

  deinit {
    removeTree(path)
  }
}

private func removeTree(_ path: String) {
  let fileSystem = DiskFileSystem()
  guard (try? fileSystem.status(of: path))??.kind == .directory else {
    try? fileSystem.remove(path)
    return
  }
  for name in (try? fileSystem.names(in: path)) ?? [] { removeTree("\(path)/\(name)") }
  try? fileSystem.removeDirectory(path)
}

extension DiskFileSystem {
  public func bytes(of path: String) throws -> [UInt8] {
    try readBytes(of: try open(path, for: .reading), at: 0)
  }

  /// Replaces or makes a file.
  public func write(_ bytes: [UInt8], to path: String) throws {
    if try status(of: path) != nil { try remove(path) }
    let file = try create(path)
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: 0) }
  }
}

/// What a program gave back.
public struct ProgramResult: Sendable {
  public let status: Int32
  public let output: [UInt8]
  public let errors: String

  public var text: String { String(decoding: output, as: UTF8.self) }
}

/// Runs a program to its end; a signal's number counts as 128 + number.
public func runProgram(_ program: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:]) async throws -> ProgramResult {
  let executable: Executable = program.contains("/") ? .path(FilePath(program)) : .name(program)
  let updates = Dictionary(uniqueKeysWithValues: environment.map { (Environment.Key(rawValue: $0)!, Optional($1)) })
  let result = try await run(
    executable, arguments: Arguments(arguments), environment: .inherit.updating(updates), input: .array(input), output: .bytes(limit: 1 << 31),
    error: .string(limit: 1 << 24))
  let status: Int32 =
    switch result.terminationStatus {
    case .exited(let code): code
    case .signaled(let signal): 128 + signal
    }
  return ProgramResult(status: status, output: result.standardOutput, errors: result.standardError)
}

/// The built `ckprov-log`, beside the tests.
public func commandPath() throws -> String {
  guard let directory = CommandLine.arguments.first.map({ parentDirectory($0) }) else { throw LogError(.notFound, "no test bundle") }
  for candidate in [directory, parentDirectory(directory)] {
    if try DiskFileSystem().status(of: "\(candidate)/ckprov-log") != nil { return "\(candidate)/ckprov-log" }
  }
  throw LogError(.notFound, "no ckprov-log beside the tests in \(directory)")
}

/// The repository's root.
public func repositoryPath(_ file: String = #filePath) -> String {
  // …/Tests/TARGET/FILE
  parentDirectory(parentDirectory(parentDirectory(file)))
}

/// Whether the reference can be run: Python 3.11 with conceptkernel 1.3.0. Says so once if not.
public func referenceIsAvailable() async -> Bool { await Reference.shared.isAvailable }

private actor Reference {
  static let shared = Reference()
  private var answer: Bool?

  var isAvailable: Bool {
    get async {
      if let answer { return answer }
      let script = "import sys, cklib.prov, cklib.urn; sys.exit(sys.version_info[:2] != (3, 11))"
      let result = try? await runProgram("python3", ["-c", script])
      let isAvailable = result?.status == 0
      if !isAvailable { print("SKIPPED: no Python 3.11 with conceptkernel 1.3.0 and pyyaml here, so nothing is compared with the reference") }
      answer = isAvailable
      return isAvailable
    }
  }
}

/// A setting of the test run from the environment, such as a seed or a count.
public func setting(_ name: String) -> String? { environmentVariable(name) }

/// SplitMix64: the same numbers for the same seed, everywhere.
public struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    return word ^ word >> 31
  }
}
