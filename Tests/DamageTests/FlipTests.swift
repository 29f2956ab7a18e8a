import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Every bit of every file of a log, flipped.
@Suite(.timeLimit(.minutes(60)))
struct FlipTests {
  @Test(arguments: KnownLog.Layout.allCases)
  func everyFlippedBit(_ layout: KnownLog.Layout) throws {
    let known = KnownLog.of(layout)
    var tally = Tally()
    let disk = known.disk()
    for (index, file) in known.files.enumerated() {
      let isNewest = index == known.files.count - 1
      let regions = regions(of: file, known)
      for bit in cases(of: file.bytes.count * 8, quick: 150) {
        let at = bit / 8
        disk.update(known.path(file.name)) { $0[at] ^= 1 << (bit % 8) }
        let region = regions.last { $0.offset <= at }!
        var judge = Judge(known: known, disk: disk, place: "\(file.name) bit \(bit), \(region.name)")
        let outcome = try judge.judge(mustKeep: region.mustKeep, resumes: isNewest)
        disk.update(known.path(file.name)) { $0[at] ^= 1 << (bit % 8) }
        tally.add("\(layout.rawValue): \(isNewest ? "newest" : "older"): \(region.name)", outcome.rawValue)
        #expect(region.allowed(isNewest: isNewest && !file.name.isSealed).contains(outcome), "\(file.name) bit \(bit), \(region.name): \(outcome)")
      }
    }
    tally.report("flipped bits")
  }

  private struct Region {
    var name: String
    var offset: Int
    /// The frames that are whole all the same.
    var mustKeep: [Int]

    func allowed(isNewest: Bool) -> [Outcome] {
      switch name {
      case "padding", "behind the end": [.same]
      case "index", "closing checkpoint", "trailer", "skippable header": [.sameNamed, .error]
      case "chunk", "segment header": [.error]
      default: isNewest ? [.error, .tornTail, .tailInDoubt, .shorter] : [.error]
      }
    }
  }

  private func regions(of file: KnownLog.File, _ known: KnownLog) -> [Region] {
    let all = Array(known.frames.indices)
    if file.name.isSealed {
      var regions = sealedChunks(file.bytes).map { chunk in
        Region(name: "chunk", offset: chunk.start, mustKeep: all.filter { !chunk.sequences.contains(known.frames[$0].header.sequence) })
      }
      let index = sealedIndexStart(file.bytes)
      regions.append(Region(name: "skippable header", offset: index, mustKeep: all))
      regions.append(Region(name: "index", offset: index + 8, mustKeep: all))
      regions.append(Region(name: "closing checkpoint", offset: index + 8 + 64 * regions.count(where: { $0.name == "chunk" }), mustKeep: all))
      regions.append(Region(name: "trailer", offset: file.bytes.count - SealedIndex.trailerSize, mustKeep: all))
      return regions
    }
    var regions = [Region(name: "segment header", offset: 0, mustKeep: all)]
    for index in all where file.segments.contains(known.frames[index].segment) {
      let frame = known.frames[index]
      let others = all.filter { $0 != index }
      regions.append(Region(name: "frame header", offset: frame.offset, mustKeep: others))
      regions.append(Region(name: "payload", offset: frame.offset + FrameHeader.size, mustKeep: others))
      let end = frame.offset + FrameHeader.size + frame.payload.count
      if end < frame.offset + frame.bytes.count { regions.append(Region(name: "padding", offset: end, mustKeep: all)) }
    }
    let end = known.segments[file.segments.lowerBound].bytes.count
    if end < file.bytes.count { regions.append(Region(name: "behind the end", offset: end, mustKeep: all)) }
    return regions
  }
}

struct SealedChunk {
  var start: Int
  var end: Int
  var sequences: Range<UInt64>
}

/// Where the skippable frame begins in a whole sealed file.
func sealedIndexStart(_ bytes: [UInt8]) -> Int {
  let trailer = Array(bytes.suffix(SealedIndex.trailerSize))
  return bytes.count
    - (try! trailer.withRawBytes { trailer throws(LogError) in try SealedIndex.size(trailer: trailer, fileSize: UInt64(bytes.count)) })
}

func sealedChunks(_ bytes: [UInt8]) -> [SealedChunk] {
  let index = try! Array(bytes[sealedIndexStart(bytes)...]).withRawBytes { index throws(LogError) in
    try SealedIndex(index, fileSize: UInt64(bytes.count))
  }
  return index.chunks.indices.map { at in
    let chunk = index.chunks[at]
    let end = at + 1 < index.chunks.count ? index.chunks[at + 1].firstSequence : index.lastSequence + 1
    return SealedChunk(start: Int(chunk.fileOffset), end: Int(chunk.fileOffset) + chunk.fileSize, sequences: chunk.firstSequence..<end)
  }
}
