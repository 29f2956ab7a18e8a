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
  @Option(name: [.customShort("o"), .long], help: "The file, written at once or not at all.") var output: String

  func run() throws {
    try reporting { () throws(LogError) in
      try writeExport(Export(try storage.store.getSession(argument.session), as: .html), to: output)
    }
  }
}

func writeExport(_ export: consuming Export, to path: String) throws(LogError) {
  var file = try OutputFile.create(checked(path), in: DiskFileSystem())
  let progress = Progress("actions printed")
  defer { progress.end() }
  while let block = try export.next() {
    try file.write(block)
    progress.update(export.done, of: export.total)
  }
  try file.finish()
}
