import Glibc
import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// The command over one storage directory, as anybody runs it.
struct Command: Sendable {
  let program: String
  let storage: String
  private let directory: TemporaryDirectory?

  init(storage: String) throws {
    program = try commandPath()
    self.storage = storage
    directory = nil
  }

  /// Over a directory of its own, which goes with it.
  init() throws {
    program = try commandPath()
    let directory = try TemporaryDirectory()
    storage = directory.path
    self.directory = directory
  }

  var sessions: String { storage + "/storage/sessions" }

  func run(_ arguments: String...) async throws -> ProgramResult { try await run(arguments) }

  func run(_ arguments: [String]) async throws -> ProgramResult { try await runProgram(program, arguments + ["--storage-dir", storage]) }

  /// The notes of a session's actions, whose seqs must count from 1; `nil` if there is no such session.
  func notes(_ id: String, _ place: Comment) async throws -> [String]? {
    let result = try await run("cat", id)
    if result.status == 66 { return nil }
    try #require(result.status == 0, "cat of \(id), \(place): \(result.errors)")
    var notes: [String] = []
    for line in result.output.split(separator: 0x0A) {
      let seq = try #require(text(in: line, after: #""seq":"#, until: ","), place)
      try #require(seq == String(notes.count + 1), "a seq of \(id), \(place)")
      notes.append(try #require(text(in: line, after: #""note":""#, until: "\""), place))
    }
    return notes
  }
}

/// What stands in a line between the first `start` and the next `end`.
private func text(in line: ArraySlice<UInt8>, after start: String, until end: Character) -> String? {
  line.withUnsafeBytes { line in
    guard let base = line.baseAddress, line.count > start.utf8.count else { return nil }
    var first = 0
    while memcmp(base + first, start, start.utf8.count) != 0 {
      first += 1
      if first + start.utf8.count > line.count { return nil }
    }
    first += start.utf8.count
    guard let found = memchr(base + first, Int32(end.asciiValue!), line.count - first) else { return nil }
    return String(decoding: UnsafeRawBufferPointer(start: base + first, count: UnsafeRawPointer(found) - (base + first)), as: UTF8.self)
  }
}

/// A session, and what is known of it: the actions that are kept, told apart by their notes.
struct KnownSession {
  let id: String
  private(set) var notes: [String] = []
  private(set) var hasStarted = false
  private(set) var acknowledged = 0
  private(set) var tornTails = 0
  private var sent = 0

  init(id: String) { self.id = id }

  var arguments: [String] {
    let start = hasStarted ? ["--resume", id] : ["--label", "l", "--kernel-urn", "ckp://Kernel#K:v1.0", "--session-id", id]
    return ["record", "--ack"] + start
  }

  /// A note that no other action of this session has.
  mutating func newNote(size: Int) -> String {
    sent += 1
    let name = "\(id).\(sent)"
    return name + String(repeating: "x", count: Swift.max(0, size - name.utf8.count))
  }

  // MARK: Recording

  /// How a `record` is fed and ended.
  struct Plan {
    var notes: [String] = []
    /// Each action waits for the seq of the one before.
    var waitsForEach = false
    var closes = false
    /// SIGKILL so long after so many acknowledgements (or after the start); `nil` lets it end by itself.
    var kill: (after: Int, delay: Duration)?
    /// Is done, if it waits for each, behind so many acknowledgements.
    var meanwhile: (after: Int, body: () async throws -> Void)?
    var options: [String] = []
    /// Another program, with its arguments, that starts the command.
    var through: [String] = []
  }

  /// What a `record` did.
  struct Attempt {
    var sent: [String] = []
    var lines: [String] = []
    var status: Int32 = 0
    var errors = ""

    var hasPrintedID: Bool { !lines.isEmpty }
    var acknowledged: Int { Swift.max(0, lines.count - 1) }
  }

  /// All of it, as if one run had acknowledged it.
  var whole: Attempt {
    Attempt(sent: notes, lines: hasStarted ? [id] + notes.indices.map { "\($0 + 1)" } : [])
  }

  func record(_ command: Command, _ plan: Plan) async throws -> Attempt {
    let options = plan.options + ["--storage-dir", command.storage] + (plan.closes ? [] : ["--no-close"])
    let words = plan.through + [command.program] + arguments + options
    var attempt = Attempt(sent: plan.notes)
    var read: [String] = []
    let result = try await withProgram(words[0], Array(words.dropFirst())) { program in
      var killing: Task<Void, Never>?
      if let kill = plan.kill, kill.after == 0 { killing = program.kill(after: kill.delay) }
      // What can't be sent any more was sent to a program that has ended.
      do {
        if plan.waitsForEach {
          if let line = try await program.line() { read.append(line) }
          for note in plan.notes {
            try await program.write(action(note))
            guard let line = try await program.line() else { break }
            read.append(line)
            if let meanwhile = plan.meanwhile, meanwhile.after == read.count - 1 { try await meanwhile.body() }
            if let kill = plan.kill, kill.after == read.count - 1 { killing = program.kill(after: kill.delay) }
          }
        } else {
          try await program.write(plan.notes.map { action($0) }.joined())
          while let kill = plan.kill, read.count <= kill.after, kill.after > 0, let line = try await program.line() { read.append(line) }
        }
        if let kill = plan.kill, killing == nil { killing = program.kill(after: kill.delay) }
        if plan.closes || plan.kill == nil { try await program.finish() }
      } catch {}
      await killing?.value
    }
    // A line without its end was not printed.
    let rest = result.output.lastIndex(of: 0x0A).map { result.output[...$0] } ?? []
    attempt.lines = read + rest.split(separator: 0x0A).map { String(decoding: $0, as: UTF8.self) }
    attempt.status = result.status
    attempt.errors = result.errors
    return attempt
  }

  // MARK: Checking

  /// What an attempt acknowledged is kept; of what it did not acknowledge, a prefix may be.
  ///
  /// - Parameter promised: how many are kept for certain; `nil` for what was acknowledged.
  mutating func check(_ command: Command, _ attempt: Attempt, acknowledged promised: Int? = nil, _ place: Comment) async throws {
    if attempt.hasPrintedID { #expect(attempt.lines[0] == id, place) }
    let expected = (0..<attempt.acknowledged).map { String(notes.count + 1 + $0) }
    try #require(Array(attempt.lines.dropFirst()) == expected, "acknowledgements, \(place)")
    guard let found = try await command.notes(id, place) else {
      try #require(!hasStarted && !attempt.hasPrintedID, "session \(id) is gone, \(place)")
      let verified = try await command.run("verify", id)
      #expect(verified.status == 66, "verify of a session that was never started, \(place): \(verified.errors)")
      return
    }
    try #require(found.count >= notes.count + (promised ?? attempt.acknowledged), "acknowledged actions of \(id) are gone, \(place)")
    try #require(found == Array((notes + attempt.sent).prefix(found.count)), "the actions of \(id), \(place)")
    notes = found
    hasStarted = true
    acknowledged += attempt.acknowledged
    let verified = try await command.run("verify", id)
    try #require([0, 1].contains(verified.status), "verify of \(id), \(place): \(verified.text)\(verified.errors)")
    tornTails += verified.status == 1 ? 1 : 0
  }

  /// It goes on with the next seq.
  mutating func checkResume(_ command: Command, _ place: Comment, options: [String] = []) async throws {
    let plan = Plan(notes: [newNote(size: 40)], options: options)
    let attempt = try await record(command, plan)
    try #require(attempt.status == 0 && attempt.acknowledged == 1, "resume of \(id), \(place): \(attempt.errors)")
    try await check(command, attempt, place)
  }

  /// The projection has these actions, and so has the view where there is one.
  func checkProjection(_ command: Command, isClosed: Bool? = nil, comparesView: Bool = true, _ place: Comment) async throws {
    let projected = try await command.run("project", id)
    try #require(projected.status == 0, "project of \(id), \(place): \(projected.errors)")
    let session = try projected.output.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    guard case .object(let members) = session, case .array(let actions)? = members["actions"] else {
      Issue.record("no actions in the projection, \(place)")
      return
    }
    let projectedNotes = actions.map { if case .object(let action) = $0, case .string(let note)? = action["note"] { note.description } else { "" } }
    try #require(projectedNotes == notes, "projected actions, \(place)")
    if let isClosed { #expect((members["outcome"] != .string("in_progress")) == isClosed, "outcome, \(place)") }
    let view = "\(command.sessions)/\(id).json"
    guard comparesView, try DiskFileSystem().status(of: view) != nil else { return }
    #expect(try DiskFileSystem().bytes(of: view) == projected.output, "the view of \(id), \(place)")
  }
}

/// A line that records an action with this note.
private func action(_ note: String) -> String { #"{"action_type":"t","outcome":"verified","note":"\#(note)"}"# + "\n" }
