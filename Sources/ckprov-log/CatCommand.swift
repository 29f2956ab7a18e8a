import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cat",
    abstract: "Prints a session's actions as JSON Lines.",
    discussion: """
      All, or those that fit what is asked for; of a log no more is read than what may hold them. Times are generated_at, which need not grow with the seqs: \
      YYYY-MM-DDTHH:MM:SS.ffffffZ, or the beginning of that, such as a day.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(help: ArgumentHelp("The first seq.", valueName: "seq")) var fromSeq: Int64?
  @Option(help: ArgumentHelp("The last seq.", valueName: "seq")) var toSeq: Int64?
  @Option(help: ArgumentHelp("Not before this time.", valueName: "time"), transform: beginOfTime) var since: Timestamp?
  @Option(help: ArgumentHelp("Not after this time.", valueName: "time"), transform: endOfTime) var until: Timestamp?

  func validate() throws {
    if let fromSeq, let toSeq, fromSeq > toSeq { throw ValidationError("--from-seq must not be greater than --to-seq.") }
    if let since, let until, since > until { throw ValidationError("--since must not be later than --until.") }
  }

  private var filter: ActionFilter {
    ActionFilter(
      seqs: (fromSeq ?? .min)...(toSeq ?? .max), times: (since?.microseconds ?? .min)...(until?.microseconds ?? .max))
  }

  func run() throws {
    try reporting { () throws(LogError) in
      var out = Output()
      switch try storage.store.locate(argument.session) {
      case .log(let id): try cat(id, to: &out)
      case .legacy(let name):
        guard case .array(let actions)? = try storage.store.legacyObject(name)["actions"] else { return }
        for action in actions {
          let payload = try action.compactJSON()
          guard try payload.withRawBytes({ bytes throws(LogError) in try filter.contains(action: bytes) }) else { continue }
          try out.line(String(decoding: payload, as: UTF8.self))
        }
        try out.flush()
      }
    }
  }

  private func cat(_ id: SessionID, to out: inout Output) throws(LogError) {
    do throws(LogError) {
      var reader = try LogReader.open(storage.store.directory.log(of: id), of: id, for: filter)
      while out.isOpen, try reader.nextAction(filter) {
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

@Sendable private func beginOfTime(_ text: String) throws -> Timestamp { try time(text, filledWith: "0001-01-01T00:00:00.000000Z") }
@Sendable private func endOfTime(_ text: String) throws -> Timestamp { try time(text, filledWith: "9999-12-31T23:59:59.999999Z") }

/// A time of which the end may be missing.
private func time(_ text: String, filledWith rest: String) throws -> Timestamp {
  let start = text.hasSuffix("Z") && text.utf8.count < rest.utf8.count ? String(text.dropLast()) : text
  // A month may be shorter than the rest has it.
  for day in ["\(rest.dropFirst(8).prefix(2))", "30", "29", "28"] where 4...rest.utf8.count ~= start.utf8.count {
    let filled = "\(rest.prefix(8))\(day)\(rest.dropFirst(10))"
    if let timestamp = Timestamp(start + filled.dropFirst(start.count)) { return timestamp }
  }
  throw ValidationError("give a time as YYYY-MM-DDTHH:MM:SS.ffffffZ, or its beginning")
}
