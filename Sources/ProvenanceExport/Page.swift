internal import LogFormat
internal import ProvenanceLog

/// One page for a browser, with all that it needs: `Page/report.html`, and the session as JSON in it.
struct Page: Printer {
  private let session: Session
  private var isFirst = true

  init(_ session: Session) {
    self.session = session
  }

  var passCount: Int { 1 }

  mutating func beginPass(_ pass: Int, to out: inout ByteBuffer) throws(LogError) {
    let title = "\(session.label.isEmpty ? JSONString(session.sessionID.description) : session.label)"
    out.append(Self.parts.0)
    out.append(escapedForHTML(escapedForTerminal(title)))
    out.append(Self.parts.1)
    let header: JSONObject = [
      "session_id": .string(JSONString(session.sessionID.description)), "label": .string(session.label), "urn": .string(session.urn),
      "kernel_action": .string(session.kernelAction), "started_at": .string(JSONString(session.startedAt.description)),
      "ended_at": session.endedAt.map { .string(JSONString($0.description)) } ?? .null,
      "duration_ms": session.durationMS.map { .integer($0) } ?? .null, "outcome": .string(session.outcome),
      "was_associated_with": .string(session.wasAssociatedWith), "kernels_involved": .array(session.kernelsInvolved.map { .string($0) }),
    ]
    out.append("{\"session\":")
    try append(.object(header), to: &out)
    out.append(",\n\"actions\":[")
  }

  mutating func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) throws(LogError) {
    let action = try ActionRecord(payload: action)
    func text(_ payload: Payload?) throws(LogError) -> JSONValue {
      guard let payload else { return .null }
      return .string(JSONString(String(decoding: try JSONValue.object(payload.object()).compactJSON(), as: UTF8.self)))
    }
    let fields: [JSONValue] = [
      .integer(action.seq), .string(JSONString(action.generatedAt.description)), .string(action.actionType), .string(action.outcome),
      .string(action.kernel), action.viaEdge.map { .string($0) } ?? .null, .integer(action.attempt), .string(action.note),
      action.diffSummary.map { .string($0) } ?? .null, .string(action.urn), try text(action.intent), try text(action.evidence),
      try text(action.beforeState), try text(action.afterState),
    ]
    out.append(isFirst ? "\n" : ",\n")
    isFirst = false
    try append(.array(fields), to: &out)
  }

  func endPass(to out: inout ByteBuffer) {
    out.append("]}")
    out.append(Self.parts.2)
  }

  /// In pure ASCII, in which no `<` is left that could end the script.
  private func append(_ value: JSONValue, to out: inout ByteBuffer) throws(LogError) {
    let json = try value.compactJSON()
    let less = UInt8(ascii: "<")
    guard json.contains(less) else { return out.append(json) }
    out.append(Array(json.split(separator: less, omittingEmptySubsequences: false).joined(separator: "\\u003c".utf8)))
  }

  /// The page before the title, before the data, and behind them.
  private static let parts: ([UInt8], [UInt8], [UInt8]) = {
    let page = String(decoding: PackageResources.report_html, as: UTF8.self)
    let parts = page.split(separator: "{{TITLE}}").flatMap { $0.split(separator: "{{DATA}}") }
    return (Array(parts[0].utf8), Array(parts[1].utf8), Array(parts[2].utf8))
  }()
}

private func escapedForHTML(_ text: String) -> String {
  var escaped = ""
  for character in text.unicodeScalars {
    switch character {
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "&": escaped += "&amp;"
    default: escaped.unicodeScalars.append(character)
    }
  }
  return escaped
}
