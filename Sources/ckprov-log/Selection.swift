import ArgumentParser
import LogFormat
import ProvenanceLog

/// Which actions are wanted: by seq and time, by which a log is searched, and by what they hold.
struct Selection {
  var filter: ActionFilter
  /// Of each field the values, of which one must be there.
  private let matches: [(field: String, values: [String])]
  private let pattern: Regex<AnyRegexOutput>?
  /// Of each the JSON must hold one. What is looked for by more than its own text has none.
  private let needles: [[Needle]]

  init(_ filter: ActionFilter, matches: [String], grep: String?) throws {
    var fields: [(field: String, values: [String])] = []
    for match in matches {
      guard let equals = match.firstIndex(of: "="), equals > match.startIndex else {
        throw ValidationError("'\(match)' is no match; give FIELD=VALUE, such as outcome=failed or intent.target=prod")
      }
      let (field, value) = (String(match[..<equals]), String(match[match.index(after: equals)...]))
      if let index = fields.firstIndex(where: { $0.field.utf8.elementsEqual(field.utf8) }) {
        fields[index].values.append(value)
      } else {
        fields.append((field, [value]))
      }
    }
    self.filter = filter
    self.matches = fields
    let needles = fields.filter { !["kernel", "session_id"].contains($0.field) }.map { $0.values.map { Needle($0) } }
      .compactMap { $0.contains { $0 == nil } ? nil : $0.compactMap { $0 } }
    guard let grep else {
      (pattern, self.needles) = (nil, needles)
      return
    }
    do {
      let regex = try Regex(grep).matchingSemantics(.unicodeScalar)
      let ignoresCase = !grep.contains(where: \.isUppercase)
      pattern = ignoresCase ? regex.ignoresCase() : regex
      self.needles = needles + (Needle(pattern: grep, ignoresCase: ignoresCase).map { [[$0]] } ?? [])
    } catch {
      throw ValidationError("'\(grep)' is no regular expression: \(error)")
    }
  }

  /// Whether an action that the filter lets through is wanted; its session counts as a member of it, as `--all` prints it.
  func wants(_ payload: UnsafeRawBufferPointer, of session: String) throws(LogError) -> Bool {
    if matches.isEmpty, pattern == nil { return true }
    for texts in needles where !texts.contains(where: { $0.isIn(payload) }) { return false }
    let action = try JSONValue(json: payload)
    for (field, values) in matches {
      guard let value = field == "session_id" ? .string(JSONString(session)) : action.value(at: field[...]) else { return false }
      let text = value.matchText
      let names = field == "kernel" ? [kernelText(JSONString(text)), URN.parse(JSONString(text)).kernelName?.description ?? text] : []
      guard values.contains(where: { value in ([text] + names).contains { $0.utf8.elementsEqual(value.utf8) } }) else { return false }
    }
    guard let pattern else { return true }
    return action.hasText { $0.contains(pattern) }
  }
}

extension JSONValue {
  /// What stands at a path, `intent.target` or `evidence.items.0`. A key may hold dots itself.
  func value(at path: Substring) -> JSONValue? {
    switch self {
    case .object(let object):
      if let value = object[JSONString(path)] { return value }
      for dot in path.indices where path[dot] == "." {
        if let inner = object[JSONString(path[..<dot])], let value = inner.value(at: path[path.index(after: dot)...]) { return value }
      }
      return nil
    case .array(let elements):
      let parts = path.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = parts.first, let index = Int(first), elements.indices.contains(index) else { return nil }
      return parts.count == 1 ? elements[index] : elements[index].value(at: parts[1])
    default: return nil
    }
  }

  /// A text as it is, anything else as JSON.
  var matchText: String { if case .string(let text) = self { text.description } else { json } }

  /// Compact JSON.
  var json: String { (try? compactJSON()).map { String(decoding: $0, as: UTF8.self) } ?? "" }

  /// Whether some text in it, at any depth, is as asked; keys do not count.
  func hasText(_ isAsked: (String) -> Bool) -> Bool {
    switch self {
    case .string(let text): isAsked(text.description)
    case .array(let elements): elements.contains { $0.hasText(isAsked) }
    case .object(let object): object.contains { $0.value.hasText(isAsked) }
    default: false
    }
  }

  /// Each value that is no object or array, or an empty one, with its path.
  func leaves(at path: String = "", _ body: (String, JSONValue) throws(LogError) -> Void) throws(LogError) {
    switch self {
    case .object(let object) where !object.isEmpty:
      for (key, value) in object { try value.leaves(at: Self.path(path, key.description), body) }
    case .array(let elements) where !elements.isEmpty:
      for (index, value) in elements.enumerated() { try value.leaves(at: Self.path(path, String(index)), body) }
    default: try body(path, self)
    }
  }

  /// As a match names it.
  static func path(_ path: String, _ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
}
