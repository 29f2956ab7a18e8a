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
      let found = try storage.store.locate(sessions)
      var names: Set<String> = []
      let progress = Progress("sessions removed")
      defer { progress.end() }
      for (index, session) in found.enumerated() where names.insert(session.name).inserted {
        progress.update(index, of: found.count)
        do throws(LogError) { try storage.store.directory.remove(session) } catch {
          progress.end()
          failure = fail(error)
        }
      }
    }
    if let failure { throw failure }
  }
}
