/// One element of a Python string: a Unicode scalar or a surrogate.
struct CodePoint: Comparable, ExpressibleByUnicodeScalarLiteral {
  let value: UInt32

  init(_ value: UInt32) { self.value = value }
  init(unicodeScalarLiteral scalar: Unicode.Scalar) { value = scalar.value }

  static func < (a: CodePoint, b: CodePoint) -> Bool { a.value < b.value }

  /// As `str.isdigit()` has it: also superscripts and the like, which `int()` refuses.
  var isDigit: Bool { PythonCodePoints.isDigit(value) }

  /// 0 to 9 for what `\d` matches.
  var decimalDigit: UInt8? { PythonCodePoints.decimalDigit(value) }
}

typealias CodePoints = ArraySlice<CodePoint>

extension CodePoints {
  init(_ text: JSONString) {
    self = text.codePoints.map(CodePoint.init)[...]
  }

  func starts(withASCII prefix: StaticString) -> Bool {
    prefix.withUTF8Buffer { bytes in starts(with: bytes.lazy.map { CodePoint(UInt32($0)) }) }
  }
}

extension JSONString {
  init(_ text: CodePoints) {
    self.init(wtf8: text.reduce(into: []) { $0.appendWTF8($1.value) })
  }
}

/// The regular expressions of `cklib.urn`, over code points. Each matches as `re.match` does: `\d` is a decimal digit of any
/// script, `.` no newline, and `$` stands at the end and before a newline that ends the text.
enum URNPattern {
  /// `^ckp://([A-Za-z]+)#([^:?]+?)(?::v(\d+\.\d+(?:\.\d+)?))?(?:\?(.+))?$`
  ///
  /// The identifier ends at the first `:` or `?`: with one of these after it a shorter one has nothing to match.
  static func base(_ text: CodePoints) -> (entityType: CodePoints, identifier: CodePoints, version: CodePoints?)? {
    guard text.starts(withASCII: "ckp://"), let hash = text.firstIndex(of: "#"), hash > 6, text[6..<hash].allSatisfy(isLetter)
    else { return nil }
    let rest = text[(hash + 1)...]
    let end = rest.firstIndex { $0 == ":" || $0 == "?" } ?? rest.endIndex
    guard end > rest.startIndex else { return nil }
    if end == rest.endIndex { return (text[6..<hash], rest.count > 1 ? beforeFinalNewline(rest) : rest, nil) }

    var tail = rest[end...]
    var version: CodePoints?
    if tail.first == ":" {
      guard tail.dropFirst().first == "v", let number = versionNumber(tail.dropFirst(2)) else { return nil }
      version = number
      tail = tail[number.endIndex...]
    }
    if tail.first == "?" {
      let query = tail.dropFirst().prefix { $0 != "\n" }
      guard !query.isEmpty else { return nil }
      tail = tail[query.endIndex...]
    }
    return beforeFinalNewline(tail).isEmpty ? (text[6..<hash], rest[..<end], version) : nil
  }

  /// `\d+\.\d+(?:\.\d+)?`, as much of it as `text` begins with.
  private static func versionNumber(_ text: CodePoints) -> CodePoints? {
    let major = text.prefix(while: isDecimal)
    guard !major.isEmpty, let minor = dotNumber(text[major.endIndex...]) else { return nil }
    let patch = dotNumber(text[minor.endIndex...])
    return text[..<(patch ?? minor).endIndex]
  }

  /// `\.\d+`
  private static func dotNumber(_ text: CodePoints) -> CodePoints? {
    let digits = text.dropFirst().prefix(while: isDecimal)
    return text.first == "." && !digits.isEmpty ? text[..<digits.endIndex] : nil
  }

  /// `^([A-Za-z0-9.-]+)-(\d{10,13})-([a-f0-9]+)$`
  static func timestamped(_ text: CodePoints) -> (type: CodePoints, timestamp: CodePoints, hash: CodePoints)? {
    let text = beforeFinalNewline(text)
    guard let last = text.lastIndex(of: "-"), let first = text[..<last].lastIndex(of: "-") else { return nil }
    let (type, timestamp, hash) = (text[..<first], text[(first + 1)..<last], text[(last + 1)...])
    guard !type.isEmpty, type.allSatisfy({ isLetter($0) || isASCIIDigit($0) || $0 == "." || $0 == "-" }),
      10...13 ~= timestamp.count, timestamp.allSatisfy(isDecimal), !hash.isEmpty, hash.allSatisfy(isLowerHex)
    else { return nil }
    return (type, timestamp, hash)
  }

  /// `^Connection-(.+?)-to-(.+?)-([A-Z_]+)$`
  static func connection(_ text: CodePoints) -> (source: CodePoints, target: CodePoints, predicate: CodePoints)? {
    let text = beforeFinalNewline(text)
    guard text.starts(withASCII: "Connection-"), let last = text.lastIndex(of: "-") else { return nil }
    let (names, predicate) = (text[..<last].dropFirst(11), text[(last + 1)...])
    guard !names.contains("\n"), !predicate.isEmpty, predicate.allSatisfy({ isUpper($0) || $0 == "_" }),
      let to = names.indices.dropFirst().first(where: { names[$0...].starts(withASCII: "-to-") }), to + 4 < last
    else { return nil }
    return (names[..<to], names[(to + 4)...], predicate)
  }

  /// `^[A-Z][A-Za-z]+\.[A-Za-z0-9.]+$`
  static func isKernelName(_ text: CodePoints) -> Bool {
    let text = beforeFinalNewline(text)
    let prefix = text.prefix(while: isLetter)
    let rest = text[prefix.endIndex...]
    return prefix.count >= 2 && isUpper(prefix.first!) && rest.count >= 2 && rest.first == "."
      && rest.allSatisfy { isLetter($0) || isASCIIDigit($0) || $0 == "." }
  }

  /// `^T\d{3,}$`
  static func isTaskID(_ text: CodePoints) -> Bool {
    let text = beforeFinalNewline(text)
    return text.first == "T" && text.count >= 4 && text.dropFirst().allSatisfy(isDecimal)
  }

  /// `^i-[a-z]+-[a-f0-9]+-\d+$`
  static func isInstanceID(_ text: CodePoints) -> Bool {
    let parts = beforeFinalNewline(text).split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 4, parts.allSatisfy({ !$0.isEmpty }) else { return false }
    return parts[0] == ["i"] && parts[1].allSatisfy(isLower) && parts[2].allSatisfy(isLowerHex) && parts[3].allSatisfy(isDecimal)
  }

  /// What a pattern that ends in `$` has to match, if what it matches last is no newline.
  private static func beforeFinalNewline(_ text: CodePoints) -> CodePoints {
    text.last == "\n" ? text.dropLast() : text
  }

  private static func isUpper(_ codePoint: CodePoint) -> Bool { "A"..."Z" ~= codePoint }
  private static func isLower(_ codePoint: CodePoint) -> Bool { "a"..."z" ~= codePoint }
  private static func isLetter(_ codePoint: CodePoint) -> Bool { isUpper(codePoint) || isLower(codePoint) }
  private static func isASCIIDigit(_ codePoint: CodePoint) -> Bool { "0"..."9" ~= codePoint }
  private static func isLowerHex(_ codePoint: CodePoint) -> Bool { "a"..."f" ~= codePoint || isASCIIDigit(codePoint) }
  private static func isDecimal(_ codePoint: CodePoint) -> Bool { codePoint.decimalDigit != nil }
}
