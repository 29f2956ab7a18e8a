package import ProvenanceModel

/// What a frame holds (Format/frame.md). Values from 128 on that are not listed are passed over by readers.
package struct FrameKind: RawRepresentable, Sendable, Hashable {
  package let rawValue: UInt8

  package init(rawValue: UInt8) { self.rawValue = rawValue }

  // Computed, and compared by a function of their own: other modules would look up what the compiler makes, at each frame.
  package static var sessionStarted: FrameKind { FrameKind(rawValue: 1) }
  package static var action: FrameKind { FrameKind(rawValue: 2) }
  package static var sessionClosed: FrameKind { FrameKind(rawValue: 3) }
  package static var checkpoint: FrameKind { FrameKind(rawValue: 4) }
  package static var mark: FrameKind { FrameKind(rawValue: 5) }

  package static func == (a: FrameKind, b: FrameKind) -> Bool { a.rawValue == b.rawValue }

  /// A reader of this version may meet it: it knows it or may pass over it.
  package var isReadable: Bool { 1...5 ~= rawValue || rawValue >= 128 }

  package var name: String {
    switch self {
    case .sessionStarted: "session started"
    case .action: "action"
    case .sessionClosed: "session closed"
    case .checkpoint: "checkpoint"
    case .mark: "mark"
    default: "kind \(rawValue)"
    }
  }
}

/// The 24 bytes before every payload (Format/frame.md).
package struct FrameHeader: Sendable, Equatable {
  package static let size = 24
  package static let payloadSizeMax = 64 << 20
  package static let sequenceMax: UInt64 = 1 << 56 - 1

  package var payloadSize: Int
  package var headerCRC: UInt32
  package var payloadCRC: UInt32
  package var unsynced: UInt32
  package var sequence: UInt64
  package var kind: FrameKind

  /// Header, payload and padding.
  package var frameSize: Int { Self.frameSize(payload: payloadSize) }

  package static func frameSize(payload: Int) -> Int { (size + payload + 7) & ~7 }

  /// The fields as they stand, right or wrong; `bytes` holds at least 24.
  package init(unchecked bytes: UnsafeRawBufferPointer) {
    payloadSize = Int(bytes.u32(at: 0))
    headerCRC = bytes.u32(at: 4)
    payloadCRC = bytes.u32(at: 8)
    unsynced = bytes.u32(at: 12)
    let word = bytes.u64(at: 16)
    sequence = word & Self.sequenceMax
    kind = FrameKind(rawValue: UInt8(word >> 56))
  }

  /// A header whose CRC is right under `salt`, or `nil`.
  package init?(_ bytes: UnsafeRawBufferPointer, salt: UInt32) {
    guard bytes.count >= Self.size, bytes[23] != 0, Self.crc(of: bytes, salt: salt) == bytes.u32(at: 4) else { return nil }
    self.init(unchecked: bytes)
  }

  /// CRC of the 20 bytes that are not the header CRC itself.
  package static func crc(of bytes: UnsafeRawBufferPointer, salt: UInt32) -> UInt32 {
    crc32c(crc32c(salt, UnsafeRawBufferPointer(rebasing: bytes[0..<4])), UnsafeRawBufferPointer(rebasing: bytes[8..<24]))
  }

  /// The salt under which the header CRC that stands in these 24 bytes is right: for any bytes there is one, so it proves nothing by itself.
  package static func salt(of bytes: UnsafeRawBufferPointer) -> UInt32 {
    crc32cSeed(giving: bytes.u32(at: 4), over: Array(bytes[0..<4]) + Array(bytes[8..<24]))
  }

  /// Every frame with a lower sequence than this was on stable storage when this frame was made.
  package var vouchesBelow: UInt64 { unsynced < .max && sequence > UInt64(unsynced) ? sequence - UInt64(unsynced) : 0 }
}

/// Why the bytes at an offset are no frame of the log.
package enum FrameProblem: String, Sendable, CaseIterable {
  /// Nothing was written here: the file ends, or reads as zeros.
  case neverWritten
  case headerChecksum
  /// Longer than any frame may be.
  case tooLong
  /// The frame would end behind the end of its file.
  case overrun
  case payloadChecksum
  /// The frame is whole, but not the one that comes next.
  case wrongSequence
}

/// What stands at the start of some bytes of a segment.
package enum FrameFinding: Sendable {
  /// A whole frame whose checksums are right and that is the expected one; its kind may be one that must be refused.
  case frame(FrameHeader)
  /// Undecided: look again with at least this many bytes.
  case needs(Int)
  /// The magic of a segment header.
  case segmentHeader
  /// No frame; the header is given if its own checksum is right.
  case bad(FrameProblem, FrameHeader?)
}

/// Judges the bytes at one offset of a segment (Format/frame.md, "Where a segment's frames end").
///
/// - Parameters:
///   - window: what was read from that offset on.
///   - available: how many bytes the file, or the part of it that belongs to the segment, has from there on; at least `window.count`.
package func inspectFrame(_ window: UnsafeRawBufferPointer, available: Int, salt: UInt32, sequence: UInt64) -> FrameFinding {
  guard available >= FrameHeader.size else {
    if window.count < available { return .needs(available) }
    return .bad(window.allSatisfy { $0 == 0 } ? .neverWritten : .overrun, nil)
  }
  guard window.count >= FrameHeader.size else { return .needs(FrameHeader.size) }
  if SegmentHeader.beginsWithMagic(window) { return .segmentHeader }
  guard let header = FrameHeader(window, salt: salt) else {
    let isBlank = window[0..<FrameHeader.size].allSatisfy { $0 == 0 }
    return .bad(isBlank ? .neverWritten : .headerChecksum, nil)
  }
  guard header.payloadSize <= FrameHeader.payloadSizeMax else { return .bad(.tooLong, header) }
  guard header.frameSize <= available else { return .bad(.overrun, header) }
  guard header.sequence == sequence else { return .bad(.wrongSequence, header) }
  guard window.count >= header.frameSize else { return .needs(header.frameSize) }
  let payload = UnsafeRawBufferPointer(rebasing: window[FrameHeader.size..<FrameHeader.size + header.payloadSize])
  guard crc32c(salt, payload) == header.payloadCRC else { return .bad(.payloadChecksum, header) }
  return .frame(header)
}

extension ByteBuffer {
  /// Leaves room for a frame header; the payload is appended next, then `endFrame`.
  /// - Returns: the frame's offset in the buffer.
  package mutating func beginFrame() -> Int {
    let start = count
    _ = room(for: FrameHeader.size)
    commit(FrameHeader.size)
    return start
  }

  /// Completes the frame that began at `start`: padding, fields, CRCs.
  /// - Throws: `LogError` `tooLarge`; the buffer is then as it was before `beginFrame`.
  package mutating func endFrame(
    at start: Int, kind: FrameKind, sequence: UInt64, unsynced: UInt64, salt: UInt32
  ) throws(LogError) {
    let payloadSize = count - start - FrameHeader.size
    guard payloadSize <= FrameHeader.payloadSizeMax else {
      truncate(to: start)
      throw LogError(.tooLarge, "a record of \(payloadSize) bytes is over the limit of \(FrameHeader.payloadSizeMax); split it up")
    }
    guard sequence <= FrameHeader.sequenceMax else {
      truncate(to: start)
      throw LogError(.tooLarge, "the log has no sequence left for another frame")
    }
    let padding = FrameHeader.frameSize(payload: payloadSize) - FrameHeader.size - payloadSize
    room(for: padding).update(repeating: 0, count: padding)
    commit(padding)
    let header = written(at: start)
    header.store(UInt32(payloadSize), at: 0)
    let payload = UnsafeRawBufferPointer(start: UnsafeRawPointer(header + FrameHeader.size), count: payloadSize)
    header.store(crc32c(salt, payload), at: 8)
    header.store(UInt32(clamping: unsynced), at: 12)
    header.store(sequence | UInt64(kind.rawValue) << 56, at: 16)
    header.store(FrameHeader.crc(of: UnsafeRawBufferPointer(start: UnsafeRawPointer(header), count: FrameHeader.size), salt: salt), at: 4)
  }

  /// A whole frame around `payload`.
  package mutating func appendFrame(
    _ kind: FrameKind, _ payload: [UInt8], sequence: UInt64, unsynced: UInt64, salt: UInt32
  ) throws(LogError) {
    let start = beginFrame()
    append(payload)
    try endFrame(at: start, kind: kind, sequence: sequence, unsynced: unsynced, salt: salt)
  }

  /// Header CRC of the frame at `start`.
  package func headerCRC(ofFrameAt start: Int) -> UInt32 {
    UnsafeRawBufferPointer(start: UnsafeRawPointer(written(at: start)), count: FrameHeader.size).u32(at: 4)
  }
}
