import LogFormat
import LogStorage
import TestSupport
import Testing

/// Every file of a log, cut at every byte.
@Suite(.timeLimit(.minutes(60)))
struct CutTests {
  @Test(arguments: KnownLog.Layout.allCases)
  func everyCut(_ layout: KnownLog.Layout) throws {
    let known = KnownLog.of(layout)
    var tally = Tally()
    for (index, file) in known.files.enumerated() {
      let isNewest = index == known.files.count - 1
      for size in cases(of: file.bytes.count, quick: 40) {
        let disk = known.disk()
        disk.set(known.path(file.name), Array(file.bytes[..<size]))
        var judge = Judge(known: known, disk: disk, place: "\(file.name) cut to \(size)")
        let outcome = try judge.judge(mustKeep: mustKeep(known, index, size), resumes: isNewest)
        tally.add("\(layout.rawValue): \(isNewest ? "newest file" : "older file")\(file.name.isSealed ? ", sealed" : "")", outcome.rawValue)
        if !isNewest, size < file.bytes.count - KnownLog.evidence.count {
          #expect(outcome == .error || outcome == .sameNamed, "\(file.name) cut to \(size)")
        }
        if file.name.isSealed { #expect(outcome == .error || outcome == .sameNamed, "\(file.name) cut to \(size)") }
      }
    }
    tally.report("cuts")
  }

  /// Whole frames before a cut, and those of other files.
  private func mustKeep(_ known: KnownLog, _ cut: Int, _ size: Int) -> [Int] {
    let file = known.files[cut]
    return known.frames.indices.filter { index in
      let frame = known.frames[index]
      if !file.segments.contains(frame.segment) { return true }
      // Of a sealed file whole chunks.
      if file.name.isSealed { return sealedChunks(file.bytes).contains { $0.end <= size && $0.sequences.contains(frame.header.sequence) } }
      return size >= SegmentHeader.size && frame.offset + frame.bytes.count <= size
    }
  }
}
