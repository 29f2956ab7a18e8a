import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ImportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import",
    abstract: "Turns Session JSON that cklib.prov wrote into logs.",
    discussion: """
      A file is accepted only if projecting its log gives back the same bytes; any other is left alone and named. The original stays where it is; the log gets its \
      modification time. Prints the id of each session.

      --all imports all that have no log yet; run again, it goes on with those that are missing. Files in the sessions directory itself become the views of their logs; \
      let no cklib.prov write there meanwhile.

      Examples:
        ckprov-log import --all
        ckprov-log import old/1f0c9a2e.json

      Exit codes: 0 all are imported; 65 a file cannot be reproduced exactly; 66 no such file; 73 another session has its id; 74 I/O, no space.
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "Imports every .json file of DIRECTORY (default: the sessions directory) whose session has no log.") var all = false
  @Argument(help: ArgumentHelp("Session JSON files; with --all, a directory.", valueName: "files"), completion: .file()) var files: [String] = []

  func validate() throws {
    if all, files.count > 1 { throw ValidationError("--all takes one directory.") }
    if files.contains("") { throw ValidationError("A path must not be empty.") }
    if !all, files.isEmpty { throw ValidationError("Name files, or give --all.") }
  }

  func run() throws {
    let directory = storage.store.directory
    var progress = Progress("files looked at")
    var out = Output()
    var failure: ExitCode?
    func report(_ result: Result<SessionID, LogError>) throws(LogError) {
      progress.end()
      switch result {
      case .success(let id):
        try out.line(id.description)
        try out.flush()
      case .failure(let error): failure = fail(error)
      }
    }
    try reporting { () throws(LogError) in
      if all {
        defer { progress.end() }
        if files.isEmpty { storage.noteIfMissing() }
        try directory.importAll(from: files.first, progress: progress.update, each: report)
      } else {
        for file in files {
          progress = Progress("MiB of \(escapedForTerminal(file)) read")
          try report(Result { () throws(LogError) in try directory.importSession(file, progress: progress.update) })
        }
      }
    }
    if let failure { throw failure }
  }
}
