import ArgumentParser
import LogStorage
import ProvenanceLog

struct PathCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "path", abstract: "Prints where a session is kept: its log's directory, or its JSON file.",
    discussion: "Example: du -h \"$(ckprov-log path @)\"")

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      switch try storage.store.locate(argument.session) {
      case .log(let id): try out.line(storage.store.directory.logPath(id))
      case .legacy(let name): try out.line(storage.store.directory.legacyPath(name))
      }
      try out.flush()
    }
  }
}
