import ProvenanceLog
import TestSupport
import Testing

/// Lines that `record` refuses: each is named with its number, its byte column and the reason.
@Suite(.timeLimit(.minutes(10)))
struct BadLineTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// A caret stands before the byte that is at fault.
  struct Case: Sendable, CustomTestStringConvertible {
    let line: [UInt8]
    let column: Int
    let reason: String
    let testDescription: String

    init(_ text: String, _ reason: String) {
      self.init(Array(text.utf8), reason, String(text.prefix(80)))
    }

    init(_ marked: [UInt8], _ reason: String, _ description: String) {
      column = marked.firstIndex(of: UInt8(ascii: "^"))! + 1
      line = marked.filter { $0 != UInt8(ascii: "^") }
      self.reason = reason
      testDescription = description
    }

    /// An action with one more member.
    static func member(_ text: String, _ reason: String) -> Case { Case(#"{"action_type":"t","outcome":"verified",\#(text)}"#, reason) }

    static func bytes(_ before: String, _ bytes: [UInt8], _ reason: String) -> Case {
      Case(Array(before.utf8) + bytes, reason, "\(before) \(bytes.map { String($0, radix: 16) })")
    }
  }

  private static let noJSON = [
    Case("^text", "a line must be a JSON object"), Case("^[1]", "a line must be a JSON object"), Case(#"^"text""#, "a line must be a JSON object"),
    Case("  ^null", "a line must be a JSON object"), Case("^\u{FEFF}{}", "a line must be a JSON object"), Case("^\0", "a line must be a JSON object"),
    Case(#"{"action_type":"t","outcome":"verified"^"#, "',' or '}' is expected here"),
    Case(#"{"action_type":"t" ^"outcome":"verified"}"#, "',' or '}' is expected here"),
    Case(#"{"action_type":"t","outcome":"verified"} ^{}"#, "nothing more is expected here"),
    Case("{^action_type:1}", "a key in double quotes is expected here"), Case(#"{"action_type" ^"t"}"#, "':' is expected here"),
    Case(#"{"action_type":^}"#, "a value is expected here"), Case(#"{"action_type":^"#, "the text ends where a value is expected"),
    Case(#"{"action_type":"t",^}"#, "a comma must be followed by something"), Case(#"{"action_type":^'t'}"#, "a value is expected here"),
    Case(#"{"action_type":^"t}"#, "this string has no closing quote"), Case("{\"action_type\":\"a^\tb\"}", "a control character must be escaped"),
    Case("{\"action_type\":\"é😀^\u{0}\"}", "a control character must be escaped"), Case(#"{"action_type":"a^\x"}"#, "no such escape"),
    Case(#"{"action_type":"a^\u12g4"}"#, "'\\u' must be followed by four hex digits"),
    .member(#""intent":{"a":[1,^]}"#, "a comma must be followed by something"), .member(#""intent":{"a":^True}"#, "a value is expected here"),
    .member(#""attempt":0^1"#, "',' or '}' is expected here"), .member(#""attempt":^+1"#, "a value is expected here"),
    .member(#""attempt":^-"#, "a digit is expected behind '-'"), .member(#""attempt":1^."#, "',' or '}' is expected here"),
    .member(#""attempt":1^e+"#, "',' or '}' is expected here"), .member(#""attempt":^.5"#, "a value is expected here"),
  ]

  private static let notUTF8: [Case] = [
    .bytes("^", [0xFF], "not UTF-8"), .bytes(#"{"note":"é^"#, [0xC0, 0xAF, 0x22, 0x7D], "not UTF-8"),
    .bytes(#"{"note":"^"#, [0xED, 0xA0, 0x80, 0x22, 0x7D], "not UTF-8"), .bytes(#"{"note":"^"#, [0xF4, 0x90, 0x80, 0x80, 0x22, 0x7D], "not UTF-8"),
    .bytes(#"{"note":"^"#, [0xE2, 0x82], "not UTF-8"), .bytes(#"{"note":"a^"#, [0x80, 0x22, 0x7D], "not UTF-8"),
  ]

  private static let wrongMembers: [Case] = [
    .member(#"^"colour":1"#, "'colour' is no member of an action"), .member(#"^"seq":1"#, "'seq' is no member of an action"),
    .member(#"^"outcome":"failed""#, "'outcome' stands here twice"), .member(#"^"outc\u006fme":"failed""#, "'outcome' stands here twice"),
    .member(#""note":"a",^"note":"a""#, "'note' stands here twice"), .member(#""intent":{},^"intent":null"#, "'intent' stands here twice"),
    Case(#"^{"action_type":"t"}"#, "an action must have 'outcome'"),
    Case(#" ^ {"outcome":"verified"}"#.replacing(" ^ ", with: "^  "), "an action must have 'action_type'"),
    Case("^{}", "an action must have 'action_type'"),
    Case(#"{"action_type":^null,"outcome":"verified"}"#, "'action_type' must be a string, not null"),
    Case(#"{"action_type":"t","outcome": ^1}"#, "'outcome' must be a string, not"),
    .member(#""kernel":^null"#, "'kernel' must be a string, not null"),
    .member(#""note":^{}"#, "'note' must be a string, not"), .member(#""via_edge":^false"#, "'via_edge' must be a string or null, not"),
    .member(#""intent":^[]"#, "'intent' must be an object or null, not"), .member(#""evidence":^"x""#, "'evidence' must be an object or null, not"),
    .member(#""before_state":^0"#, "'before_state' must be an object or null, not"),
    .member(#""after_state":^true"#, "'after_state' must be an object or null, not"),
    .member(#""attempt":^1.0"#, "'attempt' must be an integer of 64 bits, not"),
    .member(#""attempt":^null"#, "'attempt' must be an integer of 64 bits, not"),
    .member(#""attempt":^"1""#, "'attempt' must be an integer of 64 bits, not"),
    .member(#""attempt":^true"#, "'attempt' must be an integer of 64 bits, not"),
    .member(#""attempt":^9223372036854775808"#, "'attempt' must fit into 64 bits, from -2^63 to 2^63 - 1"),
    .member(#""attempt":^-9223372036854775809"#, "'attempt' must fit into 64 bits, from -2^63 to 2^63 - 1"),
  ]

  private static let wrongCloses = [
    Case(#"{"close":^null}"#, "'close' must be an object"), Case(#"{"close": ^"complete"}"#, "'close' must be an object"),
    Case(#"{"close":{^"note":"x"}}"#, "'note' is no member of 'close'"),
    Case(#"{"close":{"outcome":^null}}"#, "'outcome' must be a string, not null"),
    Case(#"{"close":{"ended_at":^null}}"#, "'ended_at' must be a timestamp like"),
    Case(#"{"close":{"outcome":"a",^"outcome":"b"}}"#, "'outcome' stands here twice"),
    Case(#"{"close":{},^"close":{}}"#, "'close' stands here twice"),
    Case(#"{^"close":{},"note":"x"}"#, "'close' must be alone in its object"), .member(#"^"close":{}"#, "'close' must be alone in its object"),
    Case(#"{"close":{}^"#, "',' or '}' is expected here"), Case(#"{"close":{}}^}"#, "nothing more is expected here"),
  ]

  private static let wrongTimes: [Case] = [
    "", "2026-03-14", "2026-03-14T20:00:02Z", "2026-03-14T20:00:02.000Z", "2026-03-14T20:00:02.0000000Z", "2026-03-14T20:00:02.000000",
    "2026-03-14T20:00:02.000000z",
    "2026-03-14T20:00:02.000000+00:00", "2026-03-14 20:00:02.000000Z", "2026-02-29T20:00:02.000000Z", "2026-13-01T20:00:02.000000Z",
    "2026-03-00T20:00:02.000000Z",
    "2026-03-14T24:00:00.000000Z", "2026-03-14T20:60:00.000000Z", "2026-03-14T20:00:60.000000Z", "0999-12-31T20:00:02.000000Z",
    "10000-01-01T00:00:00.000000Z",
    "2026-03-14T20:00:02.00000\u{FF10}Z",
  ].map { .member(#""generated_at":^"\#($0)""#, "'generated_at' must be a timestamp like 2026-03-14T20:00:02.000000Z, a time that there is") }

  private static let overTheLimits: [Case] = [
    .member(
      #""intent":{"k":"# + String(repeating: "[", count: 510) + "^[" + String(repeating: "]", count: 511) + "}", "nested deeper than 512 levels"),
    .member(#""intent":{"k":^"# + String(repeating: "7", count: 4301) + "}", "an integer of 4301 digits is over the limit of 4300"),
    .member(#""attempt":^-"# + String(repeating: "7", count: 4301), "an integer of 4301 digits is over the limit of 4300"),
  ]

  @Test(arguments: noJSON + notUTF8 + wrongMembers + wrongCloses + wrongTimes + overTheLimits)
  func isNamedWithPlaceAndReason(_ bad: Case) async throws {
    let result = try await bench.run(
      newSession("s1") + ["--ack"], input: Array("\(action("a"))\n".utf8) + bad.line + Array("\n\(action("c"))\n".utf8))
    #expect(result.status == 65)
    #expect(result.text == "s1\n1\n")
    let message = "ckprov-log: line 2, column \(bad.column): \(bad.reason)"
    #expect(result.errors.hasPrefix(message), "\(result.errors) is not \(message)")
    #expect(result.errors.hasSuffix("; what came before is kept, session s1 stays open for --resume\n"))
    #expect(result.errors.filter { $0 == "\n" }.count == 1)
  }

  @Test func linesAreCountedAcrossReadsAndBlanks() async throws {
    let result = try await bench.recording(newSession("s1") + ["--ack"]) { record in
      _ = try await record.line()
      try await record.write("\n\r\n" + action("a") + "\n")
      #expect(try await record.line() == "1")
      try await record.write(closing + "\n" + action("b") + "\n\n{")
      #expect(try await record.line() == "2")
      try await record.write("\n")
    }
    #expect(result.status == 65)
    #expect(result.errors.hasPrefix("ckprov-log: line 7, column 2: a key in double quotes"), "\(result.errors)")
  }

  @Test func lastLineWithoutAnEndMayBeBad() async throws {
    let result = try await bench.run(newSession("s1") + ["--ack"], input: Array((action("a") + "\n" + #"{"action_type":"#).utf8))
    #expect(result.status == 65 && result.text == "s1\n1\n")
    #expect(result.errors.hasPrefix("ckprov-log: line 2, column 16: "))
  }

  @Test func sessionStaysOpenForResume() async throws {
    _ = try await bench.record("s1", [action("a"), "bad", action("unread")])
    #expect(try await bench.outcome("s1") == "in_progress")
    #expect(try await bench.run("verify", "s1").status == 0)
    let resumed = try await bench.run("record", "--resume", "s1", "--ack", input: action("b"))
    #expect(resumed.text == "s1\n2\n")
    #expect(try await bench.notes("s1") == ["a", "b"])
  }

  @Test func afterACloseLineTheCloseStands() async throws {
    let result = try await bench.record("s1", [action("a"), #"{"close":{"outcome":"aborted"}}"#, "bad"])
    #expect(result.status == 65)
    #expect(try await bench.outcome("s1") == "aborted")
  }

  @Test func messageIsOneLineWhateverTheKey() async throws {
    let result = try await bench.record("s1", [#"{"a\u001b[31m\n\u202e\#(String(repeating: "x", count: 5000))":1}"#])
    #expect(result.status == 65)
    #expect(result.errors.hasPrefix(#"ckprov-log: line 1, column 2: 'a\x1b[31m\x0a\u202exx"#) && result.errors.utf8.count < 400, "\(result.errors)")
  }
}
