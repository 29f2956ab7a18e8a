import ArgumentParser
import LogStorage
import ProvenanceLog

struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm",
    abstract: "Removes sessions, with their views.",
    discussion: """
      A session that somebody is at work on stays. For a reader of its log a session is there whole, or gone. All that are named are looked for first: where one is not \
      found, none is removed.

      Examples:
        ckprov-log rm 1e192fa4 77c0
        ckprov-log rm @
      Exit codes: 0 done; 66 one was not found; else what kept one from being removed: 74 I/O, 75 somebody is at work on it, 77 no permission.
      """)

  @OptionGroup var storage: StorageOptions
  @Argument(
    help: "A session id, the beginning of one that no other has, or @ for the newest.", completion: sessionNames, transform: nameOfSession)
  var sessions: [String]

  func run() throws {
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      let found = try sessions.map { text throws(LogError) in try storage.store.locate(text) }
      var names: Set<String> = []
      for session in found where names.insert(session.name).inserted {
        do throws(LogError) { try storage.store.directory.remove(session) } catch { failure = fail(error) }
      }
    }
    if let failure { throw failure }
  }
}
