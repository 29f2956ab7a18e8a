import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

enum ColorChoice: String, ExpressibleByArgument, CaseIterable {
  case auto, always, never
}

struct ScreenOptions: ParsableArguments {
  @Option(help: "Colours: auto (on a terminal, unless NO_COLOR is set), always, never.") var color = ColorChoice.auto
  @Flag(help: "Prints without a pager. Default on a terminal: $CKPROV_PAGER, $PAGER, or less.") var noPager = false
}

/// What a person looks at: lines that fit the terminal, in colour if it has some, through a pager if it is one.
struct Screen: ~Copyable {
  enum Style: String {
    case plain = "", bold = "1", dim = "2", red = "31", green = "32", yellow = "33", cyan = "36", boldRed = "1;31"
  }

  private let pager: Pager?
  private let hasColor: Bool
  /// Columns; `nil` if lines may have any length.
  let width: Int?
  private var out = Output()

  init(_ options: ScreenOptions) {
    let isTerminal = standardOutputIsTerminal()
    width = standardOutputColumns()
    let isDumb = environmentVariable("TERM") == "dumb"
    hasColor =
      switch options.color {
      case .always: true
      case .never: false
      case .auto: isTerminal && !isDumb && (environmentVariable("NO_COLOR") ?? "").isEmpty
      }
    let command = environmentVariable("CKPROV_PAGER") ?? environmentVariable("PAGER") ?? "less -FRX"
    pager = isTerminal && !isDumb && !options.noPager && !command.isEmpty && command != "cat" ? Pager(command) : nil
  }

  var isOpen: Bool { out.isOpen }

  /// A line of several pieces, in all no wider than the terminal; nothing in them steers it.
  mutating func line(_ pieces: (String, Style)...) throws(LogError) { try line(pieces) }

  /// A name and what belongs to it, both whole, on as many lines as they take.
  mutating func lines(_ name: String, whole text: String) throws(LogError) {
    let width = width ?? .max
    var name = escapedForTerminal(name)[...]
    var indent = columns(of: String(name))
    // A long name has lines of its own.
    if indent > 24, indent > width - 24 {
      indent = 8
      while !name.isEmpty { try line((wrapped(&name, to: width), .dim)) }
      name = Substring(String(repeating: " ", count: indent))
    }
    var rest = escapedForTerminal(text)[...]
    repeat {
      try line((String(name), .dim), (wrapped(&rest, to: max(20, width - indent)), .plain))
      name = Substring(String(repeating: " ", count: indent))
    } while !rest.isEmpty
  }

  mutating func line(_ pieces: [(String, Style)]) throws(LogError) {
    let pieces = pieces.map { (text: escapedForTerminal($0.0), style: $0.1) }
    var (line, room, rest) = ("", width ?? .max, pieces.reduce(0) { $0 + columns(of: $1.text) })
    for (text, style) in pieces where !text.isEmpty {
      rest -= columns(of: text)
      // One that just fits makes room for the ellipsis of what comes behind it.
      let shown = cut(rest > 0 && columns(of: text) == room ? text + " " : text, to: room)
      line += hasColor && style != .plain ? "\u{1B}[\(style.rawValue)m\(shown)\u{1B}[0m" : shown
      if shown != text { break }
      room -= columns(of: text)
    }
    try out.line(line)
  }

  mutating func flush() throws(LogError) { try out.flush() }
}

/// Up to so many columns, cut with an ellipsis.
func cut(_ text: String, to width: Int) -> String {
  guard width < .max, columns(of: text) > width else { return text }
  var (cut, room) = ("", width - 1)
  for character in text {
    room -= columns(of: character)
    if room < 0 { break }
    cut.append(character)
  }
  return cut + "…"
}

/// Two texts that differ, as far as they are wider than so many columns without what both begin with, but for its end.
func contrasted(_ old: String, _ new: String, over width: Int) -> (String, String) {
  guard width < .max, columns(of: old) > width || columns(of: new) > width else { return (old, new) }
  let common = zip(old, new).prefix { $0 == $1 }.count - 12
  return common < 2 ? (old, new) : ("…" + old.dropFirst(common), "…" + new.dropFirst(common))
}

/// Takes up to so many columns from the beginning of a text, up to a space if there is one in the second half.
func wrapped(_ text: inout Substring, to width: Int) -> String {
  var (end, used, space) = (text.startIndex, 0, Substring.Index?.none)
  while end < text.endIndex {
    used += columns(of: text[end])
    // One character alone may be wider.
    if used > width, end > text.startIndex { break }
    if text[end] == " ", used > width / 2 { space = end }
    end = text.index(after: end)
  }
  if end < text.endIndex, let space { end = space }
  let part = String(text[..<end])
  text = text[end...].drop { $0 == " " }
  return part
}

/// With spaces behind it, or before it, up to so many columns.
func padded(_ text: String, to width: Int, isRight: Bool = false) -> String {
  let space = String(repeating: " ", count: max(0, width - columns(of: text)))
  return isRight ? space + text : text + space
}

/// What differs between two states, a line each: a path, and what stood and stands there. What a state had comes first, in its order.
func differences(_ before: JSONObject, _ after: JSONObject) throws(LogError) -> [Difference] {
  var differences = Differences()
  try differences.compare(.object(before), .object(after), at: "")
  return differences.changed + differences.added
}

typealias Difference = (path: String, old: String?, new: String?)

/// Values are laid beside each other where they stand: paths are only shown, since keys may hold dots.
private struct Differences {
  var changed: [Difference] = []
  var added: [Difference] = []

  mutating func compare(_ old: JSONValue, _ new: JSONValue, at path: String) throws(LogError) {
    switch (old, new) {
    case (.object(let old), .object(let new)):
      for (key, value) in old {
        let path = JSONValue.path(path, key.description)
        if let other = new[key] { try compare(value, other, at: path) } else { try lose(value, at: path) }
      }
      for (key, value) in new where old[key] == nil { try gain(value, at: JSONValue.path(path, key.description)) }
    case (.array(let old), .array(let new)):
      for index in 0..<max(old.count, new.count) {
        let path = JSONValue.path(path, String(index))
        if index >= new.count {
          try lose(old[index], at: path)
        } else if index >= old.count {
          try gain(new[index], at: path)
        } else {
          try compare(old[index], new[index], at: path)
        }
      }
    case _ where !old.isLeaf || !new.isLeaf:
      try lose(old, at: path)
      try gain(new, at: path)
    default:
      if try old.compactJSON() == new.compactJSON() { return }
      let (old, new) = shown(old, new)
      changed.append((path, old, new))
    }
  }

  private mutating func lose(_ value: JSONValue, at path: String) throws(LogError) {
    try value.leaves(at: path) { path, leaf throws(LogError) in changed.append((path, leaf.shown, nil)) }
  }

  private mutating func gain(_ value: JSONValue, at path: String) throws(LogError) {
    try value.leaves(at: path) { path, leaf throws(LogError) in added.append((path, nil, leaf.shown)) }
  }

  /// So that it is seen that they differ: both texts in quotes or none, and what looks the same with its escapes.
  private func shown(_ old: JSONValue, _ new: JSONValue) -> (String, String) {
    guard case (.string(let first), .string(let second)) = (old, new) else { return (old.shown, new.shown) }
    // As Swift compares texts: by how they look.
    if first.description == second.description { return (old.json, new.json) }
    return first.isUnclear || second.isUnclear ? ("\"\(first)\"", "\"\(second)\"") : (old.shown, new.shown)
  }
}

extension JSONValue {
  /// A text in quotes only where it would be taken for something else.
  fileprivate var shown: String {
    guard case .string(let text) = self else { return matchText }
    return text.isUnclear ? "\"\(text)\"" : text.description
  }

  fileprivate var isLeaf: Bool {
    switch self {
    case .object(let object): object.isEmpty
    case .array(let elements): elements.isEmpty
    default: true
    }
  }
}

extension JSONString {
  fileprivate var isUnclear: Bool {
    let plain = description
    return plain.isEmpty || plain.first == " " || plain.last == " " || (try? JSONValue(json: plain)) != nil
  }
}
