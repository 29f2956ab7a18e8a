import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceExport
import ProvenanceLog

struct ReportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "report",
    abstract: "Writes a session as one page for a browser: timeline, filters, before and after.",
    discussion: """
      The page needs nothing else, no network either, and shows what was recorded as text only. With 50,000 actions it stays quick; of many more it becomes large.

      Example: ckprov-log report @ -o session.html
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @OptionGroup var output: OutputOption

  func validate() throws {
    if output.path == nil { throw ValidationError("Name a file with -o; - is standard output.") }
  }

  func run() throws {
    try reporting { () throws(LogError) in
      try print(Export(try storage.store.getSession(argument.session), as: .html), to: output.file)
    }
  }
}
