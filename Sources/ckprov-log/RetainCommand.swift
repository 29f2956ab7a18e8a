import ArgumentParser
import LogStorage
import ProvenanceLog

struct RetainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retain",
    abstract: "Removes old sessions: by age, by number, by size.",
    discussion: """
      A session is as old as the newest of its files. Without a rule it is --hours 48, as in cklib; of several rules each counts. A session that somebody is at work on \
      stays. Sessions that cklib.prov has left as JSON are under the same rules. Prints what it removes; --json prints one JSON object (Format/reports.md).

      Examples:
        ckprov-log retain --hours 48 --dry-run
        ckprov-log retain --max-bytes 20G

      Exit codes: 0 done; else what kept a session from being removed: 74 I/O, 77 no permission. The others are removed all the same.
      """)

  @OptionGroup var storage: StorageOptions
  @Option(
    parsing: .unconditional, help: ArgumentHelp("Removes sessions last written longer ago (default without another rule: 48).", valueName: "hours"))
  var hours: Double?
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Removes ended sessions, oldest first, until all take no more: 500M, 2G, or bytes.", valueName: "size"))
  var maxBytes: Size?
  @Option(parsing: .unconditional, help: ArgumentHelp("Removes all but so many, the newest.", valueName: "n")) var keep: Int?
  @Flag(help: "Says what it would remove, and changes nothing.") var dryRun = false
  @Flag(help: "For programs: a JSON object.") var json = false

  func validate() throws {
    if let hours, !(hours >= 0 && hours.isFinite) { throw ValidationError("--hours must be a number that is not negative.") }
    if let keep, keep < 0 { throw ValidationError("--keep must not be negative.") }
  }

  func run() throws {
    let hours = hours ?? (maxBytes == nil && keep == nil ? 48 : nil)
    let rules = RetentionRules(hours: hours, keep: keep, bytesMax: maxBytes?.bytes)
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      storage.noteIfMissing()
      var out = Output()
      let looking = Progress("names looked at")
      var removing: Progress?
      var unprinted: LogError?
      let report = try storage.store.directory.retain(rules, now: currentTime(), isDryRun: dryRun, progress: looking.update) { removed, count in
        looking.end()
        removing = removing ?? Progress("sessions \(verb)", isPrinting: !json)
        removing?.update(removed.endIndex, of: count)
        guard !json, unprinted == nil else { return }
        // At once: it may be stopped before it has removed all.
        do throws(LogError) { try print(lines(removed), to: &out) } catch { unprinted = error }
      }
      looking.end()
      removing?.end()
      if let unprinted { throw unprinted }
      if json { try out.json(object(report)) } else { try print(lines(report), to: &out) }
      try out.flush()
      for (_, error) in report.failures { failure = fail(error) }
    }
    if let failure { throw failure }
  }

  private var verb: String { dryRun ? "would go" : "removed" }

  private func print(_ lines: [String], to out: inout Output) throws(LogError) {
    for line in lines { try out.line(line) }
    try out.flush()
  }

  private func lines(_ removed: ArraySlice<RetentionReport.Removal>) -> [String] {
    let rows = removed.map {
      [escapedForTerminal($0.session.name), verb, sizeText($0.bytes), "last written \(timeText($0.lastWritten)), \(optionName($0.rule))"]
    }
    return table(rows, rightAligned: [2])
  }

  /// What stays, and all in all.
  private func lines(_ report: RetentionReport) -> [String] {
    var rows = report.inUse.map { [escapedForTerminal($0.name), "stays", "", "somebody is at work on it"] }
    rows += report.failures.map { session, _ in [escapedForTerminal(session.name), "stays", "", "cannot be removed, see below"] }
    let count = report.removed.count == 1 ? "1 session" : "\(report.removed.count) sessions"
    var last = "\(count) \(verb), \(sizeText(report.bytesFreed))\(dryRun ? "" : " freed"); \(report.sessionsLeft) left, \(sizeText(report.bytesLeft))"
    if let maxBytes, report.bytesLeft > maxBytes.bytes {
      last += ", which is more than --max-bytes: what is left has not ended, is in use, or cannot be read or removed"
    }
    return table(rows, rightAligned: [2]) + [last]
  }

  private func optionName(_ rule: RetentionReport.Rule) -> String { "--" + rule.rawValue.replacing("_", with: "-") }

  /// Format/reports.md.
  private func object(_ report: RetentionReport) -> JSONObject {
    [
      "dry_run": .bool(dryRun),
      "removed": .array(
        report.removed.map { removal in
          var object = member(removal.session)
          object["last_written"] = .string(JSONString(removal.lastWritten.description))
          object["bytes"] = JSONValue(removal.bytes)
          object["rule"] = .string(JSONString(removal.rule.rawValue))
          return .object(object)
        }),
      "in_use": .array(report.inUse.map { .object(member($0)) }),
      "failed": .array(
        report.failures.map { session, error in
          var object = member(session)
          object["message"] = .string(JSONString(error.description))
          return .object(object)
        }),
      "bytes_freed": JSONValue(report.bytesFreed), "sessions_left": .integer(Int64(report.sessionsLeft)), "bytes_left": JSONValue(report.bytesLeft),
    ]
  }

  private func member(_ session: SessionStore.Location) -> JSONObject {
    ["session_id": .string(JSONString(session.name)), "is_legacy": .bool(session.isLegacy)]
  }
}

extension RetentionReport {
  fileprivate var bytesFreed: UInt64 { removed.reduce(0) { $0 + $1.bytes } }
}

/// `500M`: bytes, or KiB, MiB, GiB, TiB.
struct Size: ExpressibleByArgument {
  let bytes: UInt64

  init?(argument: String) {
    let units = ["K", "M", "G", "T"]
    let unit = units.firstIndex { argument.hasSuffix($0) }
    guard let count = UInt64(unit == nil ? argument[...] : argument.dropLast()), argument.first != "+" else { return nil }
    let (bytes, isTooLarge) = count.multipliedReportingOverflow(by: 1 << (unit.map { 10 * (UInt64($0) + 1) } ?? 0))
    guard !isTooLarge else { return nil }
    self.bytes = bytes
  }
}
