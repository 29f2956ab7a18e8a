import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Disks that are full, and disks that fail; `DiskFaultTests` has every operation of every workload.
struct FaultTests {
  private let storage: Storage
  private let disk = WatchedFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func start(_ change: (inout ProvChain.Options) -> Void = { _ in }) throws -> ProvChain {
    try storage.start("a", watchedBy: disk, change)
  }

  private func checkClean(_ actions: Int) throws {
    let verification = try storage.verify("a")
    guard case .clean = verification.finding else { throw LogError(.corrupt, "\(verification.finding)") }
    #expect(verification.actions == UInt64(actions))
  }

  // MARK: Full

  /// Of an action that does not fit nothing stays: no seq is consumed, and it goes on when there is room.
  @Test(arguments: Array(stride(from: 0, to: 300, by: 23)))
  func fullDiskConsumesNoSeq(_ written: Int) throws {
    let prov = try start()
    try prov.recordAction(action())
    let size = try disk.status(of: try storage.segment("a"))?.size
    disk.setRule { $0.isWrite ? .init(.noSpace, written: written) : nil }
    for _ in 0..<2 {
      let error = try #require(logError { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: 300)))) })
      #expect(try error.code == .noSpace && error.path == storage.segment("a"))
      #expect(try disk.status(of: try storage.segment("a"))?.size == size)
    }
    #expect(prov.actionCount == 1)
    disk.setRule(nil)
    #expect(try prov.recordAction(action()).seq == 2)
    try prov.close()
    try checkClean(2)
  }

  /// A close that finds no room can be repeated. What came of it must not confuse the mark that follows.
  @Test(arguments: [0, 24, 140, 200, 500])
  func closeOnAFullDisk(_ written: Int) throws {
    let prov = try start { $0.syncInterval = .milliseconds(1) }
    disk.setRule { $0.isWrite ? .init(.noSpace, written: written) : nil }
    #expect(errorCode { try prov.close() } == .noSpace)
    disk.setRule(nil)
    disk.forget()
    #expect(try prov.recordAction(action()).seq == 1)
    wait(until: "the mark is written") { disk.count(\.isWrite) == 2 }
    #expect(try storage.store.getSession("a").outcome == "in_progress")
    #expect(try prov.close().outcome == "complete")
    #expect(try storage.store.getSession("a").outcome == "complete")
    try checkClean(1)
  }

  @Test func writeThatCannotBeUndonePoisons() throws {
    let prov = try start()
    disk.setRule { operation in
      switch operation {
      case .write: .init(.noSpace, written: 50)
      case .truncate: .init(.io)
      default: nil
      }
    }
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    disk.setRule(nil)
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    #expect(try storage.seqs("a") == [])
  }

  // MARK: Recovery

  /// Wherever it fails, the damaged log or the new one is there under the session's name, and what the view held is not lost.
  @Test func recoveryThatFailsLeavesAWholeSession() throws {
    var failures = (before: 0, inPlace: 0)
    for number in 0..<60 {
      let storage = try Storage()
      let prov = try storage.start("a")
      for _ in 0..<3 { try prov.recordAction(action()) }
      try prov.close()
      let segment = try storage.segment("a")
      var bytes = try DiskFileSystem().bytes(of: segment)
      bytes[bytes.firstRange(of: Array(#""seq":2"#.utf8))!.lowerBound + 30] ^= 1
      try DiskFileSystem().write(bytes, to: segment)
      let view = try DiskFileSystem().bytes(of: prov.filePath)
      let disk = WatchedFileSystem()
      let seen = Mutex(0)
      disk.setRule { _ in
        seen.withLock { seen in
          defer { seen += 1 }
          return seen == number ? .init(.io) : nil
        }
      }
      let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: disk)
      let error = logError { try sessions.recover(prov.sessionID, .salvage) }
      disk.setRule(nil)
      let isInPlace = error?.message.contains("the new log is in place") ?? true
      #expect(try storage.verify("a").problems.isEmpty == isInPlace, "operation \(number): \(String(describing: error))")
      let names = try disk.names(in: sessions.path)
      let views = try names.filter { $0.contains(".json") }.map { try DiskFileSystem().bytes(of: "\(sessions.path)/\($0)") }
      let isKept = views == [view]
      // It goes last.
      let isMoved = !names.contains("a.json")
      #expect(isKept && (isInPlace || !isMoved) && (error != nil || isMoved), "operation \(number): \(names)")
      if isInPlace, !isMoved {
        // Done again, it ends what was interrupted.
        let again = try sessions.recover(prov.sessionID, .salvage)
        let views = try disk.names(in: sessions.path).filter { $0.contains(".json") }
        #expect(again.problemCount == 0 && again.originalView == "\(sessions.path)/\(views[0])" && views.count == 1, "operation \(number): \(views)")
      }
      #expect(names.contains { $0.hasSuffix(".log.aside") || $0.hasPrefix(".a.log") } == isInPlace, "operation \(number): \(names)")
      if error != nil { if isInPlace { failures.inPlace += 1 } else { failures.before += 1 } }
    }
    #expect(failures.before > 8 && failures.inPlace == 3, "\(failures)")
  }

  // MARK: Failed syncs

  /// The first error is every later call's, even if the disk would do again: what it lost it does not say.
  @Test func failedSyncIsForEver() throws {
    let prov = try start { $0.durability = .power }
    try prov.recordAction(action())
    disk.setRule { $0.isSync ? .init(.io) : nil }
    let first = try #require(logError { try prov.recordAction(action()) })
    #expect(try first.code == .poisoned && first.path == storage.segment("a"))
    disk.setRule(nil)
    disk.forget()
    #expect(logError { try prov.recordAction(action()) } == first)
    #expect(logError { try prov.close() } == first)
    #expect(logError { try prov.sync() } == first)
    do throws(BatchError) {
      try prov.recordActions([action(), action()])
      Issue.record("a poisoned writer took a batch")
    } catch {
      #expect(error.kept == 0 && error.error == first)
    }
    #expect(disk.operations.isEmpty)
    #expect(errorCode { try storage.resume("a") } == .locked)
  }

  @Test func sessionIsOpenedAnewAfterAFailedSync() throws {
    do {
      let prov = try start { $0.durability = .power }
      try prov.recordAction(action())
      disk.setRule { $0.isSync ? .init(.io) : nil }
      #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    }
    disk.setRule(nil)
    let prov = try storage.resume("a")
    // The second was not acknowledged; it may be there.
    #expect(prov.actionCount == 1 || prov.actionCount == 2)
    let seq = try prov.recordAction(action()).seq
    try prov.close()
    try checkClean(Int(seq))
  }

  @Test func failureOfTheTimersSyncIsReportedByTheNextCall() throws {
    let prov = try start { $0.syncInterval = .milliseconds(1) }
    disk.setRule { $0.isSync ? .init(.io) : nil }
    try prov.recordAction(action())
    wait(until: "the writer is poisoned") { errorCode { try prov.sync() } == .poisoned }
    disk.setRule(nil)
    #expect(errorCode { try prov.recordAction(action()) } == .poisoned)
    #expect(prov.actionCount == 1)
  }

  @Test func everyWaiterOfAFailedSyncIsTold() throws {
    let prov = try start { $0.durability = .power }
    disk.setRule { [disk] operation in
      guard operation.isSync, disk.count(\.isSync) == 1 else { return nil }
      wait(until: "all have written") { disk.count(\.isWrite) == 6 }
      return .init(.io)
    }
    let codes = Mutex<[LogError.Code?]>([])
    onThreads(6) { _ in
      let code = errorCode { try prov.recordAction(action()) }
      codes.withLock { $0.append(code) }
    }
    #expect(codes.withLock { $0 } == Array(repeating: .poisoned, count: 6))
    #expect(disk.count(\.isSync) == 1)
  }

  @Test func failedSyncAtCloseLeavesTheSessionToAResume() throws {
    do {
      let prov = try start()
      try prov.recordAction(action())
      disk.setRule { $0.isSync ? .init(.io) : nil }
      #expect(errorCode { try prov.close() } == .poisoned)
      #expect(try disk.status(of: prov.filePath) == nil)
    }
    let prov = try storage.resume("a")
    #expect(prov.actionCount == 1)
    try prov.close()
    try checkClean(1)
  }
}
