import LogFormat
import ProvenanceLog
import TestSupport
import Testing

struct FrameTests {
  /// Read by itself, and by all members: they agree, and what no seq can be is an error and no trap.
  @Test func seqsOfAnyLength() throws {
    func read(_ seq: String) throws -> Int64 {
      let payload = Array(#"{"seq":\#(seq),"action_type":"a","outcome":"o","urn":"ckp://Action#k/a-1","attempt":1}"#.utf8)
      return try payload.withRawBytes { bytes throws(LogError) in try LogFormat.seq(ofAction: bytes) }
    }
    for seq in ["1", "99999999999999999", "999999999999999999", "1000000000000000000", "9223372036854775807"] {
      #expect(try read(seq) == Int64(seq))
    }
    for seq in ["", "0", "-1", "01", "9223372036854775808", "9999999999999999999", "99999999999999999999", "1x"] {
      #expect(throws: LogError.self) { try read(seq) }
    }
  }

  private let salt: UInt32 = 0x1234_5678

  private func frame(_ payload: String, sequence: UInt64 = 9, kind: FrameKind = .action) throws -> [UInt8] {
    var buffer = ByteBuffer()
    try buffer.appendFrame(kind, Array(payload.utf8), sequence: sequence, unsynced: 3, salt: salt)
    return Array(buffer.bytes)
  }

  private func inspect(_ bytes: [UInt8], available: Int? = nil, sequence: UInt64 = 9, salt: UInt32? = nil) -> FrameFinding {
    bytes.withUnsafeBytes { inspectFrame($0, available: available ?? $0.count, salt: salt ?? self.salt, sequence: sequence) }
  }

  @Test func aFrameIsReadAsItWasWritten() throws {
    let bytes = try frame("{\"seq\":1}")
    #expect(bytes.count == 40 && bytes.count % 8 == 0)
    guard case .frame(let header) = inspect(bytes) else {
      Issue.record("no frame")
      return
    }
    #expect(header.payloadSize == 9 && header.sequence == 9 && header.unsynced == 3 && header.kind == .action && header.vouchesBelow == 6)
  }

  @Test func everyFlippedBitButThoseOfThePaddingIsNoticed() throws {
    let bytes = try frame("{\"seq\":1}")
    for bit in 0..<bytes.count * 8 {
      var flipped = bytes
      flipped[bit / 8] ^= 1 << (bit % 8)
      var isTaken = false
      if case .frame = inspect(flipped) { isTaken = true }
      #expect(isTaken == (bit / 8 >= 24 + 9), "bit \(bit)")
    }
  }

  @Test func everyCutIsNoticed() throws {
    let bytes = try frame("{\"seq\":1}")
    for size in 0..<bytes.count {
      guard case .bad(let problem, _) = inspect(Array(bytes[..<size])) else {
        Issue.record("cut at \(size) was not noticed")
        continue
      }
      #expect(problem == (size == 0 ? .neverWritten : .overrun))
    }
  }

  @Test func asMuchIsAskedForAsIsNeeded() throws {
    let bytes = try frame("{\"seq\":1}")
    guard case .needs(24) = inspect(Array(bytes[..<5]), available: 40), case .needs(40) = inspect(Array(bytes[..<24]), available: 40) else {
      Issue.record("wrong need")
      return
    }
  }

  @Test func anotherSegmentsFrameIsNone() throws {
    guard case .bad(.headerChecksum, nil) = inspect(try frame("{}"), salt: salt + 1) else {
      Issue.record("taken under another salt")
      return
    }
  }

  @Test func aFrameOutOfOrderIsNone() throws {
    guard case .bad(.wrongSequence, _?) = inspect(try frame("{}"), sequence: 8) else {
      Issue.record("taken out of order")
      return
    }
  }

  @Test func zerosAreNoFrameUnderAnySalt() {
    for salt in [UInt32(0), 1, 0xFFFF_FFFF] {
      guard case .bad(.neverWritten, nil) = inspect(Array(repeating: 0, count: 64), salt: salt) else {
        Issue.record("zeros were taken for a frame")
        return
      }
    }
  }

  @Test func aRecordOverTheLimitIsRefusedAndLeavesNothing() throws {
    var buffer = ByteBuffer()
    try buffer.appendFrame(.action, [1, 2, 3], sequence: 0, unsynced: 0, salt: salt)
    let before = buffer.count
    let payload = [UInt8](repeating: 0x20, count: FrameHeader.payloadSizeMax + 1)
    var refusal: LogError?
    do { try buffer.appendFrame(.action, payload, sequence: 1, unsynced: 0, salt: salt) } catch { refusal = error }
    #expect(refusal?.code == .tooLarge && buffer.count == before)
    try buffer.appendFrame(.action, payload.dropLast(), sequence: 1, unsynced: 0, salt: salt)
    guard
      case .frame = inspectFrame(
        UnsafeRawBufferPointer(rebasing: buffer.bytes[before...]), available: buffer.count - before, salt: salt, sequence: 1)
    else {
      Issue.record("the largest record is not read")
      return
    }
  }

  @Test func aCountThatIsFullVouchesForNothing() throws {
    var buffer = ByteBuffer()
    try buffer.appendFrame(.action, [], sequence: 1 << 40, unsynced: 1 << 33, salt: salt)
    #expect(FrameHeader(buffer.bytes, salt: salt)?.vouchesBelow == 0)
  }
}

struct SegmentHeaderTests {
  private let header = SegmentHeader(
    sessionID: try! SessionID("a.b_c-9"), salt: 7, firstSequence: 12, firstSeq: 5,
    predecessor: SegmentEnd(salt: 6, size: 4096, lastSequence: 11, lastCRC: 99))

  private func bytes(_ header: SegmentHeader) -> [UInt8] {
    var buffer = ByteBuffer()
    header.append(to: &buffer)
    return Array(buffer.bytes)
  }

  private func read(_ bytes: [UInt8]) throws -> SegmentHeader {
    try bytes.withRawBytes { bytes throws(LogError) in try SegmentHeader(bytes) }
  }

  @Test func aHeaderIsReadAsItWasWritten() throws {
    #expect(bytes(header).count == SegmentHeader.size)
    #expect(try read(bytes(header)) == header)
  }

  @Test func everyFlippedBitIsNoticed() {
    let good = bytes(header)
    for bit in 0..<good.count * 8 {
      var flipped = good
      flipped[bit / 8] ^= 1 << (bit % 8)
      #expect { try read(flipped) } throws: { ($0 as? LogError)?.code == .corrupt }
    }
  }

  /// A header of a later version, with right checksums.
  @Test(arguments: [(8, UInt8(2)), (12, 1)])
  func anUnknownVersionOrFeatureIsRefused(_ offset: Int, _ value: UInt8) {
    var later = bytes(header)
    later[offset] = value
    let crc = later[0..<132].withUnsafeBytes { crc32c(0, $0) }
    for (index, byte) in withUnsafeBytes(of: crc.littleEndian, Array.init).enumerated() { later[132 + index] = byte }
    #expect { try read(later) } throws: { ($0 as? LogError)?.code == .unsupportedVersion }
  }
}
