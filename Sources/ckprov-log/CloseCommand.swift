import ArgumentParser
import LogStorage
import ProvenanceLog

struct CloseCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "close",
    abstract: "Ends a session that was left open, or whose writer has died.",
    discussion: """
      Its end is recorded and put on stable storage, and the Session JSON is written. One that has ended already is left as it is; its view, if it is missing, \
      is made.

      Example: ckprov-log close @ --outcome aborted
      Exit codes: 0 done, or nothing to do; 65 its log is damaged; 75 its writer is at work.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(parsing: .unconditional, help: "Default: failed if actions failed and none was verified, partial if both, else complete.") var outcome = ""
  @Option(help: ArgumentHelp("Default: now.", valueName: "timestamp"), transform: timestamp) var endedAt: Timestamp?

  func run() throws {
    try reporting { () throws(LogError) in
      let id = try storage.store.locateLog(argument.session)
      let session = try storage.store.getSession(id.description)
      guard session.endedAt == nil else {
        let isMade = try storage.store.directory.makeMissingView(of: id)
        return note("session \(id) has ended already: \(shortened(session.outcome, to: 64))\(isMade ? "; its view was missing, and is made" : "")")
      }
      var options = ProvChain.Options()
      options.notice = { note($0) }
      let prov = try ProvChain(resuming: id, storageDirectory: storage.storageDir, retentionHours: nil, options: options)
      let closed = try prov.close(outcome: JSONString(outcome), endedAt: endedAt)
      var out = Output()
      try out.line("\(id)  \(escapedForTerminal(closed.outcome.description))")
      try out.flush()
    }
  }
}
