import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "cat", abstract: "Prints a session's actions as JSON Lines.")

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      switch try storage.store.locate(argument.session) {
      case .log(let id): try cat(id, to: &out)
      case .legacy(let name):
        guard case .array(let actions)? = try storage.store.legacyObject(name)["actions"] else { return }
        for action in actions {
          try out.write(String(decoding: try action.compactJSON(), as: UTF8.self) + "\n")
        }
        try out.flush()
      }
    }
  }

  private func cat(_ id: SessionID, to out: inout Output) throws(LogError) {
    do throws(LogError) {
      var reader = try LogReader.open(storage.store.directory.log(of: id), of: id)
      while out.isOpen, let frame = try reader.next() {
        guard frame.kind == .action else { continue }
        try out.write(try reader.payload)
        try out.write("\n")
      }
      try out.flush()
      noteDoubt(id, bytes: reader.ending?.bytesInDoubt ?? 0)
    } catch {
      try out.flush()
      throw error
    }
  }
}
