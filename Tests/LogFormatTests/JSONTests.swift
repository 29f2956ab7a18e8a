import LogFormat
import ProvenanceLog
import TestSupport
import Testing

struct JSONTests {
  /// Python's `json.loads` and `json.dumps` are the oracle, text by text: what they accept, and what they make of it.
  @Test func textIsReadAndWrittenAsPythonDoes() async throws {
    guard await referenceIsAvailable() else { return }
    let seed = setting("CKPROV_SEED") ?? String(UInt32.random(in: .min ... .max))
    let count = setting("CKPROV_COUNT") ?? "1000"
    let script = repositoryPath() + "/Tests/DifferentialTests/reference.py"
    let cases = try await runProgram("python3", [script, "text", "--seed", seed, "--count", count])
    #expect(cases.status == 0, "\(cases.errors)")
    var (accepted, refused) = (0, 0)
    for line in cases.output.split(separator: 0x0A) {
      guard case .object(let object) = try JSONValue(json: String(decoding: line, as: UTF8.self)), case .string(let text)? = object["json"] else {
        Issue.record("not a case")
        continue
      }
      let value = try? text.bytes.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
      if case .string(let canonical)? = object["canonical"] {
        accepted += 1
        #expect(try value?.compactJSON() == canonical.bytes, "seed \(seed): \(text)")
        #expect(try transcoded(text) == canonical.bytes, "seed \(seed): \(text)")
      } else {
        refused += 1
        #expect(value == nil, "seed \(seed): \(text)")
        #expect((try? transcoded(text)) == nil, "seed \(seed): \(text)")
      }
    }
    #expect(accepted > 100 && refused > 10)
    print("JSON text: seed \(seed), \(accepted) texts read and written as Python does, \(refused) refused")
  }

  private func transcoded(_ text: JSONString) throws -> [UInt8] {
    try text.bytes.withRawBytes { bytes throws(LogError) in
      var parser = try JSONParser(bytes)
      var buffer = ByteBuffer()
      try parser.transcode(to: &buffer)
      try parser.end()
      return Array(buffer.bytes)
    }
  }

  @Test func everyCodePointIsEscapedAsInPython() async throws {
    guard await referenceIsAvailable() else { return }
    let script = "import json,sys\nfor c in range(0x110000): sys.stdout.write(json.dumps(chr(c))+'\\n')"
    let expected = try await runProgram("python3", ["-c", script])
    var ours: [UInt8] = []
    for point in UInt32(0)..<0x11_0000 {
      var wtf8: [UInt8] = []
      wtf8.appendWTF8(point)
      ours += try JSONValue.string(JSONString(wtf8: wtf8)).compactJSON() + [0x0A]
    }
    let isSame = ours == expected.output
    #expect(isSame)
  }

  /// An escape may stand at any place of the eight bytes that are looked at together, and at any distance from the end.
  @Test func escapesAreFoundAtEveryOffset() throws {
    for length in 0..<40 {
      for at in 0..<length {
        for special in ["\"", "\\", "\u{1F}", "\u{7F}", "é", "\u{1F9ED}", "\u{FFFF}"] {
          var text = String(repeating: "a", count: length)
          text.replaceSubrange(text.index(text.startIndex, offsetBy: at)...text.index(text.startIndex, offsetBy: at), with: special)
          let json = try JSONValue(text).compactJSON()
          #expect(json.allSatisfy { 0x20...0x7E ~= $0 })
          let back = try json.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
          #expect(back == JSONValue(text))
        }
      }
    }
  }

  @Test func nestingIsBoundedAt512() throws {
    func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
    #expect(throws: Never.self) { try JSONValue(json: nested(512)) }
    #expect { try JSONValue(json: nested(513)) } throws: { ($0 as? LogError)?.code == .tooLarge && ($0 as? LogError)?.offset == 512 }
    #expect { try JSONValue(json: String(repeating: "[", count: 1_000_000)) } throws: { ($0 as? LogError)?.code == .tooLarge }
  }

  @Test(arguments: [("{\"a\":1,}", UInt64(7)), ("[1 2]", 3), ("\"a\nb\"", 2), ("nul", 0), ("{\"a\" 1}", 5), ("[1", 2), ("\"\\x\"", 1)])
  func errorsNameTheByte(_ text: String, _ offset: UInt64) {
    #expect { try JSONValue(json: text) } throws: { ($0 as? LogError)?.offset == offset }
  }

  @Test func bytesThatAreNoUTF8AreNamed() {
    for bytes: [UInt8] in [[0x22, 0x61, 0xFF, 0x22], [0x22, 0x61, 0xC0, 0x80, 0x22], [0x22, 0x61, 0xED, 0xA0, 0x80, 0x22]] {
      #expect { try RawJSON(utf8: bytes) } throws: { ($0 as? LogError)?.offset == 2 }
    }
  }

  @Test func manyEqualKeysAreJoinedInTheirFirstPlace() throws {
    let text = "{" + (0..<100_000).map { "\"k\($0 % 50_000)\":\($0)" }.joined(separator: ",") + "}"
    guard case .object(let object) = try JSONValue(json: text) else { return }
    #expect(object.count == 50_000)
    #expect(object.keys[7] == "k7" && object.values[7] == 50_007)
  }
}

struct ReindenterTests {
  private let value: JSONValue = [
    "empty": [:], "none": [], "list": [1, [2, ["x": nil]], "a,b:{}[]\\\"\n"], "text": JSONValue(String(repeating: "é\"", count: 50)), "n": 1.5,
  ]

  /// In pieces of any size the same bytes come out.
  @Test func outputDoesNotDependOnTheRoomOffered() throws {
    var whole = ByteBuffer()
    try whole.appendIndented(value, level: 1)
    let json = try value.compactJSON()
    for extra in 0..<100 {
      var reindenter = Reindenter(level: 1)
      var pieces: [UInt8] = []
      var isFinished = false
      while !isFinished {
        var room = [UInt8](repeating: 0, count: Reindenter.roomMin + extra)
        let written = try room.withUnsafeMutableBytes { room in
          try json.withRawBytes { json throws(LogError) in try reindenter.write(json, into: room) }
        }
        pieces += room[0..<written.count]
        isFinished = written.isFinished
      }
      let isSame = pieces == Array(whole.bytes)
      #expect(isSame, "room \(extra)")
    }
  }

  @Test(arguments: ["[", "]", "{}}", "[[]", "\"abc", "{\"a\":1"])
  func bracketsThatDoNotMatchAreCorrupt(_ text: String) {
    var reindenter = Reindenter(level: 0)
    var room = [UInt8](repeating: 0, count: 4096)
    #expect {
      try room.withUnsafeMutableBytes { room in
        _ = try Array(text.utf8).withRawBytes { json throws(LogError) in try reindenter.write(json, into: room) }
      }
    } throws: { ($0 as? LogError)?.code == .corrupt }
  }
}
