/// Plain text that the JSON of an action holds if the action is wanted: to look for it takes a small part of the time that reading the JSON does.
struct Needle {
  /// Where case does not count, in small letters.
  private let bytes: [UInt8]
  private let ignoresCase: Bool

  /// `nil` for what JSON may hold in another form: with escapes.
  init?(_ text: String) {
    guard !text.isEmpty, text.allSatisfy(isPlain) else { return nil }
    (bytes, ignoresCase) = (Array(text.utf8), false)
  }

  /// The longest plain text in all that fits a regular expression; `nil` if none is found by a simple look.
  init?(pattern: String, ignoresCase: Bool) {
    guard !pattern.contains(where: "()[]{}|\\".contains) else { return nil }
    var texts = [""]
    for character in pattern {
      if character == "*" || character == "?" { texts[texts.count - 1] = String(texts[texts.count - 1].dropLast()) }
      // Where case does not count, the sign of Kelvin is a k, too.
      let isPlain = isPlain(character) && !"*?+.^$".contains(character) && !(ignoresCase && character == "k")
      if isPlain { texts[texts.count - 1].append(character) } else { texts.append("") }
    }
    guard let text = texts.max(by: { $0.utf8.count < $1.utf8.count }), !text.isEmpty else { return nil }
    (bytes, self.ignoresCase) = (Array(text.utf8), ignoresCase)
  }

  func isIn(_ json: UnsafeRawBufferPointer) -> Bool {
    let (first, rest) = (bytes[0], bytes.count - 1)
    guard rest < json.count else { return false }
    for start in 0..<json.count - rest where folded(json[start]) == first {
      var count = 1
      while count <= rest, folded(json[start + count]) == bytes[count] { count += 1 }
      if count > rest { return true }
    }
    return false
  }

  private func folded(_ byte: UInt8) -> UInt8 { ignoresCase && 0x41...0x5A ~= byte ? byte | 0x20 : byte }
}

/// Whether JSON has no other form of it.
private func isPlain(_ character: Character) -> Bool {
  guard let byte = character.asciiValue else { return false }
  return 0x20..<0x7F ~= byte && character != "\"" && character != "\\"
}
