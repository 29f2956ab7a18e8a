import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Lists the sessions, newest first.",
    discussion: "Logs and sessions that cklib.prov has left stand side by side. What cannot be read is passed over; 'verify' names it.")

  @OptionGroup var storage: StorageOptions
  @Flag(help: "Prints what cklib's list_sessions returns, as an array of whole sessions.") var json = false

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      let progress = Progress("names looked at")
      let entries = try storage.store.entries(progress: progress.update)
      progress.end()
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
    let duration = session.durationMS.map { durationText(milliseconds: $0) } ?? ""
    return [
      escapedForTerminal(entry.name), timeText(session.startedAt), shortened(session.outcome, to: 16),
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
        try begin()
        while out.isOpen, let block = try projection.next() { try out.write(block) }
      }
    }
    try out.write(isFirst ? "[]\n" : "\n]\n")
  }
}
