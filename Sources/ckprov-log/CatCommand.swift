import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct CatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cat",
    abstract: "Prints a session's actions, as JSON Lines or for people.",
    discussion: """
      All, or those that fit what is asked for; of a log no more is read than what may hold them. --since and --until go by generated_at, which need not grow with \
      the seqs. \(timeHelp)

      A match is FIELD=VALUE: outcome=failed, kernel=CK.Task, intent.target=prod, evidence.items.0=3, session_id=1e192fa4. Of the same field one must fit, of several fields each. \
      '-o verbose' prints each action as the matches that fit it, but shows control characters as escapes, which no match undoes. A pattern that repeats what repeats, as in (a+)+, may take very long on a text that was made for it.

      Formats: json (JSON Lines, as in the log), json-seq (RFC 7464), json-pretty, short, short-iso, verbose, csv (RFC 4180).

      No lock is taken: a writer does not notice.

      Examples:
        ckprov-log cat @ | jq .note
        ckprov-log cat @ outcome=failed outcome=retry -o short
        ckprov-log cat --follow --cursor-file seen @
        ckprov-log cat --all --since -2h -g 'timed? ?out'
        ckprov-log cat --all --follow -n 10 -o short outcome=failed
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "All sessions, the oldest first; objects then begin with a session_id.") var all = false
  @Option(parsing: .unconditional, help: ArgumentHelp("The first seq.", valueName: "seq")) var fromSeq: Int64?
  @Option(parsing: .unconditional, help: ArgumentHelp("The last seq.", valueName: "seq")) var toSeq: Int64?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not before this time.", valueName: "time"), transform: beginOfTime) var since: Timestamp?
  @Option(parsing: .unconditional, help: ArgumentHelp("Not after this time.", valueName: "time"), transform: endOfTime) var until: Timestamp?
  @Option(
    name: [.customShort("g", allowingJoined: true), .long], parsing: .unconditional,
    help: ArgumentHelp(
      "Those with a text, at any depth, in which this regular expression is found; without capitals it fits both cases.", valueName: "pattern"))
  var grep: String?
  @Option(
    name: [.customShort("n", allowingJoined: true), .long], parsing: .unconditional,
    help: ArgumentHelp("Of those that fit, the last so many.", valueName: "n"))
  var lines: Int?
  @Flag(name: .shortAndLong, help: "The last one first.") var reverse = false
  @Flag(name: .shortAndLong, help: "Prints what is recorded meanwhile, until the session is closed; of --all until it is stopped.") var follow = false
  @Option(name: [.customShort("o", allowingJoined: true), .customLong("output")], help: "How actions are printed.") var format = ActionFormat.json
  @Option(help: ArgumentHelp("Only these members, as in seq,outcome,intent.target.", valueName: "fields")) var outputFields: String?
  @Option(
    help: ArgumentHelp(
      "Goes on behind what this file names, and writes to it how far it came; what was printed may come again after a crash; it counts as printed once it was written.",
      valueName: "file"), completion: .file())
  var cursorFile: String?
  @Argument(
    help: "A session id, the beginning of one that no other has, or @ for the newest; then matches.",
    completion: sessionNamesOrMatches)
  var sessionAndMatches: [String] = []

  private var matches: [String] { all ? sessionAndMatches : Array(sessionAndMatches.dropFirst()) }

  func validate() throws {
    if !all {
      guard let session = sessionAndMatches.first else { throw ValidationError("Name a session, or give --all.") }
      // A match alone names none.
      _ = try session.contains("=") ? idOrNewest(session) : nameOfSession(session)
    }
    if let fromSeq, let toSeq, fromSeq > toSeq { throw ValidationError("--from-seq must not be greater than --to-seq.") }
    if let lines, lines < 0 { throw ValidationError("--lines must not be negative.") }
    if let since, let until, since > until { throw ValidationError("--since must not be later than --until.") }
    if follow, reverse { throw ValidationError("--follow and --reverse exclude each other.") }
    if cursorFile != nil, reverse || lines != nil { throw ValidationError("--cursor-file goes without --reverse and --lines.") }
    if outputFields != nil, [.short, .shortISO].contains(format) { throw ValidationError("--output-fields goes without -o short and short-iso.") }
  }

  private func selection() throws -> Selection {
    let filter = ActionFilter(
      seqs: (fromSeq ?? .min)...(toSeq ?? .max), times: (since?.microseconds ?? .min)...(until?.microseconds ?? .max))
    return try Selection(filter, matches: matches, grep: grep)
  }

  func run() throws {
    // Not before all is parsed: what stands behind an unknown option looks like a match.
    let selection = try selection()
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      let fields = outputFields?.split(separator: ",").map { field in String(field.drop { $0 == " " }) }
      var printing = Printing(
        store: storage.store, selection: selection, printer: ActionPrinter(format, fields: fields, namesSession: all),
        cursor: cursorFile != nil || follow && all ? try Cursor(cursorFile) : nil)
      defer { failure = printing.failure }
      do throws(LogError) {
        if all { storage.noteIfMissing(waiting: follow) }
        try printing.begin()
        if all, follow {
          try printing.followAll(last: lines)
        } else if all {
          try printing.printAll(last: lines, isReversed: reverse)
        } else {
          let session = try storage.store.locate(sessionAndMatches[0])
          if follow, case .log(let id) = session {
            do throws(LogError) { try printing.follow(id, last: lines) } catch let error where error.code == .notFound && error.path != cursorFile {
              throw LogError(.notFound, "session '\(id)' was removed meanwhile; 'ckprov-log list' shows what is there")
            }
          } else if follow, case .legacy(let name) = session, try storage.store.legacyEntry(name).session?.endedAt == nil {
            let why = "session '\(escapedForTerminal(name))' is kept as JSON and not closed, and nobody says when more comes"
            throw LogError(.invalidInput, "\(why); 'ckprov-log import' makes a log of it")
          } else {
            try printing.print(session, last: lines, isReversed: reverse)
          }
        }
      } catch {
        try printing.flush()
        throw error
      }
      try printing.flush()
    }
    if let failure { throw failure }
  }
}
