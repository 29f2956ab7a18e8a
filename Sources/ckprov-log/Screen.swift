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

  /// The same with a last piece that is shown whole, on as many lines as it takes, each of which begins where it began.
  mutating func lines(_ pieces: (String, Style)..., whole text: String, _ style: Style = .plain) throws(LogError) {
    let indent = pieces.reduce(0) { $0 + columns(of: escapedForTerminal($1.0)) }
    let room = max(20, (width ?? .max) - indent)
    var rest = escapedForTerminal(text)[...]
    var isFirst = true
    repeat {
      let part = wrapped(&rest, to: room)
      try line((isFirst ? pieces : [(String(repeating: " ", count: indent), .plain)]) + [(part, style)])
      isFirst = false
    } while !rest.isEmpty
  }

  mutating func line(_ pieces: [(String, Style)]) throws(LogError) {
    var (text, room) = ("", width ?? .max)
    for (piece, style) in pieces where room > 0 && !piece.isEmpty {
      let shown = cut(escapedForTerminal(piece), to: room)
      room -= columns(of: shown)
      text += hasColor && style != .plain ? "\u{1B}[\(style.rawValue)m\(shown)\u{1B}[0m" : shown
    }
    try out.line(text)
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

/// What differs between two states, a line each: a path, and what stood and stands there.
func differences(_ before: JSONObject, _ after: JSONObject) throws(LogError) -> [(path: String, old: String?, new: String?)] {
  var (old, new): ([(path: String, text: String)], [(path: String, text: String)]) = ([], [])
  try JSONValue.object(before).leaves { path, value throws(LogError) in old.append((path, value.shown)) }
  try JSONValue.object(after).leaves { path, value throws(LogError) in new.append((path, value.shown)) }
  let news = Dictionary(new.map { ($0.path, $0.text) }, uniquingKeysWith: { $1 })
  let olds = Set(old.map(\.path))
  let changed = old.filter { news[$0.path] != $0.text }.map { (path: $0.path, old: $0.text as String?, new: news[$0.path]) }
  return changed + new.filter { !olds.contains($0.path) }.map { (path: $0.path, old: nil, new: $0.text) }
}

extension JSONValue {
  /// A text in quotes only where it would be taken for something else.
  fileprivate var shown: String {
    guard case .string(let text) = self else { return matchText }
    let plain = text.description
    let isUnclear = plain.isEmpty || plain.first == " " || plain.last == " " || (try? JSONValue(json: plain)) != nil
    return isUnclear ? "\"\(plain)\"" : plain
  }
}
