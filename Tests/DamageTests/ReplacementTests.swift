import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Files that are replaced, come, or are gone while they are read.
@Suite(.timeLimit(.minutes(60)))
struct ReplacementTests {
  private let known = KnownLog.of(.raw)

  /// A long directory is not listed in one moment.
  @Test func aFileThatAListingMissed() throws {
    for layout in KnownLog.Layout.allCases {
      let known = KnownLog.of(layout)
      for file in known.files {
        let disk = known.disk()
        disk.missOnce([file.name.description])
        let found = try known.read(disk)
        // What ends before its newest file is a log that had no more then.
        let isAll = found.count == known.frames.count || file.name == known.files.last!.name
        #expect(isAll && found.error == nil, "\(layout), \(file.name): \(found)")
        // Nor does who goes on behind damage hear of any.
        disk.missOnce([file.name.description])
        var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
        while let item = try reader.nextItem() {
          if case .damage(let damage) = item { Issue.record("\(layout), \(file.name): \(damage)") }
        }
      }
    }
  }

  private enum Change: CaseIterable {
    case eachSealed, olderMerged, allMerged, mergedAndOneMore
  }

  private func make(_ change: Change, on disk: MemoryDisk) throws {
    switch change {
    case .eachSealed:
      for (index, file) in known.files.enumerated() {
        disk.set(known.path(file.name.firstSequence, isSealed: true), try known.sealed(index..<index + 1))
      }
    case .olderMerged: disk.set(known.path(0, isSealed: true), try known.sealed(0..<2))
    case .allMerged, .mergedAndOneMore: disk.set(known.path(0, isSealed: true), try known.sealed(0..<3))
    }
    let gone = change == .olderMerged ? [0, 4] : [0, 4, 9] as [UInt64]
    for first in gone {
      for isSealed in [false, true] where !(isSealed && (first == 0 || change == .eachSealed)) {
        try? disk.remove(known.path(first, isSealed: isSealed))
      }
    }
  }

  /// A reader once took a log that was merged while it read for one with a file missing, or for ended.
  @Test(arguments: [KnownLog.Layout.raw, .olderSealed])
  func filesThatAreMergedWhileTheyAreRead(_ layout: KnownLog.Layout) throws {
    for change in Change.allCases where change != .eachSealed || layout == .raw {
      for moment in 0...known.frames.count {
        let disk = KnownLog.of(layout).disk()
        let found = try known.read(disk) { if $0 == moment { try! make(change, on: disk) } }
        #expect(
          found.count == known.frames.count && found.error == nil && found.ending == .clean, "\(layout), \(change) behind frame \(moment): \(found)")
      }
    }
  }

  /// The same, right before each call of the file system.
  @Test(arguments: [KnownLog.Layout.raw, .olderSealed])
  func filesThatAreMergedBetweenTwoCalls(_ layout: KnownLog.Layout) throws {
    for change in Change.allCases where change != .eachSealed || layout == .raw {
      for call in 0... {
        let disk = KnownLog.of(layout).disk()
        let calls = Atomic<Int>(0)
        disk.setHook { [self] _ in if calls.add(1, ordering: .relaxed).newValue == call + 1 { try! make(change, on: disk) } }
        let found = try known.read(disk)
        #expect(
          found.count == known.frames.count && found.error == nil && found.ending == .clean, "\(layout), \(change) before call \(call): \(found)")
        if calls.load(ordering: .relaxed) <= call { break }
      }
    }
  }

  /// A log that is taken up again holds copies of what a reader at its end has read: it passes them, also where the files are merged right before any call.
  @Test func copiesAreReadOnce() throws {
    for call in 0... {
      let disk = known.disk()
      let log = KnownLog.log(on: disk)
      var reader = try LogReader.open(log, of: KnownLog.id)
      var seqs: [Int64] = []
      while let frame = try reader.next() { if frame.kind == .action { seqs.append(try ActionOutline(payload: reader.payload).seq) } }
      do {
        var writer = try log.resume(KnownLog.id, lock: LogLock(.writer, of: log), randomSalt: { 99 })
        try writer.append(.action, KnownLog.action(9))
        _ = writer.flush()
        try writer.sync()
      }
      let newest = known.path(try #require(try log.segments().last))
      let bytes = disk.bytes(newest)
      let before = try #require(try bytes.withRawBytes { bytes throws(LogError) in try SegmentHeader(bytes).predecessor })
      #expect(before.lastSequence < known.frames.last!.header.sequence, "there are copies")
      let all = try seal(known.segments[0].bytes + known.segments[1].bytes + known.segments[2].bytes.prefix(Int(before.size)) + bytes)
      let calls = Atomic<Int>(0)
      disk.setHook { [self] _ in
        guard calls.add(1, ordering: .relaxed).newValue == call + 1 else { return }
        disk.set(known.path(0, isSealed: true), all)
        for old in [known.path(0), known.path(4), known.path(9), newest] { try! disk.remove(old) }
      }
      while let frame = try reader.next() { if frame.kind == .action { seqs.append(try ActionOutline(payload: reader.payload).seq) } }
      #expect(seqs == Array(1...9), "merged before call \(call)")
      if calls.load(ordering: .relaxed) <= call { break }
    }
  }

  /// Who has asked for more a thousand times still sees the next file, and the one that takes the place of all.
  @Test(arguments: [false, true])
  func aFileThatComesLateIsRead(_ isMerged: Bool) throws {
    let disk = known.disk()
    try disk.remove(known.path(9))
    var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
    var count = 0
    while try reader.next() != nil { count += 1 }
    for _ in 0..<3000 { #expect(try reader.next() == nil) }
    disk.set(known.path(9), known.files[2].bytes)
    if isMerged { try make(.allMerged, on: disk) }
    while try reader.next() != nil { count += 1 }
    #expect(count == known.frames.count)
  }

  @Test func aFileThatIsGoneIsMissingOnlyAfterTwoEqualListings() throws {
    for call in 0... {
      let disk = known.disk()
      let calls = Atomic<Int>(0)
      let listings = Atomic<Int>(0)
      disk.setHook { [self] what in
        if case .list = what { listings.add(1, ordering: .relaxed) }
        guard calls.add(1, ordering: .relaxed).newValue == call + 1 else { return }
        try? disk.remove(known.path(4))
        listings.store(0, ordering: .relaxed)
        if case .list = what { listings.add(1, ordering: .relaxed) }
      }
      let found = try known.read(disk)
      if found.error != nil {
        #expect(
          [.framesMissing, .overrun].contains(found.error?.damage?.cause) && listings.load(ordering: .relaxed) >= 2 || call == 0,
          "call \(call): \(found)")
        #expect(found.count == 4)
      } else {
        #expect(found.count == known.frames.count)
      }
      if calls.load(ordering: .relaxed) <= call { break }
    }
  }

  /// The file that was gone is there again, in another form: in the first listing behind that, or in the second. One listing may miss a file that is renamed.
  @Test(arguments: [UInt64(4), 9], [1, 2])
  func aFileThatComesBackSealedIsRead(_ first: UInt64, _ listing: Int) throws {
    let segment = first == 4 ? 1 : 2
    let back = try known.sealed(segment..<segment + 1)
    // It is opened while the one before it is read, and again behind that.
    for open in 1...2 {
      let disk = known.disk()
      let opens = Atomic<Int>(0)
      let listings = Atomic<Int>(0)
      disk.setHook { [self] what in
        switch what {
        case .open(known.path(first)):
          if opens.add(1, ordering: .relaxed).newValue != open { return }
          try? disk.remove(known.path(first))
          listings.store(0, ordering: .relaxed)
        case .list where opens.load(ordering: .relaxed) >= open:
          if listings.add(1, ordering: .relaxed).newValue == listing { disk.set(known.path(first, isSealed: true), back) }
        default: break
        }
      }
      let found = try known.read(disk)
      #expect(found.count == known.frames.count && found.error == nil, "gone when it is opened, \(open): \(found)")
      #expect(opens.load(ordering: .relaxed) >= open)
    }
  }

  /// A wide file that was left where it is damaged is removed before reading comes back to it: what it said that it held is missing.
  @Test func aDamagedFileThatIsRemovedMeanwhile() throws {
    let wide = try known.sealed(0..<3)
    let disk = known.disk()
    try disk.remove(known.path(9))
    disk.set(known.path(0, isSealed: true), wide)
    disk.update(known.path(0, isSealed: true)) { $0[sealedChunks(wide)[1].start + 40] ^= 1 }
    #expect(try known.read(disk.copy()).count == known.frames.count, "it holds the end")
    let found = try known.read(disk) { if $0 == 6 { try! disk.remove(known.path(0, isSealed: true)) } }
    #expect(found.count == 9 && found.error?.damage?.cause == .framesMissing && found.error?.damage?.sequences == 9..<15, "\(found)")
  }

  /// A file that becomes shorter while it is read once made the reader compute a negative size.
  @Test func aFileThatShrinksWhileItIsRead() throws {
    for moment in 0...known.frames.count {
      for size in [0, 100, 136, 400, 1000] {
        for file in known.files {
          let disk = known.disk()
          let found = try known.read(disk) { if $0 == moment { disk.update(known.path(file.name)) { $0 = Array($0.prefix(size)) } } }
          #expect(found.error?.code == .corrupt || found.error == nil, "\(found)")
          var reader = try LogReader.open(KnownLog.log(on: known.disk()), of: KnownLog.id, goesBehindTail: true)
          _ = try reader.nextItem()
        }
      }
    }
  }

  /// Listing the directory at the end of each file made reading many files quadratic.
  @Test func manyFilesAreReadWithFewListings() throws {
    let disk = MemoryDisk()
    KnownLog.make(on: disk)
    let log = KnownLog.log(on: disk)
    let header = SessionHeader(
      sessionID: KnownLog.id, urn: "ckp://Action#K/session-1", label: "l", kernelAction: "", startedAt: Timestamp(microseconds: 1000)!,
      wasAssociatedWith: "ckp://Kernel#K:v1.0")
    var summary = SummaryBuilder(header)
    do {
      var writer = try LogWriter.start(log, header, lock: try LogLock(.writer, of: log), randomSalt: { .random(in: .min ... .max) })
      for seq in Int64(1)...200 {
        try KnownLog.append(seq, to: &writer, &summary)
        try writer.roll(Checkpoint(header: header, summary: summary.summary))
      }
    }
    disk.setHook { _ in }
    let verification = try KnownLog.sessions(on: disk).verify(KnownLog.id)
    #expect(verification.actions == 200 && !verification.isDamaged)
    #expect(disk.counts.listings < 10 && disk.counts.opens < 1000, "\(disk.counts)")
  }
}
