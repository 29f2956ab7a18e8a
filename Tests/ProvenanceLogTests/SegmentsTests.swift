import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// A session whose log goes on in further files.
struct SegmentsTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func record(_ id: String, _ count: Int, segmentSizeMax: UInt64, reopening: Bool = false) throws -> [UInt8] {
    let seconds = Atomic<Int64>(0)
    let clock: @Sendable () -> Timestamp = {
      Timestamp(microseconds: 1_773_518_402_000_000 + seconds.add(1, ordering: .relaxed).newValue * 1_000_000)!
    }
    let options = storage.options {
      $0.segmentSizeMax = segmentSizeMax
      $0.clock = clock
    }
    var prov = try storage.start(id, options)
    for number in 0..<count {
      if reopening, number % 50 == 49 { try prov.close(endedAt: Timestamp(microseconds: 0)!) }
      if reopening, number % 50 == 24 {
        prov = try storage.start("other-\(number)")
        prov = try storage.resume(id, options)
      }
      var next = action("type.\(number % 3)", number % 5 == 0 ? "failed" : "verified", note: "number \(number)")
      next.kernel = number % 7 == 0 ? "Kernel\(number)" : ""
      try prov.recordAction(next)
    }
    try prov.close()
    return try disk.bytes(of: prov.filePath)
  }

  /// The Session JSON does not depend on how the log is cut into files.
  @Test func filesDoNotShowInTheJSON() throws {
    let text = { (bytes: [UInt8]) in String(decoding: bytes, as: UTF8.self).replacing(/[abc]{3}/, with: "") }
    let one = text(try record("aaa", 300, segmentSizeMax: .max))
    let many = text(try record("bbb", 300, segmentSizeMax: 4096))
    let reopened = text(try record("ccc", 300, segmentSizeMax: 5000, reopening: true))
    #expect(one == many)
    #expect(one == reopened)
    #expect(try storage.log("aaa").segments().count == 1)
    #expect(try storage.log("bbb").segments().count > 10)
    #expect(try storage.log("ccc").segments().count > 20)
    for id in ["aaa", "bbb", "ccc"] {
      guard case .clean = try storage.verify(id).finding else { throw LogError(.corrupt, "\(id) is not clean") }
    }
  }

  @Test func everyActionItsOwnFile() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 0 })
    for _ in 0..<5 { try prov.recordAction(action()) }
    #expect(try storage.log("a").segments().map(\.firstSequence) == [0, 2, 4, 6, 8, 10])
    #expect(try storage.seqs("a") == [1, 2, 3, 4, 5])
  }

  /// A segment never becomes durable before the one before it.
  @Test func segmentIsSyncedBeforeTheNextIsMade() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start(
      "a",
      storage.options {
        $0.fileSystem = watched
        $0.segmentSizeMax = 1
      })
    try prov.recordAction(action())
    let first = try storage.segment("a")
    watched.forget()
    try prov.recordAction(action())
    let log = try storage.log("a")
    let name = SegmentFileName(firstSequence: 4)
    let temporary = log.path(of: name.temporaryName)
    let operations = watched.operations.filter { !$0.isWrite }
    #expect(
      operations == [
        .sync(first), .create(temporary), .sync(temporary), .rename(temporary, to: log.path(of: name.description)), .syncDirectory(log.path),
      ])
  }

  @Test func logStaysUsableWhenThereIsNoRoomForANewFile() throws {
    let watched = WatchedFileSystem()
    let options = storage.options {
      $0.fileSystem = watched
      $0.segmentSizeMax = 1
    }
    let prov = try storage.start("a", options)
    try prov.recordAction(action())
    watched.setRule { if case .create = $0 { .init(.noSpace) } else { nil } }
    #expect(errorCode { try prov.recordAction(action()) } == .noSpace)
    #expect(prov.actionCount == 1)
    watched.setRule { if case .rename = $0 { .init(.io) } else { nil } }
    #expect(errorCode { try prov.recordAction(action()) } == .io)
    watched.setRule(nil)
    #expect(try prov.recordAction(action()).seq == 2)
    #expect(try storage.seqs("a") == [1, 2])
    #expect(try disk.names(in: prov.logPath).allSatisfy { !$0.hasPrefix(".") })
  }

  /// Whether a segment whose directory could not be synced is there after a crash is open.
  @Test func newFileThatMayNotBeDurablePoisons() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start(
      "a",
      storage.options {
        $0.fileSystem = watched
        $0.segmentSizeMax = 1
      })
    try prov.recordAction(action())
    watched.setRule { $0.isSyncDirectory ? .init(.io) : nil }
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    watched.setRule(nil)
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    #expect(errorCode { try prov.close() } == .poisoned)
    #expect(try storage.seqs("a") == [1])
  }

  /// Two syncs of one file at a time: the kernel tells only one of them of an error. The other would go on as if all were well, and the header of a
  /// new segment would vouch for what was lost.
  @Test func noNewFileWhileASyncIsUnderWay() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start(
      "a",
      storage.options {
        $0.fileSystem = watched
        $0.durability = .power
        $0.segmentSizeMax = 1000
      })
    let second = Mutex<TestThread?>(nil)
    let secondError = Mutex<LogError?>(nil)
    watched.forget()
    watched.setRule { operation in
      guard operation.isSync, watched.count(\.isSync) == 1 else { return nil }
      second.withLock {
        $0 = TestThread {
          let error = logError { try prov.recordAction(action()) }
          secondError.withLock { $0 = error }
        }
      }
      // Time for the second to do what it must not.
      for _ in 0..<100 where watched.count({ if case .create = $0 { true } else { false } }) == 0 { sleepThread(.milliseconds(2)) }
      return .init(.io)
    }
    #expect(errorCode { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: 1000)))) } == .poisoned)
    second.withLock { $0 }?.join()
    #expect(secondError.withLock { $0?.code } == .poisoned)
    #expect(try storage.log("a").segments().count == 1)
  }

  // MARK: Missing files

  @Test func missingFileInTheMiddleIsDamage() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1 })
    for _ in 0..<5 { try prov.recordAction(action()) }
    try prov.close()
    try disk.remove(try storage.segment("a", 2))
    let projected = try storage.project("a")
    #expect(projected.damage?.code == .corrupt)
    #expect(String(decoding: projected.json, as: UTF8.self).contains("\"seq\": 1,"))
    #expect(!String(decoding: projected.json, as: UTF8.self).contains("\"seq\": 3,"))
    #expect(try storage.verify("a").isDamaged)
  }

  @Test func missingFirstFileIsDamage() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 1 })
    for _ in 0..<3 { try prov.recordAction(action()) }
    try disk.remove(try storage.segment("a", 0))
    let projected = try storage.project("a")
    #expect(projected.damage?.damage?.cause == .firstFile)
    #expect(String(decoding: projected.json, as: UTF8.self).contains("\"actions\": []"))
    #expect(errorCode { try storage.seqs("a") } == .corrupt)
  }
}
