internal import ProvenanceModel

/// Words what differs between the two states of an action (`appendDiffSummary`); keeps its memory.
///
/// Unchecked: `different` points to states that are being compared, and is of no use to anybody else.
struct DiffWriter: @unchecked Sendable {
  /// WTF-8, of the states that were taken last.
  private(set) var summary: [UInt8] = []
  private var different: [Difference] = []

  private typealias Difference = (key: UnsafeRawBufferPointer, old: UnsafeRawBufferPointer, new: UnsafeRawBufferPointer)

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
    different.sort { $0.key.lexicographicallyPrecedes($1.key) }
    for (key, old, new) in different {
      let name = JSONString(String(decoding: key, as: UTF8.self))
      appendDifference(name, from: try JSONValue(json: old), to: try JSONValue(json: new), to: &summary, behind: 0)
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
      if !isEqual(oldValue, newValue) || oldValue[0] == UInt8(ascii: "N") { different.append((key, oldValue, newValue)) }
    }
    return new.next() == nil
  }

  private func object(_ json: UnsafeRawBufferPointer) throws(LogError) -> JSONObject {
    guard case .object(let object) = try JSONValue(json: json) else { throw LogError(.invalidInput, "a state must be a JSON object") }
    return object
  }
}
