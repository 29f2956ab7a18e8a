package import ProvenanceModel

/// Where a segment ends, as its successor's header says (Format/segment.md).
package struct SegmentEnd: Sendable, Equatable {
  package var salt: UInt32
  /// Bytes from the segment's header to the end of its last frame.
  package var size: UInt64
  package var lastSequence: UInt64
  /// Header CRC of the last frame.
  package var lastCRC: UInt32

  package init(salt: UInt32, size: UInt64, lastSequence: UInt64, lastCRC: UInt32) {
    self.salt = salt
    self.size = size
    self.lastSequence = lastSequence
    self.lastCRC = lastCRC
  }
}

/// The first bytes of every segment (Format/segment.md).
package struct SegmentHeader: Sendable, Equatable {
  package static let size = 136
  package static let sizeMax = 4096
  package static let version: UInt16 = 1
  static let magic: [UInt8] = [0x89, 0x43, 0x4B, 0x50, 0x4C, 0x0D, 0x0A, 0x1A]

  package var sessionID: SessionID
  package var salt: UInt32
  package var firstSequence: UInt64
  /// The seq that the next action recorded after this header gets.
  package var firstSeq: Int64
  /// `nil` in the first segment of a session.
  package var predecessor: SegmentEnd?

  package init(sessionID: SessionID, salt: UInt32, firstSequence: UInt64, firstSeq: Int64, predecessor: SegmentEnd?) {
    self.sessionID = sessionID
    self.salt = salt
    self.firstSequence = firstSequence
    self.firstSeq = firstSeq
    self.predecessor = predecessor
  }

  /// A segment gets its name after it was synced with what it begins with; so every frame with a lower sequence than this was on stable storage.
  package var vouchesBelow: UInt64 { firstSequence + (firstSequence == 0 ? 2 : 1) }

  package static func beginsWithMagic(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.count >= 8 && bytes[0] == 0x89 && bytes[0..<8].elementsEqual(magic)
  }

  /// Bytes of the header that `bytes` begins with: what must be there to read it. `nil` without the magic or with an impossible length.
  package static func declaredSize(_ bytes: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count >= 12, beginsWithMagic(bytes) else { return nil }
    let size = Int(bytes.u16(at: 10))
    return size >= Self.size && size <= sizeMax && size % 8 == 0 ? size : nil
  }

  /// - Throws: `LogError` `unsupportedVersion`, or `corrupt` for anything that contradicts Format/segment.md.
  package init(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    guard let size = Self.declaredSize(bytes), bytes.count >= size else {
      throw LogError(.corrupt, "no segment header: the magic or the header length is wrong")
    }
    guard crc32c(0, UnsafeRawBufferPointer(rebasing: bytes[0..<size - 4])) == bytes.u32(at: size - 4) else {
      throw LogError(.corrupt, "the segment header's checksum is wrong")
    }
    let version = bytes.u16(at: 8)
    guard version == Self.version else {
      throw LogError(
        .unsupportedVersion, "the segment has format version \(version); this program reads version \(Self.version), a newer ckprov-log this one")
    }
    let features = bytes.u32(at: 12)
    guard features == 0 else {
      throw LogError(
        .unsupportedVersion, "the segment needs features 0x\(String(features, radix: 16)) that this program does not know; a newer ckprov-log does")
    }
    let name = bytes[64..<128].prefix { $0 != 0 }
    guard let sessionID = try? SessionID(String(decoding: name, as: UTF8.self)) else {
      throw LogError(.corrupt, "the segment header holds no valid session id")
    }
    self.sessionID = sessionID
    salt = bytes.u32(at: 20)
    firstSequence = bytes.u64(at: 24)
    firstSeq = Int64(bitPattern: bytes.u64(at: 32))
    let before = SegmentEnd(
      salt: bytes.u32(at: 56), size: bytes.u64(at: 40), lastSequence: bytes.u64(at: 48), lastCRC: bytes.u32(at: 60))
    predecessor = firstSequence == 0 ? nil : before
    guard firstSequence <= FrameHeader.sequenceMax, firstSeq >= 1 else { throw LogError(.corrupt, "the segment header's numbers are impossible") }
    guard
      firstSequence == 0
        ? before == SegmentEnd(salt: 0, size: 0, lastSequence: 0, lastCRC: 0)
        : before.lastSequence == firstSequence - 1 && before.size <= UInt64(Int64.max)
    else {
      throw LogError(.corrupt, "the segment header contradicts itself about its predecessor")
    }
  }

  package func append(to buffer: inout ByteBuffer) {
    let start = buffer.count
    buffer.room(for: Self.size).update(repeating: 0, count: Self.size)
    buffer.commit(Self.size)
    let out = buffer.written(at: start)
    out.copyMemory(from: Self.magic, byteCount: 8)
    out.store(Self.version, at: 8)
    out.store(UInt16(Self.size), at: 10)
    out.store(salt, at: 20)
    out.store(firstSequence, at: 24)
    out.store(firstSeq, at: 32)
    if let predecessor {
      out.store(predecessor.size, at: 40)
      out.store(predecessor.lastSequence, at: 48)
      out.store(predecessor.salt, at: 56)
      out.store(predecessor.lastCRC, at: 60)
    }
    (out + 64).copyMemory(from: Array(sessionID.description.utf8), byteCount: sessionID.description.utf8.count)
    let covered = UnsafeRawBufferPointer(start: UnsafeRawPointer(out), count: Self.size - 4)
    out.store(crc32c(0, covered), at: Self.size - 4)
  }
}
