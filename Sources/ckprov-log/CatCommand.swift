import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cat",
    abstract: "Prints a session's actions, as JSON Lines or for people.",
    discussion: """
      All, or those that fit what is asked for; of a log no more is read than what may hold them. --since and --until go by generated_at, which need not grow with \
      the seqs. \(timeHelp)

      A match is FIELD=VALUE: outcome=failed, kernel=CK.Task, intent.target=prod, evidence.items.0=3. Of the same field one must fit, of several fields each. \
      '-o verbose' prints each action as the matches that fit it.

      Formats: json (JSON Lines, as in the log), json-seq (RFC 7464), json-pretty, short, short-iso, verbose, csv (RFC 4180).

      No lock is taken: a writer does not notice.

      Examples:
        ckprov-log cat @ | jq .note
        ckprov-log cat @ outcome=failed outcome=retry -o short
        ckprov-log cat --follow --cursor-file seen @
        ckprov-log cat --all --since -2h -g 'timed? ?out'
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "All sessions, the oldest first; objects then begin with a session_id.") var all = false
  @Option(help: ArgumentHelp("The first seq.", valueName: "seq")) var fromSeq: Int64?
  @Option(help: ArgumentHelp("The last seq.", valueName: "seq")) var toSeq: Int64?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not before this time.", valueName: "time"), transform: beginOfTime) var since: Timestamp?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not after this time.", valueName: "time"), transform: endOfTime) var until: Timestamp?
  @Option(
    name: [.customShort("g"), .long], parsing: .unconditional,
    help: ArgumentHelp(
      "Those with a text, at any depth, in which this regular expression is found; without capitals it fits both cases.", valueName: "pattern"))
  var grep: String?
  @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Of those that fit, the last so many.", valueName: "n")) var lines: Int?
  @Flag(name: .shortAndLong, help: "The last one first.") var reverse = false
  @Flag(name: .shortAndLong, help: "Prints what is recorded meanwhile, until the session is closed.") var follow = false
  @Option(name: [.customShort("o"), .customLong("output")], help: "How actions are printed.") var format = ActionFormat.json
  @Option(help: ArgumentHelp("Only these members, as in seq,outcome,intent.target.", valueName: "fields")) var outputFields: String?
  @Option(
    help: ArgumentHelp(
      "Goes on behind what this file names, and writes to it how far it came; what was printed may come again after a crash, none is left out.",
      valueName: "file"))
  var cursorFile: String?
  @Argument(
    help: "A session id, the beginning of one that no other has, or @ for the newest; then matches.",
    completion: sessionNames)
  var sessionAndMatches: [String] = []

  private var matches: [String] { all ? sessionAndMatches : Array(sessionAndMatches.dropFirst()) }

  func validate() throws {
    if !all {
      guard let session = sessionAndMatches.first else { throw ValidationError("Name a session, or give --all.") }
      _ = try nameOfSession(session)
    }
    if let fromSeq, let toSeq, fromSeq > toSeq { throw ValidationError("--from-seq must not be greater than --to-seq.") }
    if let lines, lines < 0 { throw ValidationError("--lines must not be negative.") }
    if let since, let until, since > until { throw ValidationError("--since must not be later than --until.") }
    if follow, reverse { throw ValidationError("--follow and --reverse exclude each other.") }
    if follow, all { throw ValidationError("--follow takes one session.") }
    if cursorFile != nil, reverse || lines != nil { throw ValidationError("--cursor-file goes without --reverse and --lines.") }
    if outputFields != nil, [.short, .shortISO].contains(format) { throw ValidationError("--output-fields goes without -o short and short-iso.") }
    _ = try selection()
  }

  private func selection() throws -> Selection {
    let filter = ActionFilter(
      seqs: (fromSeq ?? .min)...(toSeq ?? .max), times: (since?.microseconds ?? .min)...(until?.microseconds ?? .max))
    return try Selection(filter, matches: matches, grep: grep)
  }

  func run() throws {
    let selection = try selection()
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      let fields = outputFields?.split(separator: ",").map { String($0) }
      var printing = Printing(
        store: storage.store, selection: selection, printer: ActionPrinter(format, fields: fields, namesSession: all),
        cursor: try cursorFile.map { path throws(LogError) in try CursorFile(path) })
      defer { failure = printing.failure }
      do throws(LogError) {
        try printing.begin()
        if all {
          try printing.printAll(last: lines, isReversed: reverse)
        } else {
          let session = try storage.store.locate(sessionAndMatches[0])
          if follow, case .log(let id) = session {
            try printing.follow(id, last: lines)
          } else {
            try printing.print(session, last: lines, isReversed: reverse)
          }
        }
      } catch {
        try printing.flush()
        throw error
      }
      try printing.flush()
    }
    if let failure { throw failure }
  }
}

/// One run of `cat`.
private struct Printing: ~Copyable {
  private let store: SessionStore
  private var selection: Selection
  private var printer: ActionPrinter
  private var cursor: CursorFile?
  private var out = Output()
  /// Of the first session of all that could not be read.
  private(set) var failure: ExitCode?

  init(store: SessionStore, selection: Selection, printer: consuming ActionPrinter, cursor: CursorFile?) {
    self.store = store
    self.selection = selection
    self.printer = printer
    self.cursor = cursor
  }

  mutating func begin() throws(LogError) { try printer.begin(&out) }

  /// What was printed is out, and then the cursor stands behind it.
  mutating func flush() throws(LogError) {
    try out.flush()
    if out.isOpen { try cursor?.write() }
  }

  mutating func printAll(last count: Int?, isReversed: Bool) throws(LogError) {
    var sessions = try store.entries().map { (location: $0.location, count: Int?.none) }
    // The last ones of all stand in the newest sessions.
    if var rest = count {
      var wanted: [(SessionStore.Location, Int?)] = []
      for (session, _) in sessions where rest > 0 {
        try goingOn { printing throws(LogError) in
          let found = min(rest, try printing.count(session, upTo: rest))
          if found > 0 { wanted.append((session, found)) }
          rest -= found
        }
      }
      sessions = wanted
    }
    for (session, count) in isReversed ? sessions : sessions.reversed() where out.isOpen {
      try goingOn { printing throws(LogError) in try printing.print(session, last: count, isReversed: isReversed) }
    }
  }

  /// What is damaged in one session is said, behind what was printed of it, and the others are printed all the same.
  private mutating func goingOn(_ body: (inout Printing) throws(LogError) -> Void) throws(LogError) {
    do throws(LogError) { try body(&self) } catch {
      try out.flush()
      guard out.isOpen else { throw error }
      // Removed since it was listed.
      guard error.code != .notFound else { return }
      let code = fail(error)
      failure = failure ?? code
    }
  }

  mutating func print(_ session: SessionStore.Location, last count: Int?, isReversed: Bool) throws(LogError) {
    guard var seqs = remaining(session) else { return }
    if let count {
      guard let last = try self.seqs(ofLast: count, of: session, in: seqs) else { return }
      seqs = last
    }
    if isReversed { try printReversed(session, seqs) } else { try print(session, seqs) }
  }

  /// The seqs that are asked for, of a session that may have been printed in part; `nil` if there is none.
  private func remaining(_ session: SessionStore.Location) -> ClosedRange<Int64>? {
    let asked = selection.filter.seqs
    guard let seq = cursor?.seq(of: session.name) else { return asked }
    return seq < asked.upperBound ? max(asked.lowerBound, seq + 1)...asked.upperBound : nil
  }

  private func actions(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) -> ActionReader {
    var filter = selection.filter
    filter.seqs = seqs
    return try store.actions(of: session, filter)
  }

  private mutating func print(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) {
    var actions = try actions(session, seqs)
    while out.isOpen, try actions.nextPayload() {
      let payload = try actions.payload
      if try selection.wants(payload) { try printer.print(payload, of: session.name, to: &out) }
      if cursor != nil { cursor!.advance(session.name, to: try ActionOutline(payload: payload).seq) }
    }
    if case .log(let id) = session {
      if actions.bytesInDoubt > 0 { try out.flush() }
      noteDoubt(id, bytes: actions.bytesInDoubt)
    }
  }

  /// By pieces from the end, each of which is read forward.
  private mutating func printReversed(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) {
    var last = min(seqs.upperBound, try store.lastSeq(of: session))
    var width: Int64 = 1024
    while out.isOpen, last >= seqs.lowerBound, last > 0 {
      let first = max(seqs.lowerBound, last - width + 1)
      var (piece, size): ([[UInt8]], Int) = ([], 0)
      var actions = try actions(session, first...last)
      while size < 1 << 24, try actions.nextPayload() {
        let payload = try actions.payload
        guard try selection.wants(payload) else { continue }
        piece.append(Array(payload))
        size += payload.count
      }
      if size >= 1 << 24, first < last {
        width = max(1, (last - first + 1) / 4)
        continue
      }
      for payload in piece.reversed() {
        try payload.withRawBytes { bytes throws(LogError) in try printer.print(bytes, of: session.name, to: &out) }
      }
      last = first - 1
    }
  }

  private func count(_ session: SessionStore.Location, upTo count: Int) throws(LogError) -> Int {
    guard let seqs = try seqs(ofLast: count, of: session, in: selection.filter.seqs) else { return 0 }
    return try wantedSeqs(session, seqs, last: count).count
  }

  /// From the first of the last `count` actions that are asked for, to the last one; `nil` if there is none and can be none.
  private func seqs(ofLast count: Int, of session: SessionStore.Location, in asked: ClosedRange<Int64>) throws(LogError) -> ClosedRange<Int64>? {
    let nextSeq = try store.lastSeq(of: session) + 1
    var first = nextSeq
    // As a rule the last seqs are asked for; if not, all are looked at.
    for start in count == 0 ? [] : [nextSeq - Int64(clamping: count), .min] where start <= asked.upperBound {
      let seqs = try wantedSeqs(session, max(asked.lowerBound, start)...asked.upperBound, last: count)
      first = seqs.first ?? nextSeq
      if seqs.count >= count { break }
    }
    return first <= asked.upperBound ? max(asked.lowerBound, first)...asked.upperBound : nil
  }

  /// Those that are wanted, the last `count` of them.
  private func wantedSeqs(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>, last count: Int) throws(LogError) -> ArraySlice<Int64> {
    var wanted: [Int64] = []
    var actions = try actions(session, seqs)
    while try actions.nextPayload() {
      let payload = try actions.payload
      guard try selection.wants(payload) else { continue }
      if wanted.count / 2 >= count { wanted.removeFirst(wanted.count - count) }
      wanted.append(try ActionOutline(payload: payload).seq)
    }
    return wanted.suffix(count)
  }

  mutating func follow(_ id: SessionID, last count: Int?) throws(LogError) {
    guard var seqs = remaining(.log(id)) else { return }
    if let count {
      guard let last = try self.seqs(ofLast: count, of: .log(id), in: seqs) else { return }
      seqs = last
    }
    let log = store.directory.log(of: id)
    // Before it is read, so that no change goes unseen.
    let changes = DirectoryChanges(in: log.path)
    var filter = selection.filter
    filter.seqs = seqs
    var reader = try LogReader.open(log, of: id)
    var isClosed = false
    repeat {
      while out.isOpen, let frame = try reader.next() {
        if frame.kind == .sessionClosed { isClosed = true }
        guard frame.kind == .action else { continue }
        isClosed = false
        let payload = try reader.payload
        let seq = try ActionOutline(payload: payload).seq
        if seq > seqs.upperBound { return }
        guard try filter.contains(action: payload) else { continue }
        if try selection.wants(payload) { try printer.print(payload, of: id.description, to: &out) }
        if cursor != nil { cursor!.advance(id.description, to: seq) }
      }
      try flush()
    } while !isClosed && out.isOpen && changes.wait()
  }
}
