import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct DiffCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Shows two sessions side by side: which actions differ, and in what.",
    discussion: """
      Actions of the same type and kernel are laid beside each other, in order. Between the columns: | they differ, < only the first session has it, > only the \
      second. Below that stand the members that differ, with their paths; seq, urn and generated_at do not count. Where two sessions have more than \
      \(Pairing.countMax) actions between what is the same at their beginnings and ends, those are laid side by side one by one.

      Example: ckprov-log diff 1e19 @
      Exit codes: 0 they are the same; 1 they differ; 65 one is damaged; 66 one is not there.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var screenOptions: ScreenOptions
  @Flag(help: "Also the actions that are the same.") var all = false
  @Argument(help: "A session, named as everywhere.", completion: sessionNames, transform: nameOfSession) var first: String
  @Argument(help: "The other session.", completion: sessionNames, transform: nameOfSession) var second: String

  func run() throws {
    var differs = false
    try reporting { () throws(LogError) in
      let progress = Progress("actions read")
      let sessions = (try storage.store.getSession(first), try storage.store.getSession(second))
      let total = sessions.0.actionCount + sessions.1.actionCount
      let ofFirst = try outlines(sessions.0) { progress.update($0, of: total) }
      let ofSecond = try outlines(sessions.1) { progress.update(UInt64(ofFirst.count) + $0, of: total) }
      let pairs = Pairing.pairs(ofFirst, ofSecond)
      progress.end()
      var screen = Screen(screenOptions)
      let width = ((screen.width ?? 160) - 3) / 2
      for ((name, old), (_, new)) in zip(header(sessions.0), header(sessions.1)) {
        let isSame = old == new || name == "session"
        if isSame, !all, name != "session" { continue }
        try sides(padded(name, to: 9) + old.description, isSame ? " " : "|", padded(name, to: 9) + new.description, width, to: &screen)
        if !isSame { differs = true }
      }
      try screen.line()
      // Both are read once more, side by side.
      var old = try sessions.0.actions()
      var new = try sessions.1.actions()
      let comparing = Progress("pairs compared", isPrinting: true)
      defer { comparing.end() }
      for (index, pair) in pairs.enumerated() where screen.isOpen {
        comparing.update(index, of: pairs.count)
        if try print(try old.action(pair.first), try new.action(pair.second), width, to: &screen) { differs = true }
      }
      try screen.flush()
    }
    if differs { throw ExitCode(1) }
  }

  private func header(_ session: Session) -> [(name: String, text: JSONString)] {
    [
      ("session", JSONString(session.sessionID.description)), ("label", session.label), ("kernel", session.wasAssociatedWith),
      ("action", session.kernelAction), ("outcome", session.outcome), ("actions", JSONString(String(session.actionCount))),
    ]
  }

  /// What actions are laid side by side by.
  /// - Parameter tellRead: gets how many were read.
  private func outlines(_ session: Session, tellRead: (UInt64) -> Void) throws(LogError) -> [Pairing.Outline] {
    var outlines: [Pairing.Outline] = []
    var actions = try session.actions()
    while let action = try actions.next() {
      outlines.append(Pairing.Outline(seq: action.seq, type: action.actionType, kernel: action.kernel))
      tellRead(UInt64(outlines.count))
    }
    return outlines
  }

  /// - Returns: whether they differ.
  private func print(_ old: ActionRecord?, _ new: ActionRecord?, _ width: Int, to screen: inout Screen) throws(LogError) -> Bool {
    switch (old, new) {
    case (let old?, let new?):
      let differing = try differences(old.compared, new.compared)
      if differing.isEmpty, !all { return false }
      try sides(title(old), differing.isEmpty ? " " : "|", title(new), width, to: &screen)
      for (path, before, after) in differing {
        let path = cut(escapedForTerminal(path), to: max(10, width / 2))
        let room = width - 11 - columns(of: path)
        let (before, after): (String?, String?) =
          if let before, let after { contrasted(escapedForTerminal(before), escapedForTerminal(after), over: room) } else { (before, after) }
        try sides(before.map { "         \(path): \($0)" } ?? "", "|", after.map { "         \(path): \($0)" } ?? "", width, to: &screen)
      }
      return !differing.isEmpty
    case (let old?, nil): try sides(title(old), "<", "", width, to: &screen)
    case (nil, let new?): try sides("", ">", title(new), width, to: &screen)
    case (nil, nil): return false
    }
    return true
  }

  private func title(_ action: ActionRecord) -> String {
    let kernel = kernelText(action.kernel)
    return "\(padded(String(action.seq), to: 6, isRight: true)) \(action.sign) \(action.actionType)  \(kernel)"
  }

  private func sides(_ old: String, _ mark: String, _ new: String, _ width: Int, to screen: inout Screen) throws(LogError) {
    let (left, right) = (cut(escapedForTerminal(old), to: width), cut(escapedForTerminal(new), to: width))
    let styles: (Screen.Style, Screen.Style) =
      switch mark {
      case "|": (.red, .green)
      case "<": (.red, .plain)
      case ">": (.plain, .green)
      default: (.plain, .plain)
      }
    try screen.line((padded(left, to: width), styles.0), (" \(mark) ", .bold), (right, styles.1))
  }
}

extension ActionReader {
  /// The action that has this seq; those before it are passed over.
  fileprivate mutating func action(_ seq: Int64?) throws(LogError) -> ActionRecord? {
    guard let seq else { return nil }
    while let action = try next() { if action.seq == seq { return action } }
    return nil
  }
}

extension ActionRecord {
  /// What counts where two actions are compared.
  fileprivate var compared: JSONObject {
    get throws(LogError) {
      var object: JSONObject = ["outcome": .string(outcome), "attempt": .integer(attempt)]
      if let viaEdge { object["via_edge"] = .string(viaEdge) }
      if !note.isEmpty { object["note"] = .string(note) }
      let payloads: [(JSONString, Payload?)] = [
        ("intent", intent), ("evidence", evidence), ("before_state", beforeState), ("after_state", afterState),
      ]
      for (name, payload) in payloads { if let inner = try payload?.object() { object[name] = .object(inner) } }
      return object
    }
  }
}

/// Which actions of two sessions are laid side by side.
enum Pairing {
  struct Outline {
    let seq: Int64
    let type, kernel: JSONString

    func isLike(_ other: Outline) -> Bool { type == other.type && kernel == other.kernel }
  }

  /// Seqs; one of them may be missing.
  typealias Pair = (first: Int64?, second: Int64?)

  /// Finding the longest common sequence costs the square of what differs.
  static let countMax = 4000

  static func pairs(_ first: [Outline], _ second: [Outline]) -> [Pair] {
    let start = zip(first, second).prefix { $0.isLike($1) }.count
    let (restOfFirst, restOfSecond) = (first[start...], second[start...])
    let end = zip(restOfFirst.reversed(), restOfSecond.reversed()).prefix { $0.isLike($1) }.count
    let (middleOfFirst, middleOfSecond) = (restOfFirst.dropLast(end), restOfSecond.dropLast(end))

    var pairs: [Pair] = zip(first, second).prefix(start).map { ($0.seq, $1.seq) }
    if max(middleOfFirst.count, middleOfSecond.count) > countMax {
      let count = max(middleOfFirst.count, middleOfSecond.count)
      let (old, new) = (Array(middleOfFirst), Array(middleOfSecond))
      for index in 0..<count {
        let (one, other) = (index < old.count ? old[index] : nil, index < new.count ? new[index] : nil)
        if let one, let other, one.isLike(other) {
          pairs.append((one.seq, other.seq))
        } else {
          if let one { pairs.append((one.seq, nil)) }
          if let other { pairs.append((nil, other.seq)) }
        }
      }
    } else {
      pairs += common(middleOfFirst, middleOfSecond)
    }
    return pairs + zip(first.suffix(end), second.suffix(end)).map { ($0.seq, $1.seq) }
  }

  private static func common(_ first: ArraySlice<Outline>, _ second: ArraySlice<Outline>) -> [Pair] {
    let (removed, inserted) = (Array(second).difference(from: Array(first)) { $0.isLike($1) }).reduce(into: (Set<Int>(), Set<Int>())) {
      switch $1 {
      case .remove(let offset, _, _): $0.0.insert(offset)
      case .insert(let offset, _, _): $0.1.insert(offset)
      }
    }
    var (pairs, one, other): ([Pair], Int, Int) = ([], 0, 0)
    let (old, new) = (Array(first), Array(second))
    while one < old.count || other < new.count {
      if one < old.count, removed.contains(one) {
        pairs.append((old[one].seq, nil))
        one += 1
      } else if other < new.count, inserted.contains(other) {
        pairs.append((nil, new[other].seq))
        other += 1
      } else {
        pairs.append((old[one].seq, new[other].seq))
        one += 1
        other += 1
      }
    }
    return pairs
  }
}
