import Glibc
package import LogFormat
import LogStorage
package import ProvenanceLog
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
///
/// - Parameter isPrivileged: false to take away, from a test run by root, what only root may do.
public func runProgram(
  _ program: String, _ arguments: [String], input: [UInt8] = [], environment: [String: String] = [:], workingDirectory: String? = nil,
  isPrivileged: Bool = true
) async throws -> ProgramResult {
  let updates = Dictionary(uniqueKeysWithValues: environment.map { (Environment.Key(rawValue: $0)!, Optional($1)) })
  let asNobody = !isPrivileged && geteuid() == 0
  let result = try await run(
    executable(asNobody ? "setpriv" : program),
    arguments: Arguments(asNobody ? ["--reuid=65534", "--regid=65534", "--clear-groups", program] + arguments : arguments),
    environment: .inherit.updating(updates), workingDirectory: workingDirectory.map { FilePath($0) }, input: Bytes(input),
    output: .bytes(limit: 1 << 31), error: .string(limit: 1 << 24))
  return ProgramResult(status: status(result.terminationStatus), output: result.standardOutput, errors: result.standardError)
}

/// Who ends without having read all of it has not failed; the package's own input of bytes stops the tests there.
private struct Bytes: InputProtocol {
  private let bytes: [UInt8]

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  func write(with writer: StandardInputWriter) async throws { _ = try? await writer.write(bytes) }
}

private func executable(_ program: String) -> Executable {
  _ = pipesMayClose
  return program.contains("/") ? .path(FilePath(program)) : .name(program)
}

/// What is written to a program that has ended is an error of the call, not the end of the tests.
private let pipesMayClose: Void = { signal(SIGPIPE, SIG_IGN) }()

private func status(_ end: TerminationStatus) -> Int32 {
  switch end {
  case .exited(let code): code
  case .signaled(let signal): 128 + signal
  }
}

/// A program that runs beside the test: it is fed step by step, its lines are awaited, and signals are sent to it.
public struct RunningProgram {
  private let execution: Execution<CustomWriteInput, SequenceOutput, StringOutput<UTF8>>
  private var blocks: SubprocessOutputSequence.Iterator
  private var unread: [UInt8] = []

  fileprivate init(_ execution: Execution<CustomWriteInput, SequenceOutput, StringOutput<UTF8>>) {
    self.execution = execution
    blocks = execution.standardOutput.makeAsyncIterator()
  }

  public func write(_ text: String) async throws {
    _ = try await execution.standardInputWriter.write(Array(text.utf8))
  }

  /// The next line of standard output, without its end; `nil` when the program has closed it.
  public mutating func line() async throws -> String? {
    while true {
      if let end = unread.firstIndex(of: 0x0A) {
        defer { unread.removeFirst(end + 1) }
        return String(decoding: unread[..<end], as: UTF8.self)
      }
      guard let block = try await blocks.next() else { return nil }
      block.withUnsafeBytes { unread += $0 }
    }
  }

  /// Ends its standard input.
  public func finish() async throws { try await execution.standardInputWriter.finish() }

  public func interrupt() throws { try execution.send(signal: .interrupt) }
  public func terminate() throws { try execution.send(signal: .terminate) }
  public func kill() throws { try execution.send(signal: .kill) }

  /// Kills it after `delay`, meanwhile it may be fed; nothing happens if it has ended by then.
  public func kill(after delay: Duration) -> Task<Void, Never> {
    let execution = execution
    return Task {
      if delay > .zero { try? await Task.sleep(for: delay) }
      try? execution.send(signal: .kill)
    }
  }

  fileprivate mutating func rest() async throws -> [UInt8] {
    while let block = try await blocks.next() { block.withUnsafeBytes { unread += $0 } }
    return unread
  }
}

/// Runs a program beside `body`; when that returns, the program's input is ended, and its own end awaited.
/// - Returns: as `runProgram`, the output being what `body` has not read.
public func withProgram(
  _ program: String, _ arguments: [String], body: (inout RunningProgram) async throws -> Void
) async throws -> ProgramResult {
  let result = try await run(
    executable(program), arguments: Arguments(arguments), input: .inputWriter, output: .sequence, error: .string(limit: 1 << 24)
  ) { execution in
    var program = RunningProgram(execution)
    try await body(&program)
    try await program.finish()
    return try await program.rest()
  }
  return ProgramResult(status: status(result.terminationStatus), output: result.closureResult, errors: result.standardError)
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

extension ByteBuffer {
  /// The payload of an action, as recording it makes it.
  package mutating func appendAction(_ action: Action, seq: Int64, ownKernel: JSONString, at generatedAt: Timestamp) throws {
    var encoded = EncodedActions()
    try encoded.append(action, ownKernel: ownKernel) { generatedAt }
    appendAction(seq: seq, tail: encoded.tail(0))
  }
}

/// Files with what is in them, directories with nothing; nothing if there is no such directory.
package func treeContents(_ path: String) throws -> [String: [UInt8]] {
  let disk = DiskFileSystem()
  var contents: [String: [UInt8]] = [:]
  guard try disk.status(of: path) != nil else { return contents }
  for name in try disk.names(in: path) {
    let inner = "\(path)/\(name)"
    switch try disk.status(of: inner)?.kind {
    case .directory:
      contents[name] = []
      for (rest, bytes) in try treeContents(inner) { contents["\(name)/\(rest)"] = bytes }
    case .file: contents[name] = try disk.bytes(of: inner)
    default: contents[name] = []
    }
  }
  return contents
}
