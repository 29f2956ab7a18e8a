internal import ProvenanceModel

/// Words what differs between the two states of an action (`appendDiffSummary`); keeps its memory.
struct DiffWriter: Sendable {
  /// WTF-8, of the states that were taken last.
  private(set) var summary: [UInt8] = []
  private var different: [Difference] = []

  /// Where a member whose values differ has its key and value in the state before, and its value in the one behind.
  private typealias Difference = (key: Range<Int>, old: Range<Int>, new: Range<Int>)

  /// - Returns: false if there is nothing to say, since a state is missing or empty.
  /// - Throws: `LogError` `tooLarge` if a state nests too deep.
  mutating func take(_ before: Payload?, _ after: Payload?) throws(LogError) -> Bool {
    guard let before, let after else { return false }
    summary.removeAll(keepingCapacity: true)
    if case .raw(let before) = before, case .raw(let after) = after {
      return try take(before.bytesWithNulls ?? before.bytes, after.bytesWithNulls ?? after.bytes)
    }
    return appendDiffSummary(before: try before.object(), after: try after.object(), to: &summary)
  }

  private mutating func take(_ before: [UInt8], _ after: [UInt8]) throws(LogError) -> Bool {
    try before.withRawBytes { before throws(LogError) in
      try after.withRawBytes { after throws(LogError) in try take(canonical: before, after) }
    }
  }

  /// States in the form in which they are stored, but for members that are null.
  mutating func take(canonical before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer) throws(LogError) -> Bool {
    summary.removeAll(keepingCapacity: true)
    guard before.count > 2, after.count > 2 else { return false }
    guard findDifferences(before, after) else {
      return appendDiffSummary(before: try object(before), after: try object(after), to: &summary)
    }
    different.sort { before[$0.key].lexicographicallyPrecedes(before[$1.key]) }
    for (key, old, new) in different {
      let values = (old: UnsafeRawBufferPointer(rebasing: before[old]), new: UnsafeRawBufferPointer(rebasing: after[new]))
      if let old = PlainScalar(values.old), let new = PlainScalar(values.new), old.mustDiffer(from: new) {
        if !summary.isEmpty { summary += " | ".utf8 }
        summary += before[key]
        summary += ": ".utf8
        summary += old.text
        summary += " -> ".utf8
        summary += new.text
      } else {
        let name = JSONString(String(decoding: before[key], as: UTF8.self))
        appendDifference(name, from: try JSONValue(json: values.old), to: try JSONValue(json: values.new), to: &summary, behind: 0)
      }
    }
    if summary.isEmpty { summary += "no change".utf8 }
    return true
  }

  /// As a rule states have the same members in the same order, most of them with the same bytes, which mean the same.
  /// - Returns: false if they have not, or if a key or value must be looked at closer: an escaped key sorts by what it means, and NaN differs from itself.
  private mutating func findDifferences(_ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer) -> Bool {
    different.removeAll(keepingCapacity: true)
    var (old, new) = (MemberScanner(before), MemberScanner(after))
    while let (key, oldValue) = old.next() {
      guard let (newKey, newValue) = new.next(), isEqual(key, newKey), !key.contains(UInt8(ascii: "\\")) else { return false }
      guard !isEqual(oldValue, newValue) || oldValue[0] == UInt8(ascii: "N") else { continue }
      different.append((place(of: key, in: before), place(of: oldValue, in: before), place(of: newValue, in: after)))
    }
    return new.next() == nil
  }

  private func object(_ json: UnsafeRawBufferPointer) throws(LogError) -> JSONObject {
    guard case .object(let object) = try JSONValue(json: json) else { throw LogError(.invalidInput, "a state must be a JSON object") }
    return object
  }
}

/// A canonical value that Python prints as it stands: an integer, a finite float, or a string without escapes.
private struct PlainScalar {
  enum Kind { case integer, float, string }
  let kind: Kind
  let text: UnsafeRawBufferPointer

  init?(_ json: UnsafeRawBufferPointer) {
    switch json[0] {
    case UInt8(ascii: "\""):
      guard !json.contains(UInt8(ascii: "\\")) else { return nil }
      kind = .string
      text = UnsafeRawBufferPointer(rebasing: json[1..<json.count - 1])
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
      // Not `-Infinity`, nor `-0.0`, which equals another one.
      guard 0x30...0x39 ~= json[json.count - 1], json[0] != UInt8(ascii: "-") || 0x31...0x39 ~= json[1] else { return nil }
      kind = json.contains { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "e") } ? .float : .integer
      text = json
    default: return nil
    }
  }

  /// Whether values whose bytes differ differ in what they mean for certain: a float may equal an integer.
  func mustDiffer(from other: PlainScalar) -> Bool { kind == other.kind || kind == .string || other.kind == .string }
}

private func place(of part: UnsafeRawBufferPointer, in whole: UnsafeRawBufferPointer) -> Range<Int> {
  guard let start = part.baseAddress, let base = whole.baseAddress else { return 0..<0 }
  return start - base..<start - base + part.count
}
