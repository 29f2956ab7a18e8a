import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct RecordCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "record",
    abstract: "Records a session from JSON Lines.",
    discussion: """
      Reads FILE or standard input, one JSON object a line: an action, such as
        {"action_type": "deploy.apply", "outcome": "verified", "intent": {"target": "prod"}}
      or {"close": {"outcome": "complete"}}. Prints the session id at once; with --ack the seq of each action once its promise holds. What has been read is recorded \
      before it waits for more. At the end of the input the session is closed.

      Members of an action: action_type, outcome (required strings); kernel, note (strings); via_edge (string or null); intent, evidence, before_state, \
      after_state (object or null); attempt (integer); generated_at (YYYY-MM-DDTHH:MM:SS.ffffffZ). Of close: outcome, ended_at. A line, and the record that is \
      made of it, may be 64 MiB long.

      A line that is anything else is named with its number and column; what came before it is kept, and the session stays open for --resume.

      Examples:
        ckprov-log record --label nightly --kernel-urn ckp://Kernel#CK.Backup:v1.0 actions.jsonl
        make_actions | ckprov-log record --resume @ --durability power --ack
      """)

  @OptionGroup var storage: StorageOptions
  @Option(parsing: .unconditional, help: "What the session is for.") var label: String?
  @Option(
    name: .customLong("kernel-urn"), parsing: .unconditional, help: ArgumentHelp("The kernel that records, ckp://Kernel#NAME:vX.Y.", valueName: "urn")
  )
  var kernelURN: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Which action initiated the session.", valueName: "action")) var kernelAction: String?
  @Option(
    name: .customLong("session-id"), help: ArgumentHelp("An id that is free; default: one is drawn.", valueName: "id"),
    transform: ckprov_log.sessionID) var sessionID: SessionID?
  @Option(help: ArgumentHelp("Default: now.", valueName: "timestamp"), transform: timestamp) var startedAt: Timestamp?
  @Option(
    help: ArgumentHelp(
      "Goes on with a session: its whole id, so that none is taken for another, or @ for the newest. It is reopened if it is closed.",
      valueName: "id"), completion: sessionNames,
    transform: idOrNewest) var resume: String?
  @Option(help: "What a recorded action survives: process (the end of the program) or power (a power cut).")
  var durability = ProvChain.Durability.process
  @Flag(help: "Prints the seq of each action once its promise holds.") var ack = false
  @Flag(help: "Leaves the session open at the end of the input.") var noClose = false
  @Option(help: "Writes the Session JSON at close: auto (up to 64 MiB of log), close (always), never.") var view = ViewChoice.auto
  @Option(
    help: ArgumentHelp(
      "Removes sessions last written longer ago, or 'never'; not where another opening has looked for them within the last minute.",
      valueName: "hours|never"))
  var retentionHours = RetentionChoice.never
  @Option(
    help: ArgumentHelp(
      "Goes on in a new file behind the record with which one has so many bytes, as in 16M, and compresses the full one (default: 64M).",
      valueName: "size"))
  var segmentSize: Size?
  @Flag(help: "Prints a line for each action to standard error.") var live = false
  @Argument(help: "Default: standard input.", completion: .file()) var file: String?

  enum ViewChoice: String, ExpressibleByArgument, CaseIterable {
    case auto, close, never
  }

  func validate() throws {
    if resume == nil {
      guard label != nil, kernelURN != nil else { throw ValidationError("Give --label and --kernel-urn for a new session, or --resume.") }
    } else if label != nil || kernelURN != nil || kernelAction != nil || sessionID != nil || startedAt != nil {
      throw ValidationError("--resume goes without --label, --kernel-urn, --kernel-action, --session-id and --started-at: they are in the log.")
    }
  }

  func run() throws {
    var stop: StopSignal?
    try reporting { () throws(LogError) in
      let signals = try StopSignals.catching()
      let input = try InputStream(file, unless: signals)
      var recording = try Recording(open(), input, Output(unless: signals, mayBeMissing: true), acknowledges: ack)
      stop = try recording.run()
      if stop == nil { if noClose { try recording.sync() } else { try recording.close() } }
    }
    if let stop { throw ExitCode(128 + stop.rawValue) }
  }

  private func open() throws(LogError) -> ProvChain {
    var options = ProvChain.Options()
    options.durability = durability
    options.notice = { note($0) }
    if let segmentSize { options.segmentSizeMax = segmentSize.bytes }
    if live { options.liveLine = ProvChain.Options.standardError }
    options.view =
      switch view {
      case .auto: .automatic
      case .close: .always
      case .never: .never
      }
    if let resume {
      let id = try whole(resume)
      return try ProvChain(resuming: id, storageDirectory: storage.storageDir, retentionHours: retentionHours.hours, options: options)
    }
    return try ProvChain(
      storageDirectory: storage.storageDir, label: label!, kernelURN: kernelURN!, kernelAction: kernelAction ?? "",
      retentionHours: retentionHours.hours, sessionID: sessionID, startedAt: startedAt, options: options)
  }

  /// The session that is gone on with; what has no log may be the beginning of an id, or mistyped.
  private func whole(_ text: String) throws(LogError) -> SessionID {
    let directory = storage.store.directory
    if text != "@", case let id = try SessionID(text), try directory.fileSystem.status(of: directory.logPath(id)) != nil { return id }
    let found = try storage.store.locateLog(text)
    guard text == "@" || text == found.description else {
      throw LogError(.notFound, "no session '\(text)' in \(directory.path); --resume wants the whole id, as in '\(found)'")
    }
    return found
  }
}

enum RetentionChoice: ExpressibleByArgument, CustomStringConvertible {
  case never
  case after(hours: Double)

  init?(argument: String) {
    if argument == "never" {
      self = .never
    } else if let hours = Double(argument), hours >= 0, hours.isFinite {
      self = .after(hours: hours)
    } else {
      return nil
    }
  }

  var description: String {
    switch self {
    case .never: "never"
    case .after(let hours): "\(hours)"
    }
  }

  var hours: Double? {
    if case .after(let hours) = self { hours } else { nil }
  }
}

/// Feeds a session from lines: what arrives together is recorded together.
private struct Recording: ~Copyable {
  private let prov: ProvChain
  private var input: InputStream
  private let acknowledges: Bool
  private var output: Output
  private var buffer = ByteBuffer(capacity: 1 << 20)
  /// So many bytes of the buffer are known to hold no line feed.
  private var searched = 0
  private var lineNumber = 0
  private var lines = LineReader()
  private var batch = EncodedActions()
  /// Line of each action in the batch.
  private var batchLines: [Int] = []
  private var isClosed = false

  init(_ prov: ProvChain, _ input: consuming InputStream, _ output: consuming Output, acknowledges: Bool) throws(LogError) {
    self.prov = prov
    self.input = input
    self.output = output
    self.acknowledges = acknowledges
    try self.output.line(prov.sessionID.description)
    try self.output.flush()
  }

  /// - Returns: the signal that stopped it, `nil` at the end of the input.
  mutating func run() throws(LogError) -> StopSignal? {
    var stop = output.stop
    var isAtEnd = false
    while stop == nil, !isAtEnd {
      switch try input.read(into: &buffer) {
      case .bytes:
        try takeLines()
        stop = output.stop
      case .end:
        try takeLines()
        if buffer.count > 0 { try take(wholeBuffer: true) }
        stop = output.stop
        isAtEnd = true
      case .stop(let signal):
        stop = signal
      }
    }
    if stop != nil {
      try prov.sync()
      let rest = buffer.count > 0 ? "; \(buffer.count) bytes of an unfinished line were not recorded" : ""
      note("stopped; session \(prov.sessionID) stays open for --resume\(rest)")
    }
    return stop
  }

  /// Left open: what a sync has to say is heard all the same.
  func sync() throws(LogError) { try prov.sync() }

  mutating func close() throws(LogError) {
    guard !isClosed else { return }
    // Reopened and left as it was: its end is the one that it had.
    let session = prov.session
    if let endedAt = session.endedAt {
      try prov.close(outcome: session.outcome, endedAt: endedAt)
    } else {
      try prov.close()
    }
  }

  private mutating func takeLines() throws(LogError) {
    try take(wholeBuffer: false)
    guard buffer.count <= LineReader.lineSizeMax else {
      throw bad(LogError(.tooLarge, "the line is longer than \(LineReader.lineSizeMax) bytes", offset: 0), line: lineNumber + 1)
    }
  }

  /// Records the whole lines of the buffer, or all of it; what came before a bad line is kept.
  private mutating func take(wholeBuffer: Bool) throws(LogError) {
    var start = 0
    do throws(LogError) {
      while let end = endOfLine(from: start, wholeBuffer: wholeBuffer) {
        lineNumber += 1
        try takeLine(start, end)
        start = end + 1
      }
    } catch {
      try record()
      throw bad(error, line: lineNumber)
    }
    try record()
    buffer.removeFirst(min(start, buffer.count))
    searched = buffer.count
  }

  private func endOfLine(from start: Int, wholeBuffer: Bool) -> Int? {
    guard start < buffer.count else { return nil }
    return buffer.firstIndex(of: 0x0A, from: max(start, searched)) ?? (wholeBuffer ? buffer.count : nil)
  }

  private mutating func takeLine(_ start: Int, _ end: Int) throws(LogError) {
    guard end - start <= LineReader.lineSizeMax else {
      throw LogError(.tooLarge, "the line is longer than \(LineReader.lineSizeMax) bytes", offset: 0)
    }
    switch try lines.read(UnsafeRawBufferPointer(rebasing: buffer.bytes[start..<end])) {
    case .blank: break
    case .action:
      try batch.append(lines, ownKernel: prov.ownKernel, now: prov.options.clock)
      batchLines.append(lineNumber)
      isClosed = false
    case .close(let outcome, let endedAt):
      try record()
      try prov.close(outcome: outcome, endedAt: endedAt)
      isClosed = true
    }
  }

  private mutating func record() throws(LogError) {
    guard batch.count > 0 else { return }
    defer {
      batch.removeAll()
      batchLines.removeAll(keepingCapacity: true)
    }
    let seqs: Range<Int64>
    var failure: LogError?
    do throws(BatchError) {
      seqs = try prov.recordActions(batch)
    } catch {
      seqs = error.seqs
      failure = seqs.count < batch.count ? bad(error.error, line: batchLines[seqs.count]) : error.error
    }
    try acknowledge(seqs)
    if let failure { throw failure }
  }

  private mutating func acknowledge(_ seqs: Range<Int64>) throws(LogError) {
    guard acknowledges, !seqs.isEmpty else { return }
    for seq in seqs { try output.line(String(seq)) }
    try output.flush()
    // What was read before a signal is kept, though it cannot be acknowledged any more.
    guard output.isOpen || output.stop != nil else {
      throw LogError(.io, "standard output was closed, so nothing can be acknowledged; session \(prov.sessionID) stays open for --resume")
    }
  }

  /// Names the line and the byte in it.
  private func bad(_ error: LogError, line: Int) -> LogError {
    guard error.path == nil, error.code == .invalidInput || error.code == .tooLarge else { return error }
    return LogError(
      .invalidInput,
      "line \(line), column \((error.offset ?? 0) + 1): \(error.message); what came before is kept, session \(prov.sessionID) stays open for --resume",
      path: "")
  }
}
