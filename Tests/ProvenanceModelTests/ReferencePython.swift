import Foundation
import ProvenanceModel

/// Python 3.11 with the reference (conceptkernel 1.3.0), asked through `reference_text.py`; not every machine has it.
enum ReferencePython {
  /// Whether it is there; says once why not.
  static let isThere: Bool = {
    let answer = String(decoding: run("probe", input: Data()), as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    if answer != "ready" { print("skipped: comparisons with live Python (\(answer.isEmpty ? "no python3" : answer))") }
    return answer == "ready"
  }()

  /// One line for each question, as `json.dumps` prints it: `{"ok": VALUE}` or `{"error": TEXT}`.
  static func answers(to questions: [JSONValue]) -> [String] {
    let lines = questions.map { jsonText($0) + "\n" }.joined()
    return String(decoding: run("answer", input: Data(lines.utf8)), as: UTF8.self).split(separator: "\n").map(String.init)
  }

  /// One byte for each code point; see the script.
  static func codePointFlags() -> [UInt8] { Array(run("code-points", input: Data())) }

  private static func run(_ mode: String, input: Data) -> Data {
    let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "reference_text.py")
    let questions = FileManager.default.temporaryDirectory.appending(path: "reference-text-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: questions) }
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", script.path, mode]
    process.standardOutput = output
    do {
      // A file, so that neither side waits for the other's pipe.
      try input.write(to: questions)
      process.standardInput = try FileHandle(forReadingFrom: questions)
      try process.run()
      let data = try output.fileHandleForReading.readToEnd() ?? Data()
      process.waitUntilExit()
      return data
    } catch {
      return Data()
    }
  }
}

/// `json.dumps(value)`, with Swift's own layout of floats.
func jsonText(_ value: JSONValue) -> String {
  switch value {
  case .null: "null"
  case .bool(let value): value ? "true" : "false"
  case .integer(let value): String(value)
  case .largeInteger(let value): value.digits
  case .double(let value): value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : value.description
  case .string(let value): jsonText(value)
  case .array(let elements): "[" + elements.map(jsonText).joined(separator: ", ") + "]"
  case .object(let members): "{" + members.map { jsonText($0.key) + ": " + jsonText($0.value) }.joined(separator: ", ") + "}"
  }
}

private func jsonText(_ text: JSONString) -> String {
  let short: [UInt32: String] = [0x22: "\\\"", 0x5C: "\\\\", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x08: "\\b", 0x0C: "\\f"]
  func escape(_ unit: UInt32) -> String { "\\u" + String(String(0x10000 + unit, radix: 16).dropFirst()) }
  let parts = text.codePoints.map { codePoint in
    if let escaped = short[codePoint] { return escaped }
    if 0x20..<0x7F ~= codePoint { return String(Character(Unicode.Scalar(UInt8(codePoint)))) }
    if codePoint < 0x10000 { return escape(codePoint) }
    return escape(0xD800 + (codePoint - 0x10000) >> 10) + escape(0xDC00 + (codePoint - 0x10000) & 0x3FF)
  }
  return "\"" + parts.joined() + "\""
}

/// Random JSON values, URNs and states; the same for the same seed.
struct ValueGenerator: RandomNumberGenerator {
  private var state: UInt64

  /// Prints the seed; the environment variable TEST_SEED replays one.
  init(for test: String) {
    let seed = ProcessInfo.processInfo.environment["TEST_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 0..<1_000_000_000)
    print("\(test): seed \(seed) (TEST_SEED=\(seed) replays it)")
    state = seed
  }

  /// SplitMix64.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &self) }

  mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

  mutating func string() -> JSONString {
    let count = below(7)
    return JSONString(utf16: (0..<count).flatMap { _ in codeUnits() })
  }

  private mutating func codeUnits() -> [UInt16] {
    switch below(8) {
    case 0: [UInt16(below(0x20))]
    case 1:
      Array(
        pick(["'", "\"", "\\", "\u{7f}", "\u{e9}", "e\u{301}", "\u{a0}", "\u{2028}", "\u{1F600}", "\u{1FAE8}", "\u{E0001}"]).utf16
      )
    case 2: [UInt16(0xD800 + below(0x800))]
    case 3: [UInt16(below(0x10000))]
    case 4: Array(String(Unicode.Scalar(UInt32(0x10000 + below(0x100000)))!).utf16)
    default: [UInt16(0x20 + below(0x5F))]
    }
  }

  mutating func double() -> Double {
    switch below(6) {
    case 0: Double(bitPattern: next())
    case 1:
      pick([
        0.0, -0.0, 1, -1, 0.5, .nan, .infinity, -.infinity, 1e16, 1e-5, 9_007_199_254_740_992, 1e22, 1e23, .leastNonzeroMagnitude,
      ])
    case 2: Double(below(1000)) / 10
    case 3: 1e16 + Double(below(0x1FFFFF)) * pick([2, 2048, 4_000_000_000])
    case 4: Double(sign: pick([.plus, .minus]), exponent: below(2046) - 1022, significand: 1)
    default: Double(below(10))
    }
  }

  mutating func integer() -> JSONValue {
    switch below(5) {
    case 0: .integer(Int64(bitPattern: next()))
    case 1: JSONValue(UInt128(next()) << 64 | UInt128(next()))
    case 2:
      pick([.integer(9_007_199_254_740_993), .integer(.max), .integer(.min), JSONValue(UInt64.max), JSONValue(UInt64(1) << 63)])
    default: .integer(Int64(below(4)))
    }
  }

  mutating func value(depth: Int = 0) -> JSONValue {
    switch below(depth < 4 ? 10 : 7) {
    case 0: .null
    case 1: .bool(below(2) == 0)
    case 2, 3: integer()
    case 4: .double(double())
    case 5, 6: .string(string())
    case 7: .array(elements(depth: depth + 1))
    default: .object(object(depth: depth + 1))
    }
  }

  private mutating func elements(depth: Int) -> [JSONValue] {
    (0..<below(4)).map { _ in value(depth: depth) }
  }

  mutating func object(depth: Int = 0) -> JSONObject {
    let count = below(6) == 0 ? below(24) : below(5)
    return JSONObject((0..<count).map { _ in (below(3) == 0 ? string() : JSONString("k\(below(30))"), value(depth: depth)) })
  }
}
