import CText
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

  /// Blocks of bytes at once give what one byte after the other gives: of any JSON, whole or not, in rooms of any size.
  @Test func blocksGiveWhatBytesGive() throws {
    let seed = setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64(UInt32.random(in: .min ... .max))
    var random = SeededGenerator(seed: seed)
    let pieces = [
      "{", "}", "[", "]", "{}", "[]", ",", ":", "\"", "\"a\"", #""\"""#, "\\", "12.5", "null", " ", "\u{7F}", "é", "\t",
      "\"some {text}, as: it [is]\"",
      "\"\(String(repeating: "x", count: 70))\"", #""\u00e9\u00e8""#, "\"key\":",
    ].map { Array($0.utf8) }
    var outcomes: Set<UInt32> = []
    for number in 0..<5000 {
      var json: [UInt8] = []
      if number % 3 == 0 {
        for _ in 0..<Int.random(in: 0...40, using: &random) { json += pieces.randomElement(using: &random)! }
      } else {
        json = try JSONValue.array((0..<Int.random(in: 0...30, using: &random)).map { _ in anyValue(5, &random) }).compactJSON()
        if number % 3 == 1 { json[Int.random(in: json.indices, using: &random)] = .random(in: .min ... .max, using: &random) }
      }
      let depthMax: Int32 = number % 4 == 0 ? 3 : 20
      let room = ckprov_reindent_room(depthMax) + Int.random(in: 0...500, using: &random)
      let (bytes, blocks) = (printed(json, room, depthMax, ckprov_reindent_portable), printed(json, room, depthMax, ckprov_reindent))
      let isSame = bytes.result == blocks.result && (bytes.result != CKPROV_REINDENT_DONE || bytes.json == blocks.json)
      #expect(isSame, "seed \(seed): \(String(decoding: json, as: UTF8.self))")
      outcomes.insert(bytes.result.rawValue)
    }
    #expect(outcomes.count == 4)
  }

  private func anyValue(_ depth: Int, _ random: inout SeededGenerator) -> JSONValue {
    switch Int.random(in: 0..<(depth > 0 ? 9 : 5), using: &random) {
    case 0: return .integer(.random(in: 0...100_000, using: &random))
    case 1: return .string(JSONString(String(repeating: "\n\"", count: .random(in: 0...9, using: &random))))
    case 2: return .string(JSONString(String(repeating: "a{,", count: .random(in: 0...40, using: &random))))
    case 3: return nil
    case 4: return .string(JSONString(String(repeating: " é", count: .random(in: 0...20, using: &random))))
    case 5, 6: return .array((0..<Int.random(in: 0...5, using: &random)).map { _ in anyValue(depth - 1, &random) })
    default:
      var members: JSONObject = [:]
      for number in 0..<Int.random(in: 0...5, using: &random) { members[JSONString("key \(number)")] = anyValue(depth - 1, &random) }
      return .object(members)
    }
  }

  private typealias Reindent = (
    UnsafeMutablePointer<ckprov_reindenter>?, UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<UInt8>?, Int, Int32, UnsafeMutablePointer<Int>?
  ) -> ckprov_reindent_result

  private func printed(_ json: [UInt8], _ room: Int, _ depthMax: Int32, _ reindent: Reindent) -> (result: ckprov_reindent_result, json: [UInt8]) {
    var state = ckprov_reindenter(position: 0, level: 1, base_level: 1, in_string: 0)
    var printed: [UInt8] = []
    while true {
      var (part, count) = ([UInt8](repeating: 0, count: room), 0)
      let result = reindent(&state, json, json.count, &part, room, depthMax, &count)
      printed += part[..<count]
      if result != CKPROV_REINDENT_MORE { return (result, printed) }
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
