public import ArgumentParser
import LogFormat
import LogStorage
public import ProvenanceExport
import ProvenanceLog

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Prints a session as W3C PROV, CSV, JSON Lines or a page.",
    discussion: """
      The terms of PROV, and those that are kept as attributes, stand in Format/export.md. A session may be of any length: it is printed while it is read. Of a damaged \
      one, what was printed is no whole document, and the exit code is 65; -o then leaves what was there.

      Examples:
        ckprov-log export @ --format turtle | riot --syntax=ttl --count
        ckprov-log export 1e19 --format csv -o actions.csv
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(
    name: [.customShort("F", allowingJoined: true), .long], help: "prov-json, prov-n, turtle, jsonld, csv, jsonl, or html, the page of 'report'.")
  var format: Export.Format
  @OptionGroup var output: OutputOption

  func run() throws {
    try reporting { () throws(LogError) in
      try print(Export(try storage.store.getSession(argument.session), as: format), to: output.file, asText: format == .csv)
    }
  }
}

/// - Parameters:
///   - path: `nil` for standard output.
///   - asText: it may hold what would steer a terminal.
func print(_ export: consuming Export, to path: String?, asText: Bool = false) throws(LogError) {
  let progress = Progress("actions printed", isPrinting: path == nil)
  defer { progress.end() }
  if let path {
    var file = try OutputFile.create(checked(path), in: DiskFileSystem())
    while let block = try export.next() {
      try file.write(block)
      progress.update(export.done, of: export.total)
    }
    return try file.finish()
  }
  var out = Output()
  do throws(LogError) {
    while out.isOpen, let block = try export.next() {
      try asText ? out.writeShown(block) : out.write(block)
      progress.update(export.done, of: export.total)
    }
  } catch {
    try out.flush()
    throw error
  }
  try out.flush()
}

extension Export.Format: ExpressibleByArgument {}
