import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What disks do to whole sectors: zeros, garbage, what stood there before, what belongs to another place; and garbage behind the end.
@Suite(.timeLimit(.minutes(60)))
struct SectorTests {
  private static let size = 512

  @Test(arguments: KnownLog.Layout.allCases)
  func everySector(_ layout: KnownLog.Layout) throws {
    let known = KnownLog.of(layout)
    var tally = Tally()
    var random = SeededGenerator(seed: seed)
    for (index, file) in known.files.enumerated() {
      let isNewest = index == known.files.count - 1
      let bytes = file.bytes
      func check(_ kind: String, _ place: String, _ damaged: [UInt8]) throws {
        guard damaged != bytes else { return }
        let disk = known.disk()
        disk.set(known.path(file.name), damaged)
        var judge = Judge(known: known, disk: disk, place: "\(file.name), \(kind), \(place), seed \(seed)")
        let outcome = try judge.judge(resumes: isNewest)
        tally.add("\(layout.rawValue): \(kind)", outcome.rawValue)
      }
      let sectors = stride(from: 0, to: bytes.count, by: Self.size).map { $0..<min(bytes.count, $0 + Self.size) }
      for (number, sector) in sectors.enumerated() {
        func replaced(by part: [UInt8]) -> [UInt8] { Array(bytes[..<sector.lowerBound]) + part + Array(bytes[sector.upperBound...]) }
        try check("zeroed", "sector \(number)", replaced(by: Array(repeating: 0, count: sector.count)))
        for round in 0..<(isLong ? 100 : 3) {
          try check("garbage", "sector \(number), round \(round)", replaced(by: sector.map { _ in UInt8.random(in: 0...255, using: &random) }))
        }
        for boundary in Self.generations(known, file) where boundary < sector.upperBound {
          let stale = sector.map { $0 < boundary ? bytes[$0] : 0 }
          try check("stale", "sector \(number), as of \(boundary) bytes", replaced(by: stale))
        }
        let other = Self.other.of(layout).files[index].bytes
        let part = sector.map { $0 < other.count ? other[$0] : 0 }
        if number == 0, !file.name.isSealed {
          // Header and first frame are whole, and of the other log: that they are the wrong ones is known from what stands behind them.
          let disk = known.disk()
          disk.set(known.path(file.name), replaced(by: part))
          #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id).finding.isDamage)
        } else {
          try check("of another log of this session", "sector \(number)", replaced(by: part))
        }
        for (second, twin) in sectors.enumerated() where second > number && twin.count == sector.count {
          var swapped = bytes
          swapped.replaceSubrange(sector, with: bytes[twin])
          swapped.replaceSubrange(twin, with: bytes[sector])
          try check("swapped", "sectors \(number) and \(second)", swapped)
        }
      }
    }
    tally.report("sectors")
  }

  /// The sizes that the file once had.
  private static func generations(_ known: KnownLog, _ file: KnownLog.File) -> [Int] {
    if file.name.isSealed { return [] }
    return known.frames.filter { file.segments.contains($0.segment) }.map(\.offset)
  }

  /// Another one under the same id and with the same sequences, as it may stand on a disk from before a recovery.
  private static let other = try! Dictionary(
    uniqueKeysWithValues: KnownLog.Layout.allCases.map { ($0, try KnownLog($0, firstSalt: 1001, kernel: "J")) })

  @Test func garbageOfEveryLengthBehindTheTail() throws {
    let known = KnownLog.of(.raw)
    let newest = known.files[2]
    var random = SeededGenerator(seed: seed)
    var tally = Tally()
    for size in cases(of: 4096, quick: 100).map({ $0 + 1 }) {
      let disk = known.disk()
      var garbage = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
      garbage[size - 1] |= 1
      disk.set(known.path(newest.name), newest.bytes + garbage)
      var judge = Judge(known: known, disk: disk, place: "\(size) bytes of garbage, seed \(seed)")
      let outcome = try judge.judge(mustKeep: Array(known.frames.indices), resumes: true)
      tally.add("newest file", outcome.rawValue)
      #expect(outcome == .tornTail, "\(size) bytes")
      #expect(try KnownLog.sessions(on: disk).verify(KnownLog.id).bytesInDoubt == UInt64(size))
    }
    tally.report("garbage behind the tail")
  }

  /// A file system may keep the size of a file and none of its bytes.
  @Test func zerosOfManyLengthsBehindTheTailAreNothing() throws {
    let known = KnownLog.of(.raw)
    for size in [1, 7, 8, 23, 24, 25, 511, 4096, 300_000] {
      let disk = known.disk()
      disk.set(known.path(known.files[2].name), known.files[2].bytes + Array(repeating: 0, count: size))
      var judge = Judge(known: known, disk: disk, place: "\(size) zeros")
      #expect(try judge.judge(mustKeep: Array(known.frames.indices), resumes: true) == .same)
    }
  }

  /// Two damages at once, of any kind and anywhere.
  @Test func severalDamages() throws {
    var random = SeededGenerator(seed: seed)
    var tally = Tally()
    for round in Rounds(quick: 60) {
      let known = KnownLog.of(KnownLog.Layout.allCases.randomElement(using: &random)!)
      let disk = known.disk()
      var place = "round \(round), seed \(seed):"
      for _ in 0..<Int.random(in: 2...4, using: &random) {
        let file = known.files.randomElement(using: &random)!
        disk.update(known.path(file.name)) { place += " \(file.name) " + Self.damage(&$0, &random) }
      }
      var judge = Judge(known: known, disk: disk, place: place, isSingle: false)
      tally.add("two to four at once", try judge.judge(resumes: true).rawValue)
    }
    tally.report("several damages, seed \(seed)")
  }

  private static func damage(_ bytes: inout [UInt8], _ random: inout SeededGenerator) -> String {
    guard !bytes.isEmpty else { return "is empty" }
    let start = Int.random(in: 0..<bytes.count, using: &random)
    let range = start..<min(bytes.count, start + Int.random(in: 1...600, using: &random))
    switch Int.random(in: 0..<5, using: &random) {
    case 0:
      bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      return "flipped at \(start)"
    case 1:
      bytes.removeSubrange(start...)
      return "cut to \(start)"
    case 2:
      for at in range { bytes[at] = 0 }
      return "zeroed \(range)"
    case 3:
      for at in range { bytes[at] = UInt8.random(in: 0...255, using: &random) }
      return "garbage in \(range)"
    default:
      let source = Int.random(in: 0...(bytes.count - range.count), using: &random)
      bytes.replaceSubrange(range, with: Array(bytes[source..<source + range.count]))
      return "\(range) copied from \(source)"
    }
  }
}

extension Verification.Finding {
  fileprivate var isDamage: Bool { if case .damaged = self { true } else { false } }
}

extension [KnownLog.Layout: KnownLog] {
  fileprivate func of(_ layout: KnownLog.Layout) -> KnownLog { self[layout]! }
}
