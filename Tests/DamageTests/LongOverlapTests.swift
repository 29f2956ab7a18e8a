import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Files that overlap, of several chunks and of many segments.
struct LongOverlapTests {
  private let known = KnownLog.of(.raw)
  private let wide = SegmentFileName(firstSequence: 0, isSealed: true)

  private func emptyDisk() throws -> MemoryDisk {
    let disk = known.disk()
    for file in known.files { try disk.remove(known.path(file.name)) }
    return disk
  }

  private func sequences(_ disk: MemoryDisk) throws -> [UInt64] {
    var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
    var sequences: [UInt64] = []
    while let item = try reader.nextItem() { if case .frame(let frame) = item { sequences.append(frame.sequence) } }
    return sequences
  }

  /// What a reader that stops at damage is given.
  private func plain(_ disk: MemoryDisk) throws -> ([UInt64], LogError?) {
    var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
    var found: [UInt64] = []
    do throws(LogError) {
      while let frame = try reader.next() { found.append(frame.sequence) }
    } catch {
      return (found, error)
    }
    return (found, nil)
  }

  /// Of the sealed one a chunk in the middle is lost. The raw one beside it is damaged before that place, behind what a segment is made with, and nothing in it
  /// says that the frames there were on stable storage: the sealed one does.
  @Test func aDamagedRawOneBesideADamagedSealedOne() throws {
    let all = Forger.segments([Array(repeating: 200_000, count: 8)], unsynced: .max)
    let wideBytes = try Forger.sealed(all)
    let chunks = sealedChunks(wideBytes)
    let raw = all[0].bytes + all[0].frames.flatMap { $0 }
    try #require(chunks.count > 4)
    let damaged = all[0].bytes.count + 2 * all[0].frames[0].count + 1000
    for chunk in 3..<chunks.count {
      let disk = try emptyDisk()
      disk.set(known.path(wide), wideBytes)
      disk.update(known.path(wide)) { $0[chunks[chunk].start + 40] ^= 1 }
      disk.set(known.path(0), raw)
      disk.update(known.path(0)) { $0[damaged] ^= 1 }
      let (found, error) = try plain(disk)
      #expect(found == Array(0...7) && error == nil, "chunk \(chunk): \(found) \(String(describing: error))")
    }
  }

  /// The wide one ends inside its second segment; of the small one that holds that segment the first chunk is lost, which the wide one has.
  @Test func aSmallOneThatHasLostItsFirstChunk() throws {
    let all = Forger.segments([[100], Array(repeating: 200_000, count: 8)])
    let wideBytes = try Forger.sealed(all)
    let small = try Forger.sealed(all[1...])
    let (chunks, smallChunks) = (sealedChunks(wideBytes), sealedChunks(small))
    try #require(chunks.count > 4 && smallChunks.count > 3)
    for cut in 2..<chunks.count {
      let disk = try emptyDisk()
      disk.set(known.path(wide), Array(wideBytes[..<(chunks[cut].start + 20)]))
      disk.set(known.path(1, isSealed: true), small)
      disk.update(known.path(1, isSealed: true)) { $0[smallChunks[0].start + 40] ^= 1 }
      let found = try sequences(disk)
      #expect(found == Array(0...8), "cut in chunk \(cut): \(found)")
    }
  }

  /// Reading comes back to the wide one again and again, and goes on there where it left it.
  @Test func eachSecondSmallOneBesideAWideOneWithoutItsIndex() throws {
    let all = Forger.segments(Array(repeating: [1000], count: 120))
    var wideBytes = try Forger.sealed(all)
    wideBytes[wideBytes.count - 1] ^= 1
    let disk = try emptyDisk()
    disk.set(known.path(wide), wideBytes)
    for number in stride(from: 1, to: all.count, by: 2) {
      disk.set(known.path(UInt64(number), isSealed: true), try Forger.sealed(all[number...number]))
    }
    disk.setHook(nil)
    #expect(try sequences(disk) == Array(0..<120))
    // The chunks are looked up by their headers each time that it is opened.
    #expect(disk.counts.reads < 20 * 120, "\(disk.counts)")
  }

  // MARK: Files without their index

  /// In none of them anything says what was on stable storage.
  private static let five = Forger.segments(
    Array(repeating: [1000, 1000, 1000] + Array(repeating: 200_000, count: 3), count: 5), unsynced: .max)
  private static let four = Array(five[..<4])

  private func set(_ disk: MemoryDisk, _ made: [UInt8], _ number: Int, isSealed: Bool, _ change: (inout [UInt8]) -> Void = { _ in }) {
    var bytes = made
    change(&bytes)
    disk.set(known.path(Self.four[number].header.firstSequence, isSealed: isSealed), bytes)
  }

  private func raw(_ number: Int) -> [UInt8] { Self.four[number].frames.reduce(into: Self.four[number].bytes) { $0 += $1 } }

  /// Where a frame begins in a raw file of its segment.
  private func start(_ index: Int, of number: Int) -> Int {
    Self.four[number].frames[..<index].reduce(Self.four[number].bytes.count) { $0 + $1.count }
  }

  /// Two chunks side by side are lost, and behind them another segment begins.
  @Test func chunksSideBySideAreFoundElsewhere() throws {
    let wideBytes = try Forger.sealed(Self.four)
    let chunks = sealedChunks(wideBytes)
    let last = try #require(chunks.lastIndex { $0.sequences.upperBound == 6 })
    let disk = try emptyDisk()
    set(disk, wideBytes, 0, isSealed: true) {
      $0[$0.count - 1] ^= 1
      for chunk in [last - 1, last] { $0[chunks[chunk].start + 40] ^= 1 }
    }
    set(disk, raw(0), 0, isSealed: false) { $0[start(2, of: 0) + 100] ^= 1 }
    #expect(try sequences(disk) == Array(0..<24))
  }

  /// A segment is missing before it, so that it says itself what stood there.
  @Test func aFileBehindAGapIsFoundAgain() throws {
    let third = try Forger.sealed(Self.four[2...2])
    let fourth = try Forger.sealed(Self.four[3...3])
    let (chunks, lastChunks) = (sealedChunks(third), sealedChunks(fourth))
    try #require(chunks.count > 2)
    let disk = try emptyDisk()
    set(disk, try Forger.sealed(Self.four[0...0]), 0, isSealed: true)
    set(disk, third, 2, isSealed: true) {
      $0[$0.count - 1] ^= 1
      $0[chunks[1].start] ^= 1
    }
    set(disk, Self.four[2].bytes, 2, isSealed: false)
    set(disk, fourth, 3, isSealed: true) { $0[lastChunks[0].start + 40] ^= 1 }
    let lost = [chunks[1].sequences, lastChunks[0].sequences].flatMap { Array($0) }
    #expect(try sequences(disk) == (Array(0..<6) + Array(12..<24)).filter { !lost.contains($0) })
  }

  /// Its last chunk is lost, and each of the files beside it is damaged elsewhere.
  @Test func aWideOneWithoutItsEnd() throws {
    let wideBytes = try Forger.sealed(Self.four)
    let chunks = sealedChunks(wideBytes)
    let disk = try emptyDisk()
    set(disk, wideBytes, 0, isSealed: true) {
      $0[$0.count - 1] ^= 1
      $0[chunks[chunks.count - 1].start] ^= 1
    }
    for number in 1..<4 { set(disk, raw(number), number, isSealed: false) { $0[start(2, of: number) + 100] ^= 1 } }
    #expect(try sequences(disk) == Array(0..<24))
  }

  /// It holds all; the newest one beside it has lost its header, and its last frame. Who reads gets all, and then hears of it.
  @Test func aWideOneBesideOneWithoutHeader() throws {
    let disk = try emptyDisk()
    set(disk, try Forger.sealed(Self.four), 0, isSealed: true) { $0[$0.count - 1] ^= 1 }
    set(disk, raw(3), 3, isSealed: false) {
      $0[30] ^= 1
      $0[$0.count - 30] ^= 1
    }
    #expect(try sequences(disk) == Array(0..<24))
    let (found, error) = try plain(disk)
    #expect(found == Array(0..<24) && error?.code == .corrupt, "\(found) \(String(describing: error))")
  }

  /// It ends in its last segment; of the newest one, which holds that segment, a frame is lost that the wide one has. Who reads gets all, and no error: the
  /// newest one holds what stood behind the end of the wide one.
  @Test func aWideOneThatEndsBesideADamagedOne() throws {
    let all = Forger.segments(Array(repeating: [1000, 1000, 1000] + Array(repeating: 200_000, count: 3), count: 4))
    let wideBytes = try Forger.sealed(all)
    let cut = try #require(sealedChunks(wideBytes).first { $0.sequences.contains(22) })
    let disk = try emptyDisk()
    set(disk, Array(wideBytes[..<(cut.start + 20)]), 0, isSealed: true)
    set(disk, all[3].frames.reduce(into: all[3].bytes) { $0 += $1 }, 3, isSealed: false) { $0[start(1, of: 3) + 100] ^= 1 }
    #expect(try sequences(disk) == Array(0..<24))
    let (found, error) = try plain(disk)
    #expect(found == Array(0..<24) && error == nil, "\(found) \(String(describing: error))")
  }

  /// The small one has lost the header of an earlier segment than the one in which the wide one ends: its index says that it holds that one, too.
  @Test(arguments: [true, false])
  func aSegmentGoesOnInAMergedOneWithoutItsHeader(_ hasIndex: Bool) throws {
    let wideBytes = try Forger.sealed(Self.four)
    let merged = try Forger.sealed(Self.four[1...2])
    let cut = try #require(sealedChunks(wideBytes).first { $0.sequences.contains(16) })
    let disk = try emptyDisk()
    set(disk, Array(wideBytes[..<(cut.start + 20)]), 0, isSealed: true)
    set(disk, merged, 1, isSealed: true) {
      if !hasIndex { $0[$0.count - 1] ^= 1 }
      $0[sealedChunks(merged)[0].start + 60] ^= 1
    }
    #expect(try sequences(disk) == Array(0..<18))
  }

  /// Both begin with the segment in which the wide one ends, and of that one the small one has lost all.
  @Test(arguments: [true, false])
  func aMergedOneThatHasLostAllOfItsFirstSegment(_ hasIndex: Bool) throws {
    let wideBytes = try Forger.sealed(Self.four)
    let merged = try Forger.sealed(Self.four[1...2])
    let cut = try #require(sealedChunks(wideBytes).first { $0.sequences.contains(10) })
    let disk = try emptyDisk()
    set(disk, Array(wideBytes[..<(cut.start + 20)]), 0, isSealed: true)
    set(disk, merged, 1, isSealed: true) {
      if !hasIndex { $0[$0.count - 1] ^= 1 }
      for chunk in sealedChunks(merged) where chunk.sequences.lowerBound < 12 { $0[chunk.start + 60] ^= 1 }
    }
    let found = try sequences(disk)
    #expect(found == Array(0..<cut.sequences.lowerBound) + Array(12..<18), "\(found)")
  }

  /// The same, where nothing of that segment is needed.
  @Test(arguments: [true, false])
  func aMergedOneThatHasLostWhatWasRead(_ hasIndex: Bool) throws {
    let merged = try Forger.sealed(Self.four[1...2])
    let disk = try emptyDisk()
    set(disk, try Forger.sealed(Self.four[0...1]), 0, isSealed: true)
    set(disk, merged, 1, isSealed: true) {
      if !hasIndex { $0[$0.count - 1] ^= 1 }
      for chunk in sealedChunks(merged) where chunk.sequences.lowerBound < 12 { $0[chunk.start + 60] ^= 1 }
    }
    #expect(try sequences(disk) == Array(0..<18))
  }

  /// The header of the second segment is lost in both; what the wide one has of that segment, up to where it is cut, is no other one than what the small one has.
  /// - Parameter before: how many chunks before that header are lost with it, so that it is not known where the segment began.
  @Test(arguments: [0, 1])
  func aSegmentGoesOnInASmallOneWithoutItsHeader(before: Int) throws {
    let wideBytes = try Forger.sealed(Self.four)
    let small = try Forger.sealed(Self.four[1...1])
    let (chunks, smallChunks) = (sealedChunks(wideBytes), sealedChunks(small))
    let number = try #require(chunks.firstIndex { $0.sequences.contains(6) })
    let header = chunks[number]
    let cut = try #require(chunks.first { $0.sequences.contains(11) })
    try #require(header.sequences.upperBound < 11 && cut.sequences.lowerBound == 11 && smallChunks[0].sequences.upperBound < 11)
    let disk = try emptyDisk()
    set(disk, Array(wideBytes[..<(cut.start + 20)]), 0, isSealed: true) {
      for chunk in chunks[(number - before)...number] { $0[chunk.start + 60] ^= 1 }
    }
    set(disk, small, 1, isSealed: true) {
      $0[$0.count - 1] ^= 1
      $0[smallChunks[0].start] ^= 1
    }
    let lost = chunks[number - before].sequences.lowerBound..<min(header.sequences.upperBound, smallChunks[0].sequences.upperBound)
    #expect(try sequences(disk) == (0..<12).filter { !lost.contains($0) })
  }

  /// Of two that overlap the first is damaged where a third holds what is lost, and no more: the second reaches further.
  @Test func theOneThatReachesFurtherIsComeBackFor() throws {
    let first = try Forger.sealed(Self.four[0...1])
    let second = try Forger.sealed(Self.four[1...3])
    let damaged = try [first, second].map { try #require(sealedChunks($0).first { $0.sequences.contains(9) }).start }
    let disk = try emptyDisk()
    set(disk, first, 0, isSealed: true) { $0[damaged[0] + 60] ^= 1 }
    set(disk, second, 1, isSealed: true) { $0[damaged[1] + 60] ^= 1 }
    set(disk, raw(1), 1, isSealed: false)
    #expect(try sequences(disk) == Array(0..<24))
  }

  /// How far a sealed one without its index reaches is found out by reading it.
  @Test func oneWithoutItsIndexReachesFurther() throws {
    let disk = try emptyDisk()
    set(disk, try Forger.sealed(Self.four[0...1]), 0, isSealed: true)
    set(disk, try Forger.sealed(Self.four[1...3]), 1, isSealed: true) { $0[$0.count - 1] ^= 1 }
    #expect(try sequences(disk) == Array(0..<24))
    let (found, error) = try plain(disk)
    #expect(found == Array(0..<12) && error?.damage?.cause == .otherSegment, "\(found) \(String(describing: error))")
  }

  /// It is passed by at first, since another one begins where it is to be gone on with; nothing was read of it then.
  @Test func oneWithoutItsIndexIsComeBackFor() throws {
    let disk = try emptyDisk()
    set(disk, try Forger.sealed(Self.four[0...1]), 0, isSealed: true)
    set(disk, try Forger.sealed(Self.four[1...3]), 1, isSealed: true) { $0[$0.count - 1] ^= 1 }
    set(disk, try Forger.sealed(Self.four[2...2]), 2, isSealed: true)
    #expect(try sequences(disk) == Array(0..<24))
    let (found, error) = try plain(disk)
    #expect(found == Array(0..<24) && error?.damage?.cause == .sealedIndex, "\(found) \(String(describing: error))")
  }

  /// Where a segment's header is lost, what is read behind it is none of the segment before: another file begins with that one, and has lost its own header.
  @Test func aSegmentWhoseHeaderWasLost() throws {
    let (first, second) = (try Forger.sealed(Self.five[1...3]), try Forger.sealed(Self.five[2...4]))
    let lost = try [(first, 18), (second, 12), (second, 18)].map { bytes, sequence in
      try #require(sealedChunks(bytes).first { $0.sequences.contains(UInt64(sequence)) })
    }
    let disk = try emptyDisk()
    set(disk, first, 1, isSealed: true) { $0[lost[0].start + 60] ^= 1 }
    set(disk, second, 2, isSealed: true) { for chunk in lost[1...] { $0[chunk.start + 60] ^= 1 } }
    #expect(try sequences(disk) == (6..<30).filter { !lost[0].sequences.contains($0) })
  }

  /// Of several that reach further it is the one that reaches furthest.
  @Test func theOneThatReachesFurthestIsKept() throws {
    let disk = try emptyDisk()
    for (segments, number) in [(0...2, 0), (1...3, 1), (2...4, 2)] { set(disk, try Forger.sealed(Self.five[segments]), number, isSealed: true) }
    #expect(try sequences(disk) == Array(0..<30))
  }
}
