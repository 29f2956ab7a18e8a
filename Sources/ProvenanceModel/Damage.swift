/// A place of a log that is not as it must be: what a reader stops at, `verify` lists and `recover` passes over (Format/reports.md).
package struct Damage: Sendable, Equatable, CustomStringConvertible {
  package enum Kind: String, Sendable, CaseIterable {
    /// Behind the last whole frame stands what nothing vouches for, and no whole frame in it.
    case tornTail = "torn_tail"
    /// The same, with whole frames in it: they were written after the one that is not whole.
    case tailInDoubt = "tail_in_doubt"
    case corruption
    case missing
    case unexpected
  }

  /// Raw values are what programs see.
  package enum Cause: String, Sendable, CaseIterable {
    case unvouched
    case neverWritten = "never_written"
    case headerChecksum = "header_checksum"
    case tooLong = "too_long"
    case overrun
    case payloadChecksum = "payload_checksum"
    case wrongSequence = "wrong_sequence"
    case segmentHeader = "segment_header"
    case fileName = "file_name"
    case sealedIndex = "sealed_index"
    case sealedTrailer = "sealed_trailer"
    case chunk
    case record
    case checkpoint
    case firstFile = "first_file"
    case framesMissing = "frames_missing"
    case otherSession = "other_session"
    case otherSegment = "other_segment"
    case view
  }

  package var kind: Kind
  package var cause: Cause
  /// What was found there, as a sentence for a person.
  package var message: String
  /// File name, and offset in its raw bytes.
  package var segment: String
  package var offset: UInt64
  /// Raw bytes that cannot be used; 0 where nothing stands, or where only their meaning is wrong.
  package var size: UInt64
  /// Frames that are lost, as far as it is known.
  package var sequences: Range<UInt64>
  /// Of the checksum that is wrong.
  package var storedCRC: UInt32?
  package var computedCRC: UInt32?

  package init(
    _ cause: Cause, _ message: String, kind: Kind? = nil, segment: String, offset: UInt64, size: UInt64 = 0, sequences: Range<UInt64>,
    storedCRC: UInt32? = nil, computedCRC: UInt32? = nil
  ) {
    self.kind = kind ?? cause.kind
    self.cause = cause
    self.message = message
    self.segment = segment
    self.offset = offset
    self.size = size
    self.sequences = sequences
    self.storedCRC = storedCRC
    self.computedCRC = computedCRC
  }

  /// One line: where, which frames, and what was found there.
  package var description: String {
    let frames =
      switch framesLost {
      case 0: "sequence \(sequences.lowerBound)"
      case 1: "sequence \(sequences.lowerBound) is lost"
      default: "sequences \(sequences.lowerBound) to \(sequences.upperBound - 1) are lost"
      }
    let bytes = size > 0 ? ", \(size) bytes" : ""
    return escapedForTerminal("\(segment), offset \(offset)\(bytes), \(frames): \(message) [\(kind.rawValue): \(cause.rawValue)]")
  }

  package var framesLost: UInt64 { sequences.upperBound - sequences.lowerBound }

  /// A part of a write that a crash left behind, and no damage.
  package var isTail: Bool { kind == .tornTail || kind == .tailInDoubt }
}

extension Damage.Cause {
  fileprivate var kind: Damage.Kind {
    switch self {
    case .unvouched: .tornTail
    case .firstFile, .framesMissing: .missing
    case .otherSession, .otherSegment, .fileName, .view: .unexpected
    default: .corruption
    }
  }
}

extension LogError {
  /// - Parameter log: the log's directory, which is named after its session.
  package init(_ damage: Damage, in log: String) {
    let id = log.split(separator: "/").last.flatMap { $0.hasSuffix(".log") ? String($0.dropLast(4)) : nil }
    let remedy = damage.message.contains("; '") ? nil : id.map { "; 'recover \($0)' shows what can be kept" }
    self.init(
      .corrupt, damage.message + (remedy ?? ""), path: log, segment: damage.segment, sequence: damage.sequences.lowerBound, offset: damage.offset,
      errno: nil,
      damage: damage)
  }
}
