/// What went wrong, where, and what to do about it: the one error that every room throws.
///
/// `code` has one case for each different answer that a caller can give; `message` is a full sentence for a person. The places are set as far as
/// they are known. An error never promises that a record is absent: after `io` or `poisoned` it may or may not be on disk.
public struct LogError: Error, Sendable, Equatable {
  public enum Code: String, Sendable, CaseIterable {
    /// The caller's own data cannot be recorded: wrong type, bad JSON, bad id, bad timestamp.
    case invalidInput
    /// More than the format's limit (64 MiB a frame, 512 levels, 4,300 digits).
    case tooLarge
    /// No such session or file.
    case notFound
    /// The session id is taken.
    case alreadyExists
    /// A prefix fits several sessions.
    case ambiguous
    /// Another process, or another writer in this one, holds the session.
    case locked
    /// What is on disk contradicts its checksums, or a part of it is missing.
    case corrupt
    /// A version or an incompatible feature that this program does not know.
    case unsupportedVersion
    /// The disk, a quota or a file size limit is full. The record was not kept; the writer goes on once there is room.
    case noSpace
    /// The system refuses access.
    case noPermission
    /// Any other failure of the file system.
    case io
    /// An earlier sync or undo failed, so nothing more is acknowledged. Open the session anew.
    case poisoned
  }

  /// In a box of its own: what may fail, as a rule does not, and has a pointer to hand on instead of all this.
  private final class Fields: Sendable, Equatable {
    let code: Code
    let message: String
    let path: String?
    let segment: String?
    let sequence: UInt64?
    let offset: UInt64?
    let errno: Int32?
    let damage: Damage?

    init(
      _ code: Code, _ message: String, _ path: String?, _ segment: String?, _ sequence: UInt64?, _ offset: UInt64?, _ errno: Int32?, _ damage: Damage?
    ) {
      (self.code, self.message, self.path, self.segment) = (code, message, path, segment)
      (self.sequence, self.offset, self.errno, self.damage) = (sequence, offset, errno, damage)
    }

    static func == (a: Fields, b: Fields) -> Bool {
      (a.code, a.message, a.path, a.segment) == (b.code, b.message, b.path, b.segment)
        && (a.sequence, a.offset, a.errno, a.damage) == (b.sequence, b.offset, b.errno, b.damage)
    }
  }

  private let fields: Fields

  public var code: Code { fields.code }
  public var message: String { fields.message }
  public var path: String? { fields.path }
  /// The file name of the segment.
  public var segment: String? { fields.segment }
  /// The sequence of the frame.
  public var sequence: UInt64? { fields.sequence }
  /// Bytes from the start of the file (for a sealed file: of its raw bytes; for input: of the line).
  public var offset: UInt64? { fields.offset }
  public var errno: Int32? { fields.errno }
  /// With `corrupt`: what is damaged, if it is a place of a log.
  package var damage: Damage? { fields.damage }

  public init(
    _ code: Code, _ message: String, path: String? = nil, segment: String? = nil, sequence: UInt64? = nil, offset: UInt64? = nil,
    errno: Int32? = nil
  ) {
    self.init(code, message, path: path, segment: segment, sequence: sequence, offset: offset, errno: errno, damage: nil)
  }

  package init(
    _ code: Code, _ message: String, path: String?, segment: String?, sequence: UInt64?, offset: UInt64?, errno: Int32?, damage: Damage?
  ) {
    fields = Fields(code, message, path, segment, sequence, offset, errno, damage)
  }

  /// No more files may be open: EMFILE, ENFILE.
  package var isOutOfFiles: Bool { errno == 24 || errno == 23 }

  package func at(_ path: String) -> LogError { with(message, path) }

  package func adding(_ text: String) -> LogError { with(message + text, path) }

  private func with(_ message: String, _ path: String?) -> LogError {
    LogError(code, message, path: path, segment: segment, sequence: sequence, offset: offset, errno: errno, damage: damage)
  }
}

extension LogError: CustomStringConvertible {
  /// One line: place, reason, what to do; nothing in it that steers a terminal.
  public var description: String {
    var place = path ?? ""
    if let segment, !place.hasSuffix(segment) { place += place.isEmpty ? segment : "/" + segment }
    if let sequence { place += "\(place.isEmpty ? "" : ", ")sequence \(sequence)" }
    if let offset { place += "\(place.isEmpty ? "" : ", ")offset \(offset)" }
    return escapedForTerminal(place.isEmpty ? message : "\(place): \(message)")
  }
}

/// `text` with everything that could steer a terminal (C0, DEL, C1, line and bidirectional controls) as visible escapes.
public func escapedForTerminal(_ text: String) -> String {
  guard text.unicodeScalars.contains(where: steersTerminal) else { return text }
  var escaped = ""
  for scalar in text.unicodeScalars {
    if steersTerminal(scalar) {
      let hex = String(scalar.value, radix: 16)
      escaped += scalar.value < 0x100 ? "\\x" + (hex.count < 2 ? "0" : "") + hex : "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    } else {
      escaped.unicodeScalars.append(scalar)
    }
  }
  return escaped
}

package func steersTerminal(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200E, 0x200F, 0x2028...0x202E, 0x2066...0x2069: true
  default: false
  }
}
