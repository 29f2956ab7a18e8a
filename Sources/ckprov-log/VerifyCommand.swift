import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Reads everything and says what it found.",
    discussion: """
      Checks every checksum, every link from file to file, every checkpoint and every index, and goes on behind damage: each problem is listed with file, offset, \
      sequences and cause. --deep also checks the form of each record, the times in indexes, what only 'lz4 -d' needs, and views byte for byte. --json prints one JSON object a session and line (Format/reports.md).

      Examples:
        ckprov-log verify
        ckprov-log verify --deep --json @ | jq .problems

      Exit codes: 0 clean (also while a writer is at work); 1 torn tail only; 2 corruption; 3 cannot read; 66 no such session, or no such directory.
      """)

  @OptionGroup var storage: StorageOptions
  @Flag(help: "Also checks the form of each record, and the views.") var deep = false
  @Flag(help: "For programs: one JSON object a session and line.") var json = false
  @Argument(help: "Default: all.", completion: sessionNames, transform: nameOfSession) var sessions: [String] = []

  func run() throws {
    var worst = Status.clean
    do throws(LogError) {
      var out = Output()
      for location in try locations() {
        let report = Report(location, storage.store, isDeep: deep)
        if json {
          try out.json(report.json)
        } else {
          for line in report.lines { try out.line(line) }
        }
        worst = max(worst, report.status)
      }
      try out.flush()
    } catch {
      let code = fail(error)
      throw [.notFound, .ambiguous].contains(error.code) ? code : ExitCode(3)
    }
    if worst.exitCode != 0 { throw ExitCode(worst.exitCode) }
  }

  /// All sessions that are there, or those that are asked for.
  private func locations() throws(LogError) -> [SessionStore.Location] {
    guard sessions.isEmpty else { return try storage.store.locate(sessions) }
    let directory = storage.store.directory
    guard try !directory.isMissing() else {
      throw LogError(
        .notFound, "there is no such directory, and so no session; name the one in which 'storage/sessions' stands with --storage-dir",
        path: directory.path)
    }
    return try storage.store.locations()
  }
}

/// What is found of a session; the later one is the worse one. Raw values are what programs see.
private enum Status: String, CaseIterable, Comparable {
  case notStarted = "not_started"
  case legacy
  case clean
  case writing
  case tornTail = "torn_tail"
  case unreadable
  case damaged

  var exitCode: Int32 {
    switch self {
    case .notStarted, .legacy, .clean, .writing: 0
    case .tornTail: 1
    case .damaged: 2
    case .unreadable: 3
    }
  }

  static func < (a: Status, b: Status) -> Bool { allCases.firstIndex(of: a)! < allCases.firstIndex(of: b)! }
}

/// One session, for people and for programs.
private struct Report {
  let name: String
  private(set) var status = Status.clean
  private var message = ""
  private var result: Verification?

  init(_ location: SessionStore.Location, _ store: SessionStore, isDeep: Bool) {
    name = location.name
    do throws(LogError) {
      switch location {
      case .log(let id):
        let progress = Progress("MiB of \(id) checked")
        defer { progress.end() }
        let size = try store.directory.log(of: id).rawSize()
        take(try store.directory.verify(id, isDeep: isDeep) { progress.update($0 >> 20, of: size >> 20) })
      case .legacy(let name): try take(store.legacyEntry(name))
      }
    } catch {
      switch error.code {
      case .corrupt: (status, message) = (.damaged, error.description)
      case .notFound: (status, message) = (.notStarted, "nothing was recorded in it")
      default: (status, message) = (.unreadable, error.description)
      }
    }
  }

  private mutating func take(_ entry: SessionStore.Entry) throws(LogError) {
    guard let session = entry.session else { throw LogError(.corrupt, "this JSON file is no session of the reference's", path: entry.path) }
    (status, message) = (.legacy, "\(session.actionCount) actions, kept as JSON by the reference")
  }

  private mutating func take(_ result: Verification) {
    self.result = result
    let counts = "\(result.actions) actions, \(result.frames) frames, \(sizeText(result.bytes))"
    switch result.finding {
    case .clean: (status, message) = (.clean, counts)
    case .writing: (status, message) = (.writing, "\(counts), being written")
    case .tornTail(let bytes):
      (status, message) = (.tornTail, "\(counts); \(bytes) bytes behind them are in doubt; 'record --resume \(name)' goes on")
    case .damaged:
      let problems = result.problemCount == 1 ? "1 problem" : "\(result.problemCount) problems"
      let kept =
        result.stopsReaders
        ? "\(result.actionsBeforeDamage) actions before the first one, \(result.actions) are whole; 'recover \(name)' says what can be kept"
        : "all \(result.actions) actions can be read; each problem says what mends it"
      (status, message) = (.damaged, "\(problems); \(kept)")
    }
  }

  var lines: [String] {
    let words: [Status: String] = [
      .notStarted: "not started", .legacy: "clean", .writing: "clean", .tornTail: "torn tail", .unreadable: "cannot read", .damaged: "corrupt",
    ]
    var lines = ["\(escapedForTerminal(name))  \(words[status] ?? status.rawValue)  \(message)"]
    guard let result else { return lines }
    lines += result.problems.map { "  \($0)" }
    let unlisted = result.problemCount - UInt64(result.problems.count)
    if unlisted > 0 { lines.append("  and \(unlisted) more") }
    return lines
  }

  /// Format/reports.md.
  var json: JSONObject {
    var json: JSONObject = [
      "session_id": .string(JSONString(name)), "status": .string(JSONString(status.rawValue)), "message": .string(JSONString(message)),
    ]
    guard let result else { return json }
    json["actions"] = JSONValue(result.actions)
    json["frames"] = JSONValue(result.frames)
    json["bytes"] = JSONValue(result.bytes)
    json["actions_before_damage"] = JSONValue(result.actionsBeforeDamage)
    json["bytes_in_doubt"] = JSONValue(result.bytesInDoubt)
    json["problem_count"] = JSONValue(result.problemCount)
    json["problems"] = .array(result.problems.map { .object($0.json) })
    return json
  }
}

extension Damage {
  /// Format/reports.md.
  var json: JSONObject {
    [
      "class": .string(JSONString(kind.rawValue)), "cause": .string(JSONString(cause.rawValue)), "file": .string(JSONString(segment)),
      "offset": JSONValue(offset), "size": JSONValue(size), "sequence": JSONValue(sequences.lowerBound),
      "frames_lost": JSONValue(framesLost),
      "stored_crc": storedCRC.map { JSONValue(UInt64($0)) } ?? .null, "computed_crc": computedCRC.map { JSONValue(UInt64($0)) } ?? .null,
      "message": .string(JSONString(message)),
    ]
  }
}
