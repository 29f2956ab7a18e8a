import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// What has been asked of the disk when a call returns.
struct DurabilityTests {
  private let storage: Storage
  private let disk = WatchedFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func start(_ change: (inout ProvChain.Options) -> Void = { _ in }) throws -> ProvChain {
    try storage.start("a", watchedBy: disk, change)
  }

  // MARK: Creation

  /// Each directory that was made is made durable in its parent, the segment before its name, its name before the log's.
  @Test func everyNewNameIsDurableAtStart() throws {
    let root = "\(storage.path)/new/root"
    let prov = try ProvChain(
      storageDirectory: root, label: "l", kernelURN: "k", sessionID: try SessionID("a"), options: storage.options { $0.fileSystem = disk })
    let sessions = "\(root)/storage/sessions"
    let made = ["\(storage.path)/new", root, "\(root)/storage", sessions, "\(sessions)/a.log"]
    let operations = disk.operations
    for directory in made {
      let making = try #require(operations.firstIndex(of: .makeDirectory(directory)))
      let sync = try #require(operations.lastIndex(of: .syncDirectory(parentDirectory(directory))), "\(directory)")
      #expect(making < sync)
    }
    let segment = "\(sessions)/a.log/00000000000000000000.seg"
    let temporary = "\(sessions)/a.log/.00000000000000000000.seg.tmp"
    let steps: [DiskOperation] = [
      .create(temporary), .sync(temporary), .rename(temporary, to: segment), .syncDirectory("\(sessions)/a.log"), .syncDirectory(sessions),
    ]
    #expect(operations.filter { steps.contains($0) } == steps)
    withExtendedLifetime(prov) {}
  }

  // MARK: power

  @Test func powerSyncsBeforeItReturns() throws {
    let prov = try start { $0.durability = .power }
    let segment = try storage.segment("a")
    for _ in 0..<3 {
      disk.forget()
      try prov.recordAction(action())
      let operations = disk.operations
      #expect(operations.count == 2 && operations[0].isWrite && operations[1] == .sync(segment), "\(operations)")
    }
  }

  /// While the first sync is under way seven more come; one sync is enough for all of them.
  @Test func callersThatArriveTogetherShareASync() throws {
    let prov = try start { $0.durability = .power }
    disk.setRule { [disk] operation in
      if operation.isSync, disk.count(\.isSync) == 1 { wait(until: "all have written") { disk.count(\.isWrite) == 8 } }
      return nil
    }
    onThreads(8) { _ in
      do { try prov.recordAction(action()) } catch { Issue.record(error) }
    }
    #expect(disk.count(\.isSync) == 2)
    #expect(try storage.seqs("a").count == 8)
  }

  /// Who returns had a sync that began after its own write.
  @Test func noCallerReturnsOnASyncBeforeItsWrite() throws {
    let prov = try start { $0.durability = .power }
    let second = Mutex<TestThread?>(nil)
    let syncsAtReturn = Mutex(0)
    disk.setRule { [disk] operation in
      guard operation.isSync, disk.count(\.isSync) == 1 else { return nil }
      second.withLock {
        $0 = TestThread {
          do { try prov.recordAction(action()) } catch { Issue.record(error) }
          syncsAtReturn.withLock { $0 = disk.count(\.isSync) }
        }
      }
      wait(until: "the second has written") { disk.count(\.isWrite) == 2 }
      return nil
    }
    try prov.recordAction(action())
    second.withLock { $0 }?.join()
    #expect(syncsAtReturn.withLock { $0 } == 2)
  }

  // MARK: process

  @Test func processReturnsWithoutASync() throws {
    let prov = try start()
    for _ in 0..<3 { try prov.recordAction(action()) }
    #expect(disk.count(\.isWrite) == 3 && disk.operations.count == 3)
  }

  /// The timer syncs, and a mark says so; then there is silence until the next action.
  @Test(arguments: ProvChain.Durability.allCases)
  func idleWriterSyncsAndMarks(_ durability: ProvChain.Durability) throws {
    let prov = try start {
      $0.syncInterval = .milliseconds(1)
      $0.durability = durability
    }
    for round in 1...3 {
      disk.forget()
      try prov.recordAction(action())
      wait(until: "the mark is written") { disk.count(\.isWrite) == 2 }
      let operations = disk.operations
      #expect(operations.map(\.isSync) == [false, true, false], "\(operations)")
      try prov.sync()
      #expect(disk.operations.count == 3)
      var reader = try LogReader.open(try storage.log("a"), of: prov.sessionID)
      while try reader.next() != nil {}
      #expect(reader.vouchedBelow == reader.nextSequence - 1)
      #expect(reader.nextSequence == UInt64(2 + 2 * round))
    }
  }

  /// Neither a roll nor a close is to wait for much, behind a roll as before it.
  @Test func whatIsWrittenFastIsSyncedEarly() throws {
    // An action is a little longer than its note.
    let size = 10_000
    let prov = try start {
      $0.syncInterval = .seconds(3600)
      $0.unsyncedSizeMax = UInt64(8 * size)
      $0.segmentSizeMax = UInt64(18 * size)
      $0.sealingSizeMin = nil
    }
    var large = action()
    large.note = JSONString(String(repeating: "x", count: size))
    func record(_ count: Int) throws { for _ in 0..<count { try prov.recordAction(large) } }
    disk.forget()
    for syncs in 1...2 {
      try record(7)
      #expect(disk.count(\.isSync) == syncs - 1)
      try record(1)
      wait(until: "it is synced") { disk.count(\.isSync) == syncs }
    }
    try record(2)
    #expect(disk.count(\.isSyncDirectory) == 0)
    try record(1)
    #expect(disk.count(\.isSyncDirectory) == 1, "there is a new segment")
    disk.forget()
    try record(6)
    #expect(disk.count(\.isSync) == 0)
    try record(1)
    wait(until: "it is synced behind a roll, too") { disk.count(\.isSync) == 1 }
  }

  /// Intervals that no timer can take are the longest, or none.
  @Test(arguments: [.seconds(Int64.max), .zero, .seconds(-5), .seconds(Int64.min)] as [Duration])
  func anyIntervalWorks(_ interval: Duration) throws {
    let prov = try start { $0.syncInterval = interval }
    try prov.recordAction(action())
    if interval > .zero {
      #expect(disk.operations.count == 1)
    } else {
      wait(until: "it is synced") { disk.count(\.isSync) == 1 }
    }
  }

  @Test func droppedChainIsSynced() throws {
    do {
      let prov = try start()
      try prov.recordAction(action())
      #expect(disk.count(\.isSync) == 0)
    }
    #expect(disk.count(\.isSync) == 1)
    #expect(try storage.resume("a").actionCount == 1)
  }

  /// A timer's sync may be under way when a chain ends; the session is free all the same when it has ended.
  @Test func droppedChainGivesItsLockBackAtOnce() throws {
    let isSyncing = Atomic(false)
    disk.setRule { operation in
      guard operation.isSync else { return nil }
      isSyncing.store(true, ordering: .releasing)
      // Time for the chain to end meanwhile.
      sleepThread(.milliseconds(50))
      return nil
    }
    do {
      let prov = try start { $0.syncInterval = .zero }
      isSyncing.store(false, ordering: .relaxed)
      try prov.recordAction(action())
      wait(until: "the timer syncs") { isSyncing.load(ordering: .acquiring) }
      withExtendedLifetime(prov) {}
    }
    #expect(try storage.resume("a").recordAction(action()).seq == 2)
  }

  // MARK: sync and close

  @Test func syncSyncsOnce() throws {
    let prov = try start()
    try prov.sync()
    #expect(disk.operations.isEmpty)
    try prov.recordAction(action())
    try prov.sync()
    try prov.sync()
    #expect(disk.count(\.isSync) == 1)
  }

  @Test(arguments: ProvChain.Durability.allCases)
  func closeSyncsThenMarksThenShowsTheView(_ durability: ProvChain.Durability) throws {
    let prov = try start { $0.durability = durability }
    try prov.recordAction(action())
    disk.forget()
    try prov.close()
    let segment = try storage.segment("a")
    let steps = disk.operations.compactMap { operation -> String? in
      switch operation {
      case .write(segment, _): "write"
      case .sync(segment): "sync"
      case .rename(_, prov.filePath): "view"
      default: nil
      }
    }
    #expect(steps == ["write", "sync", "write", "view"])
    disk.forget()
    try prov.sync()
    #expect(disk.operations.isEmpty)
  }
}
