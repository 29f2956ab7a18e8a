extension ActionRecord {
  /// The line that the reference's `_emit_live` prints: `[HH:MM:SS.mmm] kernel(24) type(24) sign outcome(8) detail (attempt n)`, padded by code points.
  package var liveLine: JSONString {
    var line = Array("[\(generatedAt.description.dropFirst(11).prefix(12))] ".utf8)
    func append(_ text: JSONString, width: Int) {
      line += text.bytes
      line += Array(repeating: UInt8(ascii: " "), count: max(0, width - text.codePoints.count))
    }
    append(URN.kernelName(ofURN: kernel), width: 24)
    line.append(UInt8(ascii: " "))
    append(actionType, width: 24)
    line += Array(" \(sign) ".utf8)
    append(outcome, width: 8)
    line.append(UInt8(ascii: " "))
    let summary = diffSummary ?? ""
    line += summary.isEmpty ? note.bytes : summary.bytes
    if attempt > 1 { line += Array(" (attempt \(attempt))".utf8) }
    return JSONString(wtf8: line)
  }

  /// `+` verified, `x` failed, `~` retry, `-` skipped, `?` anything else.
  public var sign: Character {
    switch outcome {
    case "verified": "+"
    case "failed": "x"
    case "retry": "~"
    case "skipped": "-"
    default: "?"
    }
  }
}
