/// The name of a session and of its log: 1 to 64 of `A–Z a–z 0–9 . _ -`, beginning with neither a dot nor a dash (Format/directory.md).
///
/// It can only be made of text that keeps these rules, so it is always safe as one component of a path.
public struct SessionID: Sendable, Hashable, Comparable, CustomStringConvertible {
  public let description: String

  /// - Throws: `LogError` `invalidInput` for text that is no session id.
  public init(_ text: String) throws(LogError) {
    guard Self.isValid(text) else {
      throw LogError(
        .invalidInput,
        "'\(escapedForTerminal(String(text.prefix(80))))' is no session id: use 1 to 64 of A-Z a-z 0-9 . _ -, not starting with a dot or a dash")
    }
    description = text
  }

  /// Also true of every non-empty prefix of a session id.
  package static func isValid(_ text: String) -> Bool {
    let bytes = text.utf8
    guard 1...64 ~= bytes.count, let first = bytes.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
    return bytes.allSatisfy {
      switch $0 {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
  }

  /// Eight lower-case hex digits out of 32 random bits.
  package init(bits: UInt32) {
    let hex = String(bits, radix: 16)
    description = String(repeating: "0", count: 8 - hex.count) + hex
  }

  public static func < (a: SessionID, b: SessionID) -> Bool { a.description.utf8.lexicographicallyPrecedes(b.description.utf8) }
}
