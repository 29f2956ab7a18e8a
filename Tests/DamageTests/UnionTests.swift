import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Files of one log, raw, sealed and merged, as they may stand side by side, each of them damaged somewhere: what is read is what is whole in one of them, in its
/// order, each frame once.
@Suite(.timeLimit(.minutes(60)))
struct UnionTests {
  /// Its raw bytes, and which of them each frame takes.
  private struct Made {
    var name: SegmentFileName
    var bytes: [UInt8]
    /// What must be whole for frames to be: of a raw file each of them by itself, of a sealed one all of a chunk.
    var parts: [(range: Range<Int>, sequences: Range<UInt64>)]
  }

  private static let segments = Forger.segments(Array(repeating: [60_000, 100, 150_000, 90_000, 200_000, 70_000], count: 5))

  private static func raw(_ number: Int) -> Made {
    let segment = segments[number]
    var made = Made(name: SegmentFileName(firstSequence: segment.header.firstSequence, isSealed: false), bytes: segment.bytes, parts: [])
    for (index, frame) in segment.frames.enumerated() {
      let sequence = segment.header.firstSequence + UInt64(index)
      // The bytes that fill it up to eight are none of it.
      let size = FrameHeader.size + frame.withUnsafeBytes { FrameHeader(unchecked: $0).payloadSize }
      made.parts.append((made.bytes.count..<made.bytes.count + size, sequence..<sequence + 1))
      made.bytes += frame
    }
    return made
  }

  private static func sealed(_ numbers: Range<Int>) -> Made {
    let name = SegmentFileName(firstSequence: segments[numbers.lowerBound].header.firstSequence, isSealed: true)
    let bytes = try! Forger.sealed(segments[numbers])
    return Made(name: name, bytes: bytes, parts: sealedChunks(bytes).map { ($0.start..<$0.end, $0.sequences) })
  }

  private static let raws = (0..<5).map(raw)
  private static let narrow = (0..<5).map { sealed($0..<$0 + 1) }
  private static let wide = [0..<5, 0..<4, 0..<3, 0..<2, 1..<5, 1..<4, 1..<3, 2..<5, 2..<4, 3..<5].map(sealed)

  private static func damage(_ bytes: inout [UInt8], of made: Made, _ random: inout SeededGenerator) -> String {
    let part = made.parts.randomElement(using: &random)!.range
    let kind = Int.random(in: 0..<(made.name.isSealed ? 6 : 7), using: &random)
    switch kind {
    case 0: bytes[part.randomElement(using: &random)!] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1: bytes.replaceSubrange(part, with: repeatElement(0, count: part.count))
    case 2: for at in max(0, part.lowerBound - 8)..<part.lowerBound + 8 { bytes[at] = UInt8.random(in: .min ... .max, using: &random) }
    case 3: bytes[part.lowerBound] ^= 1
    case 4 where made.name.isSealed: bytes[bytes.count - Int.random(in: 1...72, using: &random)] ^= 1
    // How long the block is.
    case 5 where made.name.isSealed: bytes[part.lowerBound + 15 + Int.random(in: 0..<4, using: &random)] ^= 1
    case 4: for at in 0..<made.parts[0].range.lowerBound { bytes[at] = 0 }
    case 5: bytes[part.lowerBound + Int.random(in: 0..<FrameHeader.size, using: &random)] ^= 1
    default: for at in part.lowerBound..<bytes.count { bytes[at] = 0 }
    }
    return " \(made.name): \(kind) at \(part.lowerBound)"
  }

  @Test func whatOneFileHoldsIsRead() throws {
    var random = SeededGenerator(seed: seed)
    var tally = Tally()
    for round in Rounds(quick: 40) {
      var files = [Self.wide.randomElement(using: &random)!]
      for made in Self.wide.shuffled(using: &random) where Int.random(in: 0..<3, using: &random) == 0 {
        if !files.contains(where: { $0.name == made.name }) { files.append(made) }
      }
      for number in 0..<5 {
        for made in [Self.raws[number], Self.narrow[number]] where Bool.random(using: &random) && !files.contains(where: { $0.name == made.name }) {
          files.append(made)
        }
      }
      if Int.random(in: 0..<4, using: &random) == 0, files.count > 1 { files.removeFirst() }
      var place = "round \(round), seed \(seed):" + files.map { " \($0.name)" }.joined() + ";"
      let disk = KnownLog.of(.raw).disk()
      for file in KnownLog.of(.raw).files { try disk.remove(KnownLog.of(.raw).path(file.name)) }
      var whole: Set<UInt64> = []
      for made in files {
        var bytes = made.bytes
        for _ in 0..<Int.random(in: 0...2, using: &random) { place += Self.damage(&bytes, of: made, &random) }
        if Int.random(in: 0..<8, using: &random) == 0 {
          let size = Int.random(in: 1..<bytes.count, using: &random)
          place += " \(made.name): cut to \(size)"
          bytes = Array(bytes[..<size])
        }
        disk.set(KnownLog.of(.raw).path(made.name), bytes)
        for (range, sequences) in made.parts where range.upperBound <= bytes.count && bytes[range] == made.bytes[range] { whole.formUnion(sequences) }
      }
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id, goesBehindTail: true)
      var (found, items): ([UInt64], Int) = ([], 0)
      var named: Set<UInt64> = []
      while items < 1000, let item = try reader.nextItem() {
        items += 1
        let frame: FrameHeader
        switch item {
        case .frame(let next): frame = next
        case .damage(let damage):
          place += "\nbehind \(found.last.map { "\($0)" } ?? "nothing"): \(damage)"
          named.formUnion(damage.sequences)
          continue
        }
        found.append(frame.sequence)
        let index = Self.segments.lastIndex { $0.header.firstSequence <= frame.sequence }!
        let made = Self.segments[index].frames[Int(frame.sequence - Self.segments[index].header.firstSequence)]
        let (bytes, size) = (try reader.frameBytes, FrameHeader.size + frame.payloadSize)
        #expect(
          bytes.count == size && crc32c(0, bytes) == made.withUnsafeBytes { crc32c(0, UnsafeRawBufferPointer(rebasing: $0[..<size])) }, "\(place)")
      }
      // Some bits of a sealed file mean nothing: what is read has been compared above.
      let isAll = whole.isSubset(of: found) && zip(found, found.dropFirst()).allSatisfy { $0 < $1 }
      #expect(isAll, "read \(found) of \(whole.sorted()): \(place)")
      let lost = Set(0..<(found.last ?? 0)).subtracting(found)
      #expect(lost.isSubset(of: named), "lost \(lost.sorted()), named \(named.sorted()): \(place)")
      tally.add("random files side by side", isAll ? "all that is whole" : "OTHER")
    }
    tally.report("union, seed \(seed)")
  }
}
