import Foundation
import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Files of a log that become fewer and smaller ones, with the same frames.
struct CompactionTests {
  private let storage: Storage
  private let disk = DiskFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func names(_ id: String = "a") throws -> [String] {
    try disk.names(in: storage.log(id).path).filter { $0 != "lock" }.sorted()
  }

  /// A session of several files, none of them sealed.
  @discardableResult
  private func record(_ count: Int = 30, closing: Bool = true, segmentSizeMax: UInt64 = 2000) throws -> ProvChain {
    let prov = try storage.start("a", storage.options { $0.segmentSizeMax = segmentSizeMax })
    for number in 0..<count { try prov.recordAction(action(note: JSONString("number \(number) " + String(repeating: "x", count: number * 7 % 200)))) }
    if closing { try prov.close() }
    return prov
  }

  /// All raw bytes that count: of raw files up to where the next one says that they end.
  private func rawBytes(_ id: String = "a") async throws -> [UInt8] {
    let log = try storage.log(id)
    var bytes: [UInt8] = []
    for name in try log.segments() {
      let path = log.path(of: name.description)
      bytes += name.isSealed ? try await runProgram("lz4", ["-d", "-c", path]).output : try disk.bytes(of: path)
    }
    return bytes
  }

  @discardableResult
  private func compact(_ level: Int? = nil, rawSizeMax: UInt64 = .max) throws -> [CompactionStep] {
    try storage.log("a").compact(try SessionID("a"), CompactionRules(level: level, rawSizeMax: rawSizeMax))
  }

  // MARK: What it makes

  /// Stock lz4 gives back the very bytes of the raw files, whatever they became in between.
  @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/lz4"), "needs lz4"))
  func lz4GivesBackTheRawBytes() async throws {
    try record()
    let raw = try await rawBytes()
    let (json, count) = (try storage.project("a").json, try storage.log("a").segments().count)
    #expect(count > 4)
    let modified = try storage.log("a").modified()
    for (level, rawSizeMax, files) in [(nil, 0, count), (nil, 5000, 0), (9, 5000, 0), (nil, .max, 1), (12, .max, 1), (1, .max, 1)]
      as [(Int?, UInt64, Int)]
    {
      try compact(level, rawSizeMax: rawSizeMax)
      let found = try storage.log("a").segments()
      #expect(found.allSatisfy(\.isSealed) && (files == 0 ? found.count < count && found.count > 1 : found.count == files), "\(found)")
      #expect(try await rawBytes() == raw)
      #expect(try storage.project("a").json == json)
      let verification = try storage.verify("a", isDeep: true)
      #expect(!verification.isDamaged && verification.actions == 30)
      #expect(try storage.store.getSession("a").actionCount == 30)
      #expect(try storage.log("a").modified() == modified)
      #expect(try names().allSatisfy { !$0.hasPrefix(".") })
    }
    #expect(try compact().isEmpty)
  }

  @Test func planChangesNothing() throws {
    try record()
    let before = try storage.contents()
    let plan = try storage.store.compact(try SessionID("a"), isPlan: true)
    #expect(plan.filesBefore == (try storage.log("a").segments().count) && plan.filesAfter == 1 && plan.bytesAfter == nil)
    #expect(try storage.contents() == before)
    let done = try storage.store.compact(try SessionID("a"))
    #expect(done.filesBefore == plan.filesBefore && done.bytesBefore == plan.bytesBefore && done.rawBytes == plan.rawBytes)
    #expect(done.bytesAfter == (try disk.status(of: try storage.segment("a"))?.size))
    #expect(try storage.store.compact(try SessionID("a")).filesBefore == 0)
  }

  /// What is packed well is not packed worse: the smaller file stays.
  @Test func noFileGrows() throws {
    try record(400, segmentSizeMax: .max)
    try compact(12)
    let before = try storage.contents()
    #expect(try compact(1).isEmpty)
    #expect(try storage.contents() == before)
  }

  /// The same closing checkpoint and index as if all had been packed at once.
  @Test func mergedIndexIsThatOfOnePass() throws {
    try record()
    let copy = try Storage()
    try copy.sessions.make()
    _ = try disk.makeDirectory(copy.log("a").path)
    for name in try names() + ["lock"] { try disk.write(try disk.bytes(of: storage.log("a").path(of: name)), to: copy.log("a").path(of: name)) }
    try compact(rawSizeMax: 0)
    try compact()
    _ = try copy.log("a").compact(try SessionID("a"))
    #expect(try disk.bytes(of: try storage.segment("a")) == disk.bytes(of: try copy.segment("a")))
  }

  /// What a writer was making when it died goes, unless one is at work.
  @Test(arguments: [false, true])
  func unfinishedSegmentsOfADeadWriter(_ isAlive: Bool) throws {
    let prov = try record(closing: !isAlive)
    let unfinished = try storage.log("a").path(of: ".00000000000000000991.seg.tmp")
    try disk.write([1, 2, 3], to: unfinished)
    var (planned, removed): ([String], [String]) = ([], [])
    _ = try storage.log("a").planCompaction(of: prov.sessionID) { planned = $0 }
    _ = try storage.log("a").compact(prov.sessionID) { removed = $0 }
    #expect(planned == removed && removed == (isAlive ? [] : [".00000000000000000991.seg.tmp"]))
    #expect(try (disk.status(of: unfinished) == nil) != isAlive)
    withExtendedLifetime(prov) {}
  }

  /// A new file that is whole, and not what the old ones hold, takes nobody's place: as if memory or the disk had made another of it.
  @Test func newFileIsComparedBeforeTheOldOnesGo() throws {
    func recorded(_ note: JSONString, _ disk: MemoryDisk) throws -> LogDirectory {
      let options = storage.options {
        $0.fileSystem = disk
        $0.segmentSizeMax = 1000
        $0.view = .never
        $0.saltSource = { 7 }
      }
      let prov = try ProvChain(
        storageDirectory: "store", label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: try SessionID("a"),
        startedAt: Timestamp(microseconds: 0), options: options)
      for _ in 0..<6 { try prov.recordAction(action(note: note)) }
      try prov.close()
      return SessionsDirectory(storageDirectory: "store", fileSystem: disk).log(of: try SessionID("a"))
    }
    let (disk, other) = (MemoryDisk(), MemoryDisk())
    let (log, otherLog) = (try recorded("one", disk), try recorded("two", other))
    _ = try otherLog.compact(try SessionID("a"))
    let sealed = "00000000000000000000.seg.lz4"
    let before = try log.segments().map { ($0, disk.bytes(log.path(of: $0.description))) }
    let temporary = log.path(of: ".\(sealed).tmp")
    let opened = Atomic(false)
    disk.setHook { call in
      if call == .open(temporary) {
        opened.store(true, ordering: .relaxed)
        disk.update(temporary) { $0 = other.bytes(otherLog.path(of: sealed)) }
      }
    }
    let error = try #require(logError { try log.compact(try SessionID("a")) })
    #expect(opened.load(ordering: .relaxed) && error.message.contains("the old files stay"), "\(error)")
    disk.setHook(nil)
    #expect(try log.segments() == before.map(\.0) && before.allSatisfy { disk.bytes(log.path(of: $0.0.description)) == $0.1 })
    #expect(try disk.names(in: log.path).allSatisfy { !$0.hasPrefix(".") })
  }

  // MARK: What it leaves alone

  /// Beside a file that has gone on stands a sealed one, of a copy that was closed earlier: it seemed to hold what the longer one holds.
  @Test func aFileThatHoldsMoreThanTheSealedOneStays() throws {
    let prov = try storage.start("a")
    for _ in 0..<3 { try prov.recordAction(action()) }
    try prov.sync()
    let other = try Storage()
    try other.sessions.make()
    _ = try disk.makeDirectory(try other.log("a").path)
    let raw = try storage.segment("a")
    let name = try storage.log("a").segments()[0].description
    try disk.write(try disk.bytes(of: raw), to: other.log("a").path(of: name))
    try other.resume("a").close()
    _ = try other.log("a").compact(try SessionID("a"))
    for _ in 0..<6 { try prov.recordAction(action()) }
    try prov.close()
    let sealed = try #require(try other.log("a").segments().first)
    let foreign = try storage.log("a").path(of: sealed.description)
    try disk.write(try disk.bytes(of: other.log("a").path(of: sealed.description)), to: foreign)
    let error = try #require(logError { try compact() })
    #expect(error.code == .corrupt && error.message.contains("both stay"), "\(error)")
    #expect(try storage.log("a").segments().count == 2)
    try disk.remove(foreign)
    #expect(try storage.seqs("a") == Array(1...9))
  }

  /// What a crash left far behind the frames is kept without reading the zeros before it.
  @Test func evidenceBehindAHole() async throws {
    try storage.start("a").recordAction(action())
    let (path, size) = (try storage.segment("a"), UInt64(900 << 20))
    let end = try disk.status(of: path)!.size
    let file = try disk.open(path, for: .readingAndWriting)
    try file.truncate(to: size)
    try [7 as UInt8].withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: size - 4096) }
    try storage.resume("a").close()
    try compact()
    #expect(try storage.log("a").segments().allSatisfy(\.isSealed))
    let name = try #require(try names().first { $0.hasSuffix(".aside") })
    let aside = try disk.open(storage.log("a").path(of: name), for: .reading)
    let kept = try readBytes(of: aside, at: size - 4096 - end, count: 64)
    #expect(kept.contains(7), "\(kept)")
    #expect(try await blocks(of: aside.path) < 8192)
    #expect(try storage.verify("a").problems.isEmpty)
  }

  /// Of 512 bytes.
  private func blocks(of path: String) async throws -> Int {
    try #require(Int(await runProgram("stat", ["-c", "%b", path]).text.dropLast()))
  }

  @Test func fileOfALivingWriterStaysAndGoesOn() throws {
    let prov = try record(closing: false)
    let newest = try storage.segment("a")
    try compact()
    #expect(try names().count == 2 && storage.segment("a") == newest)
    #expect(try prov.recordAction(action()).seq == 31)
    try prov.close()
    #expect(try storage.seqs("a") == Array(1...31))
    try compact()
    #expect(try names().count == 1)
    #expect(try storage.resume("a").recordAction(action()).seq == 32)
    #expect(try !storage.verify("a").isDamaged)
  }

  @Test func newestFileOfAnOpenSessionStays() throws {
    try record(closing: false)
    let newest = try disk.bytes(of: try storage.segment("a"))
    try compact()
    #expect(try disk.bytes(of: try storage.segment("a")) == newest)
    #expect(try names().count == 2)
  }

  @Test func damagedFileStaysAsItIs() throws {
    try record()
    try disk.flipBit(at: 700, of: try storage.segment("a", 1))
    let before = try storage.contents()
    let error = try #require(logError { try compact() })
    let file = try storage.log("a").segments()[1]
    #expect(error.code == .corrupt && error.path?.hasSuffix("a.log") == true && error.segment == file.description, "\(error)")
    #expect(try storage.contents() == before)
    #expect(errorCode { try storage.store.compact(try SessionID("none")) } == .notFound)
  }

  /// It merged what followed, and said nothing.
  @Test func logWithoutItsFirstFileStaysAsItIs() throws {
    try record()
    try disk.remove(try storage.segment("a", 0))
    let before = try storage.contents()
    for isPlan in [true, false] {
      let error = try #require(logError { try storage.store.compact(try SessionID("a"), isPlan: isPlan) })
      #expect(error.code == .corrupt && error.description.contains("missing: the log's first file, before this one"), "\(error)")
      #expect(error.segment == (try storage.log("a").segments()[0].description))
    }
    #expect(try storage.contents() == before)
  }

  /// The name of the file behind the result, which says where the last of its files ends, is durable before the result has its own: a writer that was killed may not have
  /// come to that.
  @Test func whatSaysWhereTheResultEndsIsDurableFirst() throws {
    let prov = try record(closing: false)
    let watched = WatchedFileSystem()
    let log = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched).log(of: prov.sessionID)
    _ = try log.compact(prov.sessionID, CompactionRules())
    let operations = watched.operations
    let renames = operations.indices.filter { if case .rename(_, let name) = operations[$0] { name.hasSuffix(".seg.lz4") } else { false } }
    #expect(!renames.isEmpty && renames.allSatisfy { operations[$0 - 1] == .syncDirectory(log.path) }, "\(operations)")
    withExtendedLifetime(prov) {}
  }

  @Test func fullDiskLeavesItAsItIsAndSaysHowMuchItTakes() throws {
    try record()
    let before = try storage.contents()
    let size = try storage.log("a").segments().reduce(0) { try $0 + (disk.status(of: storage.log("a").path(of: $1.description))?.size ?? 0) }
    let watched = WatchedFileSystem()
    watched.setRule { if case .write(let path, _) = $0, path.hasSuffix(".seg.lz4.tmp") { .init(.noSpace, written: 100) } else { nil } }
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    let error = try #require(logError { try sessions.log(of: SessionID("a")).compact(SessionID("a")) })
    #expect(error.code == .noSpace, "\(error)")
    #expect(error.message.contains("which needs up to about \(size) bytes beside the old ones; these are as they were"), "\(error)")
    #expect(try storage.contents() == before)
  }

  @Test func strangersWithATemporaryNameAreNamedOrLeftAlone() throws {
    try record()
    let log = try storage.log("a")
    try disk.write([1], to: log.path(of: ".mine.seg.lz4.tmp"))
    let directory = log.path(of: ".00000000000000000000.seg.lz4.tmp")
    _ = try disk.makeDirectory(directory)
    let error = try #require(logError { try compact() })
    #expect(error.code == .io && error.path == directory && error.message.hasSuffix("move it away"), "\(error)")
    try disk.removeDirectory(directory)
    try compact()
    #expect(try names() == [".mine.seg.lz4.tmp", "00000000000000000000.seg.lz4"])
  }

  /// It may hold more than what stands beside it.
  @Test func sealedFileOfALaterVersionIsRefusedBesideWholeOnes() throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    try compact()
    let sealed = try storage.segment("a")
    var bytes = try disk.bytes(of: sealed)
    let trailer = bytes.count - SealedIndex.trailerSize
    bytes[trailer + 52] = 2
    let crc = bytes[trailer..<trailer + 68].withUnsafeBytes { crc32c(0, $0) }
    for index in 0..<4 { bytes[trailer + 68 + index] = UInt8(truncatingIfNeeded: crc >> (8 * index)) }
    try disk.write(bytes, to: sealed)
    for (name, bytes) in raw { try disk.write(bytes, to: log.path(of: name)) }
    let before = try storage.contents()
    for body in [{ _ = try storage.seqs("a") }, { _ = try storage.resume("a") }, { try compact() }] as [() throws -> Void] {
      let error = try #require(logError(body))
      #expect(error.code == .unsupportedVersion && error.path == sealed && error.message.hasSuffix("a newer ckprov-log does"), "\(error)")
    }
    #expect(try storage.contents() == before)
  }

  /// A lock was made behind it.
  @Test func symbolicLinkIsRefusedBeforeAnythingIsMadeBehindIt() throws {
    try record()
    let log = try storage.log("a")
    let other = "\(storage.path)/other"
    try disk.rename(log.path, to: other)
    try disk.remove("\(other)/lock")
    try makeLink(log.path, to: other)
    let before = try treeContents(other)
    for body in [{ try compact() }, { _ = try storage.resume("a") }, { _ = try storage.sessions.recover(try SessionID("a"), .salvage) }]
      as [() throws -> Void]
    {
      let error = try #require(logError(body))
      #expect(error.code == .io && error.path == log.path && error.message.contains("no symbolic link"), "\(error)")
    }
    #expect(try treeContents(other) == before)
  }

  @Test func secondOneIsLocked() throws {
    try record()
    let lock = try LogLock(.maintainer, of: try storage.log("a"))
    let before = try storage.contents()
    #expect(errorCode { try compact() } == .locked)
    withExtendedLifetime(lock) {}
    #expect(try storage.contents() == before)
  }

  /// Who goes on with the session while its newest file is being packed, and may have ended by the time it is done: the packed one is given up.
  @Test(arguments: [false, true])
  func resumeWhileTheNewestFileIsPacked(hasEnded: Bool) throws {
    try record()
    let (storage, watched) = (storage, WatchedFileSystem())
    let resumed = Mutex<ProvChain?>(nil)
    watched.setRule { operation in
      guard case .sync(let path) = operation, path.hasSuffix(".seg.lz4.tmp") else { return nil }
      resumed.withLock { resumed in
        guard resumed == nil else { return }
        resumed = try? storage.resume("a")
        if hasEnded {
          _ = try? resumed?.recordAction(action())
          _ = try? resumed?.close()
        }
      }
      return nil
    }
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    let steps = try sessions.log(of: SessionID("a")).compact(SessionID("a"))
    #expect(steps.map(\.isOvertaken) == [true] && steps.map(\.sizeAfter) == [nil])
    let prov = try #require(resumed.withLock { $0 })
    if !hasEnded {
      #expect(try prov.recordAction(action()).seq == 31)
      try prov.close()
    }
    #expect(try storage.seqs("a") == Array(1...31))
    #expect(try names().allSatisfy { !$0.hasSuffix(".tmp") })
    try compact()
    #expect(try storage.seqs("a") == Array(1...31))
  }

  /// The writer's lock is held for the renaming alone, and who resumes waits for that.
  @Test func resumeWaitsForTheRenaming() throws {
    try record()
    let (storage, watched) = (storage, WatchedFileSystem())
    let asked = Atomic(0)
    let resumed = Mutex<[Int64]>([])
    let isCompacted = Atomic(false)
    watched.setRule { operation in
      guard case .rename(_, let target) = operation, target.hasSuffix(".seg.lz4") else { return nil }
      let resuming = Thread {
        let options = storage.options {
          $0.sleep = { duration in
            asked.add(1, ordering: .relaxed)
            while !isCompacted.load(ordering: .relaxed) { sleepThread(duration) }
          }
        }
        let seq = try? storage.resume("a", options).recordAction(action()).seq
        resumed.withLock { $0.append(seq ?? -1) }
      }
      resuming.start()
      while asked.load(ordering: .relaxed) == 0 { sleepThread(.milliseconds(1)) }
      return nil
    }
    let sessions = SessionsDirectory(storageDirectory: storage.path, fileSystem: watched)
    #expect(try sessions.log(of: SessionID("a")).compact(SessionID("a")).count == 1)
    isCompacted.store(true, ordering: .relaxed)
    while resumed.withLock({ $0.isEmpty }) { sleepThread(.milliseconds(1)) }
    #expect(resumed.withLock { $0 } == [31])
    #expect(try !storage.verify("a").isDamaged)
  }

  // MARK: While it is read

  @Test func readersAndFollowersGoOn() throws {
    let prov = try record(closing: false)
    for moment in 0..<40 {
      var reader = try storage.store.getSession("a").actions()
      var seqs: [Int64] = []
      while let action = try reader.next() {
        seqs.append(action.seq)
        if seqs.count == moment { try compact(rawSizeMax: UInt64(moment) * 700) }
      }
      try prov.recordAction(action(note: JSONString(String(repeating: "y", count: 900))))
      while let action = try reader.next() { seqs.append(action.seq) }
      #expect(seqs == Array(1...Int64(31 + moment)), "behind action \(moment)")
    }
  }

  // MARK: As a part of recording

  @Test func fullFilesAreSealedMeanwhileAndTheLastAtClose() throws {
    let waiting = Mutex<[@Sendable () -> Void]>([])
    let options = storage.options {
      $0.segmentSizeMax = 2000
      $0.sealingSizeMin = 600
      $0.timer = { delay, body in if delay == .zero { waiting.withLock { $0.append(body) } } }
    }
    let prov = try storage.start("a", options)
    for _ in 0..<30 { try prov.recordAction(action()) }
    #expect(try storage.log("a").segments().allSatisfy { !$0.isSealed })
    // One at a time is due.
    let due = waiting.withLock { $0 }
    #expect(due.count == 1)
    due[0]()
    let files = try storage.log("a").segments()
    #expect(files.count > 3 && files.dropLast().allSatisfy(\.isSealed) && !files.last!.isSealed)
    for _ in 0..<30 { try prov.recordAction(action()) }
    try prov.close()
    #expect(try storage.log("a").segments().allSatisfy(\.isSealed))
    #expect(try disk.bytes(of: prov.filePath) == storage.project("a").json)
    #expect(try storage.log("a").modified() == disk.status(of: prov.filePath)?.modified)
    #expect(try storage.seqs("a") == Array(1...60))
    // What was closed goes on.
    #expect(try prov.recordAction(action()).seq == 61)
    #expect(storage.notices.all == [])
  }

  @Test func smallSessionIsNotWorthIt() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start("a", watchedBy: watched) { $0.sealingSizeMin = ProvChain.Options().sealingSizeMin }
    for _ in 0..<10 { try prov.recordAction(action(note: JSONString(String(repeating: "x", count: 700)))) }
    watched.forget()
    try prov.close()
    #expect(try names() == ["00000000000000000000.seg"])
    #expect(watched.count { $0.isSync } == 2, "one of the log and one of the view: \(watched.operations)")
  }

  @Test func failureToSealCostsANotice() throws {
    let watched = WatchedFileSystem()
    let prov = try storage.start("a", watchedBy: watched) { $0.sealingSizeMin = 0 }
    try prov.recordAction(action())
    watched.setRule { if case .create(let path) = $0, path.hasSuffix(".seg.lz4.tmp") { .init(.noSpace) } else { nil } }
    #expect(try prov.close().outcome == "complete")
    #expect(storage.notices.all.count == 1 && storage.notices.all[0].contains("'ckprov-log compact a'"), "\(storage.notices.all)")
    #expect(try storage.seqs("a") == [1])
    #expect(try names() == ["00000000000000000000.seg"])
  }

  // MARK: Leftovers

  @Test func leftoversOfInterruptedWorkGo() throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    try compact()
    let expected = try storage.contents()
    for (name, bytes) in raw { try disk.write(bytes, to: log.path(of: name)) }
    try disk.write([1, 2, 3], to: log.path(of: ".00000000000000000007.seg.lz4.tmp"))
    #expect(try storage.seqs("a") == Array(1...30))
    #expect(try storage.store.compact(try SessionID("a")).filesRemoved == raw.count + 1)
    #expect(try storage.contents() == expected)
  }

  /// Who made the wide file may have died before its name was durable: after a power cut it would be gone, and the others with it.
  @Test func nameOfAWideFileIsDurableBeforeOthersGo() throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    try compact()
    for (name, bytes) in raw { try disk.write(bytes, to: log.path(of: name)) }
    let watched = WatchedFileSystem()
    _ = try LogDirectory(path: log.path, fileSystem: watched).compact(try SessionID("a"))
    let operations = watched.operations
    let sync = try #require(operations.firstIndex(of: .syncDirectory(log.path)))
    let gone = raw.map { operations.firstIndex(of: .remove(log.path(of: $0.0))) }
    #expect(gone.allSatisfy { $0 != nil && sync < $0! }, "\(operations)")
  }

  /// A power cut may bring back one of the files that went, and not those behind it: the session ends where the wide file ends.
  @Test func wideFileReachesFurtherThanOneThatIsBack() throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    try compact()
    for (name, bytes) in raw {
      try disk.write(bytes, to: log.path(of: name))
      let session = try storage.store.getSession("a")
      #expect(session.actionCount == 30 && session.endedAt != nil)
      #expect(try storage.seqs("a") == Array(1...30))
      try disk.remove(log.path(of: name))
    }
    for (name, bytes) in raw.dropLast() { try disk.write(bytes, to: log.path(of: name)) }
    #expect(try storage.resume("a").recordAction(action()).seq == 31)
    #expect(try storage.seqs("a") == Array(1...31))
  }

  /// A damaged sealed file beside the whole ones that it was made of: they are read, gone on with and compacted, and it is set aside.
  @Test(arguments: ["chunk", "trailer", "empty"])
  func damagedSealedFileBesideWholeOnes(_ damage: String) throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    try compact()
    for (name, bytes) in raw { try disk.write(bytes, to: log.path(of: name)) }
    let sealed = log.path(of: "00000000000000000000.seg.lz4")
    let size = try #require(try disk.status(of: sealed)?.size)
    switch damage {
    case "chunk": try disk.flipBit(at: 100, of: sealed)
    case "trailer": try disk.flipBit(at: size - 10, of: sealed)
    default: try disk.cut(sealed, to: 0)
    }
    #expect(try storage.seqs("a") == Array(1...30))
    let found = try storage.verify("a", isDeep: true)
    #expect(found.problems.map(\.segment) == ["00000000000000000000.seg.lz4"] && found.problems[0].message.contains("'compact'"), "\(found.problems)")
    #expect(found.isDamaged && !found.stopsReaders && found.actionsBeforeDamage == 30)
    #expect(try storage.resume("a").recordAction(action()).seq == 31)
    #expect(try storage.store.compact(try SessionID("a")).filesRemoved == 1)
    #expect(try storage.seqs("a") == Array(1...31))
    #expect(try names().first == ".00000000000000000000.seg.lz4.aside")
    #expect(try !storage.verify("a").isDamaged)
  }

  /// Files whose frames stand in a sealed one go only if they are the same there.
  @Test func anotherSealedFileBesideWholeOnes() throws {
    try record()
    let log = try storage.log("a")
    let raw = try log.segments().map { ($0.description, try disk.bytes(of: log.path(of: $0.description))) }
    let other = try Storage()
    let prov = try other.start("a", other.options { $0.segmentSizeMax = 2000 })
    for _ in 0..<40 { try prov.recordAction(action()) }
    try prov.close()
    _ = try other.log("a").compact(try SessionID("a"))
    let sealed = "00000000000000000000.seg.lz4"
    try disk.write(try disk.bytes(of: other.log("a").path(of: sealed)), to: log.path(of: sealed))
    #expect(errorCode { try compact() } == .corrupt)
    #expect(try raw.allSatisfy { try disk.bytes(of: log.path(of: $0.0)) == $0.1 })
  }

  /// What stood behind the end of a crashed writer's file is kept beside the log; a mark alone is not.
  @Test(arguments: [true, false])
  func evidenceOfACrashIsKept(behindMark: Bool) throws {
    try record(3, closing: false, segmentSizeMax: .max)
    let segment = try storage.segment("a")
    let whole = try disk.bytes(of: segment)
    let torn = whole.dropLast(behindMark ? 0 : 32) + [UInt8](repeating: 0xAB, count: 100)
    try disk.write(Array(torn), to: segment)
    try storage.resume("a").close()
    try compact()
    let aside = try names().filter { $0.hasSuffix(".aside") }
    #expect(aside == [".00000000000000000000.seg.aside"])
    let kept = try disk.bytes(of: storage.log("a").path(of: aside[0]))
    #expect(kept == Array(torn.suffix(kept.count)) && kept.count >= (behindMark ? 132 : 100))
    #expect(try storage.seqs("a") == [1, 2, 3])
    // Another compaction leaves it.
    try compact(9)
    #expect(try names().contains(aside[0]))
  }
}
