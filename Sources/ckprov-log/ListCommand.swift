import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the sessions, newest first.",
    discussion: """
      Logs and sessions that cklib.prov has left stand side by side. What cannot be read is passed over; 'verify' names it. Of several filters all must fit; --since \
      and --until go by when a session was started. \(timeHelp)

      Example: ckprov-log list --outcome failed --since yesterday
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "Prints what cklib's list_sessions returns, as an array of whole sessions.") var json = false
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Sessions in which this kernel acted: a name, or a URN, whose version counts for the session's own.", valueName: "kernel"))
  var kernel: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Sessions with this text in their label.", valueName: "text")) var label: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Sessions that ended so; in_progress for those that have not.", valueName: "outcome"))
  var outcome: String?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not before this time.", valueName: "time"), transform: beginOfTime) var since: Timestamp?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not after this time.", valueName: "time"), transform: endOfTime) var until: Timestamp?

  func run() throws {
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      var out = Output()
      storage.noteIfMissing()
      let progress = Progress("names looked at")
      let entries = try storage.store.entries(progress: progress.update).filter(fits)
      progress.end()
      if json { failure = try printJSON(entries, to: &out) } else { try printTable(entries, to: &out) }
      try out.flush()
    }
    if let failure { throw failure }
  }

  func validate() throws {
    if let since, let until, since > until { throw ValidationError("--since must not be later than --until.") }
  }

  private func fits(_ entry: SessionStore.Entry) -> Bool {
    if kernel == nil, label == nil, outcome == nil, since == nil, until == nil { return true }
    guard let session = entry.session else { return false }
    if let kernel, !hasActed(JSONString(kernel), in: session) { return false }
    if let label, !session.label.description.unicodeScalars.contains(label.unicodeScalars) { return false }
    if let outcome, session.outcome != JSONString(outcome) { return false }
    return (since.map { $0 <= session.startedAt } ?? true) && (until.map { session.startedAt <= $0 } ?? true)
  }

  private func hasActed(_ kernel: JSONString, in session: Session) -> Bool {
    let own = session.wasAssociatedWith
    // Of the others only the names are known.
    guard kernelName(own) == kernelName(kernel) else { return session.kernelsInvolved.contains { kernelName($0) == kernelName(kernel) } }
    let version = URN.parse(kernel).version
    return version == nil || version == URN.parse(own).version
  }

  private func kernelName(_ kernel: JSONString) -> JSONString { URN.parse(kernel).kernelName ?? kernel }

  private func printTable(_ entries: [SessionStore.Entry], to out: inout Output) throws(LogError) {
    var rows = [["SESSION", "STARTED", "OUTCOME", "ACTIONS", "DURATION", "SIZE", "LABEL"]]
    rows += mapOnTwoThreads(entries, row).compactMap { $0 }
    // The label stands last: where the terminal ends, so does it.
    let columns = standardOutputColumns()
    for line in table(rows, rightAligned: [3, 4, 5]) { try out.line(columns.map { cut(line, to: $0) } ?? line) }
  }

  @Sendable private func row(_ entry: SessionStore.Entry) -> [String]? {
    guard let session = entry.session else { return nil }
    let duration = session.durationMS.map { durationText(milliseconds: $0) } ?? ""
    return [
      escapedForTerminal(entry.name), timeText(session.startedAt), shortened(session.outcome, to: 16),
      String(session.actionCount), duration, sizeText(entry.size(in: storage.store.directory)), escapedForTerminal(session.label.description),
    ]
  }

  /// - Returns: how it failed, if one session could not be read to its end.
  private func printJSON(_ entries: [SessionStore.Entry], to out: inout Output) throws(LogError) -> ExitCode? {
    var isFirst = true
    var failure: ExitCode?
    func begin() throws(LogError) {
      try out.write(isFirst ? "[\n  " : ",\n  ")
      isFirst = false
    }
    for entry in entries where out.isOpen {
      switch entry.location {
      case .legacy(let name):
        // Read again, so that no more than one is in memory.
        guard let object = try? storage.store.legacyObject(name) else { continue }
        try begin()
        var buffer = ByteBuffer()
        try buffer.appendIndented(.object(object), level: 1)
        try out.write(buffer.bytes)
      case .log(let id):
        let log = storage.store.directory.log(of: id)
        // Half a session is none: what is damaged is passed over, as in the reference.
        guard let verification = try? storage.store.directory.verify(id), !verification.stopsReaders else { continue }
        var projection: SessionProjection
        do throws(LogError) { projection = try SessionProjection.open(log, of: id, level: 1) } catch { continue }
        var hasBegun = false
        do throws(LogError) {
          // Removed since it was listed: nothing of it is out yet, unless it is long.
          guard let first = try projection.next() else { continue }
          try begin()
          hasBegun = true
          try out.write(first)
          while out.isOpen, let block = try projection.next() { try out.write(block) }
        } catch {
          guard out.isOpen else { throw error }
          guard hasBegun else { continue }
          // What follows must stay readable.
          failure = fail(error.adding("; its JSON ends before its last action"))
          projection.stop()
          while out.isOpen, let block = try projection.next() { try out.write(block) }
        }
      }
    }
    try out.write(isFirst ? "[]\n" : "\n]\n")
    return failure
  }
}
