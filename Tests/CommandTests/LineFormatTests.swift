import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Lines that `record` takes, and what they mean.
@Suite(.timeLimit(.minutes(10)))
struct LineFormatTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  /// Ends of lines, blank lines and white space mean nothing.
  @Test(arguments: [
    "A\nB\n", "A\nB", "A\r\nB\r\n", "A\r\nB", "\n\nA\n \t\r\n\r\n\nB\n\n", " \tA \t\nB \r", "A\n\nB\n   ",
  ])
  func endsOfLines(_ layout: String) async throws {
    let text = layout.replacing("A", with: action("a")).replacing("B", with: action("b"))
    let result = try await bench.run(newSession("s1") + ["--ack"], input: Array(text.utf8))
    #expect(result.status == 0 && result.text == "s1\n1\n2\n", "\(result.errors)")
    #expect(try await bench.notes("s1") == ["a", "b"])
  }

  @Test func fileAndStandardInputAreTheSame() async throws {
    _ = try bench.file(
      "lines", (1...3).map { #"{"action_type":"t","outcome":"failed","generated_at":"2026-03-14T20:00:0\#($0).000000Z"}"# + "\n" }.joined())
    let script = #""$C" record --label l --kernel-urn u --ack --session-id"#
    #expect(try await bench.shell("echo not read | \(script) s1 lines").text == "s1\n1\n2\n3\n")
    #expect(try await bench.shell("\(script) s2 < lines").text == "s2\n1\n2\n3\n")
    let (first, second) = (try await bench.run("cat", "s1"), try await bench.run("cat", "s2"))
    #expect(first.text == second.text && first.status == 0)
  }

  @Test func everyMemberIsRecorded() async throws {
    let line = """
      {"note":"n","generated_at":"2026-03-14T20:00:02.000500Z","attempt":-3,"after_state":{"k":2},"before_state":{"k":1},"evidence":{"b":[1,{}]},\
      "intent":{"a":1.0},"via_edge":"REQUIRES","kernel":"CK.Lib","outcome":"odd","action_type":"x.y"}
      """
    #expect(try await bench.record("s1", [line]).status == 0)
    let expected = """
      {"seq":1,"action_type":"x.y","outcome":"odd","urn":"ckp://Action#CK.Lib/x.y-1773518402000","kernel":"ckp://Kernel#CK.Lib:v1.0","via_edge":"REQUIRES",\
      "intent":{"a":1.0},"evidence":{"b":[1,{}]},"before_state":{"k":1},"after_state":{"k":2},"diff_summary":"k: 1 -> 2","attempt":-3,\
      "generated_at":"2026-03-14T20:00:02.000500Z","note":"n"}

      """
    #expect(try await bench.run("cat", "s1").text == expected)
  }

  @Test func defaultsAndNulls() async throws {
    let line =
      #"{"action_type":"","outcome":"","via_edge":null,"intent":null,"evidence":null,"before_state":null,"after_state":{"k":null},"kernel":""}"#
    #expect(try await bench.record("s1", [line]).status == 0)
    let action = try await bench.project("s1")["actions"].elements[0]
    #expect(action["kernel"] == "ckp://Kernel#CK.Test:v1.0" && action["attempt"] == 1 && action["note"] == "")
    #expect(action["after_state"] == [:])
    for key: JSONString in ["via_edge", "intent", "evidence", "before_state", "diff_summary"] { #expect(action[key] == .null) }
    #expect(Timestamp(action["generated_at"].text) != nil)
  }

  /// As `json.loads` reads them.
  @Test(arguments: [
    (#""attempt":9223372036854775807"#, #""attempt":9223372036854775807"#), (#""attempt":-9223372036854775808"#, #""attempt":-9223372036854775808"#),
    (#""attempt":-0"#, #""attempt":0"#), (#""intent":{"a":1,"b":2,"a":3}"#, #""intent":{"a":3,"b":2}"#),
    (#""intent":{"a":NaN,"b":-Infinity,"c":1E400,"d":-0.0}"#, #""intent":{"a":NaN,"b":-Infinity,"c":Infinity,"d":-0.0}"#),
    (#""note":"\ud83d\ude00 \ud83d \/ é""#, #""note":"\ud83d\ude00 \ud83d / \u00e9""#), (#""note":"\#u{7f}""#, #""note":"\u007f""#),
    (#""n\u006fte":"x""#, #""note":"x""#), ("\"intent\" :\t{ } ", #""intent":{}"#),
  ])
  func valuesMeanWhatPythonReads(_ given: String, _ recorded: String) async throws {
    let result = try await bench.record("s1", [#"{"action_type":"t","outcome":"verified",\#(given)}"#])
    try #require(result.status == 0, "\(result.errors)")
    let line = try await bench.run("cat", "s1").text
    #expect(line.contains("," + recorded + ",") || line.contains("," + recorded + "}"), "\(line)")
  }

  @Test func limitsOfNestingAndDigits() async throws {
    // The record is the first level.
    let deep = String(repeating: #"{"k":"#, count: 510) + "[]" + String(repeating: "}", count: 510)
    let long = String(repeating: "9", count: 4300)
    let lines = [deep, #"{"a":\#(long),"b":-\#(long)}"#].map { #"{"action_type":"t","outcome":"verified","intent":\#($0)}"# }
    let result = try await bench.record("s1", lines, "--ack")
    #expect(result.text == "s1\n1\n2\n", "\(result.errors)")
    let recorded = try await bench.run("cat", "s1").text
    let isKept = recorded.contains(#""intent":\#(deep),"#) && recorded.contains(#""a":\#(long),"b":-\#(long)}"#)
    #expect(isKept)
    #expect(try await bench.run("verify").status == 0)
  }

  @Test func closeTakesOutcomeAndTime() async throws {
    let close = #" { "close" : { "ended_at" : "2026-03-14T20:00:03.500000Z" , "outcome" : "" } } "#
    _ = try await bench.run(
      newSession("s1") + ["--started-at", "2026-03-14T20:00:02.000000Z"], input: Array((action("a", outcome: "failed") + "\n" + close).utf8))
    let session = try await bench.project("s1")
    #expect(session["started_at"] == "2026-03-14T20:00:02.000000Z" && session["ended_at"] == "2026-03-14T20:00:03.500000Z")
    #expect(session["duration_ms"] == 1500 && session["outcome"] == "failed")
  }

  // MARK: The longest line

  /// Through a pipe, in pieces of 64 KiB.
  @Test func lineOf64MiB() async throws {
    // A record must fit into 64 MiB too, so that the rest of the line is white space.
    let start =
      Array(#"{"action_type":"t","outcome":"verified","note":""#.utf8) + [UInt8](repeating: UInt8(ascii: "x"), count: 63 << 20) + [UInt8(ascii: "\"")]
    let line = start + [UInt8](repeating: 0x20, count: (64 << 20) - start.count - 1) + [UInt8(ascii: "}")]
    _ = try bench.file("lines", line + Array("\n\(action("b"))\n\(action(String(repeating: "c", count: 2 << 20)))".utf8))
    let result = try await bench.shell(#"cat lines | "$C" record --label l --kernel-urn u --session-id s1 --ack"#)
    #expect(result.status == 0 && result.text == "s1\n1\n2\n3\n", "\(result.errors)")
    #expect(try LogDirectory(path: bench.logPath("s1"), fileSystem: DiskFileSystem()).rawSize() > 65 << 20)
    // Over 64 MiB no view is written at close unless it is asked for.
    #expect(result.errors.hasSuffix("'ckprov-log project s1 --write' makes it\n"), "\(result.errors)")
    #expect(try !bench.exists(bench.viewPath("s1")))
  }

  @Test func longerLinesAreRefused() async throws {
    let line = [UInt8](repeating: 0x20, count: (64 << 20) + 1)
    for end in ["", "\n"] {
      let file = try bench.file("lines", Array("\(action("a"))\n".utf8) + line + Array(end.utf8))
      let result = try await bench.run(newSession("s\(end.count)") + ["--ack", file], input: [])
      #expect(result.status == 65 && result.text == "s\(end.count)\n1\n")
      #expect(result.errors.contains("line 2, column 1: the line is longer than 67108864 bytes; what came before is kept"), "\(result.errors)")
    }
  }

  /// Within the limit as it came, over it as it would be kept: é is two bytes in a line and six in a record.
  @Test func lineWhoseRecordIsTooLong() async throws {
    let lines = [action("a"), action("b"), action(String(repeating: "é", count: 12 << 20)), action("d")]
    let file = try bench.file("lines", lines.map { $0 + "\n" }.joined())
    let result = try await bench.run(newSession("s1") + ["--ack", file], input: [])
    #expect(result.status == 65 && result.text == "s1\n1\n2\n")
    #expect(result.errors.contains("line 3, column 1: "), "\(result.errors)")
    #expect(try await bench.notes("s1") == ["a", "b"])
  }
}
