import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What is lost with a place of a log: what stands there, and nothing else.
struct SalvageTests {
  private let known = KnownLog.of(.raw)

  private func path(_ index: Int) -> String { known.path(known.files[index].name) }

  /// Of a file whose first frames are gone with its header, the others say under which salt they were made: nothing else of it is lost, however much is
  /// zeroed.
  @Test(arguments: [0, 1, 2])
  func theStartOfAFileTakesNoMoreWithIt(_ number: Int) throws {
    let frames = known.frames.filter { $0.segment == number }
    for lost in 0..<frames.count {
      let disk = known.disk()
      let end = lost == 0 ? 24 : frames[lost - 1].offset + frames[lost - 1].bytes.count
      disk.update(path(number)) { for index in 0..<end { $0[index] = 0 } }
      let gone = Set(frames[..<lost].map(\.header.sequence))
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
      var sequences: [UInt64] = []
      var damaged: [Range<UInt64>] = []
      while let item = try reader.nextItem() {
        switch item {
        case .frame(let frame): sequences.append(frame.sequence)
        case .damage(let damage): damaged.append(damage.sequences)
        }
      }
      #expect(sequences == known.frames.map(\.header.sequence).filter { !gone.contains($0) }, "\(number), \(lost)")
      let first = known.segments[number].header.firstSequence
      #expect(damaged.contains(first..<first + UInt64(lost)), "\(number), \(lost): \(damaged)")
      let lostActions = frames[..<lost].count { $0.header.kind == .action }
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      #expect(verification.actions == 8 - UInt64(lostActions), "\(number), \(lost): \(verification)")
      // Of what is whole nothing is named, although nothing may say any more which session it is.
      #expect(!verification.problems.contains { $0.cause == .record }, "\(number), \(lost): \(verification)")
      // A later checkpoint, or the start, says it.
      let recovery = try KnownLog.sessions(on: disk).recover(KnownLog.id, .salvage)
      #expect(recovery.kept == 8 - UInt64(lostActions), "\(number), \(lost): \(recovery)")
    }
  }

  /// A sealed file has lost its index, and a chunk of it is damaged where it says how long it is, or elsewhere: those behind it are found, the damage is named.
  @Test(arguments: [0, 5, 6, 7, 8, 14, 17, 40])
  func aChunkOfAFileWithoutItsIndex(_ place: Int) throws {
    let bytes = try known.sealed(0..<3)
    let chunks = sealedChunks(bytes)
    for damaged in 0..<2 {
      let disk = known.disk()
      for index in 0..<3 { try disk.remove(path(index)) }
      disk.set(known.path(0, isSealed: true), bytes)
      disk.update(known.path(0, isSealed: true)) {
        $0[$0.count - 4] ^= 1
        $0[chunks[damaged].start + place] ^= 0x40
      }
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      let gone = known.frames.filter { $0.segment == damaged }
      #expect(verification.frames == UInt64(known.frames.count - gone.count), "\(place), \(damaged): \(verification)")
      #expect(verification.problems.contains { $0.cause == .chunk } && verification.problems.contains { $0.cause == .sealedIndex })
      #expect(verification.problems.reduce(0) { $0 + $1.framesLost } == UInt64(gone.count), "\(verification.problems)")
      let recovery = try KnownLog.sessions(on: disk).recover(KnownLog.id, .salvage)
      #expect(recovery.kept == 8 - UInt64(gone.count { $0.header.kind == .action }) && recovery.lostCount == 8 - recovery.kept, "\(recovery)")
    }
  }

  /// The same where the damaged length leads to the very end of another chunk: what it would hide is found.
  @Test func aChunkThatSaysItHoldsOthers() throws {
    let bytes = try known.sealed(0..<3)
    let chunks = sealedChunks(bytes)
    for (damaged, last) in [(0, 1), (0, 2), (1, 2)] {
      let disk = known.disk()
      for index in 0..<3 { try disk.remove(path(index)) }
      disk.set(known.path(0, isSealed: true), bytes)
      disk.update(known.path(0, isSealed: true)) {
        $0[$0.count - 4] ^= 1
        // Behind the frame header stands how long the block is; behind the last block, a word of zeros and the checksum.
        let at = chunks[damaged].start + 15
        Forger.store(UInt64(chunks[last].end - 8 - (at + 4)), 4, at: at, in: &$0)
      }
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      let gone = known.frames.filter { $0.segment == damaged }
      #expect(verification.frames == UInt64(known.frames.count - gone.count), "\(damaged), \(last): \(verification)")
      #expect(verification.problems.reduce(0) { $0 + $1.framesLost } == UInt64(gone.count), "\(verification.problems)")
    }
  }

  /// A chunk that says it is far shorter than it was: the frames behind it are not too many for the place at which they seem to stand.
  @Test func aChunkThatSaysItIsShort() throws {
    let bytes = try Forger.sealed(Forger.segments([Array(repeating: 8, count: 12_000)]))
    let chunks = sealedChunks(bytes)
    try #require(chunks.count == 2)
    let disk = known.disk()
    for index in 0..<3 { try disk.remove(path(index)) }
    disk.set(known.path(0, isSealed: true), bytes)
    disk.update(known.path(0, isSealed: true)) {
      $0[$0.count - 4] ^= 1
      Forger.store(100_000, 8, at: chunks[0].start + 6, in: &$0)
    }
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.frames == UInt64(chunks[1].sequences.count), "\(verification)")
  }

  /// Where the start of the session is lost, the checkpoint before it tells what it was: the actions behind it are whole.
  @Test func theStartOfTheSessionTakesNoActionWithIt() throws {
    let disk = known.disk()
    disk.update(path(0)) { $0[known.frames[1].offset + FrameHeader.size] ^= 1 }
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.problems.count == 1 && verification.problems[0].framesLost == 1 && verification.actions == 8, "\(verification.problems)")
  }

  /// The same where a whole chunk is lost with it, and nothing but a later checkpoint says it.
  @Test func theFirstChunkTakesNoOtherWithIt() throws {
    let bytes = try known.sealed(0..<3)
    let disk = known.disk()
    for index in 0..<3 { try disk.remove(path(index)) }
    disk.set(known.path(0, isSealed: true), bytes)
    disk.update(known.path(0, isSealed: true)) { $0[sealedChunks(bytes)[0].start + 40] ^= 1 }
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.problems.map(\.cause) == [.chunk] && verification.actions == 6, "\(verification.problems)")
  }

  /// Under right checksums the log begins as that of another session, whose view it must not replace.
  @Test func aLogThatBeginsAsThatOfAnother() throws {
    for isEverywhere in [false, true] {
      let disk = known.disk()
      for frame in known.frames where frame.header.kind == .sessionStarted || frame.header.kind == .checkpoint {
        guard isEverywhere || frame.header.sequence < 2 else { continue }
        disk.update(path(frame.segment)) { bytes in
          let at = frame.offset + FrameHeader.size + frame.payload.firstRange(of: Array("known".utf8))!.lowerBound
          bytes.replaceSubrange(at..<at + 5, with: Array("other".utf8))
          Forger.sealFrame(at: frame.offset, salt: known.segments[frame.segment].header.salt, in: &bytes)
        }
      }
      let sessions = KnownLog.sessions(on: disk)
      let other = "\(KnownLog.sessions)/other.json"
      disk.set(other, Array("{}".utf8))
      do throws(LogError) {
        try sessions.writeView(of: KnownLog.id)
        Issue.record("it was projected")
      } catch {
        #expect(error.code == .corrupt && error.message.contains("'other', and not 'known'"), "\(error)")
      }
      #expect(disk.bytes(other) == Array("{}".utf8))
      if isEverywhere { continue }
      let recovery = try sessions.recover(KnownLog.id, .salvage)
      #expect(recovery.kept == 8 && recovery.problems.contains { $0.cause == .record }, "\(recovery)")
      #expect(try sessions.verify(KnownLog.id, isDeep: true).problems.isEmpty)
    }
  }

  /// What looks like the start of a chunk, however often, and points far away: it costs no more than the file is long, and takes no chunk with it.
  @Test func beginningsOfChunks() throws {
    let bytes = try known.sealed(0..<3)
    let chunks = sealedChunks(bytes)
    let word = LZ4FrameHeader.magic
    // Flags and content size as they should be, then a block that ends behind the file.
    let header = word + [0x4C, 0x50, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0x3F, 0]
    for unit in [word, header] {
      let junk = Array(repeatElement(unit, count: (1 << 17) / unit.count).joined())
      let disk = known.disk()
      for index in 0..<3 { try disk.remove(path(index)) }
      disk.set(known.path(0, isSealed: true), bytes[..<chunks[1].start] + junk + bytes[chunks[1].start...])
      disk.setHook(nil)
      let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
      #expect(verification.actions == 8 && verification.problems.contains { $0.cause == .chunk }, "\(verification)")
      // Each of the few times that the file is opened.
      #expect(disk.counts.bytes < 16 * junk.count, "\(disk.counts)")
    }
  }
}
