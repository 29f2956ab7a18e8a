import ArgumentParser
import LogStorage
import ProvenanceLog

struct CompactCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compact",
    abstract: "Compresses and merges the files of logs.",
    discussion: """
      Each new file is compared with those that it was made of before they go, and 'lz4 -d' unpacks it. May run while the sessions are recorded and read; the file that \
      a writer appends to is left alone, and what a writer goes on with meanwhile stays as it was, which is said. Also takes away what an interrupted compaction has left, and sets a damaged compressed file beside whole ones aside. --level \
      packs what is compressed already anew, too, and makes a wrong index right.

      Examples:
        ckprov-log compact
        ckprov-log compact --level 9 1e192fa4

      Exit codes: 0 done, nothing to do, or a writer went on meanwhile; 65 what it had to read is damaged, and was left as it is ('verify' reads all); 75 another process compacts this session.
      """)

  @OptionGroup var storage: StorageOptions
  @Option(parsing: .unconditional, help: ArgumentHelp("LZ4's level: 1 (fast, the default) to 12 (small, slow).", valueName: "1-12")) var level: Int?
  @Flag(help: "Says what it would do; changes nothing.") var dryRun = false
  @Argument(help: "Default: all.", completion: sessionNames, transform: nameOfSession) var sessions: [String] = []

  func validate() throws {
    if let level, !(1...12 ~= level) { throw ValidationError("--level must be from 1 to 12.") }
  }

  func run() throws {
    giveWay()
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      if sessions.isEmpty { storage.noteIfMissing() }
      var out = Output()
      let ids = try ids()
      let progress = Progress(ids.count == 1 ? "MiB read" : "sessions compacted")
      defer { progress.end() }
      for (index, id) in ids.enumerated() where out.isOpen {
        if ids.count > 1 { progress.update(index, of: ids.count) }
        do throws(LogError) {
          let result = try storage.store.compact(id, level: level, isPlan: dryRun) { if ids.count == 1 { progress.update($0, of: $1) } }
          guard result.filesBefore + result.filesRemoved + result.filesOvertaken > 0 || !sessions.isEmpty else { continue }
          progress.end()
          try out.line(line(id, result))
          try out.flush()
        } catch {
          // Removed since it was listed.
          if error.code == .notFound, sessions.isEmpty { continue }
          progress.end()
          failure = fail(error.code == .locked ? LogError(.locked, "locked: \(error.message)", path: error.path) : error)
        }
      }
    }
    if let failure { throw failure }
  }

  /// Logs that were never started are no sessions; a session that is kept as JSON has no files to compact.
  private func ids() throws(LogError) -> [SessionID] {
    guard sessions.isEmpty else { return try storage.store.locateLogs(sessions) }
    return try storage.store.startedLogs()
  }

  private func line(_ id: SessionID, _ result: Compaction) -> String {
    let removed = result.filesRemoved > 0 ? "\(files(result.filesRemoved)) of interrupted work \(dryRun ? "would be removed" : "removed")" : nil
    let overtaken = result.filesOvertaken > 0 ? "\(files(result.filesOvertaken)) left as before: a writer went on with the session meanwhile" : nil
    let parts = [change(result), removed, overtaken].compactMap { $0 }
    return "\(id)  \(parts.isEmpty ? "nothing to do" : parts.joined(separator: "; "))"
  }

  private func change(_ result: Compaction) -> String? {
    guard result.filesBefore > 0 else { return nil }
    let before = "\(files(result.filesBefore)), \(sizeText(result.bytesBefore))"
    if let after = result.bytesAfter { return "\(before) -> \(files(result.filesAfter)), \(sizeText(after))" }
    return "\(before): would become \(files(result.filesAfter))\(level == nil ? "" : ", where that is smaller")"
  }

  private func files(_ count: Int) -> String { count == 1 ? "1 file" : "\(count) files" }
}
