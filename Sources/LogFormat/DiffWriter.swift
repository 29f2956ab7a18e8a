internal import ProvenanceModel

/// Words what differs between the two states of an action (`appendDiffSummary`); keeps its memory.
struct DiffWriter: Sendable {
  /// WTF-8, of the states that were taken last.
  private(set) var summary: [UInt8] = []
  private var different: [Difference] = []
  private var (oldMembers, newMembers): ([Member], [Member]) = ([], [])

  /// Where a member has its key and its value in its state.
  private typealias Member = (key: Range<Int>, value: Range<Int>)
  /// A member whose values differ: where the one is in the state before, and the other in the one behind; not both are missing.
  private typealias Difference = (old: Member?, new: Member?)

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
    func key(of difference: Difference) -> Slice<UnsafeRawBufferPointer> {
      difference.old.map { before[$0.key] } ?? after[difference.new!.key]
    }
    different.sort { key(of: $0).lexicographicallyPrecedes(key(of: $1)) }
    for difference in different {
      let old = difference.old.map { UnsafeRawBufferPointer(rebasing: before[$0.value]) }
      let new = difference.new.map { UnsafeRawBufferPointer(rebasing: after[$0.value]) }
      if !appendPlain(key(of: difference), old, new) {
        let name = JSONString(String(decoding: key(of: difference), as: UTF8.self))
        let values = (old: try old.map(JSONValue.init(json:)) ?? .null, new: try new.map(JSONValue.init(json:)) ?? .null)
        appendDifference(name, from: values.old, to: values.new, to: &summary, behind: 0)
      }
    }
    if summary.isEmpty { summary += "no change".utf8 }
    return true
  }

  /// A difference that can be worded with the values as they stand. - Returns: false if it cannot.
  private mutating func appendPlain(_ key: Slice<UnsafeRawBufferPointer>, _ old: UnsafeRawBufferPointer?, _ new: UnsafeRawBufferPointer?) -> Bool {
    let scalars = (old: old.flatMap { PlainScalar($0) }, new: new.flatMap { PlainScalar($0) })
    switch (scalars.old, scalars.new) {
    case (let old?, let new?):
      guard old.mustDiffer(from: new) else { return false }
      begin(key, ": ")
      summary += old.text
      summary += " -> ".utf8
      summary += new.text
    case (let scalar?, nil) where new == nil:
      begin(key, ": ")
      summary += scalar.text
      summary += " -> None".utf8
    case (nil, let scalar?) where old == nil:
      begin(key, ": None -> ")
      summary += scalar.text
    default:
      // What is missing is no array and no object.
      guard old == nil || new == nil, let value = old ?? new, [UInt8(ascii: "{"), UInt8(ascii: "[")].contains(value[0]) else { return false }
      begin(key, ": changed")
    }
    return true
  }

  private mutating func begin(_ key: Slice<UnsafeRawBufferPointer>, _ words: StaticString) {
    if !summary.isEmpty { summary += " | ".utf8 }
    summary += key
    summary += UnsafeRawBufferPointer(start: words.utf8Start, count: words.utf8CodeUnitCount)
  }

  /// As a rule states have the same members in the same order, most of them with the same bytes, which mean the same.
  /// - Returns: false if a key must be looked at closer: an escaped one sorts by what it means.
  private mutating func findDifferences(_ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer) -> Bool {
    different.removeAll(keepingCapacity: true)
    var (old, new) = (MemberScanner(before), MemberScanner(after))
    while let (key, oldValue) = old.next() {
      guard let (newKey, newValue) = new.next(), isEqual(key, newKey) else { return findDifferencesByKey(before, after) }
      guard !key.contains(UInt8(ascii: "\\")) else { return false }
      guard differs(oldValue, newValue) else { continue }
      let member = (key: place(of: key, in: before), value: place(of: oldValue, in: before))
      different.append((member, (place(of: newKey, in: after), place(of: newValue, in: after))))
    }
    return new.next() == nil || findDifferencesByKey(before, after)
  }

  /// The same for members in any order, some of which only one state has.
  private mutating func findDifferencesByKey(_ before: UnsafeRawBufferPointer, _ after: UnsafeRawBufferPointer) -> Bool {
    different.removeAll(keepingCapacity: true)
    guard Self.find(&oldMembers, in: before), Self.find(&newMembers, in: after) else { return false }
    var (i, j) = (0, 0)
    while i < oldMembers.count || j < newMembers.count {
      let old = i < oldMembers.count ? oldMembers[i] : nil
      let new = j < newMembers.count ? newMembers[j] : nil
      let isFirst = old.map { old in new.map { new in before[old.key].lexicographicallyPrecedes(after[new.key]) } ?? true } ?? false
      if let old, isFirst {
        i += 1
        if !isNull(before[old.value]) { different.append((old, nil)) }
      } else if let old, let new, before[old.key].elementsEqual(after[new.key]) {
        i += 1
        j += 1
        let values = (UnsafeRawBufferPointer(rebasing: before[old.value]), UnsafeRawBufferPointer(rebasing: after[new.value]))
        if differs(values.0, values.1) { different.append((old, new)) }
      } else if let new {
        j += 1
        if !isNull(after[new.value]) { different.append((nil, new)) }
      }
    }
    return true
  }

  /// Its members, by key. - Returns: false if a key is escaped.
  private static func find(_ members: inout [Member], in state: UnsafeRawBufferPointer) -> Bool {
    members.removeAll(keepingCapacity: true)
    var scanner = MemberScanner(state)
    while let (key, value) = scanner.next() {
      guard !key.contains(UInt8(ascii: "\\")) else { return false }
      members.append((place(of: key, in: state), place(of: value, in: state)))
    }
    members.sort { state[$0.key].lexicographicallyPrecedes(state[$1.key]) }
    return true
  }

  /// Whether they may differ: equal bytes mean the same, but for NaN.
  private func differs(_ old: UnsafeRawBufferPointer, _ new: UnsafeRawBufferPointer) -> Bool {
    !isEqual(old, new) || old[0] == UInt8(ascii: "N")
  }

  /// What is missing is as if it were null.
  private func isNull(_ value: Slice<UnsafeRawBufferPointer>) -> Bool { value.first == UInt8(ascii: "n") }

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
