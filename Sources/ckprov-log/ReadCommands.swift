import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ProjectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "project",
    abstract: "Prints the Session JSON, byte for byte what cklib.prov would have written.",
    discussion: """
      Works on a session that is still being written, and on one whose writer died. Of a damaged session it prints what is whole up to the damage, says so and \
      exits with 65; --write and -o then leave what was there.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(name: [.customShort("o"), .long], help: "Writes to this file, at once or not at all.") var output: String?
  @Flag(help: "Writes to its place beside the log, where cklib's tools look for it.") var write = false

  func validate() throws {
    if write, output != nil { throw ValidationError("--write and --output exclude each other.") }
  }

  func run() throws {
    try reporting { () throws(LogError) in
      if let output, let status = try DiskFileSystem().status(of: output), status.kind != .file {
        throw LogError(.io, "this is no regular file, which could be replaced; name another, or use standard output", path: output)
      }
      switch try storage.store.locate(argument.session) {
      case .log(let id): try project(id)
      case .legacy(let name): try copy(try storage.store.legacyEntry(name))
      }
    }
  }

  private func project(_ id: SessionID) throws(LogError) {
    let directory = storage.store.directory
    var projection = try SessionProjection.open(directory.log(of: id), of: id)
    noteDoubt(id, bytes: projection.bytesInDoubt)
    if write { return try directory.writeView(&projection) }
    if let output { return try writeProjection(&projection, to: output, in: DiskFileSystem()) }
    var out = Output()
    while out.isOpen, let block = try projection.next() { try out.write(block) }
    try out.flush()
    if let damage = projection.damage { throw damage }
  }

  /// A session that is kept as the reference wrote it is its own view.
  private func copy(_ entry: SessionStore.Entry) throws(LogError) {
    if write { return }
    let bytes = try readBytes(of: try DiskFileSystem().open(entry.path, for: .reading), at: 0)
    if let output {
      var file = try OutputFile.create(output, in: DiskFileSystem())
      try bytes.withRawBytes { bytes throws(LogError) in try file.write(bytes) }
      return try file.finish()
    }
    var out = Output()
    try bytes.withRawBytes { bytes throws(LogError) in try out.write(bytes) }
    try out.flush()
  }
}

/// A torn tail is no damage, but it is said.
private func noteDoubt(_ id: SessionID, bytes: UInt64) {
  guard bytes > 0 else { return }
  note("session \(id): \(bytes) bytes behind the last whole record are in doubt and are left out; 'record --resume \(id)' goes on")
}

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "cat", abstract: "Prints a session's actions as JSON Lines.")

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      switch try storage.store.locate(argument.session) {
      case .log(let id): try cat(id, to: &out)
      case .legacy(let name):
        guard case .legacy(let object) = try storage.store.legacyEntry(name).kind, case .array(let actions)? = object["actions"] else { return }
        for action in actions {
          try out.write(String(decoding: try action.compactJSON(), as: UTF8.self) + "\n")
        }
        try out.flush()
      }
    }
  }

  private func cat(_ id: SessionID, to out: inout Output) throws(LogError) {
    do throws(LogError) {
      var reader = try LogReader.open(storage.store.directory.log(of: id), of: id)
      while out.isOpen, let frame = try reader.next() {
        guard frame.kind == .action else { continue }
        try out.write(try reader.payload)
        try out.write("\n")
      }
      try out.flush()
      if case .tornTail(let bytes)? = reader.ending { noteDoubt(id, bytes: bytes) }
    } catch {
      try out.flush()
      throw error
    }
  }
}

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the sessions, newest first.",
    discussion: "Logs and sessions that cklib.prov has left stand side by side. What cannot be read is passed over; 'verify' names it.")

  @OptionGroup var storage: StorageOptions
  @Flag(help: "Prints what cklib's list_sessions returns, as an array of whole sessions.") var json = false

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      let entries = try storage.store.entries()
      if json { try printJSON(entries, to: &out) } else { try printTable(entries, to: &out) }
      try out.flush()
    }
  }

  private func printTable(_ entries: [SessionStore.Entry], to out: inout Output) throws(LogError) {
    var rows = [["SESSION", "STARTED", "OUTCOME", "ACTIONS", "DURATION", "SIZE", "LABEL"]]
    rows += entries.compactMap(row)
    for line in table(rows, rightAligned: [3, 4, 5]) { try out.line(line) }
  }

  private func row(_ entry: SessionStore.Entry) -> [String]? {
    guard let session = entry.session else { return nil }
    let startedAt = session.startedAt.description
    let duration = session.durationMS.map { durationText(milliseconds: $0) } ?? ""
    return [
      escapedForTerminal(entry.name), "\(startedAt.prefix(10)) \(startedAt.dropFirst(11).prefix(8))", shortened(session.outcome, to: 16),
      String(session.actionCount), duration, sizeText(entry.size(in: storage.store.directory)), shortened(session.label, to: 48),
    ]
  }

  private func printJSON(_ entries: [SessionStore.Entry], to out: inout Output) throws(LogError) {
    var isFirst = true
    func begin() throws(LogError) {
      try out.write(isFirst ? "[\n  " : ",\n  ")
      isFirst = false
    }
    for entry in entries where out.isOpen {
      switch entry.kind {
      case .legacy(let object):
        try begin()
        var buffer = ByteBuffer()
        try buffer.appendIndented(.object(object), level: 1)
        try out.write(buffer.bytes)
      case .log(let id, _):
        let log = storage.store.directory.log(of: id)
        // Half a session is none: what is damaged is passed over, as in the reference.
        guard let verification = try? log.verify(id), !verification.isDamaged else { continue }
        var projection: SessionProjection
        do throws(LogError) { projection = try SessionProjection.open(log, of: id, level: 1) } catch { continue }
        try begin()
        while out.isOpen, let block = try projection.next() { try out.write(block) }
      }
    }
    try out.write(isFirst ? "[]\n" : "\n]\n")
  }
}

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows a session to a person: header and timeline.")

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument

  func run() throws {
    try reporting { () throws(LogError) in
      let session = try storage.store.getSession(argument.session)
      var out = Output()
      try printHeader(session, to: &out)
      do throws(LogError) {
        var actions = try session.actions()
        while out.isOpen, let action = try actions.next() {
          try out.line("\(action.seq)  \(escapedForTerminal(action.liveLine.description))")
        }
      } catch {
        try out.flush()
        throw error
      }
      try out.flush()
    }
  }

  private func printHeader(_ session: Session, to out: inout Output) throws(LogError) {
    let counts = session.outcomeCounts
    let rows: [(String, JSONString)] = [
      ("session", JSONString(session.sessionID.description)), ("label", session.label), ("urn", session.urn),
      ("kernel", session.wasAssociatedWith), ("action", session.kernelAction), ("started", JSONString(session.startedAt.description)),
      ("ended", session.endedAt.map { JSONString($0.description) } ?? "-"), ("outcome", session.outcome),
      ("duration", session.durationMS.map { JSONString(durationText(milliseconds: $0)) } ?? "-"),
      (
        "actions",
        "\(session.actionCount) (\(counts.verified) verified, \(counts.failed) failed, \(counts.retry) retry, \(counts.skipped) skipped, \(counts.other) other)"
      ),
      ("kernels", JSONString(session.kernelsInvolved.map(\.description).joined(separator: ", "))),
    ]
    for (name, value) in rows where !value.isEmpty {
      try out.line(name + String(repeating: " ", count: 10 - name.count) + escapedForTerminal(value.description))
    }
    try out.line("")
  }
}

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Reads everything and says what it found.",
    discussion: "Exit codes: 0 clean (also while a writer is at work); 1 torn tail only; 2 corruption; 3 cannot read; 66 no such session.")

  @OptionGroup var storage: StorageOptions
  @Argument(help: "Default: all.", transform: prefixOfSessionID) var sessions: [String] = []

  func run() throws {
    var worst: Int32 = 0
    do throws(LogError) {
      var out = Output()
      for location in try locations() {
        let (name, text, code) = verify(location)
        try out.line("\(escapedForTerminal(name))  \(text)")
        // Corruption is worse than what cannot be read, and that worse than a torn tail.
        let order: [Int32] = [0, 1, 3, 2]
        if order.firstIndex(of: code)! > order.firstIndex(of: worst)! { worst = code }
      }
      try out.flush()
    } catch {
      let code = fail(error)
      throw [.notFound, .ambiguous].contains(error.code) ? code : ExitCode(3)
    }
    if worst != 0 { throw ExitCode(worst) }
  }

  /// All sessions that are there, or those that are asked for.
  private func locations() throws(LogError) -> [SessionStore.Location] {
    guard sessions.isEmpty else { return try sessions.map { text throws(LogError) in try storage.store.locate(text) } }
    return try storage.store.locations()
  }

  private func verify(_ location: SessionStore.Location) -> (name: String, text: String, code: Int32) {
    let (text, code) =
      switch location {
      case .log(let id): verify(id)
      case .legacy(let name): verifyLegacy(name)
      }
    return (location.name, text, code)
  }

  private func verifyLegacy(_ name: String) -> (text: String, code: Int32) {
    do throws(LogError) {
      guard let session = try storage.store.legacyEntry(name).session else { return ("corrupt  this JSON file is no session of the reference's", 2) }
      return ("clean  \(session.actionCount) actions, kept as JSON by the reference", 0)
    } catch {
      return error.code == .corrupt ? ("corrupt  \(error)", 2) : ("cannot read  \(error)", 3)
    }
  }

  private func verify(_ id: SessionID) -> (text: String, code: Int32) {
    do throws(LogError) {
      let result = try storage.store.directory.log(of: id).verify(id)
      let counts = "\(result.actions) actions, \(result.frames) frames, \(sizeText(result.bytes))"
      switch result.finding {
      case .clean: return ("clean  \(counts)", 0)
      case .writing: return ("clean  \(counts), being written", 0)
      case .tornTail(let bytes): return ("torn tail  \(counts); \(bytes) bytes behind them are in doubt; --resume goes on", 1)
      case .damaged(let error): return ("corrupt  \(counts) are whole; then \(error)", 2)
      }
    } catch {
      switch error.code {
      case .corrupt: return ("corrupt  \(error)", 2)
      case .notFound: return ("not started  nothing was recorded in it", 0)
      default: return ("cannot read  \(error)", 3)
      }
    }
  }
}

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Turns Session JSON that cklib.prov wrote into logs.",
    discussion: """
      A file is accepted only if projecting its log gives back the same bytes. The original stays where it is; the log gets its modification time. Prints the \
      id of each session.
      """)

  @OptionGroup var storage: StorageOptions
  @Argument(help: "Session JSON files.") var files: [String]

  func run() throws {
    var failure: ExitCode?
    for file in files {
      do throws(LogError) {
        let id = try storage.store.directory.importSession(file)
        var out = Output()
        try out.line(id.description)
        try out.flush()
      } catch {
        failure = fail(error)
      }
    }
    if let failure { throw failure }
  }
}
