import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

struct ThreadsTests {
  private let storage: Storage

  init() throws {
    storage = try Storage()
  }

  /// 8 threads, 1,000 actions each: every seq once, in the order of the log, each thread's own in its order.
  @Test(arguments: ProvChain.Durability.allCases)
  func everyActionGetsItsSeq(_ durability: ProvChain.Durability) throws {
    let prov = try storage.start(
      "a",
      storage.options {
        $0.durability = durability
        $0.segmentSizeMax = 256 << 10
        $0.syncInterval = .milliseconds(5)
      })
    let given = Mutex<[[Int64]]>(Array(repeating: [], count: 8))
    onThreads(8) { thread in
      for count in 0..<1000 {
        do {
          let seq: Int64
          if count % 10 == 9 {
            seq = try prov.recordActions([action("t\(thread)", count % 2 == 0 ? "verified" : "failed", note: "\(count)")]).lowerBound
          } else {
            seq = try prov.recordAction(action("t\(thread)", count % 2 == 0 ? "verified" : "failed", note: "\(count)")).seq
          }
          given.withLock { $0[thread].append(seq) }
        } catch {
          Issue.record(error)
        }
      }
    }
    let session = try prov.close()
    #expect(session.actionCount == 8000 && prov.actionCount == 8000)
    #expect(session.outcomeCounts.verified == 4000 && session.outcomeCounts.failed == 4000 && session.outcome == "partial")

    let seqs = given.withLock { $0 }
    let eachOnce = seqs.flatMap { $0 }.sorted() == Array(1...8000)
    #expect(eachOnce)
    var reader = try session.actions()
    var next: Int64 = 1
    var counts = [Int](repeating: 0, count: 8)
    var isRight = true
    while let action = try reader.next() {
      let thread = Int(action.actionType.description.dropFirst())!
      isRight = isRight && action.seq == next && seqs[thread][counts[thread]] == next && action.note == JSONString("\(counts[thread])")
      counts[thread] += 1
      next += 1
    }
    #expect(isRight && next == 8001)
    #expect(try storage.log("a").segments().count > 2)
    let verification = try storage.verify("a")
    guard case .clean = verification.finding else { throw LogError(.corrupt, "\(verification.finding)") }
    let viewIsRight = try DiskFileSystem().bytes(of: prov.filePath) == storage.project("a").json
    #expect(viewIsRight)
  }

  /// Closing while others record: an action after the close reopens, and none is lost.
  @Test func closingAmongRecorders() throws {
    let prov = try storage.start("a", storage.options { $0.syncInterval = .zero })
    let recorded = Mutex<[Int64]>([])
    let running = Atomic<Int>(4)
    onThreads(6) { thread in
      do {
        switch thread {
        case 0:
          repeat { try prov.close() } while running.load(ordering: .acquiring) > 0
        case 1:
          repeat {
            try prov.sync()
            let session = prov.session
            if session.actionCount > prov.actionCount { Issue.record("the count went back") }
          } while running.load(ordering: .acquiring) > 0
        default:
          defer { running.subtract(1, ordering: .releasing) }
          for _ in 0..<50 {
            let seq = try prov.recordAction(action()).seq
            recorded.withLock { $0.append(seq) }
          }
        }
      } catch {
        Issue.record(error)
      }
    }
    try prov.close()
    let seqs = recorded.withLock { $0.sorted() }
    #expect(seqs == Array(1...200))
    #expect(try storage.seqs("a") == seqs)
    guard case .clean = try storage.verify("a").finding else { throw LogError(.corrupt, "not clean") }
    let viewIsRight = try DiskFileSystem().bytes(of: prov.filePath) == storage.project("a").json
    #expect(viewIsRight)
  }

  /// A batch goes on in new segments, for which it waits until no sync is under way.
  @Test func nothingComesBetweenTheActionsOfABatch() throws {
    let prov = try storage.start(
      "a",
      storage.options {
        $0.segmentSizeMax = 2000
        $0.syncInterval = .milliseconds(1)
      })
    onThreads(4) { thread in
      do {
        for round in 0..<20 {
          let type = JSONString("t\(thread).\(round)")
          if thread == 0 { try prov.recordAction(action(type)) } else { try prov.recordActions((0..<20).map { _ in action(type) }) }
          if thread == 1, round % 5 == 4 { try prov.close() }
        }
      } catch {
        Issue.record(error)
      }
    }
    let types = try storage.actions("a").map(\.actionType)
    let changes = zip(types, types.dropFirst()).count { $0 != $1 }
    #expect(types.count == 20 + 3 * 20 * 20 && changes + 1 == 4 * 20)
  }

  /// Readers need no lock: whatever they find while others write is a prefix, and whole.
  @Test func readersAmongRecorders() throws {
    let prov = try storage.start(
      "a",
      storage.options {
        $0.segmentSizeMax = 16 << 10
        $0.syncInterval = .milliseconds(1)
      })
    let isRunning = Atomic(true)
    onThreads(3) { thread in
      do {
        if thread == 0 {
          for _ in 0..<1500 { try prov.recordAction(action(note: "0123456789")) }
          isRunning.store(false, ordering: .releasing)
          return
        }
        while isRunning.load(ordering: .acquiring) {
          let atLeast = prov.actionCount
          let session = try storage.store.getSession("a")
          if session.actionCount < atLeast { Issue.record("an action is missing in the summary") }
          if thread == 1 {
            let projected = try storage.project("a")
            if let damage = projected.damage { Issue.record(damage) }
            if projected.bytesInDoubt > 0 { Issue.record("the end of a living log is not judged") }
          } else {
            let seqs = try storage.seqs("a")
            if seqs.count < Int(atLeast) || seqs != (0..<seqs.count).map({ Int64($0 + 1) }) { Issue.record("a seq is missing") }
          }
        }
      } catch {
        Issue.record(error)
      }
    }
    #expect(try storage.seqs("a").count == 1500)
  }

  /// Between a reader's look at the end and its question who is at work the writer goes on, closes, and is gone: that is no damage.
  @Test func writerEndsWhileAReaderJudgesTheEnd() throws {
    let prov = try storage.start("a")
    try prov.recordAction(action())
    let watched = WatchedFileSystem()
    let log = LogDirectory(path: prov.logPath, fileSystem: watched)
    var reader = try LogReader.open(log, of: prov.sessionID)
    for _ in 0..<3 { #expect(try reader.next() != nil) }
    watched.beforeNextQuestionForTheWriter {
      do {
        try prov.recordAction(action())
        try prov.close()
      } catch {
        Issue.record(error)
      }
    }
    var kinds: [FrameKind] = []
    while let frame = try reader.next() { kinds.append(frame.kind) }
    #expect(kinds == [.action, .sessionClosed, .checkpoint, .mark])
    #expect(reader.ending == .clean)
  }

  /// A reader has seen half of an action that was then taken back for want of room; what stands there now is another.
  @Test func readerForgetsWhatWasUndone() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start("a", storage.options { $0.fileSystem = watched })
    let reader = Mutex(try LogReader.open(LogDirectory(path: prov.logPath, fileSystem: DiskFileSystem()), of: prov.sessionID))
    let next: @Sendable () -> UInt64? = { reader.withLock { reader in try? reader.next()?.sequence } }
    #expect(next() == 0 && next() == 1 && next() == nil)
    watched.setRule { operation in
      switch operation {
      case .write: return .init(.noSpace, written: 100)
      case .truncate:
        if next() != nil { Issue.record("half an action was taken for one") }
        return nil
      default: return nil
      }
    }
    #expect(errorCode { try prov.recordAction(action("t", "failed", note: "one that does not fit")) } == .noSpace)
    watched.setRule(nil)
    try prov.recordAction(action())
    #expect(next() == 2)
  }

  /// A reader at the end goes on when more has come, over a change of segment too.
  @Test func readerFollows() throws {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = 4096 })
    var reader = try prov.session.actions()
    for expected in Int64(1)...100 {
      let early = try reader.next()
      #expect(early == nil)
      try prov.recordAction(action())
      let seq = try reader.next()?.seq
      #expect(seq == expected)
    }
    try prov.close()
    let last = try reader.next()
    #expect(last == nil)
  }
}
