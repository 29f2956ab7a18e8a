import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "show", abstract: "Shows a session to a person: header and timeline.")

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument

  func run() throws {
    try reporting { () throws(LogError) in
      let session = try storage.store.getSession(argument.session)
      var out = Output()
      try printHeader(session, to: &out)
      do throws(LogError) {
        var actions = try session.actions()
        while out.isOpen, let action = try actions.next() {
          try out.line("\(action.seq)  \(escapedForTerminal(action.liveLine.description))")
        }
      } catch {
        try out.flush()
        throw error
      }
      try out.flush()
    }
  }

  private func printHeader(_ session: Session, to out: inout Output) throws(LogError) {
    let counts = session.outcomeCounts
    let rows: [(String, JSONString)] = [
      ("session", JSONString(session.sessionID.description)), ("label", session.label), ("urn", session.urn),
      ("kernel", session.wasAssociatedWith), ("action", session.kernelAction), ("started", JSONString(session.startedAt.description)),
      ("ended", session.endedAt.map { JSONString($0.description) } ?? "-"), ("outcome", session.outcome),
      ("duration", session.durationMS.map { JSONString(durationText(milliseconds: $0)) } ?? "-"),
      (
        "actions",
        "\(session.actionCount) (\(counts.verified) verified, \(counts.failed) failed, \(counts.retry) retry, \(counts.skipped) skipped, \(counts.other) other)"
      ),
      ("kernels", JSONString(session.kernelsInvolved.map(\.description).joined(separator: ", "))),
    ]
    for (name, value) in rows where !value.isEmpty {
      try out.line(name + String(repeating: " ", count: 10 - name.count) + escapedForTerminal(value.description))
    }
    try out.line("")
  }
}
