import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

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
