/// `repr(value)` of a Python float: `0.1`, `1e+16`, `1e-05`, `-0.0`, `nan`, `inf`, `-inf`.
///
/// Swift prints the same shortest digits. When they come with an exponent differs, and between versions of Swift.
package func pythonRepr(_ value: Double) -> String {
  if value.isNaN { return "nan" }
  let text = value.description
  let isPlain = value == 0 || 1e-4..<1e16 ~= value.magnitude
  return value.isInfinite || isPlain && !text.utf8.contains(UInt8(ascii: "e")) ? text : laidOutAsPythonDoes(text)
}

/// A decimal notation of a float that is not 0, as Python has it: with an exponent below 10^-4 and from 10^16 on.
private func laidOutAsPythonDoes(_ text: String) -> String {
  let (digits, point) = significantDigits(text)
  var out = text.utf8.first == UInt8(ascii: "-") ? [UInt8(ascii: "-")] : []
  switch point {
  case ...(-4), 17...:
    out.append(digits[0])
    if digits.count > 1 { out.append(UInt8(ascii: ".")) }
    out += digits[1...]
    out += (point < 1 ? "e-" : "e+").utf8
    let exponent = (point - 1).magnitude
    out += (exponent < 10 ? "0\(exponent)" : "\(exponent)").utf8
  case ...0: out += "0.".utf8 + zeros(-point) + digits
  case digits.count...: out += digits + zeros(point - digits.count) + ".0".utf8
  default: out += digits[..<point] + ".".utf8 + digits[point...]
  }
  return String(decoding: out, as: UTF8.self)
}

/// The digits of `text` without zeros on either side, and the power of ten that makes the value out of `0.DIGITS`.
private func significantDigits(_ text: String) -> (digits: [UInt8], point: Int) {
  let bytes = text.utf8.drop { $0 == UInt8(ascii: "-") }
  let mantissa = bytes.prefix { $0 != UInt8(ascii: "e") }
  let whole = mantissa.prefix { $0 != UInt8(ascii: ".") }
  var digits = whole + Array(mantissa[whole.endIndex...].dropFirst())
  let leading = digits.prefix { $0 == UInt8(ascii: "0") }.count
  digits.removeFirst(leading)
  while digits.last == UInt8(ascii: "0") { digits.removeLast() }
  let exponent = Int(text[mantissa.endIndex...].dropFirst()) ?? 0
  return (digits, whole.count - leading + exponent)
}

private func zeros(_ count: Int) -> [UInt8] { [UInt8](repeating: UInt8(ascii: "0"), count: count) }

extension JSONValue {
  /// `str(value)`, as `"%s" % value` has it: `None`, `True`, a string as it is, containers as `repr` prints them.
  package var pythonText: JSONString {
    var bytes: [UInt8] = []
    appendPythonText(to: &bytes)
    return JSONString(wtf8: bytes)
  }

  /// Appends `pythonText` as WTF-8.
  package func appendPythonText(to bytes: inout [UInt8]) {
    if case .string(let text) = self { text.append(to: &bytes) } else { appendRepr(self, to: &bytes) }
  }
}

private func appendRepr(_ value: JSONValue, to bytes: inout [UInt8]) {
  switch value {
  case .null: bytes += "None".utf8
  case .bool(let value): bytes += (value ? "True" : "False").utf8
  case .integer(let value): bytes += String(value).utf8
  case .largeInteger(let value): bytes += value.digits.utf8
  case .double(let value): bytes += pythonRepr(value).utf8
  case .string(let text): appendRepr(text, to: &bytes)
  case .array(let elements):
    bytes.append(UInt8(ascii: "["))
    for (index, element) in elements.enumerated() {
      if index > 0 { bytes += ", ".utf8 }
      appendRepr(element, to: &bytes)
    }
    bytes.append(UInt8(ascii: "]"))
  case .object(let members):
    bytes.append(UInt8(ascii: "{"))
    for (index, member) in members.enumerated() {
      if index > 0 { bytes += ", ".utf8 }
      appendRepr(member.key, to: &bytes)
      bytes += ": ".utf8
      appendRepr(member.value, to: &bytes)
    }
    bytes.append(UInt8(ascii: "}"))
  }
}

/// In single quotes, or in double quotes if there are single ones and no double ones inside.
private func appendRepr(_ text: JSONString, to bytes: inout [UInt8]) {
  let codePoints = text.codePoints
  let (single, double) = (UInt32(UInt8(ascii: "'")), UInt32(UInt8(ascii: "\"")))
  let quote = codePoints.contains(single) && !codePoints.contains(double) ? double : single
  bytes.append(UInt8(quote))
  for codePoint in codePoints {
    switch codePoint {
    case quote, UInt32(UInt8(ascii: "\\")):
      bytes.append(UInt8(ascii: "\\"))
      bytes.append(UInt8(codePoint))
    case 0x20..<0x7F: bytes.append(UInt8(codePoint))
    case 0x09: bytes += "\\t".utf8
    case 0x0A: bytes += "\\n".utf8
    case 0x0D: bytes += "\\r".utf8
    case _ where PythonCodePoints.isPrintable(codePoint): bytes.appendWTF8(codePoint)
    case 0..<0x100: appendEscape("x", codePoint, digits: 2, to: &bytes)
    case 0..<0x10000: appendEscape("u", codePoint, digits: 4, to: &bytes)
    default: appendEscape("U", codePoint, digits: 8, to: &bytes)
    }
  }
  bytes.append(UInt8(quote))
}

private func appendEscape(_ letter: String, _ codePoint: UInt32, digits: Int, to bytes: inout [UInt8]) {
  let hex = String(codePoint, radix: 16)
  bytes += "\\\(letter)\(String(repeating: "0", count: digits - hex.count))\(hex)".utf8
}
