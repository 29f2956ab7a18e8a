import ArgumentParser
import LogStorage
import ProvenanceLog

struct StatsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stats",
    abstract: "Counts what is in a session, or in all of them.",
    discussion: """
      Reads every frame once. Of a damaged log it counts what stands before the damage, and names it. --disk-usage looks at the files' lengths instead. --json prints \
      one JSON object (Format/reports.md).

      Examples:
        ckprov-log stats @
        ckprov-log stats --disk-usage

      Exit codes: 0 done; 65 a session is damaged; 66 no such session.
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "For programs: a JSON object.") var json = false
  @Flag(help: "Bytes on disk, by session and in all.") var diskUsage = false
  @Argument(help: "Default: all.", completion: sessionNames, transform: nameOfSession) var session: String?

  func validate() throws {
    if diskUsage, session != nil { throw ValidationError("--disk-usage is for the whole directory.") }
  }

  func run() throws {
    var failure: ExitCode?
    try reporting { () throws(LogError) in
      if session == nil { storage.noteIfMissing() }
      let errors = diskUsage ? try printUse() : try printStatistics()
      for error in errors { failure = fail(error) }
    }
    if let failure { throw failure }
  }

  // MARK: What is in them

  /// - Returns: what kept it from counting all.
  private func printStatistics() throws(LogError) -> [LogError] {
    let locations = if let session { [try storage.store.locate(session)] } else { try storage.store.locations() }
    let progress = Progress("sessions read")
    var statistics = Statistics()
    var errors: [LogError] = []
    for (index, location) in locations.enumerated() {
      progress.update(index, of: locations.count)
      do throws(LogError) {
        try storage.store.add(location, to: &statistics)
      } catch {
        // Not found: never started, or removed meanwhile.
        if session != nil || error.code != .notFound { errors.append(error) }
      }
    }
    progress.end()
    var out = Output()
    if json { try out.json(statistics.json) } else { for line in lines(statistics) { try out.line(line) } }
    try out.flush()
    return errors
  }

  private func lines(_ statistics: Statistics) -> [String] {
    let stored = statistics.ratio.map { "\(sizeText(statistics.storedBytes)), \(Int(($0 * 100).rounded())) % of it" } ?? "-"
    var rows = [
      ("actions", String(statistics.actions)), ("frames", String(statistics.frames)),
      ("segments", String(statistics.segments)), ("files", String(statistics.files)), ("raw", sizeText(statistics.rawBytes)), ("stored", stored),
      ("first", statistics.times.map { timeText($0.lowerBound) } ?? "-"), ("last", statistics.times.map { timeText($0.upperBound) } ?? "-"),
      ("outcomes", text(statistics.outcomes)), ("action types", text(statistics.actionTypes)), ("kernels", text(statistics.kernels)),
    ]
    if session == nil { rows.insert(("sessions", "\(statistics.sessions), \(statistics.legacySessions) of them kept as JSON"), at: 0) }
    return list(rows, width: standardOutputColumns())
  }

  /// The most frequent ones.
  private func text(_ tally: Tally) -> String {
    let (names, shown) = (tally.names, 10)
    let rest = names.dropFirst(shown).reduce(tally.other) { $0 + $1.count }
    let words =
      names.prefix(shown).map { name, count in name == "" ? "\"\" \(count)" : "\(shortened(name, to: 48)) \(count)" }
      + (rest > 0 ? ["others \(rest)"] : [])
    return words.isEmpty ? "-" : words.joined(separator: ", ")
  }

  // MARK: What they take on disk

  /// - Returns: what could not be looked at.
  private func printUse() throws(LogError) -> [LogError] {
    let progress = Progress("names looked at")
    let use = try storage.store.directory.use(progress: progress.update)
    progress.end()
    var out = Output()
    if json { try out.json(use.json) } else { for line in lines(use) { try out.line(line) } }
    try out.flush()
    return use.failures.map(\.error)
  }

  private func lines(_ use: DirectoryUse) -> [String] {
    let rows = use.sessions.sorted { $0.bytes == $1.bytes ? $0.session.name < $1.session.name : $0.bytes > $1.bytes }.map {
      [escapedForTerminal($0.session.name), sizeText($0.logBytes), sizeText($0.jsonBytes)]
    }
    let sums = [
      ("logs", use.logBytes), ("views", use.viewBytes), ("kept as JSON", use.legacyBytes), ("left over", use.leftoverBytes),
      ("set aside", use.asideBytes), ("in all", use.bytes),
    ]
    return table([["SESSION", "LOG", "JSON"]] + rows, rightAligned: [1, 2]) + [""] + list(sums.map { ($0, sizeText($1)) }, width: nil)
  }
}

extension Statistics {
  /// Of what is stored to what is raw; `nil` where there is no log.
  fileprivate var ratio: Double? { rawBytes > 0 ? Double(storedBytes) / Double(rawBytes) : nil }

  /// Format/reports.md.
  fileprivate var json: JSONObject {
    [
      "sessions": JSONValue(sessions), "legacy_sessions": JSONValue(legacySessions), "actions": JSONValue(actions), "frames": JSONValue(frames),
      "segments": JSONValue(segments), "files": JSONValue(files), "raw_bytes": JSONValue(rawBytes), "stored_bytes": JSONValue(storedBytes),
      "ratio": ratio.map { .double($0) } ?? .null, "first_time": times.map { JSONValue($0.lowerBound.description) } ?? .null,
      "last_time": times.map { JSONValue($0.upperBound.description) } ?? .null,
      "outcomes": outcomes.json, "other_outcomes": JSONValue(outcomes.other), "action_types": actionTypes.json,
      "other_action_types": JSONValue(actionTypes.other), "kernels": kernels.json, "other_kernels": JSONValue(kernels.other),
    ]
  }
}

extension Tally {
  fileprivate var json: JSONValue { .object(JSONObject(names.map { ($0.name, JSONValue($0.count)) })) }
}

extension DirectoryUse {
  fileprivate var logBytes: UInt64 { sessions.reduce(0) { $0 + $1.logBytes } }
  fileprivate var viewBytes: UInt64 { sessions.reduce(0) { $0 + ($1.session.isLegacy ? 0 : $1.jsonBytes) } }
  fileprivate var legacyBytes: UInt64 { sessions.reduce(0) { $0 + ($1.session.isLegacy ? $1.jsonBytes : 0) } }
  fileprivate var bytes: UInt64 { logBytes + viewBytes + legacyBytes + leftoverBytes + asideBytes }

  /// Format/reports.md.
  fileprivate var json: JSONObject {
    [
      "sessions": .array(
        sessions.map {
          [
            "session_id": JSONValue($0.session.name), "is_legacy": .bool($0.session.isLegacy), "log_bytes": JSONValue($0.logBytes),
            "json_bytes": JSONValue($0.jsonBytes), "last_written": JSONValue($0.lastWritten.description),
          ]
        }),
      "log_bytes": JSONValue(logBytes), "view_bytes": JSONValue(viewBytes), "legacy_bytes": JSONValue(legacyBytes),
      "leftover_bytes": JSONValue(leftoverBytes), "aside_bytes": JSONValue(asideBytes), "bytes": JSONValue(bytes),
    ]
  }
}
