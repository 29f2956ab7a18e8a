import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Logs by an attacker, who knows how to make every checksum right.
@Suite(.timeLimit(.minutes(60)))
struct FuzzTests {
  private static let frameFields = [(0, 4), (8, 4), (12, 4), (16, 7), (23, 1)]
  private static let segmentFields = [
    (0, 8), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 8), (32, 8), (40, 8), (48, 8), (56, 4), (60, 4), (64, 8), (128, 4),
  ]
  private static let entryFields = [(0, 8), (8, 4), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8), (56, 4), (60, 4)]
  private static let trailerFields = [(0, 8), (8, 8), (16, 8), (24, 8), (32, 4), (36, 4), (44, 4), (48, 4), (52, 2), (54, 2), (56, 8), (64, 4)]

  /// Every field of every kind of header, with values near the right one and far from it, in every layout.
  @Test func forgedFields() throws {
    var random = SeededGenerator(seed: seed)
    var tally = Tally()
    for round in Rounds(quick: 150) {
      let known = KnownLog.of(KnownLog.Layout.allCases.randomElement(using: &random)!)
      let disk = known.disk()
      var place = "round \(round), seed \(seed), \(known.layout.rawValue):"
      for _ in 0..<Int.random(in: 1...3, using: &random) { place += try forge(known, disk, &random) }
      tally.add("forged fields", try survive(disk, place))
    }
    tally.report("hostile, seed \(seed)")
  }

  private func change(_ fields: [(Int, Int)], at start: Int, in bytes: inout [UInt8], _ random: inout SeededGenerator) -> String {
    let (offset, size) = fields.randomElement(using: &random)!
    let value = Forger.absurd(Forger.load(size, at: start + offset, in: bytes), &random)
    Forger.store(value, size, at: start + offset, in: &bytes)
    return " field \(offset) = \(value)"
  }

  private func forge(_ known: KnownLog, _ disk: MemoryDisk, _ random: inout SeededGenerator) throws -> String {
    let file = known.files.randomElement(using: &random)!
    let path = known.path(file.name)
    var bytes = disk.bytes(path)
    guard !bytes.isEmpty else { return "" }
    var what = "\n  \(file.name)"
    defer { disk.set(path, bytes) }
    if file.name.isSealed, Bool.random(using: &random), let start = indexStart(bytes) {
      let trailer = bytes.count - SealedIndex.trailerSize
      if Bool.random(using: &random) {
        what += " trailer" + change(Self.trailerFields, at: trailer, in: &bytes, &random)
      } else {
        let count = max(1, (trailer - start) / 64)
        what +=
          " entry"
          + change(Self.entryFields, at: start + 64 * Int.random(in: 0..<min(count, file.segments.count), using: &random), in: &bytes, &random)
      }
      Forger.sealIndex(from: start, in: &bytes)
      return what
    }
    var raw = file.segments.map { known.segments[$0].bytes }
    if !file.name.isSealed { raw = [bytes] }
    let index = Int.random(in: 0..<raw.count, using: &random)
    what += " segment \(file.segments.lowerBound + index)" + forgeSegment(&raw[index], known, file.segments.lowerBound + index, &random)
    if file.name.isSealed {
      let segments = zip(file.segments, raw).map { (header: known.segments[$0].header, bytes: $1) }
      let last = known.frames.last { $0.segment == file.segments.upperBound - 1 }!.header
      bytes = try Forger.sealed(segments, lastSequence: last.sequence, lastCRC: last.headerCRC, known.checkpoints[Int(last.sequence) + 1]!)
    } else {
      bytes = raw[0]
    }
    return what
  }

  private func indexStart(_ bytes: [UInt8]) -> Int? {
    let trailer = Array(bytes.suffix(SealedIndex.trailerSize))
    let size = try? trailer.withRawBytes { trailer throws(LogError) in try SealedIndex.size(trailer: trailer, fileSize: UInt64(bytes.count)) }
    return size.map { bytes.count - $0 + 8 }
  }

  private func forgeSegment(_ bytes: inout [UInt8], _ known: KnownLog, _ segment: Int, _ random: inout SeededGenerator) -> String {
    let salt = known.segments[segment].header.salt
    let frame = known.frames.filter { $0.segment == segment }.randomElement(using: &random)!
    let at = frame.offset
    guard bytes.count >= at + frame.bytes.count else { return "" }
    switch Int.random(in: 0..<8, using: &random) {
    case 0, 1:
      let what = " header" + change(Self.segmentFields, at: 0, in: &bytes, &random)
      Forger.sealSegmentHeader(in: &bytes)
      return what
    case 2, 3, 4:
      let what = " frame at \(at)" + change(Self.frameFields, at: at, in: &bytes, &random)
      if Bool.random(using: &random) {
        Forger.sealFrame(at: at, salt: salt, in: &bytes)
      } else {
        Forger.sealFrameHeader(at: at, salt: salt, in: &bytes)
      }
      return what
    case 5:
      let offset = at + FrameHeader.size + Int.random(in: 0..<max(1, frame.payload.count), using: &random)
      bytes[offset] = [UInt8(ascii: "\""), UInt8(ascii: "9"), UInt8(ascii: "\\"), UInt8(ascii: "{"), 0, 0xFF].randomElement(using: &random)!
      Forger.sealFrame(at: at, salt: salt, in: &bytes)
      return " payload at \(offset)"
    case 6:
      let other = known.frames.randomElement(using: &random)!.bytes
      bytes.insert(contentsOf: other, at: at)
      Forger.sealFrame(at: at, salt: salt, in: &bytes)
      return " a frame put in at \(at)"
    default:
      let size = Int.random(in: 0...5000, using: &random)
      bytes += (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
      return " \(size) bytes of garbage"
    }
  }

  // MARK: Values that no index may have

  @Test func absurdIndexes() throws {
    let known = KnownLog.of(.merged)
    let file = known.files[0]
    let start = sealedIndexStart(file.bytes) + 8
    let trailer = file.bytes.count - SealedIndex.trailerSize
    var tally = Tally()
    let places =
      Self.entryFields.map { (start + $0.0, $0.1) } + Self.entryFields.map { (start + 64 + $0.0, $0.1) }
      + Self.trailerFields.map { (trailer + $0.0, $0.1) }
    for (offset, size) in places {
      for value in Forger.values where value >> (8 * UInt64(size)) == 0 || size == 8 {
        var bytes = file.bytes
        Forger.store(value, size, at: offset, in: &bytes)
        Forger.sealIndex(from: start, in: &bytes)
        let disk = known.disk()
        disk.set(known.path(file.name), bytes)
        tally.add("absurd indexes", try survive(disk, "\(file.name) at \(offset): \(value)"))
        #expect(disk.counts.largestRead <= 1 << 20, "at \(offset): \(value)")
      }
    }
    tally.report("hostile")
  }

  @Test func absurdNames() throws {
    let known = KnownLog.of(.raw)
    for number in ["18446744073709551615", "18446744073709551616", "99999999999999999999", "00072057594037927936", "00072057594037927935"] {
      for suffix in ["seg", "seg.lz4"] {
        for bytes in [[], known.files[1].bytes, [UInt8](repeating: 7, count: 200)] {
          let disk = known.disk()
          disk.set("\(KnownLog.directory)/\(number).\(suffix)", bytes)
          _ = try survive(disk, "\(number).\(suffix), \(bytes.count) bytes")
        }
      }
    }
  }

  /// Headers without a frame between them: the sequence in front of the first one is none.
  @Test func segmentsWithoutFrames() throws {
    let known = KnownLog.of(.raw)
    let first = known.segments[0].header
    let empty = SegmentEnd(salt: first.salt, size: 136, lastSequence: .max, lastCRC: 0)
    for (next, end) in [(0, nil), (1, empty), (4, known.segments[1].header.predecessor)] as [(UInt64, SegmentEnd?)] {
      var predecessor = end
      predecessor?.lastSequence = next &- 1
      let second = SegmentHeader(sessionID: first.sessionID, salt: 77, firstSequence: next, firstSeq: 1, predecessor: predecessor)
      for bytes in [Forger.segmentHeader(first), Forger.segmentHeader(first) + Forger.segmentHeader(second) + known.segments[0].bytes[136...]] {
        let disk = known.disk()
        disk.set(known.path(known.files[0].name), bytes)
        #expect(try survive(disk, "\(next), \(bytes.count) bytes") == "damage")
        try disk.remove(known.path(known.files[1].name))
        disk.set(known.path(SegmentFileName(firstSequence: next)), Forger.segmentHeader(second))
        _ = try survive(disk, "\(next), \(bytes.count) bytes, two files")
        try disk.remove(known.path(known.files[0].name))
        let checkpoint = known.checkpoints[4]!
        let sealed = try Forger.sealed([(first, Forger.segmentHeader(first))], lastSequence: 3, lastCRC: 5, checkpoint)
        disk.set(known.path(SegmentFileName(firstSequence: 0, isSealed: true)), sealed)
        _ = try survive(disk, "\(next), sealed")
      }
    }
  }

  // MARK: Work

  /// Files of many frames that are damaged one by one: each is passed over without going back, and without reading on to the end for each.
  @Test(arguments: Swarm.allCases)
  func theWorkIsBoundedByTheSizeOfTheFile(_ swarm: Swarm) throws {
    let known = KnownLog.of(.raw)
    let count = isLong ? 1_000_000 : 3000
    for isNewest in [true, false] {
      let disk = known.disk()
      let segment = known.segments[isNewest ? 2 : 1]
      let file = known.files[isNewest ? 2 : 1]
      var bytes = segment.bytes
      if !isNewest { bytes.removeLast(known.frames[8].bytes.count) }
      bytes += swarm.bytes(count, salt: segment.header.salt, from: isNewest ? 15 : 8)
      disk.set(known.path(file.name), bytes)
      for (name, work) in works {
        disk.setHook { _ in }
        try work(disk)
        let counts = disk.counts
        #expect(counts.bytes < 60 * bytes.count + (1 << 20), "\(swarm), \(name): \(counts) for \(bytes.count) bytes")
        #expect(counts.reads < bytes.count / 500 + 1000 && counts.listings < 200, "\(swarm), \(name): \(counts) for \(bytes.count) bytes")
      }
    }
  }

  enum Swarm: CaseIterable {
    case badPayloads, badPayloadsVouchedForAtTheEnd, badHeaders, badHeadersVouchedForAtTheEnd, descendingVouchers, risingVouchers, longFakes,
      backwards, farAhead,
      segmentHeaders, fakeMagic

    func bytes(_ count: Int, salt: UInt32, from first: UInt64) -> [UInt8] {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(count * 48)
      let marker: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
      for number in 0..<count {
        let sequence = first + UInt64(number)
        func frame(_ sequence: UInt64, unsynced: UInt32 = .max, length: Int? = nil, isRight: Bool = false) -> [UInt8] {
          Forger.frame(marker, length: length, sequence: sequence, unsynced: unsynced, salt: salt, isPayloadRight: isRight)
        }
        switch self {
        case .badPayloads, .badPayloadsVouchedForAtTheEnd: bytes += frame(sequence)
        case .badHeaders, .badHeadersVouchedForAtTheEnd:
          bytes += [9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 2] + frame(first + 2 * UInt64(number) + 1)
        case .descendingVouchers: bytes += frame(first + UInt64(2 * count - number), unsynced: 0)
        case .risingVouchers: bytes += frame(sequence, unsynced: UInt32(count / 2))
        case .longFakes: bytes += frame(sequence, unsynced: 0, length: [1 << 16, 64 << 20, 65 << 20][number % 3])
        case .backwards: bytes += frame(number % 2 == 0 ? sequence : 1, isRight: true)
        case .farAhead: bytes += frame(first + UInt64(number) * 1000 + 5, unsynced: 3)
        case .segmentHeaders:
          bytes += Forger.segmentHeader(
            SegmentHeader(
              sessionID: KnownLog.id, salt: salt, firstSequence: sequence, firstSeq: 1,
              predecessor: SegmentEnd(salt: 1, size: UInt64(number), lastSequence: sequence - 1, lastCRC: 0)))
        case .fakeMagic:
          bytes += [0x89, 0x43, 0x4B, 0x50, 0x4C, 0x0D, 0x0A, 0x1A, 1, 0, 0, 16, 0, 0, 0, 0]
        }
      }
      switch self {
      case .badPayloadsVouchedForAtTheEnd, .badHeadersVouchedForAtTheEnd:
        bytes += Forger.frame(marker, sequence: first + UInt64(3 * count), unsynced: 0, salt: salt)
      default: break
      }
      return bytes
    }
  }

  private typealias Work = (MemoryDisk) throws -> Void

  private var works: [(String, Work)] {
    [
      (
        "next",
        { disk in
          var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
          while (try? reader.next()) ?? nil != nil {}
        }
      ),
      (
        "nextItem",
        { disk in
          var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
          while try reader.nextItem() != nil {}
        }
      ),
      ("verify", { disk in _ = try KnownLog.sessions(on: disk).verify(KnownLog.id) }),
      ("recover", { disk in _ = try KnownLog.sessions(on: disk).planRecovery(of: KnownLog.id, .salvage) }),
      ("state", { disk in _ = try? KnownLog.log(on: disk).state(of: KnownLog.id) }),
    ]
  }

  @Test func manyDamagedChunks() throws {
    let known = KnownLog.of(.merged)
    let count = isLong ? 100_000 : 5000
    // Chunks of one frame each: the sealer begins one at each segment header.
    var file = ByteBuffer()
    var sealer = Sealer(level: 1)
    for number in 0..<count {
      let first = UInt64(2 * number)
      let header = SegmentHeader(
        sessionID: KnownLog.id, salt: UInt32(number + 1), firstSequence: first, firstSeq: 1,
        predecessor: first == 0 ? nil : SegmentEnd(salt: UInt32(number), size: 168, lastSequence: first - 1, lastCRC: 0))
      let frame = Forger.frame([1, 2, 3, 4, 5, 6, 7, 8], sequence: first, kind: 5, salt: UInt32(number + 1))
      try Forger.segmentHeader(header).withRawBytes { bytes throws(LogError) in try sealer.append(header, bytes: bytes, to: &file) }
      try frame.withRawBytes { bytes throws(LogError) in try sealer.append(FrameHeader(unchecked: bytes), frame: bytes, to: &file) }
    }
    try sealer.finish(checkpoint: try known.checkpoints[9]!.payload(), to: &file)
    let whole = Array(file.bytes)
    let chunks = sealedChunks(whole)
    for kind in ["each chunk", "each second chunk", "the index and each chunk"] {
      var bytes = whole
      for (number, chunk) in chunks.enumerated() where kind != "each second chunk" || number % 2 == 0 { bytes[chunk.start + 30] ^= 1 }
      if kind == "the index and each chunk" { bytes[bytes.count - 100] ^= 1 }
      let disk = known.disk()
      disk.set(known.path(known.files[0].name), bytes)
      for (name, work) in works where name != "state" {
        disk.setHook { _ in }
        do { try work(disk) } catch let error as LogError { #expect(error.code == .corrupt) }
        #expect(disk.counts.bytes < 60 * bytes.count + (60 << 20) && disk.counts.reads < 20 * count + 1000, "\(kind), \(name): \(disk.counts)")
      }
    }
  }

  /// LZ4 unpacks 255 bytes from one, and a file may say that a chunk is as large as the largest record.
  @Test func bombs() throws {
    let known = KnownLog.of(.merged)
    for size in isLong ? [1 << 20, 16 << 20, 60 << 20] : [1 << 20] {
      var raw = known.segments[0].bytes
      raw += [UInt8](repeating: 0, count: size)
      let sealed = try Forger.sealed([(known.segments[0].header, raw)], lastSequence: 8, lastCRC: 1, known.checkpoints[9]!)
      #expect(sealed.count < size / 100)
      let disk = known.disk()
      disk.set(known.path(known.files[0].name), sealed)
      #expect(try survive(disk, "\(size) zeros") == "damage")
      // The same, said to be larger than it is, and smaller.
      let start = sealedIndexStart(sealed) + 8
      for claim in [1, 4096, UInt64(size / 2), 64 << 20, UInt64(255 * sealed.count), 1 << 31] {
        var forged = sealed
        Forger.store(claim, 4, at: start + 64 + 8, in: &forged)
        Forger.store(136 + claim, 8, at: forged.count - 72, in: &forged)
        Forger.sealIndex(from: start, in: &forged)
        disk.set(known.path(known.files[0].name), forged)
        #expect(try survive(disk, "\(size) zeros, said to be \(claim)") == "damage")
      }
    }
  }

  /// Of a hole nothing is read.
  @Test(arguments: KnownLog.Layout.allCases)
  func hugeHoles(_ layout: KnownLog.Layout) throws {
    let known = KnownLog.of(layout)
    for file in known.files {
      let disk = known.disk()
      disk.lengthen(known.path(file.name), to: 8 << 30)
      let isNewestRaw = file.name == known.files.last!.name && !file.name.isSealed
      let outcome = try survive(disk, "\(file.name) is 8 GiB long")
      #expect(outcome == (isNewestRaw || !file.name.isSealed && file.name.firstSequence > 0 ? "clean" : outcome))
      #expect(disk.counts.bytes < 64 << 20 && disk.counts.largestRead <= 1 << 20, "\(file.name): \(disk.counts)")
    }
  }

  /// Together they claim more than there are numbers for.
  @Test func hugeHolesTogether() throws {
    let known = KnownLog.of(.raw)
    let disk = known.disk()
    for file in known.files { disk.lengthen(known.path(file.name), to: 1 << 63 - 8) }
    #expect(try KnownLog.log(on: disk).rawSize() == .max)
  }

  // MARK: Surviving

  /// Everything that reads a log is let loose on it. It may be refused with a name for what is wrong; it may not end the process, go on for ever, or give
  /// frames out of order.
  private func survive(_ disk: MemoryDisk, _ place: String) throws -> String {
    let log = KnownLog.log(on: disk)
    let sessions = KnownLog.sessions(on: disk)
    var isDamaged = false
    var isRefused = false
    func attempt(_ body: () throws -> Void) throws {
      do { try body() } catch let error as LogError {
        #expect([.corrupt, .unsupportedVersion, .tooLarge, .notFound].contains(error.code), "\(place): \(error.code) \(error)")
        isRefused = isRefused || error.code == .unsupportedVersion
        isDamaged = isDamaged || error.code == .corrupt
      }
    }
    var items = 0
    let itemsMax = 10_000 + disk.tree.values.reduce(0) { $0 + $1.count } / 8
    try attempt {
      var reader = try LogReader.open(log, of: KnownLog.id)
      while try reader.next() != nil { items += 1 }
      _ = reader.segmentEnd
    }
    for goesBehindTail in [false, true] {
      try attempt {
        var reader = try LogReader.open(log, of: KnownLog.id, goesBehindTail: goesBehindTail)
        var last: UInt64?
        while let item = try reader.nextItem(), items < itemsMax {
          items += 1
          switch item {
          case .frame(let frame):
            #expect(last.map { frame.sequence > $0 } ?? true, "\(place): sequence \(frame.sequence) behind \(last ?? 0)")
            last = frame.sequence
            _ = try reader.frameBytes
          case .damage(let damage):
            isDamaged = isDamaged || !damage.isTail
            #expect(!damage.description.isEmpty && damage.framesLost <= 1 << 57)
          }
          _ = reader.segmentEnd
        }
        #expect(items < itemsMax, "\(place): it does not end")
      }
    }
    try attempt { _ = try log.state(of: KnownLog.id) }
    try attempt { _ = try log.rawSize() }
    try attempt {
      var projection = try SessionProjection.open(log, of: KnownLog.id)
      while try projection.next() != nil {}
    }
    for isDeep in [false, true] {
      try attempt {
        let verification = try sessions.verify(KnownLog.id, isDeep: isDeep)
        isDamaged = isDamaged || verification.isDamaged
        #expect(verification.actionsBeforeDamage <= verification.actions, "\(place)")
      }
    }
    for mode in RecoveryMode.allCases {
      try attempt { _ = try sessions.planRecovery(of: KnownLog.id, mode) }
      try attempt {
        let copy = disk.copy()
        let recovered = try KnownLog.sessions(on: copy).recover(KnownLog.id, mode)
        guard recovered.original != nil else { return }
        let verification = try KnownLog.sessions(on: copy).verify(KnownLog.id, isDeep: false)
        #expect(!verification.isDamaged && verification.actions == recovered.kept, "\(place): \(mode): \(verification.problems.map(\.description))")
      }
    }
    try attempt {
      let copy = disk.copy()
      let log = KnownLog.log(on: copy)
      var writer = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), randomSalt: { 99 })
      try writer.append(.mark, [0, 0, 0, 0, 0, 0, 0, 0])
      _ = writer.flush()
    }
    return isRefused ? "refused" : isDamaged ? "damage" : "clean"
  }
}
