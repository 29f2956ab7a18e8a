import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cat",
    abstract: "Prints a session's actions as JSON Lines.",
    discussion: """
      All, or those that fit what is asked for; of a log no more is read than what may hold them. --since and --until go by generated_at, which need not grow with \
      the seqs. \(timeHelp)

      Examples: ckprov-log cat @ | jq .note
        ckprov-log cat --follow @
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(help: ArgumentHelp("The first seq.", valueName: "seq")) var fromSeq: Int64?
  @Option(help: ArgumentHelp("The last seq.", valueName: "seq")) var toSeq: Int64?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not before this time.", valueName: "time"), transform: beginOfTime) var since: Timestamp?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not after this time.", valueName: "time"), transform: endOfTime) var until: Timestamp?

  @Option(name: [.customShort("n"), .long], help: ArgumentHelp("Of those that fit, the last so many.", valueName: "n")) var lines: Int?
  @Flag(name: .shortAndLong, help: "Prints what is recorded meanwhile, until the session is closed.") var follow = false

  func validate() throws {
    if let fromSeq, let toSeq, fromSeq > toSeq { throw ValidationError("--from-seq must not be greater than --to-seq.") }
    if let lines, lines < 0 { throw ValidationError("--lines must not be negative.") }
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
      case .log(let id):
        var filter = filter
        if let lines {
          guard let seqs = try seqs(ofLast: lines, of: id) else { return }
          filter.seqs = seqs
        }
        if follow { try self.follow(id, filter, to: &out) } else { try cat(id, filter, to: &out) }
      case .legacy(let name):
        guard case .array(let actions)? = try storage.store.legacyObject(name)["actions"] else { return }
        var wanted: [[UInt8]] = []
        for action in actions {
          let payload = try action.compactJSON()
          if try payload.withRawBytes({ bytes throws(LogError) in try filter.contains(action: bytes) }) { wanted.append(payload) }
        }
        for payload in wanted.suffix(lines ?? .max) { try out.line(String(decoding: payload, as: UTF8.self)) }
        try out.flush()
      }
    }
  }

  /// From the first of the last `count` actions that are asked for, to the last one; `nil` if there is none and can be none.
  private func seqs(ofLast count: Int, of id: SessionID) throws(LogError) -> ClosedRange<Int64>? {
    let log = storage.store.directory.log(of: id)
    let nextSeq = try log.state(of: id).checkpoint.summary.nextSeq
    let asked = filter.seqs
    var first = nextSeq
    // As a rule the last seqs are asked for; if not, all are looked at.
    for start in count == 0 ? [] : [nextSeq - Int64(clamping: count), .min] where start <= asked.upperBound {
      var filter = filter
      filter.seqs = max(asked.lowerBound, start)...asked.upperBound
      var seqs: [Int64] = []
      var reader = try LogReader.open(log, of: id, for: filter)
      while try reader.nextAction(filter) {
        if seqs.count / 2 >= count { seqs.removeFirst(seqs.count - count) }
        seqs.append(try ActionOutline(payload: try reader.payload).seq)
      }
      first = seqs.suffix(count).first ?? nextSeq
      if seqs.count >= count { break }
    }
    return first <= asked.upperBound ? max(asked.lowerBound, first)...asked.upperBound : nil
  }

  private func cat(_ id: SessionID, _ filter: ActionFilter, to out: inout Output) throws(LogError) {
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

  private func follow(_ id: SessionID, _ filter: ActionFilter, to out: inout Output) throws(LogError) {
    let log = storage.store.directory.log(of: id)
    // Before it is read, so that no change goes unseen.
    let changes = DirectoryChanges(in: log.path)
    do throws(LogError) {
      var reader = try LogReader.open(log, of: id)
      var isClosed = false
      repeat {
        while out.isOpen, let frame = try reader.next() {
          if frame.kind == .sessionClosed { isClosed = true }
          guard frame.kind == .action else { continue }
          isClosed = false
          let payload = try reader.payload
          if try ActionOutline(payload: payload).seq > filter.seqs.upperBound { return try out.flush() }
          guard try filter.contains(action: payload) else { continue }
          try out.write(payload)
          try out.write("\n")
        }
        try out.flush()
      } while !isClosed && out.isOpen && changes.wait()
    } catch {
      try out.flush()
      throw error
    }
  }
}
