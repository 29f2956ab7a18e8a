import ArgumentParser
import LogFormat
import ProvenanceExport
import ProvenanceLog

/// How `cat` prints actions.
enum ActionFormat: String, ExpressibleByArgument, CaseIterable {
  case json
  case jsonSeq = "json-seq"
  case jsonPretty = "json-pretty"
  case short
  case shortISO = "short-iso"
  case verbose, csv
}

struct ActionPrinter: ~Copyable {
  private let format: ActionFormat
  /// `nil`: all.
  private let fields: [String]?
  private let namesSession: Bool
  private var buffer = ByteBuffer()
  private var hasPrinted = false

  /// - Parameter namesSession: whether objects begin with a `session_id`, since actions of several sessions are printed.
  init(_ format: ActionFormat, fields: [String]?, namesSession: Bool) {
    self.format = format
    self.fields = fields
    self.namesSession = namesSession
  }

  /// What stands before the first action.
  mutating func begin(_ out: inout Output) throws(LogError) {
    guard format == .csv else { return }
    try buffer.append(csvRow: columns.map { .string(JSONString($0)) })
    try flush(to: &out)
  }

  mutating func print(_ payload: UnsafeRawBufferPointer, of session: String, to out: inout Output) throws(LogError) {
    // As it stands in the log.
    if format == .json, fields == nil, !namesSession {
      try out.write(payload)
      return try out.write("\n")
    }
    switch format {
    case .json:
      try buffer.append(.object(object(payload, session)))
      buffer.append("\n")
    case .jsonSeq:
      buffer.append([0x1E])
      try buffer.append(.object(object(payload, session)))
      buffer.append("\n")
    case .jsonPretty:
      try buffer.appendIndented(.object(object(payload, session)))
      buffer.append("\n")
    case .csv:
      var members = try object(payload)
      members["session_id"] = .string(JSONString(session))
      let all = JSONValue.object(members)
      try buffer.append(csvRow: columns.map { all.value(at: $0[...]) })
    case .short, .shortISO: try out.line(line(try ActionRecord(payload: payload), session))
    case .verbose: try verbose(try object(payload, session), to: &out)
    }
    try flush(to: &out)
  }

  private var columns: [String] { fields ?? csvColumns }

  private mutating func flush(to out: inout Output) throws(LogError) {
    if format == .csv { try out.writeShown(buffer.bytes) } else { try out.write(buffer.bytes) }
    buffer.removeAll()
  }

  private func object(_ payload: UnsafeRawBufferPointer) throws(LogError) -> JSONObject {
    guard case .object(let object) = try JSONValue(json: payload) else { throw LogError(.corrupt, "the action is no JSON object") }
    return object
  }

  /// With the members that are wanted.
  private func object(_ payload: UnsafeRawBufferPointer, _ session: String) throws(LogError) -> JSONObject {
    var members = Array(try object(payload))
    if namesSession { members.insert(("session_id", .string(JSONString(session))), at: 0) }
    guard let fields else { return JSONObject(members) }
    let all = JSONValue.object(JSONObject(members))
    return JSONObject(fields.compactMap { field in all.value(at: field[...]).map { (JSONString(field), $0) } })
  }

  /// `Mar 14 20:00:02 CK.Task deploy.apply[17]: verified: note`, in the brackets the seq.
  private func line(_ action: ActionRecord, _ session: String) -> String {
    let time = action.generatedAt.description
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    let month = Int(time.dropFirst(5).prefix(2))!
    let when = format == .shortISO ? time : "\(months[month - 1]) \(time.dropFirst(8).prefix(2)) \(time.dropFirst(11).prefix(8))"
    let kernel = kernelText(action.kernel)
    var line = "\(when) \(namesSession ? session + " " : "")\(kernel) \(action.actionType)[\(action.seq)]: \(action.outcome)"
    if action.attempt > 1 { line += " (attempt \(action.attempt))" }
    let detail = action.note.isEmpty ? action.diffSummary ?? "" : action.note
    if !detail.isEmpty { line += ": \(detail)" }
    return escapedForTerminal(line)
  }

  /// A line each leaf, in the form of a match.
  private mutating func verbose(_ object: JSONObject, to out: inout Output) throws(LogError) {
    if hasPrinted { try out.line("") }
    hasPrinted = true
    if case .string(let time)? = object["generated_at"], case .integer(let seq)? = object["seq"] { try out.line("\(time) [\(seq)]") }
    try JSONValue.object(object).leaves { path, value throws(LogError) in
      if path.isEmpty { return }
      try out.line("    \(escapedForTerminal("\(path)=\(value.matchText)"))")
    }
  }
}
