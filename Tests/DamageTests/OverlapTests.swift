import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Files of which others hold the frames, too, as interrupted work leaves them; files that are missing, or stand where they don't belong.
@Suite(.timeLimit(.minutes(60)))
struct OverlapTests {
  private let known = KnownLog.of(.raw)
  private let merged = KnownLog.of(.merged)

  private let wide = SegmentFileName(firstSequence: 0, isSealed: true)

  /// - Parameters:
  ///   - damaged: a file in the place of which others are read: nothing else is named.
  ///   - unread: one that nobody reads, since another one covers it: if what differs in it counts, that is named.
  private func expectAll(_ disk: MemoryDisk, _ place: Comment, damaged: SegmentFileName? = nil, unread: SegmentFileName? = nil) throws {
    let found = try known.read(disk)
    #expect(found.count == known.frames.count && found.error == nil && found.ending == .clean, "\(place): \(found)")
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.actions == 8 && verification.actionsBeforeDamage == 8 && !verification.stopsReaders, "\(place): \(verification.problems)")
    if let unread, !verification.problems.isEmpty {
      let isNamed = verification.problems.map(\.segment) == [unread.description] && verification.problems[0].cause == .otherSegment
      return #expect(isNamed && verification.problems[0].framesLost == 0, "\(place): \(verification.problems)")
    }
    let expected = damaged.map { [$0.description] } ?? []
    #expect(verification.problems.map(\.segment) == expected, "\(place): \(verification.problems)")
    #expect(verification.problems.allSatisfy { $0.kind == .corruption && $0.framesLost == 0 }, "\(place): \(verification.problems)")
  }

  private func expectError(_ disk: MemoryDisk, _ place: Comment) throws {
    let found = try known.read(disk)
    #expect(found.error?.code == .corrupt && found.error?.damage != nil, "\(place): \(found)")
    #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id).isDamaged, place)
    var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
    var items = 0
    while try reader.nextItem() != nil { items += 1 }
    #expect(items < 100, place)
  }

  private func flip(_ disk: MemoryDisk, _ path: String, at part: Double) {
    disk.update(path) { $0[min($0.count - 1, Int(Double($0.count) * part))] ^= 4 }
  }

  private static let parts = [0.0, 0.02, 0.1, 0.3, 0.45, 0.55, 0.7, 0.9, 0.97, 1.0]

  @Test func rawBesideSealedOfTheSameNumber() throws {
    for segment in 0..<3 {
      let first = known.files[segment].name.firstSequence
      for part in Self.parts {
        let disk = known.disk()
        disk.set(known.path(first, isSealed: true), try known.sealed(segment..<segment + 1))
        try expectAll(disk, "segment \(segment)")
        flip(disk, known.path(first, isSealed: true), at: part)
        let name = SegmentFileName(firstSequence: first, isSealed: true)
        try expectAll(disk, "segment \(segment), sealed flipped at \(part)", damaged: name)
        flip(disk, known.path(first, isSealed: true), at: part)
        flip(disk, known.path(first), at: part * 0.98)
        try expectAll(disk, "segment \(segment), raw flipped at \(part)", unread: SegmentFileName(firstSequence: first))
        flip(disk, known.path(first, isSealed: true), at: part)
        // What nothing vouches for in the newest raw file is a torn tail there.
        if segment < 2 {
          let isPadding = try known.read(disk).error == nil
          if !isPadding { try expectError(disk, "segment \(segment), both flipped at \(part)") }
        }
      }
    }
  }

  @Test func smallFilesBesideAWiderOne() throws {
    for part in Self.parts {
      let disk = known.disk()
      disk.set(known.path(0, isSealed: true), merged.files[0].bytes)
      try expectAll(disk, "both whole")
      for first in [UInt64(0), 4] {
        flip(disk, known.path(first), at: part * 0.98)
        try expectAll(disk, "\(first) flipped at \(part)", unread: SegmentFileName(firstSequence: first))
        flip(disk, known.path(first), at: part * 0.98)
      }
      flip(disk, known.path(0, isSealed: true), at: part)
      try expectAll(disk, "the wide one flipped at \(part)", damaged: wide)
      for first in [UInt64(0), 4] {
        // Where they are damaged at different places nothing is lost.
        let copy = disk.copy()
        copy.update(known.path(first)) { $0[known.frames.first { $0.header.sequence == first }!.offset + 30] ^= 1 }
        let gone = disk.copy()
        try gone.remove(known.path(first))
        for (disk, place) in [(copy, "and \(first)"), (gone, "and \(first) is gone")] as [(MemoryDisk, Comment)] {
          let found = try known.read(disk)
          #expect(found.error?.code == .corrupt || found.count == known.frames.count && found.ending == .clean, "\(part), \(place): \(found)")
          #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id).isDamaged, "\(part), \(place)")
        }
      }
    }
  }

  /// The small ones are taken away one by one. What was in those that are gone is read from the wide one, even where that is damaged.
  @Test func aWideFileThatIsDamagedWhereSmallOnesAreWhole() throws {
    let disk = known.disk()
    disk.set(known.path(0, isSealed: true), merged.files[0].bytes)
    try disk.remove(known.path(0))
    try expectAll(disk, "the wide one is whole")
    let chunks = sealedChunks(merged.files[0].bytes)
    #expect(chunks.count == 2)
    let second = disk.copy()
    second.update(known.path(0, isSealed: true)) { $0[chunks[1].start + 40] ^= 1 }
    try expectAll(second, "its second chunk is damaged", damaged: wide)
    let first = disk.copy()
    first.update(known.path(0, isSealed: true)) { $0[chunks[0].start + 40] ^= 1 }
    try expectError(first, "its first chunk is damaged")
    let verification = try KnownLog.sessions(on: first).verify(KnownLog.id)
    #expect(verification.frames == 11 && verification.problems.map(\.cause) == [.chunk], "\(verification.problems)")
    // Without an index nobody but the chunks says how far it reaches.
    for part in [0.9, 0.97, 1.0] {
      let index = disk.copy()
      flip(index, known.path(0, isSealed: true), at: part)
      try expectAll(index, "its index is damaged at \(part)", damaged: wide)
      try index.remove(known.path(4))
      try expectAll(index, "its index is damaged at \(part), and 4 is gone", damaged: wide)
    }
  }

  /// Whatever is left beside a wide file, the session ends where that one ends, and each action is found by its seq.
  @Test func anyLeftoversBesideAWiderOne() throws {
    let leftovers = [known.path(0), known.path(4), known.path(9), known.path(4, isSealed: true)]
    let wideBytes = try known.sealed(0..<3)
    let second = try known.sealed(1..<2)
    for set in 0..<16 {
      let disk = known.disk()
      for (number, path) in leftovers.enumerated() where set & 1 << number == 0 { try? disk.remove(path) }
      if set & 8 != 0 { disk.set(known.path(4, isSealed: true), second) }
      disk.set(known.path(0, isSealed: true), wideBytes)
      try expectAll(disk, "leftovers \(set)")
      #expect(try KnownLog.log(on: disk).state(of: KnownLog.id).checkpoint == known.checkpoints[known.frames.count], "leftovers \(set)")
      for first in Int64(1)...8 {
        let filter = ActionFilter(seqs: first...8, times: ActionFilter.all.times)
        var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, for: filter)
        var seqs: [Int64] = []
        while try reader.nextAction(filter) { seqs.append(reader.lastSeq) }
        #expect(seqs == Array(first...8), "leftovers \(set), from \(first)")
      }
    }
  }

  /// Small ones are left that end before the wide one does, and that is damaged: what they hold is read from them, and the rest from it.
  @Test func leftoversThatEndBeforeADamagedWiderOne() throws {
    let wideBytes = try known.sealed(0..<3)
    let chunks = sealedChunks(wideBytes)
    try #require(chunks.count == 3)
    let second = try known.sealed(1..<2)
    // Of a log whose last file has lost its index nobody says where it ends.
    let cases: [(place: Comment, offset: Int, leftover: String, bytes: [UInt8], hasEnd: Bool)] = [
      ("trailer", wideBytes.count - 1, known.path(0), known.files[0].bytes, false),
      ("an entry", sealedIndexStart(wideBytes) + 80, known.path(0), known.files[0].bytes, false),
      ("trailer, beside 4", wideBytes.count - 1, known.path(4), known.files[1].bytes, false),
      ("trailer, beside 4, sealed", wideBytes.count - 1, known.path(4, isSealed: true), second, false),
      ("a chunk beside 4", chunks[1].start + 40, known.path(4), known.files[1].bytes, true),
      ("a chunk beside 4, sealed", chunks[1].start + 40, known.path(4, isSealed: true), second, true),
      ("the first chunk", chunks[0].start + 40, known.path(0), known.files[0].bytes, true),
    ]
    for (place, offset, leftover, bytes, hasEnd) in cases {
      let disk = known.disk()
      for first in [UInt64(0), 4, 9] { try disk.remove(known.path(first)) }
      disk.set(known.path(0, isSealed: true), wideBytes)
      disk.update(known.path(0, isSealed: true)) { $0[offset] ^= 1 }
      disk.set(leftover, bytes)
      let sessions = KnownLog.sessions(on: disk)
      let log = KnownLog.log(on: disk)
      if hasEnd {
        try expectAll(disk, place, damaged: wide)
        #expect(try log.state(of: KnownLog.id).checkpoint == known.checkpoints[known.frames.count], place)
        let writer = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), zeroesAhead: false, randomSalt: { 7 })
        #expect(writer.opened.summary.nextSeq == 9, place)
      } else {
        try expectError(disk, place)
        do throws(LogError) {
          let state = try log.state(of: KnownLog.id)
          Issue.record("\(place): it ends with \(state.checkpoint.summary.nextSeq)")
        } catch {
          #expect(error.code == .corrupt, "\(place): \(error)")
        }
        do throws(LogError) {
          _ = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), zeroesAhead: false, randomSalt: { 7 })
          Issue.record("\(place): it was resumed")
        } catch {
          #expect(error.code == .corrupt, "\(place): \(error)")
        }
      }
      let compacted = disk.copy()
      do throws(LogError) {
        _ = try KnownLog.log(on: compacted).compact(KnownLog.id)
        Issue.record("\(place): it was compacted")
      } catch {
        #expect(error.code == .corrupt, "\(place): \(error)")
      }
      let recovery = try sessions.recover(KnownLog.id, .salvage)
      #expect(recovery.kept == 8 && recovery.lostCount == 0, "\(place): \(recovery)")
      #expect(try sessions.verify(KnownLog.id, isDeep: true).problemCount == 0, place)
    }
  }

  private enum Leftover: CaseIterable {
    case gone, empty, whole, damagedFrame, damagedHeader
  }

  /// Each chunk of the wide one is damaged or not, its index too, and each small one is there, or not, or damaged: a frame is lost only where no file holds it.
  @Test(arguments: [false, true])
  func onlyWhatNoFileHoldsIsLost(_ isIndexDamaged: Bool) throws {
    let wideBytes = try known.sealed(0..<3)
    let chunks = sealedChunks(wideBytes)
    let kinds = Leftover.allCases
    for damaged in 0..<8 {
      for number in 0..<(kinds.count * kinds.count * kinds.count) {
        let leftovers = [kinds[number % 5], kinds[number / 5 % 5], kinds[number / 25]]
        let disk = known.disk()
        disk.set(known.path(0, isSealed: true), wideBytes)
        if isIndexDamaged { disk.update(known.path(0, isSealed: true)) { $0[$0.count - 1] ^= 1 } }
        var lost: Set<UInt64> = []
        for (segment, leftover) in leftovers.enumerated() {
          let frames = known.frames.filter { $0.segment == segment }
          let name = known.path(known.files[segment].name)
          var gone = frames[...]
          switch leftover {
          case .gone: try disk.remove(name)
          case .empty: disk.set(name, [])
          case .whole: gone = []
          case .damagedFrame:
            disk.update(name) { $0[frames[1].offset + FrameHeader.size] ^= 1 }
            gone = frames[1...1]
          case .damagedHeader:
            disk.update(name) { $0[20] ^= 1 }
            // Nothing says any more whether these are what was lost.
            if !isIndexDamaged { gone = [] }
          }
          let isDamaged = damaged & 1 << segment != 0
          if isDamaged { disk.update(known.path(0, isSealed: true)) { $0[chunks[segment].start + 40] ^= 1 } }
          // Without its index and its header nothing says which frames it has.
          if isDamaged || isIndexDamaged && damaged & 1 != 0 { lost.formUnion(gone.map(\.header.sequence)) }
        }
        let place: Comment = "chunks \(damaged), \(leftovers)"
        func sequences(_ disk: MemoryDisk) throws -> Set<UInt64> {
          var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
          var sequences: Set<UInt64> = []
          while let item = try reader.nextItem() {
            guard case .frame(let frame) = item else { continue }
            #expect(sequences.insert(frame.sequence).inserted, place)
            #expect(try Array(reader.payload) == known.frames[Int(frame.sequence)].payload, place)
          }
          return sequences
        }
        let before = try sequences(disk)
        let missing = known.frames.map(\.header.sequence).filter { !lost.contains($0) && !before.contains($0) }
        #expect(missing.isEmpty, "\(place): \(missing)")
        let found = try known.read(disk)
        #expect(found.error?.code == .corrupt || found.count == known.frames.count && found.ending == .clean || isIndexDamaged, "\(place): \(found)")
        let isReadable = lost.isEmpty && !isIndexDamaged && leftovers.allSatisfy { $0 != .empty && $0 != .damagedHeader }
        if isReadable { #expect(found.error == nil, "\(place): \(found)") }
        // Whatever a compaction does, it does not take anything away.
        let compacted = disk.copy()
        do throws(LogError) { _ = try KnownLog.log(on: compacted).compact(KnownLog.id) } catch {
          #expect(error.code == .corrupt, "\(place): \(error)")
        }
        let after = try sequences(compacted)
        #expect(after.isSuperset(of: before), "\(place), lost by a compaction: \(before.subtracting(after))")
      }
    }
  }

  /// In the tail of a small one, for which nothing in it vouches, a frame is damaged; the wide one, damaged there too, says that it held it. Those behind it are
  /// read.
  @Test func theTailOfASmallOneBesideADamagedWiderOne() throws {
    let wideBytes = try known.sealed(0..<3)
    let damaged = known.frames[known.frames.count - 2]
    for isAlone in [false, true] {
      let disk = known.disk()
      if isAlone { for first in [UInt64(0), 4] { try disk.remove(known.path(first)) } }
      disk.set(known.path(0, isSealed: true), wideBytes)
      disk.update(known.path(0, isSealed: true)) { $0[sealedChunks(wideBytes)[2].start + 40] ^= 1 }
      disk.update(known.path(known.files[2].name)) { $0[damaged.offset + FrameHeader.size] ^= 1 }
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
      var sequences: [UInt64] = []
      var lost: [Range<UInt64>] = []
      while let item = try reader.nextItem() {
        switch item {
        case .frame(let frame): sequences.append(frame.sequence)
        case .damage(let damage): if !damage.sequences.isEmpty { lost.append(damage.sequences) }
        }
      }
      #expect(sequences == known.frames.map(\.header.sequence).filter { $0 != damaged.header.sequence })
      #expect(lost == [damaged.header.sequence..<damaged.header.sequence + 1])
    }
  }

  /// Each damaged file that is set aside has a name of its own.
  @Test func evidenceIsNotReplaced() throws {
    let disk = known.disk()
    let wideBytes = try known.sealed(0..<3)
    var kept: Set<[UInt8]> = []
    for bit in [UInt8(1), 2, 4] {
      for file in known.files { disk.set(known.path(file.name), file.bytes) }
      var bytes = wideBytes
      bytes[sealedChunks(wideBytes)[1].start + 40] ^= bit
      kept.insert(bytes)
      disk.set(known.path(wide), bytes)
      _ = try KnownLog.log(on: disk).compact(KnownLog.id)
    }
    let names = try disk.names(in: KnownLog.directory).filter { $0.contains(".lz4.") }
    #expect(Set(names.map { disk.bytes("\(KnownLog.directory)/\($0)") }) == kept && names.count == 3, "\(names)")
  }

  /// Two sealed ones of which each holds what the other does not: no compaction leaves that. Nothing is passed over, whatever stands beside them.
  @Test func twoWideOnesThatOverlap() throws {
    for raw in [[], [0], [1], [2], [1, 2]] as [[Int]] {
      let disk = known.disk()
      for (number, file) in known.files.enumerated() where !raw.contains(number) { try disk.remove(known.path(file.name)) }
      disk.set(known.path(0, isSealed: true), try known.sealed(0..<2))
      disk.set(known.path(4, isSealed: true), try known.sealed(1..<3))
      let found = try known.read(disk)
      #expect(found.error?.code == .corrupt || found.count == known.frames.count, "\(raw): \(found)")
      #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id).stopsReaders, "\(raw)")
      let recovery = try KnownLog.sessions(on: disk).recover(KnownLog.id, .salvage)
      #expect(recovery.kept == 8, "\(raw): \(recovery)")
    }
  }

  /// A wide one whose index is damaged, and a small one that reaches as far: that one says how the session stands.
  @Test func theEndBesideAWideOneWithoutItsIndex() throws {
    let wideBytes = try known.sealed(0..<3)
    // Its trailer, an entry, the start of its index, its last chunk.
    let start = sealedIndexStart(wideBytes)
    for offset in [wideBytes.count - 1, start + 80, start + 2, sealedChunks(wideBytes)[2].start + 40] {
      for isSealed in [false, true] {
        let disk = known.disk()
        for first in [UInt64(0), 4, 9] { try disk.remove(known.path(first)) }
        disk.set(known.path(0, isSealed: true), wideBytes)
        disk.update(known.path(0, isSealed: true)) { $0[offset] ^= 1 }
        disk.set(known.path(9, isSealed: isSealed), isSealed ? try known.sealed(2..<3) : known.files[2].bytes)
        let place: Comment = "\(offset) of \(wideBytes.count), sealed \(isSealed)"
        try expectAll(disk, place, damaged: wide)
        let log = KnownLog.log(on: disk)
        #expect(try log.state(of: KnownLog.id).checkpoint == known.checkpoints[known.frames.count], place)
        let writer = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), zeroesAhead: false, randomSalt: { 7 })
        #expect(writer.opened.summary.nextSeq == 9, place)
      }
    }
  }

  /// What stands in the place of damaged frames in a file of another log is not what was lost.
  @Test func whatIsNotTheSameIsNotReadInItsPlace() throws {
    let other = try KnownLog(.raw, firstSalt: 100)
    let first = try known.sealed(0..<3)
    let chunk = sealedChunks(first)[1].start + 40
    // A frame inside that chunk.
    var segments = known.segments.map { (header: $0.header, bytes: $0.bytes) }
    segments[1].bytes[known.frames[6].offset + FrameHeader.size] ^= 1
    let inside = try Forger.sealed(segments, lastSequence: 14, lastCRC: known.frames[14].header.headerCRC, known.checkpoints[15]!)
    for (bytes, isFirst) in [(first, true), (inside, false)] {
      var headless = other.files[1].bytes
      headless[20] ^= 1
      for leftover in [known.files[1].bytes, other.files[1].bytes, headless] {
        let place: Comment = "first \(isFirst), of another log \(leftover != known.files[1].bytes)"
        let disk = known.disk()
        for first in [UInt64(0), 9] { try disk.remove(known.path(first)) }
        disk.set(known.path(0, isSealed: true), bytes)
        if isFirst { disk.update(known.path(0, isSealed: true)) { $0[chunk] ^= 1 } }
        disk.set(known.path(4), leftover)
        if leftover == known.files[1].bytes {
          try expectAll(disk, place, damaged: wide)
          continue
        }
        try expectError(disk, place)
        var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
        var salts: Set<UInt32> = []
        while let item = try reader.nextItem() { if case .frame = item { salts.insert(reader.currentSegment.header.salt) } }
        #expect(salts.allSatisfy { $0 < 100 } && !salts.isEmpty, "\(place): \(salts)")
      }
    }
  }

  /// Who looks for a few actions finds them in the others, too.
  @Test func aFewActionsBesideADamagedWiderOne() throws {
    let wideBytes = try known.sealed(0..<2)
    let chunks = sealedChunks(wideBytes)
    let disk = known.disk()
    try disk.remove(known.path(0))
    disk.set(known.path(0, isSealed: true), wideBytes)
    disk.update(known.path(0, isSealed: true)) { $0[chunks[1].start + 40] ^= 1 }
    try expectAll(disk, "all", damaged: wide)
    let log = KnownLog.log(on: disk)
    for first in Int64(1)...8 {
      for last in first...8 {
        let filter = ActionFilter(seqs: first...last, times: ActionFilter.all.times)
        var reader = try LogReader.open(log, of: KnownLog.id, for: filter)
        var seqs: [Int64] = []
        while try reader.nextAction(filter) { seqs.append(reader.lastSeq) }
        #expect(seqs == Array(first...last), "\(first) to \(last)")
      }
    }
    let writer = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), zeroesAhead: false, randomSalt: { 7 })
    #expect(writer.opened.summary.nextSeq == 9)
  }

  /// Its trailer claims frames that stand nowhere, and the next file begins behind those.
  @Test func aClaimAndAGap() throws {
    let disk = known.disk()
    for first in [UInt64(0), 4] { try disk.remove(known.path(first)) }
    for claim in UInt64(4)...9 {
      var bytes = try known.sealed(0..<1)
      Forger.store(claim, 8, at: bytes.count - SealedIndex.trailerSize + 16, in: &bytes)
      Forger.sealTrailer(in: &bytes)
      disk.set(known.path(0, isSealed: true), bytes)
      try expectError(disk, "\(claim)")
    }
  }

  /// One damaged file is set aside, and another one is not: nobody reads less than before.
  @Test func compactionSetsAsideOnlyWhatOthersHold() throws {
    let disk = known.disk()
    disk.set(known.path(0, isSealed: true), try known.sealed(0..<1))
    flip(disk, known.path(0, isSealed: true), at: 0.3)
    let second = try known.sealed(1..<3)
    disk.set(known.path(4, isSealed: true), second)
    let chunks = sealedChunks(second)
    try #require(chunks.count == 2)
    disk.update(known.path(4, isSealed: true)) { $0[chunks[1].start + 40] ^= 1 }
    try disk.remove(known.path(4))
    let before = try known.read(disk)
    #expect(before.count == known.frames.count && before.error == nil)
    do throws(LogError) {
      _ = try KnownLog.log(on: disk).compact(KnownLog.id)
      Issue.record("it was compacted")
    } catch {
      #expect(error.code == .corrupt)
    }
    let after = try known.read(disk)
    #expect(after.count == known.frames.count && after.error == nil, "\(after)")
    #expect(try !KnownLog.log(on: disk).segments().contains(SegmentFileName(firstSequence: 0, isSealed: true)))
  }

  /// It begins in the wide one, and ends behind it: it is named though its first bytes are damaged, and all that it alone holds can be saved.
  @Test(arguments: [false, true])
  func whatReachesBehindTheWideOneIsSaved(_ isHeaderDamaged: Bool) throws {
    let disk = known.disk()
    let raw = known.segments[0].bytes + known.segments[1].bytes + Array(known.segments[2].bytes[..<known.frames[12].offset])
    disk.set(known.path(0, isSealed: true), try seal(raw))
    for first in [UInt64(0), 4] { try disk.remove(known.path(first)) }
    if isHeaderDamaged { disk.update(known.path(9)) { $0[20] ^= 1 } }
    try expectError(disk, "reaches further")
    let sessions = KnownLog.sessions(on: disk)
    let recovery = try sessions.recover(KnownLog.id, .salvage)
    #expect(recovery.kept == 8 && recovery.lostCount == 0, "\(recovery)")
    #expect(try sessions.verify(KnownLog.id, isDeep: true).problemCount == 0)
  }

  /// Nobody reads it, and it can't be taken away.
  @Test func whatIsCoveredAndNotTheSameIsNamed() throws {
    let other = try KnownLog(.raw, firstSalt: 100)
    for bytes in [[UInt8](repeating: 7, count: 500), other.files[1].bytes] {
      let disk = known.disk()
      disk.set(known.path(0, isSealed: true), try known.sealed(0..<3))
      disk.set(known.path(4), bytes)
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      let name = SegmentFileName(firstSequence: 4).description
      let isNamed = verification.problems.map(\.cause) == [.otherSegment] && verification.problems[0].segment == name
      #expect(isNamed && !verification.stopsReaders && verification.actions == 8, "\(verification.problems)")
    }
  }

  @Test func aFileThatReachesBehindTheWideOneIsNamed() throws {
    let disk = known.disk()
    // The wide one ends in the middle of the second file.
    let raw = known.segments[0].bytes + Array(known.segments[1].bytes[..<known.frames[6].offset])
    disk.set(known.path(0, isSealed: true), try seal(raw))
    try disk.remove(known.path(9))
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.problems.contains { $0.cause == .otherSegment }, "\(verification.problems)")
  }

  /// Its trailer is forged, and claims what stands in the newest file alone. Behind damage that file was once looked for where no file was listed any more.
  @Test func aWideFileThatClaimsMoreThanItHolds() throws {
    let causes: [Damage.Cause] = [.payloadChecksum, .wrongSequence]
    for (cause, last) in causes.flatMap({ cause in [9, 12, FrameHeader.sequenceMax - 1].map { (cause, $0) } }) {
      let disk = merged.disk()
      var segments = known.segments[..<2].map { (header: $0.header, bytes: $0.bytes) }
      let frame = known.frames[8].offset
      segments[1].bytes[frame + FrameHeader.size] ^= 1
      if cause == .wrongSequence {
        Forger.store(20, 7, at: frame + 16, in: &segments[1].bytes)
        Forger.sealFrame(at: frame, salt: segments[1].header.salt, in: &segments[1].bytes)
      }
      disk.set(known.path(0, isSealed: true), try Forger.sealed(segments, lastSequence: last, lastCRC: 1, known.checkpoints[9]!))
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      #expect(verification.problems.first?.cause == cause, "\(last): \(verification.problems)")
      #expect(verification.frames >= UInt64(known.frames.count - 1))
      // The newest file goes away meanwhile.
      for moment in 0...known.frames.count {
        let disk = disk.copy()
        var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
        var items = 0
        while try reader.nextItem() != nil, items < 100 {
          if items == moment { try disk.remove(known.path(9)) }
          items += 1
        }
        #expect(items < 100, "\(cause), \(last), gone behind item \(moment)")
      }
    }
  }

  /// One frame claims a sequence far behind it, so that both files that follow seem to take the log up again. No frame comes behind one with a higher sequence.
  @Test(arguments: [UInt64(12), 14, 20, FrameHeader.sequenceMax])
  func aFrameThatClaimsToComeLater(_ claim: UInt64) throws {
    for second in UInt64(9)...15 {
      let disk = known.disk()
      for (number, frame, sequence) in [(0, 3, claim), (1, 8, second)] {
        disk.update(known.path(known.files[number].name)) { bytes in
          Forger.store(sequence, 7, at: known.frames[frame].offset + 16, in: &bytes)
          Forger.sealFrame(at: known.frames[frame].offset, salt: known.segments[number].header.salt, in: &bytes)
        }
      }
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
      var sequences: [UInt64] = []
      while let item = try reader.nextItem() { if case .frame(let frame) = item { sequences.append(frame.sequence) } }
      #expect(zip(sequences, sequences.dropFirst()).allSatisfy(<), "\(second): \(sequences)")
    }
  }

  /// What it claims can't be: neither is there room for so many frames before it, nor does the next file begin behind. Only that frame is lost.
  @Test(arguments: [12, 14, FrameHeader.sequenceMax] as [UInt64], [KnownLog.Layout.raw, .olderSealed, .allSealed])
  func aFrameThatClaimsTooMuchHidesNoOther(_ claim: UInt64, _ layout: KnownLog.Layout) throws {
    let (known, disk) = (KnownLog.of(layout), KnownLog.of(layout).disk())
    let file = known.files[0]
    var raw = known.segments[0].bytes
    Forger.store(claim, 7, at: known.frames[3].offset + 16, in: &raw)
    Forger.sealFrame(at: known.frames[3].offset, salt: known.segments[0].header.salt, in: &raw)
    disk.set(known.path(file.name), file.name.isSealed ? try seal(raw) : raw + file.bytes[raw.count...])
    let found = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(found.isDamaged && found.actions == 7, "\(found.problems)")
    let recovery = try KnownLog.sessions(on: disk).recover(KnownLog.id, .salvage)
    #expect(recovery.kept == 7 && recovery.lost == [2...2], "\(recovery)")
    #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id, isDeep: true).problems.isEmpty)
  }

  /// Exactly one file begins inside a sealed one and ends behind it, for its name is wrong: it ended every reader, and a compaction took it away.
  @Test(arguments: [true, false])
  func aFileOfAWrongNameIsNamedAndStays(_ isSealed: Bool) throws {
    let disk = known.disk()
    disk.set(known.path(wide), try known.sealed(0..<1))
    try disk.remove(known.path(0))
    let first = known.segments[1].header.firstSequence
    let wrong = SegmentFileName(firstSequence: first - 1, isSealed: isSealed)
    disk.set(known.path(wrong), isSealed ? try known.sealed(1..<2) : known.segments[1].bytes)
    try disk.remove(known.path(first))
    try expectError(disk, "misnamed")
    let sessions = KnownLog.sessions(on: disk)
    #expect(try sessions.verify(KnownLog.id).problems.contains { $0.segment == wrong.description })
    let log = KnownLog.log(on: disk)
    let before = try log.segments().map { ($0, disk.bytes(log.path(of: $0.description))) }
    do throws(LogError) {
      _ = try log.compact(KnownLog.id)
      Issue.record("it was compacted")
    } catch {
      #expect(error.code == .corrupt && error.segment == wrong.description && error.message.contains("both stay"), "\(error)")
    }
    #expect(try log.segments() == before.map(\.0) && before.allSatisfy { disk.bytes(log.path(of: $0.0.description)) == $0.1 })
    #expect(try sessions.recover(KnownLog.id, .salvage).kept == 8)
  }

  @Test func aFileTwiceIsNamed() throws {
    for (source, target) in [(0, 2), (1, 0), (2, 1)] {
      let disk = known.disk()
      disk.set(known.path(known.files[target].name), known.files[source].bytes)
      try expectError(disk, "\(source) in the place of \(target)")
    }
    let disk = known.disk()
    disk.set(known.path(6), known.files[1].bytes)
    try expectError(disk, "a copy under another number")
  }

  @Test func everyFileThatIsMissingIsNamed() throws {
    for layout in KnownLog.Layout.allCases {
      let known = KnownLog.of(layout)
      for file in known.files.dropLast() {
        let disk = known.disk()
        try disk.remove(known.path(file.name))
        let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
        let expected: Damage.Cause = file.name.firstSequence == 0 ? .firstFile : .framesMissing
        // What was left in the file before may be a part of what is gone.
        let isNamed = verification.problems.map(\.cause) == [expected] || layout == .raw && verification.problems.map(\.cause) == [.overrun]
        #expect(isNamed, "\(layout): \(file.name): \(verification.problems)")
        #expect(verification.problems.first?.framesLost == UInt64(known.frames.count { file.segments.contains($0.segment) }))
      }
    }
  }
}
