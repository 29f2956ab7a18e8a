internal import LogFormat
package import ProvenanceLog

/// JSON Lines: the actions as `cat` prints them.
struct JSONLines: Printer {
  var passCount: Int { 1 }

  func beginPass(_ pass: Int, to out: inout ByteBuffer) {}

  func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
    out.append(action)
    out.append("\n")
  }

  func endPass(to out: inout ByteBuffer) {}
}

package let csvColumns = [
  "session_id", "seq", "generated_at", "action_type", "outcome", "kernel", "via_edge", "attempt", "urn", "note", "diff_summary", "intent", "evidence",
  "before_state", "after_state",
]

/// RFC 4180: names, then a row an action.
struct CSV: Printer {
  private let session: Session
  init(_ session: Session) {
    self.session = session
  }

  var passCount: Int { 1 }

  func beginPass(_ pass: Int, to out: inout ByteBuffer) {
    out.append(csvColumns.joined(separator: ",") + "\r\n")
  }

  func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) throws(LogError) {
    guard case .object(var members) = try JSONValue(json: action) else { throw LogError(.corrupt, "the action is no object") }
    members["session_id"] = .string(JSONString(session.sessionID.description))
    try out.append(csvRow: csvColumns.map { members[JSONString($0)] })
  }

  func endPass(to out: inout ByteBuffer) {}
}

extension ByteBuffer {
  /// Cells of text stand as they are, others as JSON; what is missing is empty.
  package mutating func append(csvRow values: [JSONValue?]) throws(LogError) {
    for (index, value) in values.enumerated() {
      if index > 0 { append(",") }
      switch value {
      case nil, .null: break
      case .string(let text): append(csvCell: text.description)
      case let value?: append(csvCell: String(decoding: try value.compactJSON(), as: UTF8.self))
      }
    }
    append("\r\n")
  }

  private mutating func append(csvCell text: String) {
    let special: [UInt8] = [UInt8(ascii: ","), UInt8(ascii: "\""), UInt8(ascii: "\r"), UInt8(ascii: "\n")]
    guard text.utf8.contains(where: special.contains) else { return append(text) }
    append("\"")
    append(Array(text.utf8.split(separator: UInt8(ascii: "\""), omittingEmptySubsequences: false).joined(separator: "\"\"".utf8)))
    append("\"")
  }
}
