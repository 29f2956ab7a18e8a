import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Actions out of the middle of a session.
struct FilterTests {
  private let storage: Storage

  init() throws {
    storage = try Storage()
  }

  /// 3,000 actions, whose times go back every hundredth action, in files of which some are sealed, one by one and merged.
  private func record() throws -> [(seq: Int64, time: Int64)] {
    let times = (0..<3000).map { (index: Int) -> Int64 in
      let back: Int64 = index % 100 == 99 ? 500 : 0
      return (Int64(index) + 1_000_000 - back) * 1_000_000
    }
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 300_000 })
    for (index, time) in times.enumerated() {
      var next = action(note: JSONString(String(repeating: "x", count: index * 31 % 1500)))
      next.generatedAt = Timestamp(microseconds: time)!
      try prov.recordAction(next)
      if index == 900 { try compact(rawSizeMax: 0) }
      if index == 1800 { try compact(rawSizeMax: 1 << 20) }
    }
    return zip(Int64(1)..., times).map { (seq: $0, time: $1) }
  }

  private func compact(rawSizeMax: UInt64) throws {
    _ = try storage.log("a").compact(try SessionID("a"), CompactionRules(rawSizeMax: rawSizeMax))
  }

  private func found(_ filter: ActionFilter) throws -> [Int64] {
    var reader = try storage.store.getSession("a").actions(
      seqs: filter.seqs,
      generatedAt: filter.times == .min ... .max
        ? nil : Timestamp(microseconds: filter.times.lowerBound)!...Timestamp(microseconds: filter.times.upperBound)!)
    var seqs: [Int64] = []
    while let action = try reader.next() { seqs.append(action.seq) }
    return seqs
  }

  /// Whatever is asked for is what going through all of it gives.
  @Test func isTheSameAsReadingAll() throws {
    let all = try record()
    var random = SeededGenerator(seed: UInt64.random(in: .min ... .max))
    for step in 0..<4 {
      for _ in 0..<40 {
        let (a, b) = (Int64.random(in: -10...3010, using: &random), Int64.random(in: -10...3010, using: &random))
        let (c, d) = (Int.random(in: 0..<3000, using: &random), Int.random(in: 0..<3000, using: &random))
        var filter = ActionFilter(seqs: min(a, b)...max(a, b))
        if step % 2 == 1 { filter.seqs = .min ... .max }
        if step > 0 { filter.times = min(all[c].time, all[d].time)...max(all[c].time, all[d].time) }
        #expect(try found(filter) == all.filter { filter.seqs.contains($0.seq) && filter.times.contains($0.time) }.map(\.seq), "\(filter)")
      }
      if step == 2 { try compact(rawSizeMax: .max) }
    }
    #expect(try found(ActionFilter(seqs: 3001 ... .max)) == [])
    #expect(try found(ActionFilter(seqs: .min...0)) == [])
    #expect(try found(.all) == all.map(\.seq))
  }

  /// Of millions of actions no more is unpacked than one or two chunks; what is counted is what is read from disk.
  @Test func readsNoMoreThanItNeeds() throws {
    let disk = MemoryDisk()
    let sessions = SessionsDirectory(storageDirectory: "store", fileSystem: disk)
    let prov = try ProvChain(
      storageDirectory: "store", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: try SessionID("a"),
      options: storage.options {
        $0.fileSystem = disk
        $0.segmentSizeMax = 4 << 20
        $0.view = .never
      })
    // Random text, which LZ4 cannot make shorter.
    var random = SeededGenerator(seed: 1)
    for _ in 0..<20 {
      _ = try prov.recordActions((0..<1000).map { _ in action(note: JSONString((0..<60).map { _ in String(random.next(), radix: 36) }.joined())) })
    }
    try prov.close()
    let log = sessions.log(of: try SessionID("a"))
    for rawSizeMax in [0, UInt64.max] {
      _ = try log.compact(try SessionID("a"), CompactionRules(rawSizeMax: rawSizeMax))
      for seq in [1, 2, 9_999, 10_000, 19_991] as [Int64] {
        disk.setHook { _ in }
        let filter = ActionFilter(seqs: seq...seq + 9)
        var reader = try LogReader.open(log, of: try SessionID("a"), for: filter)
        var count = 0
        while try reader.nextAction(filter) { count += 1 }
        #expect(count == 10)
        let files = try log.segments().count
        // Two chunks at most are read beside the first one of the file, which holds its header; each index is 64 bytes a chunk.
        #expect(disk.counts.bytes < 4 * 270_000 + files * 16_000, "\(rawSizeMax), \(seq): \(disk.counts)")
      }
    }
  }

  @Test func damageElsewhereIsNotSeenAndHereItIs() throws {
    _ = try record()
    try compact(rawSizeMax: .max)
    let file = try storage.segment("a", 0)
    let size = try #require(try DiskFileSystem().status(of: file)?.size)
    try DiskFileSystem().flipBit(at: size / 2, of: file)
    #expect(try found(ActionFilter(seqs: 2500...2502)) == [2500, 2501, 2502])
    #expect(try found(ActionFilter(seqs: 10...12)) == [10, 11, 12])
    #expect(errorCode { try found(ActionFilter(seqs: 10...2500)) } == .corrupt)
  }
}
