import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Indexes of sealed files whose checksums are right, and which say of the chunks what is not so. Readers that look for a few actions believe them.
struct IndexTests {
  /// Of an entry: offset and size of the fields that say something of the frames; the last two of `generated_at`.
  private static let fields = [(24, 8), (32, 8), (60, 4), (40, 8), (48, 8)]

  private static let layouts: [KnownLog.Layout] = [.olderSealed, .merged, .allSealed]

  /// One field of an entry or of the trailer, changed.
  private func forge(_ known: KnownLog, _ file: KnownLog.File, at offset: Int, _ size: Int, by step: UInt64) -> MemoryDisk {
    let disk = known.disk()
    disk.update(known.path(file.name)) { bytes in
      Forger.store(Forger.load(size, at: offset, in: bytes) &+ step, size, at: offset, in: &bytes)
      Forger.sealIndex(from: sealedIndexStart(file.bytes) + 8, in: &bytes)
    }
    return disk
  }

  private func verify(_ disk: MemoryDisk, isDeep: Bool = false) throws -> Verification {
    try KnownLog.sessions(on: disk).verify(KnownLog.id, isDeep: isDeep)
  }

  private func eachForgedEntry(_ body: (_ disk: MemoryDisk, _ file: KnownLog.File, _ isOfTimes: Bool, _ place: Comment) throws -> Void) throws {
    for layout in Self.layouts {
      let known = KnownLog.of(layout)
      for file in known.files where file.name.isSealed {
        for chunk in sealedChunks(file.bytes).indices {
          for (offset, size) in Self.fields {
            for step in [1, .max] as [UInt64] {
              let entry = sealedIndexStart(file.bytes) + 8 + chunk * 64
              let disk = forge(known, file, at: entry + offset, size, by: step)
              try body(disk, file, offset == 40 || offset == 48, "\(layout): \(file.name): chunk \(chunk), field at \(offset) by \(step)")
            }
          }
        }
      }
    }
  }

  /// What needs no look into the actions is compared without `--deep`.
  @Test func verifyNamesEachForgedEntry() throws {
    try eachForgedEntry { disk, file, isOfTimes, place in
      for isDeep in [false, true] {
        let found = try verify(disk, isDeep: isDeep)
        let isNamed = found.problems.contains { $0.segment == file.name.description && $0.cause == .sealedIndex && $0.framesLost == 0 }
        #expect(isNamed == (isDeep || !isOfTimes), "\(place): \(found.problems)")
        #expect(found.actions == 8, place)
      }
    }
  }

  @Test(arguments: layouts)
  func whatIsTrueIsNotNamed(_ layout: KnownLog.Layout) throws {
    #expect(try verify(KnownLog.of(layout).disk(), isDeep: true).problems.isEmpty)
  }

  /// LZ4's own checksum of a chunk, which `lz4 -d` compares: the index vouches for the chunk as it stands there, and each frame for itself.
  @Test func aForgedChecksumInAChunkIsNamedByADeepLook() throws {
    let known = KnownLog.of(.allSealed)
    for file in known.files {
      for (number, chunk) in sealedChunks(file.bytes).enumerated() {
        let disk = known.disk()
        disk.update(known.path(file.name)) { bytes in
          bytes[chunk.end - 1] ^= 1
          let crc = bytes[chunk.start..<chunk.end].withUnsafeBytes { crc32c(0, $0) }
          Forger.store(UInt64(crc), 4, at: sealedIndexStart(file.bytes) + 8 + number * 64 + 56, in: &bytes)
          Forger.sealIndex(from: sealedIndexStart(file.bytes) + 8, in: &bytes)
        }
        let plain = try verify(disk)
        #expect(plain.problems.isEmpty && plain.actions == 8, "\(file.name), chunk \(number): \(plain.problems)")
        let deep = try verify(disk, isDeep: true)
        #expect(deep.problems.map(\.cause) == [.chunk] && deep.problems[0].segment == file.name.description, "\(number): \(deep.problems)")
        #expect(deep.actions == 8 && deep.problems[0].framesLost == 0 && !deep.stopsReaders)
        let log = KnownLog.log(on: disk)
        #expect(throws: LogError.self) { try log.compact(KnownLog.id) }
        _ = try log.compact(KnownLog.id, CompactionRules(level: 9))
        let mended = try verify(disk, isDeep: true)
        #expect(mended.problems.isEmpty && mended.actions == 8, "\(number): \(mended.problems)")
      }
    }
  }

  /// It gets the next seq from there who goes on behind a file.
  @Test func aForgedTrailerAndClosingCheckpointAreNamedAndMadeRight() throws {
    let known = KnownLog.of(.allSealed)
    func expect(_ cause: Damage.Cause, _ file: KnownLog.File, _ disk: MemoryDisk) throws {
      let found = try verify(disk)
      let isNamed = found.problems.map(\.cause) == [cause] && found.problems[0].segment == file.name.description
      #expect(isNamed && !found.stopsReaders, "\(found.problems)")
      _ = try KnownLog.log(on: disk).compact(KnownLog.id, CompactionRules(level: 1, rawSizeMax: 0))
      #expect(try verify(disk).problems.isEmpty)
    }
    for file in known.files {
      let trailer = file.bytes.count - SealedIndex.trailerSize
      try expect(.sealedTrailer, file, forge(known, file, at: trailer + 24, 8, by: 1))
    }
    let disk = known.disk()
    disk.update(known.path(known.files[1].name)) { bytes in
      let digit = bytes.firstRange(of: Array(#""next_seq":9"#.utf8))!.upperBound - 1
      bytes[digit] = UInt8(ascii: "7")
      Forger.sealIndex(from: sealedIndexStart(bytes) + 8, in: &bytes)
    }
    #expect(try KnownLog.log(on: disk).state(of: KnownLog.id).checkpoint.summary.nextSeq == 7, "who resumes believes it")
    try expect(.checkpoint, known.files[1], disk)
  }

  /// What it says decides which view is removed.
  @Test func aClosingCheckpointOfAnotherSessionIsRefused() throws {
    let known = KnownLog.of(.allSealed)
    let disk = known.disk()
    disk.update(known.path(known.files[1].name)) { bytes in
      let index = sealedIndexStart(bytes)
      let id = bytes[index...].firstRange(of: Array("\"session_id\":\"\(KnownLog.id)\"".utf8))!
      bytes[id.upperBound - 2] ^= 1
      Forger.sealIndex(from: index + 8, in: &bytes)
    }
    do throws(LogError) {
      _ = try KnownLog.log(on: disk).state(of: KnownLog.id)
      Issue.record("another session's state was taken for this one's")
    } catch {
      #expect(error.code == .corrupt && error.message.contains("the checkpoint is of session"), "\(error)")
    }
  }

  /// Who resumes says in the next file where the sealed one ends: behind a wrong salt nobody would follow.
  @Test func aForgedSaltIsNotGoneOnBehind() throws {
    let known = KnownLog.of(.allSealed)
    let file = known.files[1]
    try #require(sealedChunks(file.bytes).count == 2)
    // Of the last segment's chunk.
    let log = KnownLog.log(on: forge(known, file, at: sealedIndexStart(file.bytes) + 8 + 64 + 60, 4, by: 1))
    do throws(LogError) {
      _ = try log.resume(KnownLog.id, lock: try LogLock(.writer, of: log), zeroesAhead: false, randomSalt: { 7 })
      Issue.record("it was resumed")
    } catch {
      #expect(error.code == .corrupt && error.message.contains("index"), "\(error)")
    }
  }

  /// A sparse file claims more chunks than memory should hold.
  @Test func anIndexHasABound() throws {
    let known = KnownLog.of(.allSealed)
    var trailer = Array(known.files[0].bytes.suffix(SealedIndex.trailerSize))
    for (count, isPossible) in [(UInt64(SealedIndex.chunkCountMax), true), (UInt64(SealedIndex.chunkCountMax) + 1, false)] {
      Forger.store(count, 4, at: 32, in: &trailer)
      Forger.sealTrailer(in: &trailer)
      let size = trailer.withUnsafeBytes { bytes in try? SealedIndex.size(trailer: bytes, fileSize: 1 << 40) }
      #expect((size != nil) == isPossible)
    }
  }

  /// The index is made anew, even where the file gets no smaller by it.
  @Test func packingAnewMakesAForgedIndexRight() throws {
    try eachForgedEntry { disk, file, _, place in
      let log = KnownLog.log(on: disk)
      // What contradicts itself is damaged, and what is in doubt behind the newest file is not packed.
      guard try !verify(disk).stopsReaders else { return }
      let steps = try log.compact(KnownLog.id, CompactionRules(level: 1, rawSizeMax: 0))
      #expect(steps.map(\.result) == [file.name], place)
      let found = try verify(disk, isDeep: true)
      #expect(found.problems.isEmpty && found.actions == 8, "\(place): \(found.problems)")
      #expect(try log.compact(KnownLog.id, CompactionRules(level: 1, rawSizeMax: 0)).isEmpty, place)
    }
  }

  /// Merging takes entries over as they are; what is not true of the frames does not get into a new file.
  @Test func mergingRefusesAForgedIndex() throws {
    let known = KnownLog.of(.olderSealed)
    for file in known.files.prefix(2) {
      let start = sealedIndexStart(file.bytes) + 8
      var places = Self.fields.map { (start + $0.0, $0.1) }
      // Only the last file's trailer is taken over.
      if file.name == known.files[1].name { places.append((file.bytes.count - SealedIndex.trailerSize + 24, 8)) }
      for (offset, size) in places where offset != start + 24 {
        let disk = forge(known, file, at: offset, size, by: 1)
        do throws(LogError) {
          _ = try KnownLog.log(on: disk).compact(KnownLog.id)
          Issue.record("\(file.name): merged, field at \(offset - start)")
        } catch {
          let isNamed = error.code == .corrupt && error.segment == file.name.description && error.message.contains("--level")
          #expect(isNamed, "\(file.name): field at \(offset - start): \(error)")
        }
        #expect(try KnownLog.log(on: disk).segments() == known.files.map(\.name))
      }
    }
  }

  /// The header of a raw file leads who looks for a few actions, too.
  @Test func aForgedFirstSeqOfARawFileIsNamedAndMadeRight() throws {
    let known = KnownLog.of(.raw)
    for file in known.files {
      for step in [1, .max] as [UInt64] where step == 1 || file.name.firstSequence > 0 {
        let disk = known.disk()
        disk.update(known.path(file.name)) { bytes in
          Forger.store(Forger.load(8, at: 32, in: bytes) &+ step, 8, at: 32, in: &bytes)
          Forger.sealSegmentHeader(in: &bytes)
        }
        let found = try verify(disk)
        let isNamed = found.problems.map(\.cause) == [.segmentHeader] && found.problems[0].segment == file.name.description
        #expect(isNamed && !found.stopsReaders && found.actions == 8, "\(file.name) by \(step): \(found.problems)")
        if step == 1 {
          let filter = ActionFilter(seqs: known.segments[file.segments.lowerBound].header.firstSeq...8)
          var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, for: filter)
          #expect(throws: LogError.self) { while try reader.nextAction(filter) {} }
        }
        #expect(try KnownLog.sessions(on: disk).recover(KnownLog.id, .salvage).kept == 8)
        #expect(try verify(disk).problems.isEmpty)
      }
    }
  }

  /// Who is led by an index and can see that it is wrong, in a file's header or in the chunks that he reads, says so.
  @Test func readersOfAFewActionsNoticeAForgedSeq() throws {
    try eachForgedEntry { disk, file, isOfTimes, place in
      guard !isOfTimes else { return }
      // What is said to hold no action is passed over, and who begins behind it can't know better.
      let bytes = disk.bytes("\(KnownLog.directory)/\(file.name)")
      let index = try? Array(bytes[sealedIndexStart(bytes)...]).withRawBytes { index throws(LogError) in
        try SealedIndex(index, fileSize: UInt64(bytes.count))
      }
      if let index, index.chunks.count > 1, index.actions(inChunk: 0).seqs == 0...0 { return }
      for upper in [1, 3, 4, 8] as [Int64] {
        let filter = ActionFilter(seqs: 1...upper)
        var seqs: [Int64] = []
        var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, for: filter)
        do {
          while try reader.nextAction(filter) { seqs.append(try ActionOutline(payload: reader.payload).seq) }
          #expect(seqs == Array(1...upper), "\(place): up to \(upper)")
        } catch let error as LogError {
          #expect(error.code == .corrupt && error.segment != nil, "\(place): \(error)")
          let isForEver = (try? reader.nextAction(filter)) == nil
          #expect(isForEver, place)
        }
      }
    }
  }
}
