import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog
import Subprocess
import SystemPackage

struct DemoCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "demo",
    abstract: "Records a small story, kills its own writer half-way, resumes, projects and verifies it.",
    discussion: """
      Works in a temporary directory and shows each command that it runs.

      Example: ckprov-log demo
      Exit codes: 0 all that was acknowledged is there; 1 it is not.
      """)

  @Flag(help: "Leaves the temporary directory, and says where it is.") var keep = false

  func run() async throws {
    let parent = environmentVariable("TMPDIR") ?? "/tmp"
    let directory = path(parent, "ckprov-demo-\(String(UInt32.random(in: .min ... .max), radix: 16))")
    try reporting { () throws(LogError) in _ = try DiskFileSystem().makeDirectory(directory) }
    var failure: (any Error)?
    do { try await Demo(directory: directory).run() } catch { failure = error }
    if keep {
      print("Left for you: \(directory)")
    } else {
      removeTree(directory)
    }
    guard let failure else { return }
    note("the demo failed: \(failure)")
    throw ExitCode(1)
  }
}

/// Actions of a kernel that deploys widgets.
private let story = [
  #"{"action_type": "deploy.plan", "outcome": "verified", "intent": {"target": "prod", "widgets": 3}}"#,
  #"{"action_type": "deploy.apply", "outcome": "retry", "evidence": {"ready": 2}, "note": "one widget is not ready"}"#,
  #"{"action_type": "deploy.apply", "outcome": "verified", "attempt": 2, "before_state": {"ready": 2}, "after_state": {"ready": 3}}"#,
  #"{"action_type": "traffic.switch", "outcome": "verified", "kernel": "Router", "via_edge": "COMPOSES"}"#,
  #"{"action_type": "deploy.check", "outcome": "verified", "evidence": {"healthy": 3, "label": "déployé"}}"#,
]

private struct DemoError: Error, CustomStringConvertible {
  let description: String
}

/// The story, told on standard output. Every command that is shown is run, with this program as `ckprov-log`.
private struct Demo {
  let directory: String
  private let program = "/proc/self/exe"

  func run() async throws {
    say("A Concept Kernel deploys widgets and records what it does. Here is what it takes to lose none of it.")
    print("$ cd \(directory)")

    say(
      "1. Record. Actions go in (>), a JSON object a line. The session id comes back (<), then with --ack the seq of each action that is kept;",
      "   --durability power means: on the disk, whatever happens next. We kill the writer in the middle of the fourth line.")
    let session = try await record(
      ["--label", "deploy-widgets", "--kernel-urn", "ckp://Kernel#Deployer:v1.0"], actions: story[..<3], unfinished: story[3].prefix(40))

    say("2. What is on disk: a log that is only ever appended to. It holds what was acknowledged; the unfinished line never was.")
    let log = "storage/sessions/\(session).log"
    try await show("ls", ["-l", log])
    try await show("ckprov-log", ["verify"])

    say("3. A power cut may also leave part of a record behind the last whole one. We write such a torn tail, and verify sees it (exit code 1).")
    try tearTail(of: "\(log)/00000000000000000000.seg")
    try await show("ckprov-log", ["verify"], status: 1)

    say("4. Resume. The torn tail is left aside, the next action gets the next seq. At the end of the input the session is closed.")
    _ = try await record(["--resume", session], actions: story[3...], unfinished: nil)

    say(
      "5. Project. The Session JSON, byte for byte what cklib.prov would have written. The close has put it beside the log, too: cmp finds no",
      "   difference.")
    try await show("ckprov-log", ["project", session, "-o", "session.json"])
    try await show("cmp", ["session.json", "storage/sessions/\(session).json"])
    try await show("ckprov-log", ["verify"])
    try await show("ckprov-log", ["show", session])

    try checkProjection("session.json")
    print("\n\(story.count) actions were acknowledged, and all \(story.count) are in the projection as they were sent: nothing was lost.")
  }

  private func say(_ lines: String...) {
    print("\n\(lines.joined(separator: "\n"))\n")
  }

  // MARK: Steps

  /// Feeds a writer action by action, each after the acknowledgement of the one before.
  /// - Parameter unfinished: the beginning of a line in which the writer is killed; `nil` to let it close the session.
  /// - Returns: the session id.
  private func record(_ arguments: [String], actions: ArraySlice<String>, unfinished: Substring?) async throws -> String {
    let arguments = ["record"] + arguments + ["--durability", "power", "--ack"]
    print("$ ckprov-log \(arguments.joined(separator: " "))")
    let result = try await Subprocess.run(
      .path(FilePath(program)), arguments: Arguments(arguments), environment: environment, workingDirectory: FilePath(directory),
      input: .inputWriter, output: .sequence, error: .string(limit: 1 << 16)
    ) { writer in
      var answers = writer.standardOutput.strings().makeAsyncIterator()
      guard let session = try await answers.next() else { throw DemoError(description: "the writer did not start") }
      print("< \(session)")
      for (index, action) in zip(actions.indices, actions) {
        print("> \(action)")
        _ = try await writer.standardInputWriter.write(action + "\n")
        guard let seq = try await answers.next(), seq == String(index + 1) else {
          throw DemoError(description: "action \(index + 1) was not acknowledged")
        }
        print("< \(seq)")
      }
      if let unfinished {
        print("> \(unfinished)\n$ kill -9 \(writer.processIdentifier.value)")
        _ = try await writer.standardInputWriter.write(unfinished)
        try writer.send(signal: .kill)
      }
      return session
    }
    let expected: TerminationStatus = unfinished == nil ? .exited(0) : .signaled(9)
    guard result.terminationStatus == expected else {
      throw DemoError(description: "the writer ended with \(result.terminationStatus): \(result.standardError)")
    }
    return result.closureResult
  }

  /// Runs a command and shows what it prints.
  private func show(_ command: String, _ arguments: [String], status: Int32 = 0) async throws {
    print("$ \(command) \(arguments.joined(separator: " "))")
    let result = try await Subprocess.run(
      command == "ckprov-log" ? .path(FilePath(program)) : .name(command), arguments: Arguments(arguments), environment: environment,
      workingDirectory: FilePath(directory), output: .string(limit: 1 << 20), error: .string(limit: 1 << 16))
    print(result.standardOutput + result.standardError, terminator: "")
    guard result.terminationStatus == .exited(status) else {
      throw DemoError(description: "\(command) ended with \(result.terminationStatus)")
    }
  }

  private func tearTail(of file: String) throws {
    let text = "part of a record"
    print("$ printf '\(text)' >> \(file)")
    let file = try DiskFileSystem().open(path(directory, file), for: .readingAndWriting)
    let end = try file.status().size
    try Array(text.utf8).withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: end) }
  }

  private var environment: Environment { .inherit.updating(["CKPROV_STORAGE_DIR": nil]) }

  // MARK: What must hold

  /// Each action stands in the projection, with its seq and with all that was sent.
  private func checkProjection(_ file: String) throws {
    let projection = try readBytes(of: try DiskFileSystem().open(path(directory, file), for: .reading), at: 0)
    guard case .object(let session) = try value(ofJSON: projection), case .array(let actions)? = session["actions"], actions.count == story.count
    else { throw DemoError(description: "the projection does not hold \(story.count) actions") }
    for (index, line) in story.enumerated() {
      guard case .object(let action) = actions[index], case .object(let sent) = try value(ofJSON: Array(line.utf8)),
        action["seq"] == .integer(Int64(index + 1)), sent.allSatisfy({ key, value in key == "kernel" || action[key] == value })
      else { throw DemoError(description: "action \(index + 1) is not in the projection as it was sent") }
    }
  }

  private func value(ofJSON bytes: [UInt8]) throws(LogError) -> JSONValue {
    try bytes.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
  }
}

func removeTree(_ tree: String) {
  let fileSystem = DiskFileSystem()
  guard (try? fileSystem.status(of: tree))??.kind == .directory else {
    try? fileSystem.remove(tree)
    return
  }
  for name in (try? fileSystem.names(in: tree)) ?? [] { removeTree(path(tree, name)) }
  try? fileSystem.removeDirectory(tree)
}
