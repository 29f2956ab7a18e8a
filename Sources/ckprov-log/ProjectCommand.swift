import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ProjectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "project",
    abstract: "Prints the Session JSON, byte for byte what cklib.prov would have written.",
    discussion: """
      Works on a session that is still being written, and on one whose writer died. Of a damaged session it prints what is whole up to the damage, says so and \
      exits with 65; --write and -o then leave what was there. Neither replaces another session that is kept as JSON, or a view that holds more than the log.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(name: [.customShort("o"), .long], help: "Writes to this file, at once or not at all.") var output: String?
  @Flag(help: "Writes to its place beside the log, where cklib's tools look for it.") var write = false

  func validate() throws {
    if write, output != nil { throw ValidationError("--write and --output exclude each other.") }
  }

  func run() throws {
    try reporting { () throws(LogError) in
      if let output { _ = try checked(output) }
      switch try storage.store.locate(argument.session) {
      case .log(let id): try project(id)
      case .legacy(let name): try copy(try storage.store.legacyEntry(name))
      }
    }
  }

  private func project(_ id: SessionID) throws(LogError) {
    let directory = storage.store.directory
    var projection = try SessionProjection.open(directory.log(of: id), of: id)
    noteDoubt(id, bytes: projection.bytesInDoubt)
    if write { return try directory.writeView(&projection) }
    if let output {
      try directory.checkMayReplace(output, by: projection.session)
      return try writeProjection(&projection, to: output, in: DiskFileSystem())
    }
    var out = Output()
    while out.isOpen, let block = try projection.next() { try out.write(block) }
    try out.flush()
    if let damage = projection.damage { throw damage }
  }

  /// A session that is kept as the reference wrote it is its own view.
  private func copy(_ entry: SessionStore.Entry) throws(LogError) {
    if write { return }
    let bytes = try readBytes(of: try DiskFileSystem().open(entry.path, for: .reading), at: 0)
    if let output {
      try storage.store.directory.checkMayReplace(output, by: entry.session.map { Checkpoint(header: $0.header, summary: $0.summary) })
      var file = try OutputFile.create(output, in: DiskFileSystem())
      try bytes.withRawBytes { bytes throws(LogError) in try file.write(bytes) }
      return try file.finish()
    }
    var out = Output()
    try bytes.withRawBytes { bytes throws(LogError) in try out.write(bytes) }
    try out.flush()
  }
}
