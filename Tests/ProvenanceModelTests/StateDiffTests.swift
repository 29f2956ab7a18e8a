import ProvenanceModel
import Testing

struct StateDiffTests {
  private static let loneNaN: JSONValue = .double(.nan)

  private static let summaries: [(JSONObject, JSONObject, JSONString)] = [
    (["a": 1], ["a": 2], "a: 1 -> 2"),
    (["b": 1, "a": "x"], ["a": "y", "b": 1.5], "a: x -> y | b: 1 -> 1.5"),
    (["a": nil], ["a": 1], "a: None -> 1"),
    (["a": 1], ["b": 1], "a: 1 -> None | b: None -> 1"),
    (["a": nil], ["b": 1, "a": nil], "b: None -> 1"),
    (["a": nil, "b": nil], ["c": nil], "no change"),
    (["a": [1]], ["a": [2]], "a: changed"),
    (["a": [1]], ["b": 0], "a: changed | b: None -> 0"),
    (["a": ["x": "it's"]], ["a": true], #"a: {'x': "it's"} -> True"#),
    (["a": 1, "b": 1, "c": 1.0, "d": 0], ["a": 1.0, "b": true, "c": true, "d": -0.0], "no change"),
    (["a": "1", "b": 0, "c": []], ["a": 1, "b": nil, "c": [:]], "a: 1 -> 1 | b: 0 -> None | c: changed"),
    (["a": 9_007_199_254_740_993], ["a": 9_007_199_254_740_992.0], "a: 9007199254740993 -> 9007199254740992.0"),
    (["a": 9_007_199_254_740_992], ["a": 9_007_199_254_740_992.0], "no change"),
    (["a": ["x": 1, "y": [1.0, nil]]], ["a": ["y": [true, nil], "x": 1.0]], "no change"),
    (["a": ["x": 1, "y": nil]], ["a": ["x": 1, "z": nil]], "a: changed"),
    (["é": 1], ["e\u{301}": 1], "e\u{301}: None -> 1 | é: 1 -> None"),
    (["a": loneNaN], ["a": loneNaN], "a: nan -> nan"),
    (["a": [loneNaN], "b": ["x": loneNaN]], ["a": [loneNaN], "b": ["x": loneNaN]], "no change"),
    (["": [1]], ["": [2]], ": changed"),
  ]

  @Test(arguments: summaries)
  func summaryIsWordedAsByTheReference(before: JSONObject, after: JSONObject, summary: JSONString) {
    #expect(diffSummary(before: before, after: after) == summary)
  }

  @Test func thereIsNoSummaryWithAnEmptyState() {
    #expect(diffSummary(before: [:], after: ["a": 1]) == nil)
    #expect(diffSummary(before: ["a": 1], after: [:]) == nil)
  }

  private static let largeIntegers: [(String, Double, Bool)] = [
    ("9223372036854775808", 0x1p63, true), ("9223372036854775809", 0x1p63, false), ("-9223372036854775809", -0x1p63, false),
    ("18446744073709551616", 0x1p64, true), ("-18446744073709551616", -0x1p64, true), ("18446744073709551616", -0x1p64, false),
    ("99999999999999991611392", 1e23, true), ("100000000000000000000000", 1e23, false),
    ("1" + String(repeating: "0", count: 4000), .infinity, false), ("18446744073709551616", .nan, false),
  ]

  @Test(arguments: largeIntegers)
  func integersBeyond64BitsEqualFloatsExactly(digits: String, float: Double, equal: Bool) throws {
    let integer = try #require(JSONValue(integer: digits))
    #expect((diffSummary(before: ["a": integer], after: ["a": .double(float)]) == "no change") == equal)
    #expect((diffSummary(before: ["a": [.double(float)]], after: ["a": [integer]]) == "no change") == equal)
  }

  @Test func manyKeysTakeNoQuadraticTime() {
    let members = (0..<20_000).map { (key: JSONString("key \($0)"), value: JSONValue.integer(Int64($0))) }
    let (forward, backward) = (JSONObject(members), JSONObject(members.reversed()))
    let time = ContinuousClock().measure {
      #expect(diffSummary(before: ["nested": .object(forward)], after: ["nested": .object(backward)]) == "no change")
      #expect(diffSummary(before: forward, after: backward) == "no change")
    }
    #expect(time < .seconds(10))
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func summaryIsThatOfTheLiveReference() {
    var random = ValueGenerator(for: "state diffs")
    let pairs = (0..<700).map { _ in
      let before = random.object()
      return (before: before, after: random.below(6) == 0 ? random.object() : random.changed(before, inside: false))
    }
    let answers = ReferencePython.answers(to: pairs.map { ["diff", .object($0.before), .object($0.after)] })
    #expect(answers.count == pairs.count)
    for (pair, answer) in zip(pairs, answers) {
      let summary = diffSummary(before: pair.before, after: pair.after)
      guard answer != jsonText(["ok": summary.map(JSONValue.string) ?? nil]) else { continue }
      Issue.record(
        "\(jsonText(.object(pair.before))) to \(jsonText(.object(pair.after))): \(summary ?? "nil") instead of \(answer)")
    }
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func largeFloatsEqualTheIntegersThatLivePythonMakesOfThem() throws {
    var random = ValueGenerator(for: "large floats")
    let floats = (0..<300).map { _ in
      Double(
        sign: random.pick([.plus, .minus]), exponent: 63 + random.below(961),
        significand: Double.random(in: 1..<2, using: &random))
    }
    let answers = ReferencePython.answers(to: floats.map { ["int", .string(bits($0))] })
    #expect(answers.count == floats.count)
    for (float, answer) in zip(floats, answers) {
      let digits = answer.filter { $0.isNumber || $0 == "-" }
      let integer = try #require(JSONValue(integer: digits))
      #expect(diffSummary(before: ["a": integer], after: ["a": .double(float)]) == "no change", "\(bits(float))")
      let other = try #require(JSONValue(integer: digits.dropLast() + (digits.last == "1" ? "2" : "1")))
      #expect(diffSummary(before: ["a": other], after: ["a": .double(float)]) != "no change", "\(bits(float))")
    }
  }
}

extension ValueGenerator {
  /// `object` with some members dropped, replaced, moved, or made what Python calls equal.
  fileprivate mutating func changed(_ object: JSONObject, inside: Bool) -> JSONObject {
    var members = object.compactMap { member -> JSONObject.Member? in
      below(12) == 0 ? nil : (member.key, changed(member.value))
    }
    if below(2) == 0 { members.shuffle(using: &self) }
    if !inside, below(3) == 0 { members.append((string(), value())) }
    return JSONObject(members)
  }

  private mutating func changed(_ value: JSONValue) -> JSONValue {
    switch value {
    case .array(let elements) where below(4) > 0: .array(elements.map { below(4) == 0 ? changed($0) : $0 })
    case .object(let members) where below(4) > 0: .object(changed(members, inside: true))
    case .integer(let number) where below(2) == 0: number == 0 || number == 1 ? .bool(number == 1) : .double(Double(number))
    case .largeInteger(let number) where below(2) == 0: .double(Double(number.digits)!)
    case .bool(let flag) where below(2) == 0: flag ? 1.0 : -0.0
    case .double(let number) where below(2) == 0: Int64(exactly: number).map(JSONValue.integer) ?? value
    default: below(4) == 0 ? self.value() : value
    }
  }
}
