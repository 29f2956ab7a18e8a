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

      --follow writes to its place again what is recorded meanwhile, at most once a second: a session until it has ended, with --all every one of them, those that \
      come later too, until it is stopped. While nothing is recorded it does nothing.

      Examples:
        ckprov-log project @ | jq .outcome
        ckprov-log project --follow --all
      """)

  @OptionGroup var storage: StorageOptions
  @Argument(
    help: "A session id, the beginning of one that no other has, or @ for the newest.", completion: sessionNames, transform: nameOfSession)
  var session: String?
  @OptionGroup var output: OutputOption
  @Flag(help: "Writes to its place beside the log, where cklib's tools look for it.") var write = false
  @Flag(name: .shortAndLong, help: "Keeps what is in its place up to date.") var follow = false
  @Flag(help: "With --follow: all sessions.") var all = false

  func validate() throws {
    guard (session != nil) != all else { throw ValidationError("Name a session, or give --follow --all.") }
    if all, !follow { throw ValidationError("--all goes with --follow.") }
    if follow, output.path != nil { throw ValidationError("--follow and --output exclude each other.") }
    if write, output.path != nil { throw ValidationError("--write and --output exclude each other.") }
  }

  func run() throws {
    try reporting { () throws(LogError) in
      if let file = output.file { _ = try checked(file) }
      if follow { return try keepViews() }
      switch try storage.store.locate(session!) {
      case .log(let id): try project(id)
      case .legacy(let name): try copy(try storage.store.legacyEntry(name))
      }
    }
  }

  private func keepViews() throws(LogError) {
    if all { storage.noteIfMissing(waiting: true) }
    let only = try session.map { text throws(LogError) in try storage.store.locateLog(text) }
    var keeper = ViewKeeper(storage.store.directory, only: only) { id, error in note("session \(id): \(error.description)") }
    try keeper.run()
  }

  private func project(_ id: SessionID) throws(LogError) {
    let directory = storage.store.directory
    var projection = try SessionProjection.open(directory.log(of: id), of: id)
    try write(&projection, of: id)
    // Beside damage nobody goes on.
    noteDoubt(id, bytes: projection.bytesInDoubt)
  }

  private func write(_ projection: inout SessionProjection, of id: SessionID) throws(LogError) {
    let directory = storage.store.directory
    if write {
      if let aside = try directory.writeView(&projection) { note("session \(id): the view that stood there is damaged, and is now \(aside)") }
      return
    }
    if let file = output.file {
      try directory.checkMayReplace(file, by: projection.session)
      let progress = Progress("actions printed")
      defer { progress.end() }
      let total = projection.summary.actionCount
      return try writeProjection(&projection, to: file, in: DiskFileSystem()) { progress.update($0, of: total) }
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
    if let file = output.file {
      try storage.store.directory.checkMayReplace(file, by: entry.session.map { Checkpoint(header: $0.header, summary: $0.summary) })
      var written = try OutputFile.create(file, in: DiskFileSystem())
      try bytes.withRawBytes { bytes throws(LogError) in try written.write(bytes) }
      return try written.finish()
    }
    var out = Output()
    try bytes.withRawBytes { bytes throws(LogError) in try out.write(bytes) }
    try out.flush()
  }
}
