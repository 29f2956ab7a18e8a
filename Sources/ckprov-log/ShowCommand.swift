import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Shows a session to a person: header and timeline.",
    discussion: """
      Of each action its seq, when it was done, how long after the one before it, its outcome (+ verified, x failed, ~ retry, - skipped, ? another), type and kernel; \
      below that what it changed between its two states. The attempts of one action stand together. Times are in UTC.

      Examples:
        ckprov-log show @
        ckprov-log show --failures 1e19
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @OptionGroup var screenOptions: ScreenOptions
  @Flag(help: "First what failed, with all that was recorded of it.") var failures = false

  func run() throws {
    try reporting { () throws(LogError) in
      let session = try storage.store.getSession(argument.session)
      var screen = Screen(screenOptions)
      do throws(LogError) {
        try printHeader(session, to: &screen)
        if failures { try printFailures(session, to: &screen) }
        try printTimeline(session, to: &screen)
      } catch {
        try screen.flush()
        throw error
      }
      try screen.flush()
    }
  }

  private func printHeader(_ session: Session, to screen: inout Screen) throws(LogError) {
    let counts = session.outcomeCounts
    let parts: [(UInt64, String)] = [
      (counts.verified, "verified"), (counts.failed, "failed"), (counts.retry, "retry"), (counts.skipped, "skipped"), (counts.other, "other"),
    ]
    let told = parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    let rows: [(String, String)] = [
      ("session", session.sessionID.description), ("label", session.label.description), ("urn", session.urn.description),
      ("kernel", session.wasAssociatedWith.description), ("action", session.kernelAction.description), ("started", session.startedAt.description),
      ("ended", session.endedAt?.description ?? "-"), ("outcome", session.outcome.description),
      ("duration", session.durationMS.map { durationText(milliseconds: $0) } ?? "-"),
      ("actions", "\(session.actionCount)" + (told.isEmpty ? "" : " (\(told))")),
      ("kernels", session.kernelsInvolved.map(\.description).joined(separator: ", ")),
    ]
    for (name, value) in rows where !value.isEmpty {
      let style = name == "outcome" ? style(ofSession: session.outcome) : name == "session" ? .bold : .plain
      try screen.line((padded(name, to: 10), .dim), (value, style))
    }
    try screen.line()
  }

  private func style(ofSession outcome: JSONString) -> Screen.Style {
    switch outcome {
    case "complete": .green
    case "failed": .boldRed
    case "partial", "in_progress": .yellow
    default: .plain
    }
  }

  // MARK: Timeline

  private func printTimeline(_ session: Session, to screen: inout Screen) throws(LogError) {
    var actions = try session.actions()
    var (last, attempts) = (session.startedAt, Attempts())
    var day = timeText(last).prefix(10)
    while screen.isOpen, let action = try actions.next() {
      let today = timeText(action.generatedAt).prefix(10)
      if today != day {
        try print(attempts, to: &screen)
        attempts = Attempts()
        try screen.line((padded("", to: 8), .plain), ("\(today)", .bold))
        day = today
      }
      if !attempts.isGoneOn(by: action) {
        try print(attempts, to: &screen)
        attempts = Attempts()
      }
      attempts.append(action, after: Double(action.generatedAt.microseconds - last.microseconds) / 1e6)
      last = action.generatedAt
      if !attempts.isOpen {
        try print(attempts, to: &screen)
        attempts = Attempts()
      }
    }
    try print(attempts, to: &screen)
  }

  /// What was tried again and again, up to where it went well, or was given up.
  private struct Attempts {
    private(set) var actions: [(action: ActionRecord, seconds: Double)] = []

    /// The last of them asked for another one; of a thousand, not all are held.
    var isOpen: Bool { actions.last?.action.outcome == "retry" && actions.count < 1000 }

    func isGoneOn(by action: ActionRecord) -> Bool {
      guard let last = actions.last?.action else { return true }
      return isOpen && last.actionType == action.actionType && last.kernel == action.kernel && last.attempt < action.attempt
    }

    mutating func append(_ action: ActionRecord, after seconds: Double) { actions.append((action, seconds)) }
  }

  private func print(_ attempts: Attempts, to screen: inout Screen) throws(LogError) {
    guard let (last, seconds) = attempts.actions.last else { return }
    let total = attempts.actions.reduce(0) { $0 + $1.seconds }
    try print(last, total, attempts.actions.count > 1 ? "after \(attempts.actions.count) attempts" : "", to: &screen)
    if attempts.actions.count > 1 {
      for (action, seconds) in attempts.actions.dropLast() {
        let detail = action.note.isEmpty ? action.diffSummary ?? "" : action.note
        try screen.line(
          (padded("", to: 28), .plain), ("\(action.sign) ", style(of: action)),
          ("attempt \(action.attempt), seq \(action.seq), \(gap(seconds))", .dim), (detail.isEmpty ? "" : "  \(detail)", .plain))
      }
      try screen.line(
        (padded("", to: 28), .plain), ("\(last.sign) ", style(of: last)), ("attempt \(last.attempt), seq \(last.seq), \(gap(seconds))", .dim))
    }
    guard let before = try last.beforeState?.object(), let after = try last.afterState?.object() else { return }
    for (path, old, new) in try differences(before, after) {
      let (path, room) = (escapedForTerminal(path), screen.width.map { $0 - 30 } ?? .max)
      switch (old.map(escapedForTerminal), new.map(escapedForTerminal)) {
      case (let old?, let new?):
        if columns(of: path) + columns(of: old) + columns(of: new) <= room - 6 {
          try screen.line((padded("", to: 28), .plain), ("\(path): ", .dim), (old, .red), (" -> ", .dim), (new, .green))
        } else {
          let (old, new) = contrasted(old, new, over: room)
          try screen.line((padded("", to: 28), .plain), ("\(path):", .dim))
          try screen.line((padded("", to: 28), .plain), ("- ", .dim), (old, .red))
          try screen.line((padded("", to: 28), .plain), ("+ ", .dim), (new, .green))
        }
      case (let old?, nil): try screen.line((padded("", to: 28), .plain), ("\(path) is gone: ", .dim), (old, .red))
      case (_, let new): try screen.line((padded("", to: 28), .plain), ("\(path) is new: ", .dim), (new ?? "", .green))
      }
    }
  }

  private func print(_ action: ActionRecord, _ seconds: Double, _ attempts: String, to screen: inout Screen) throws(LogError) {
    let kernel = kernelText(action.kernel)
    var told = action.outcome == "verified" ? "" : " \(action.outcome)"
    if !attempts.isEmpty { told += " \(attempts)" } else if action.attempt > 1 { told += " (attempt \(action.attempt))" }
    let time = String(action.generatedAt.description.dropFirst(11).prefix(8))
    try screen.line(
      (padded(String(action.seq), to: 6, isRight: true), .dim), ("  \(time) ", .plain), (padded(gap(seconds), to: 9, isRight: true), .dim),
      (" \(action.sign) ", style(of: action)), (action.actionType.description, .bold), (told, style(of: action)),
      (action.viaEdge.map { " \($0)" } ?? "", .dim), ("  \(kernel)", .cyan), (action.note.isEmpty ? "" : "  \(action.note)", .plain))
  }

  private func style(of action: ActionRecord) -> Screen.Style {
    switch action.outcome {
    case "verified": .green
    case "failed": .red
    case "retry": .yellow
    case "skipped": .dim
    default: .plain
    }
  }

  /// `+0.812 s`.
  private func gap(_ seconds: Double) -> String {
    (seconds < 0 ? "" : "+") + durationText(milliseconds: Int64(clamping: Int((seconds * 1000).rounded())))
  }

  // MARK: Failures

  private func printFailures(_ session: Session, to screen: inout Screen) throws(LogError) {
    guard session.isLegacy || session.outcomeCounts.failed > 0 else {
      try screen.line(("Nothing failed.", .green))
      return try screen.line()
    }
    var actions = try session.actions()
    while screen.isOpen, let action = try actions.next() {
      guard action.outcome == "failed" else { continue }
      try screen.line(
        ("x ", .boldRed), (action.actionType.description, .boldRed), (" failed", .red), ("  seq \(action.seq), attempt \(action.attempt), ", .dim),
        (action.generatedAt.description, .dim))
      try screen.lines(padded("  kernel", to: 12), whole: action.kernel.description)
      if !action.note.isEmpty { try screen.lines(padded("  note", to: 12), whole: action.note.description) }
      if let edge = action.viaEdge { try screen.lines(padded("  via edge", to: 12), whole: edge.description) }
      let payloads: [(String, Payload?)] = [
        ("intent", action.intent), ("evidence", action.evidence), ("before", action.beforeState), ("after", action.afterState),
      ]
      for (name, payload) in payloads {
        guard let object = try payload?.object() else { continue }
        try screen.line((padded("  \(name)", to: 12), .dim))
        try JSONValue.object(object).leaves { path, value throws(LogError) in
          try screen.lines(padded("    \(path.isEmpty ? "(empty)" : escapedForTerminal(path))", to: 12) + "  ", whole: value.matchText)
        }
      }
      try screen.line()
    }
  }
}
