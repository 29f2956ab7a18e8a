import ProvenanceModel
import Testing

struct PythonTextTests {
  private static let floats: [(Double, String)] = [
    (0.0, "0.0"), (-0.0, "-0.0"), (1, "1.0"), (0.1, "0.1"), (-2.5, "-2.5"), (0.0001, "0.0001"), (0.00001, "1e-05"),
    (1.5e-7, "1.5e-07"), (-1.25e-10, "-1.25e-10"), (1e15, "1000000000000000.0"), (9_999_999_999_999_998, "9999999999999998.0"),
    (1e16, "1e+16"), (-1e16, "-1e+16"),
    (10_000_000_000_000_002, "1.0000000000000002e+16"), (12_000_000_000_000_000, "1.2e+16"), (0x1p54, "1.8014398509481984e+16"),
    (0x1p54 - 2, "1.8014398509481982e+16"), (1e22, "1e+22"), (1e23, "1e+23"), (1e100, "1e+100"),
    (.leastNonzeroMagnitude, "5e-324"),
    (1.7976931348623157e308, "1.7976931348623157e+308"), (.nan, "nan"), (-.nan, "nan"), (.infinity, "inf"), (-.infinity, "-inf"),
  ]

  @Test(arguments: floats)
  func floatsAreLaidOutAsPythonDoes(value: Double, text: String) {
    #expect(pythonRepr(value) == text)
  }

  private static let values: [(JSONValue, JSONString)] = [
    (nil, #"None"#), (true, #"True"#), (false, #"False"#), (-7, #"-7"#),
    (.largeInteger(LargeInteger("18446744073709551615")!), "18446744073709551615"), (1e16, "1e+16"),
    ("it's \"so\"\n", "it's \"so\"\n"), ([], "[]"), ([:], "{}"),
    (["a": 1, "b": [nil, "x's"]], #"{'a': 1, 'b': [None, "x's"]}"#),
    ([#"x's "y""#], #"['x\'s "y"']"#), ([#"say "y""#], #"['say "y"']"#), (["\\"], #"['\\']"#),
    (["\t\n\r\u{0}\u{8}\u{7f}\u{80}\u{a0}\u{ad}"], #"['\t\n\r\x00\x08\x7f\x80\xa0\xad']"#),
    (["é\u{301}\u{2028}\u{1F600}\u{E0001}"], "['é\u{301}\\u2028\u{1F600}\\U000e0001']"),
    // U+1FAE8 came with Unicode 15.0.
    (["\u{1FAE7}\u{1FAE8}"], "['\u{1FAE7}\\U0001fae8']"),
    ([.string(JSONString(utf16: [0xD83D, 0x20, 0xDE00]))], #"['\ud83d \ude00']"#),
  ]

  @Test(arguments: values)
  func valuesPrintAsPythonsStr(value: JSONValue, text: JSONString) {
    #expect(value.pythonText == text)
  }

  @Test func loneSurrogatesStayInAString() {
    let lone = JSONString(utf16: [0x61, 0xD83D])
    #expect(JSONValue.string(lone).pythonText == lone)
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func floatsPrintAsLivePython() {
    var random = ValueGenerator(for: "floats")
    var values = (0..<2500).map { _ in random.double() }
    values += (-1074...1023).flatMap { exponent -> [Double] in
      let power = Double(sign: .plus, exponent: exponent, significand: 1)
      return [power.nextDown, power, power.nextUp]
    }
    values += (-323...308).flatMap { exponent -> [Double] in
      let power = Double("1e\(exponent)")!
      return [power.nextDown, power, -power, power.nextUp, power * 9.5]
    }
    let answers = ReferencePython.answers(to: values.map { ["float", .string(bits($0))] })
    #expect(answers.count == values.count)
    for (value, answer) in zip(values, answers) where answer != "{\"ok\": \"\(pythonRepr(value))\"}" {
      Issue.record("\(bits(value)): \(pythonRepr(value)) instead of \(answer)")
    }
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func valuesPrintAsLivePython() {
    var random = ValueGenerator(for: "values")
    let values = (0..<1000).map { _ in random.value() }
    let answers = ReferencePython.answers(to: values.map { ["str", $0] })
    #expect(answers.count == values.count)
    for (value, answer) in zip(values, answers) where answer != jsonText(["ok": .string(value.pythonText)]) {
      Issue.record("\(jsonText(value)): \(value.pythonText) instead of \(answer)")
    }
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func codePointsAreWhatLivePythonTakesThemFor() {
    let flags = ReferencePython.codePointFlags()
    #expect(flags.count == 0x110000)
    let wrong = flags.indices.filter { codePoint in
      flags[codePoint] != flagsOfCodePoint(UInt32(codePoint))
    }
    #expect(wrong.isEmpty, "\(wrong.prefix(10).map { String($0, radix: 16) })")
  }

  private func flagsOfCodePoint(_ codePoint: UInt32) -> UInt8 {
    let flags: UInt8 = (PythonCodePoints.isPrintable(codePoint) ? 1 : 0) | (PythonCodePoints.isDigit(codePoint) ? 4 : 0)
    return PythonCodePoints.decimalDigit(codePoint).map { flags | 2 | $0 << 4 } ?? flags
  }
}

/// Sixteen hex digits.
func bits(_ value: Double) -> JSONString {
  let hex = String(value.bitPattern, radix: 16)
  return JSONString(String(repeating: "0", count: 16 - hex.count) + hex)
}
