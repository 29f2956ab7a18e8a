import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `show` and `diff`, which people look at.
@Suite(.timeLimit(.minutes(10)))
struct ShowTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private static func line(_ second: String, _ rest: String) -> String {
    #"{"generated_at":"2026-03-14T20:00:\#(second)Z","action_type":\#(rest)}"#
  }

  private static let lines = [
    line("02.123456", #""deploy","outcome":"verified","note":"n","kernel":"CK.Lib","via_edge":"REQUIRES""#),
    line(
      "03.000000",
      #""scale","outcome":"retry","before_state":{"n":1},"after_state":{"n":1},"note":"not yet""#),
    line("03.500000", #""scale","outcome":"retry","attempt":2,"before_state":{"n":1},"after_state":{"n":2}"#),
    line(
      "04.000000",
      #""scale","outcome":"failed","attempt":3,"before_state":{"n":1,"name":"1","deep":{"gone":"a b","kept":[1]}},"after_state":{"n":2,"name":"x","deep":{"kept":[1,""]}}"#
        + #","intent":{"target":{"region":"eu"}},"evidence":{},"note":"gave up","#.dropLast()),
    line("03.900000", #""check","outcome":"odd","attempt":2"#),
    #"{"close":{"ended_at":"2026-03-14T20:00:05.750000Z"}}"#,
  ]

  private func record(_ id: String, _ lines: [String] = lines) async throws {
    try #require(await bench.record(id, lines, "--kernel-action", "test.run", "--started-at", "2026-03-14T20:00:02.000000Z").status == 0)
  }

  private static let shown = """
    session   s1
    label     test
    urn       ckp://Action#CK.Test/session-1773518402000
    kernel    ckp://Kernel#CK.Test:v1.0
    action    test.run
    started   2026-03-14T20:00:02.000000Z
    ended     2026-03-14T20:00:05.750000Z
    outcome   partial
    duration  3.750 s
    actions   5 (1 verified, 1 failed, 2 retry, 1 other)
    kernels   CK.Lib, CK.Test

         1  20:00:02  +0.123 s + deploy REQUIRES  CK.Lib  n
         4  20:00:04  +1.877 s x scale failed after 3 attempts  CK.Test  gave up
                                ~ attempt 1, seq 2, +0.877 s  not yet
                                ~ attempt 2, seq 3, +0.500 s  n: 1 -> 2
                                x attempt 3, seq 4, +0.500 s
                                n: 1 -> 2
                                name: "1" -> "x"
                                deep.gone is gone: a b
                                deep.kept.1 is new: ""
         5  20:00:03  -0.100 s ? check odd (attempt 2)  CK.Test

    """

  @Test func headerAndTimeline() async throws {
    try await record("s1")
    let shown = try await bench.run("show", "s1")
    #expect(shown.text == Self.shown && shown.status == 0 && shown.errors == "", "\(shown.text)")
    try #require(await runProgram("rm", ["-r", bench.logPath("s1")]).status == 0)
    #expect(try await bench.run("show", "s1").text == Self.shown)
  }

  @Test func upToTheDamage() async throws {
    try await bench.recordTwice("s1", [action("a"), action("b")], [action("c")])
    try bench.damage("s1", actionWithNote: "b")
    let result = try await bench.run("show", "s1")
    #expect(result.status == 65)
    #expect(result.text.hasSuffix("+ t  CK.Test  a\n") && result.text.hasPrefix("session   s1\n"), "\(result.text)")
    #expect(result.errors.contains("s1.log/00000000000000000000.seg, sequence "), "\(result.errors)")
  }

  @Test func failuresFirst() async throws {
    try await record("s1")
    let text = try await bench.run("show", "s1", "--failures").text
    let failures = """
      x scale failed  seq 4, attempt 3, 2026-03-14T20:00:04.000000Z
        kernel    ckp://Kernel#CK.Test:v1.0
        note      gave up
        intent
          target.region  eu
        evidence
          (empty)   {}
        before
          n         1
          name      1
          deep.gone  a b
          deep.kept.0  1
        after
          n         2
          name      x
          deep.kept.0  1
          deep.kept.1

      """
    #expect(trimmed(text).contains(failures), "\(text)")
    try await record("good", [Self.lines[0]])
    #expect(try await bench.run("show", "good", "--failures").text.contains("\nNothing failed.\n"))
  }

  /// A key is as wide as it is shown, not as it is.
  @Test func failuresStandInColumns() async throws {
    try await record("s1", [#"{"action_type":"t","outcome":"failed","intent":{"a\u001b":1,"a\u007fb\n":2,"abc":3}}"#])
    let text = try await bench.run("show", "s1", "--failures").text
    #expect(text.contains("\n    a\\x1b     1\n    a\\x7fb\\x0a  2\n    abc       3\n"), "\(text)")
  }

  @Test func coloursWhereTheyAreWanted() async throws {
    try await record("s1")
    let colored = try await bench.run("show", "s1", "--color", "always").text
    #expect(colored.contains("\u{1B}[31mx \u{1B}[0m") && colored.contains("\u{1B}[1mscale\u{1B}[0m"))
    let plain = colored.replacing(/\u{1B}\[[0-9;]*m/, with: "")
    #expect(plain == Self.shown)
    #expect(try await bench.run("show", "s1", "--color", "never").text == Self.shown)
  }

  /// One character of it is wider than the terminal.
  @Test func aCharacterWithoutEnd() async throws {
    let note = String(repeating: "\u{1100}", count: 60)
    _ = try await bench.record("s", [action(note, outcome: "failed")])
    let result = try await bench.shell("COLUMNS=80 timeout 20 $C show --failures s")
    #expect(result.status == 0 && result.text.contains("note      …"), "\(result.text)")
  }

  /// What is the same in both is left out, so that the difference is seen.
  @Test func longValuesShowWhereTheyDiffer() async throws {
    let image = "registry.example.com/platform/payments-service-with-a-name@sha256:"
    let line = #"{"action_type":"t","outcome":"verified","before_state":{"image":"\#(image)aaaa"},"after_state":{"image":"\#(image)bbbb"}}"#
    _ = try await bench.record("s", [line])
    let result = try await bench.shell("COLUMNS=80 $C show s")
    #expect(result.text.contains("aaaa\n") && result.text.contains("bbbb\n") && result.text.contains("image:"), "\(result.text)")
  }

  /// What is compared is what stands in one place: keys may hold dots, and two texts that look the same may differ.
  @Test(arguments: [
    (#"{"a.b":1,"a":{"b":2}}"#, #"{"a.b":9,"a":{"b":2}}"#, ["a.b: 1 -> 9"]), (#"{"a.b":1,"a":{"b":2}}"#, #"{"a.b":1,"a":{"b":2}}"#, []),
    (#"{"a":["x"]}"#, #"{"a":{"0":"x"}}"#, ["a.0 is gone: x", "a.0 is new: x"]), (#"{}"#, #"{"k":1}"#, ["k is new: 1"]),
    (#"{"f":"\u00e9"}"#, #"{"f":"e\u0301"}"#, [#"f: "\u00e9" -> "e\u0301""#]),
    (#"{"f":"\ud800"}"#, #"{"f":"\ud801"}"#, [#"f: "\ud800" -> "\ud801""#]),
    (#"{"f":"x "}"#, #"{"f":"x"}"#, [#"f: "x " -> "x""#]), (#"{"f":"5"}"#, #"{"f":5}"#, [#"f: "5" -> 5"#]),
    (#"{"f":[]}"#, #"{"f":{}}"#, ["f: [] -> {}"]),
  ])
  func whatDiffers(_ before: String, _ after: String, _ expected: [String]) async throws {
    for (id, state) in [("before", before), ("after", after)] {
      _ = try await bench.record(id, [#"{"action_type":"t","outcome":"verified","after_state":\#(state)}"#])
    }
    _ = try await bench.record("both", [#"{"action_type":"t","outcome":"verified","before_state":\#(before),"after_state":\#(after)}"#])
    let lines = try await bench.run("show", "both").text.split(separator: "\n").map { $0.drop { $0 == " " } }
    #expect(Array(lines.drop { !$0.hasPrefix("1 ") }.dropFirst()) == expected.map { $0[...] }, "\(lines)")
    #expect(try await bench.run("diff", "before", "after").status == (expected.isEmpty ? 0 : 1))
    #expect(try await bench.run("diff", "before", "before").status == 0)
  }

  /// All that was recorded of a failure is shown, however long its name is.
  @Test func longNamesLoseNothing() async throws {
    let (name, value) = (String(repeating: "upstream-load-balancer.", count: 5), "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    _ = try await bench.record("s", [#"{"action_type":"t","outcome":"failed","evidence":{"\#(name)":"\#(value)"}}"#])
    for columns in [40, 60, 80, 120] {
      let text = try await bench.shell("COLUMNS=\(columns) $C show s --failures").text
      let evidence = text.drop { $0 != "x" }.firstRange(of: "evidence").map { text[$0.upperBound...] } ?? ""
      #expect(evidence.filter { !" \n".contains($0) }.hasPrefix(name + value), "\(text)")
    }
  }

  /// A kernel's name may hold what ends it elsewhere.
  @Test func kernelsAreNamedWhole() async throws {
    _ = try await bench.record("s", [#"{"action_type":"t","outcome":"verified","kernel":"a/b:c"}"#])
    #expect(try await bench.run("show", "s").text.contains("  a/b:c\n"))
    #expect(try await bench.run("cat", "s", "-oshort").text.contains(" a/b:c t[1]: "))
    #expect(try await bench.run("cat", "s", "kernel=a/b:c").text.contains("\"seq\":1,"))
    #expect(try await bench.run("cat", "s", "kernel=a/b").text == "")
  }

  /// Never wider than the terminal, which counts wide characters twice.
  @Test(arguments: [20, 40, 80, 200])
  func fitsTheTerminal(_ columns: Int) async throws {
    let note = String(repeating: "漢字 e\u{301} 👩‍👩‍👧 ", count: 20)
    let states = #""after_state":{"k":"\#(note)"},"before_state":{"k":1}"#
    try await record("s1", [Self.line("02.500000", #""scale","outcome":"failed","note":"\#(note)",\#(states)"#)])
    for arguments in ["show s1", "show s1 --failures", "diff s1 s1 --all"] {
      let lines = try await bench.shell("COLUMNS=\(columns) $C \(arguments)").text.split(separator: "\n")
      #expect(lines.count > 4)
      let widths = lines.map { line in
        line.reduce(0) { $0 + ($1.unicodeScalars.contains { $0.properties.isEmojiPresentation || $0.properties.isIdeographic } ? 2 : 1) }
      }
      #expect(widths.max()! <= columns && (arguments.hasPrefix("diff") || widths.max()! >= columns - 1), "\(arguments): \(widths)")
    }
  }

  /// Nor does a line end without a word on what has no room in it.
  @Test func whatHasNoRoomIsSaid() async throws {
    try await record("s1", [Self.line("02.500000", #""scale","outcome":"verified","note":"\#(String(repeating: "n", count: 60))""#)])
    let whole = try #require(try await bench.shell("COLUMNS=200 $C show s1").text.split(separator: "\n").last)
    for columns in 20...(whole.count + 1) {
      let shown = try #require(try await bench.shell("COLUMNS=\(columns) $C show s1").text.split(separator: "\n").last)
      #expect(shown == (columns < whole.count ? whole.prefix(columns - 1) + "…" : whole))
    }
  }

  @Test func tableAlignsWideCharacters() async throws {
    for (id, outcome) in [("a", "漢字"), ("b", "plain"), ("c", "e\u{301}é")] {
      try #require(await bench.record(id, [#"{"close":{"outcome":"\#(outcome)"}}"#]).status == 0)
    }
    let lines = try await bench.run("list").text.split(separator: "\n").dropFirst()
    // Columns before the count of actions.
    let places = lines.map { line in
      let end = line.firstRange(of: " 0  ")!.lowerBound
      return line[..<end].reduce(0) { $0 + ($1.unicodeScalars.contains { $0.properties.isIdeographic } ? 2 : 1) }
    }
    #expect(places.count == 3 && Set(places).count == 1, "\(lines)")
  }

  // MARK: diff

  @Test func sameSessionsDoNotDiffer() async throws {
    try await record("s1")
    try await record("s2")
    let result = try await bench.run("diff", "s1", "s2")
    #expect(result.status == 0 && result.text.split(separator: "\n").count == 1 && result.errors == "", "\(result.text)")
    #expect(try await bench.run("diff", "s1", "s2", "--all").text.split(separator: "\n").count == 11)
  }

  @Test func differencesStandSideBySide() async throws {
    try await record("s1")
    var other = Self.lines
    other[3] = other[3].replacing("gave up", with: "did not").replacing(#""region":"eu""#, with: #""zone":2"#)
    other.remove(at: 0)
    other.insert(Self.line("03.950000", #""extra","outcome":"skipped""#), at: 3)
    try await record("s2", other)
    let result = try await bench.shell("COLUMNS=90 $C diff s1 s2; echo $?")
    let expected = """
      session  s1                                   session  s2
      outcome  partial                            | outcome  failed

           1 + deploy  CK.Lib                     <
           4 x scale  CK.Test                     |      3 x scale  CK.Test
               note: gave up                      |          note: did not
               intent.target.region: eu           |
                                                  |          intent.target.zone: 2
                                                  >      4 - extra  CK.Test
      1

      """
    #expect(trimmed(result.text) == expected, "\(result.text)")
    #expect(try await bench.run("diff", "s1", "nobody").status == 66)
  }

  /// Random edits: what is paired is alike and in order, and each action stands in one pair.
  @Test func pairsAreInOrder() async throws {
    var random = SeededGenerator(seed: 7)
    for round in 0..<40 {
      let old = (0..<Int.random(in: 0...60, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random)! }
      var new = old
      for _ in 0..<Int.random(in: 0...8, using: &random) {
        if Bool.random(using: &random) || new.isEmpty {
          new.insert("d", at: Int.random(in: 0...new.count, using: &random))
        } else {
          new.remove(at: Int.random(in: 0..<new.count, using: &random))
        }
      }
      for (id, types) in [("old\(round)", old), ("new\(round)", new)] {
        try #require(await bench.record(id, types.map { #"{"action_type":"\#($0)","outcome":"verified"}"# }).status == 0)
      }
      let result = try await bench.shell("COLUMNS=80 $C diff --all old\(round) new\(round)")
      var (left, right): ([String], [String]) = ([], [])
      for line in result.text.split(separator: "\n").drop(while: { !$0.contains("actions") }).dropFirst() {
        let sides = [line.prefix(38), line.dropFirst(41)].map { $0.split(separator: " ").map(String.init) }
        if sides[0].count == 4 { left.append(sides[0][2]) }
        if sides[1].count == 4 { right.append(sides[1][2]) }
        if sides[0].count == 4, sides[1].count == 4 { #expect(sides[0][2] == sides[1][2]) }
      }
      #expect(left == old && right == new, "round \(round): \(result.text)")
      #expect(result.status == (old == new ? 0 : 1))
    }
  }
}

/// Without spaces at the ends of lines.
private func trimmed(_ text: String) -> String {
  text.split(separator: "\n", omittingEmptySubsequences: false).map { line in String(line.reversed().drop { $0 == " " }.reversed()) }
    .joined(separator: "\n")
}
