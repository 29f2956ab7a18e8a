import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport

/// A session's life on a simulated disk: what was asked, what was answered, and what is promised at each moment.
///
/// While the disk is faulty errors are remembered and life goes on; otherwise they are thrown on. Not to be shared between threads.
final class Life {
  /// An action that was sent.
  struct Attempt {
    let note: JSONString
    /// Its call has returned, or it was found by a resume.
    var returned = false
  }

  struct Promise: Hashable {
    enum Presence: Hashable { case gone, possible, certain }

    /// If the session is there, then of so many of the first attempts all that returned.
    var kept = 0
    var presence = Presence.possible
    var isClosed = false
    /// Of the JSON file that was there before all else, whole.
    var legacyFile = Presence.gone
  }

  static let id = try! SessionID("cut")
  static let storageDirectory = "store"

  let disk: SimulatedDisk
  /// The disk is or was faulty.
  let hasFaults: Bool
  private var expectsErrors: Bool
  private(set) var options = ProvChain.Options()
  private(set) var attempts: [Attempt]
  /// By the numbers that the disk has noted.
  private(set) var promises: [Promise]
  /// What calls threw, in their order; only with a faulty disk.
  private(set) var errors: [LogError] = []
  private var chain: ProvChain?
  private var isPoisoned = false
  /// The session is closed, and the chain still there.
  private var isReleased = false
  private let shared = Shared()
  private var random: SeededGenerator

  init(
    on disk: SimulatedDisk = SimulatedDisk(), _ durability: ProvChain.Durability, seed: UInt64, isFaulty: Bool = false,
    attempts: [Attempt] = [], promise: Promise = Promise(), _ change: (inout ProvChain.Options) -> Void = { _ in }
  ) {
    self.disk = disk
    hasFaults = isFaulty
    expectsErrors = isFaulty
    self.attempts = attempts
    promises = [promise]
    random = SeededGenerator(seed: seed)
    options.fileSystem = disk
    options.durability = durability
    options.view = .never
    options.sealingSizeMin = nil
    options.notice = { _ in }
    options.clock = { Timestamp(microseconds: 1_800_000_000_000_000)! }
    options.timer = { [shared] _, body in shared.timers.withLock { $0.append(body) } }
    let salts = Mutex(SeededGenerator(seed: seed))
    options.saltSource = { salts.withLock { UInt32(truncatingIfNeeded: $0.next()) } }
    change(&options)
  }

  /// What is touched from within calls.
  private final class Shared: Sendable {
    let timers = Mutex<[@Sendable () -> Void]>([])
    let syncHasFailed = Atomic(false)
    let isDead = Atomic(false)
  }

  var sessions: SessionsDirectory { SessionsDirectory(storageDirectory: Self.storageDirectory, fileSystem: disk) }
  var promise: Promise { promises[promises.count - 1] }

  func promise(_ change: (inout Promise) -> Void) {
    var next = promise
    change(&next)
    guard next != promise else { return }
    promises.append(next)
    disk.promise(promises.count - 1)
  }

  /// - Returns: `nil` for an error that may be expected.
  private func ask<Result>(_ body: () throws(LogError) -> Result) throws -> Result? {
    let wasPoisoned = isPoisoned
    do throws(LogError) {
      let result = try body()
      if wasPoisoned { throw LogError(.corrupt, "a poisoned writer went on") }
      if shared.syncHasFailed.load(ordering: .relaxed) { throw LogError(.corrupt, "a call returned although a sync had failed") }
      return result
    } catch {
      guard expectsErrors, error.code != .corrupt else { throw error }
      errors.append(error)
      // A reopening that failed has made no writer.
      isPoisoned = isPoisoned || (chain != nil && !isReleased && error.code == .poisoned)
      // It may be tried again: it writes all that it needs once more.
      if isReleased { shared.syncHasFailed.store(false, ordering: .relaxed) }
      if wasPoisoned, error.code != .poisoned { throw LogError(.corrupt, "a poisoned writer says \(error.code)") }
      return nil
    }
  }

  private func forgetWriter() {
    chain = nil
    isPoisoned = false
    isReleased = false
    shared.syncHasFailed.store(false, ordering: .relaxed)
  }

  // MARK: Faults

  /// Lets operations fail; of syncs it is noted which ones must end the writer: those of the log itself, not of what has no name in it yet.
  func setRule(_ rule: @escaping DiskRule) {
    let logPath = disk.log.path
    disk.setRule { [shared] operation in
      guard let fault = rule(operation) else { return nil }
      switch operation {
      case .sync(let path) where path.hasPrefix(logPath) && !path.hasSuffix(".tmp") && !path.hasSuffix(".aside"):
        shared.syncHasFailed.store(true, ordering: .relaxed)
      default: break
      }
      return fault
    }
  }

  /// The disk is well again, and has room.
  func heal() {
    disk.setRule(nil)
    disk.setRoom(.max / 2)
    expectsErrors = false
  }

  // MARK: Steps

  func start() throws {
    forgetWriter()
    chain = try ask { () throws(LogError) in
      try ProvChain(
        storageDirectory: Self.storageDirectory, label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: Self.id,
        options: options)
    }
    if chain != nil { promise { $0.presence = .certain } }
  }

  func resume() throws {
    if hasFaults, try !SimulatedDisk(disk.image).hasStarted() {
      // What was to be resumed has failed to come into being.
      guard promise.legacyFile != .gone else { return try start() }
      return try importSession(disk.sessions.viewPath(Self.id))
    }
    // The file that was imported is a view now, and goes as one.
    promise {
      $0.isClosed = false
      if $0.legacyFile == .certain { $0.legacyFile = .possible }
    }
    forgetWriter()
    chain = try ask { () throws(LogError) in
      try ProvChain(resuming: Self.id, storageDirectory: Self.storageDirectory, retentionHours: nil, options: options)
    }
    guard chain != nil else { return }
    // Whatever is found now is acknowledged by what is built on it.
    let found = try notes(on: SimulatedDisk(disk.image))
    var next = 0
    for index in attempts.indices where next < found.count && attempts[index].note == found[next] {
      attempts[index].returned = true
      next += 1
    }
    promise {
      $0.presence = .certain
      $0.kept = attempts.count
      $0.legacyFile = .gone
    }
  }

  /// Opens the session in whatever way is open, if it is not.
  private func open() throws -> ProvChain? {
    if chain == nil {
      if try hasFaults || SimulatedDisk(disk.image).hasStarted() { try resume() } else { try start() }
    }
    return chain
  }

  private func nextAction() -> Action {
    let size = Int.random(in: 0..<700, using: &random)
    let note = JSONString("action \(attempts.count + 1) \(String(repeating: "x", count: size))")
    attempts.append(Attempt(note: note))
    return Action(actionType: "cut", outcome: "verified", note: note)
  }

  func record(_ count: Int = 1) throws {
    for _ in 0..<count {
      guard let chain = try open() else { return }
      promise { $0.isClosed = false }
      let action = nextAction()
      guard let record = try ask({ () throws(LogError) in try chain.recordAction(action) }) else { continue }
      isReleased = false
      attempts[attempts.count - 1].returned = true
      guard attempts.contains(where: { !$0.returned }) || record.seq == attempts.count else {
        throw LogError(.corrupt, "seq \(record.seq) for action \(attempts.count)")
      }
      if options.durability == .power { promise { $0.kept = attempts.count } }
    }
  }

  func batch(_ count: Int) throws {
    guard let chain = try open() else { return }
    promise { $0.isClosed = false }
    let first = attempts.count
    let actions = (0..<count).map { _ in nextAction() }
    var kept = 0
    let isWhole = try ask { () throws(LogError) in
      do throws(BatchError) {
        kept = try chain.recordActions(actions).count
        return true
      } catch {
        kept = error.kept
        throw error.error
      }
    }
    if kept > 0 { isReleased = false }
    for index in first..<first + kept { attempts[index].returned = true }
    guard isWhole == nil || kept == count else { throw LogError(.corrupt, "a batch of \(count) kept \(kept)") }
    if options.durability == .power, kept > 0 { promise { $0.kept = first + kept } }
  }

  func sync() throws {
    guard let chain else { return }
    if try ask({ () throws(LogError) in try chain.sync() }) != nil { promise { $0.kept = attempts.count } }
  }

  /// The background sync comes.
  func tick() {
    let bodies = shared.timers.withLock { bodies in
      defer { bodies = [] }
      return bodies
    }
    for body in bodies { body() }
    if chain != nil, !bodies.isEmpty, !expectsErrors { promise { $0.kept = attempts.count } }
  }

  func close() throws {
    guard let chain = try open() else { return }
    guard try ask({ () throws(LogError) in try chain.close() }) != nil else { return }
    isReleased = true
    promise {
      $0.kept = attempts.count
      $0.isClosed = true
    }
  }

  /// The chain ends, without a close.
  func drop() {
    guard chain != nil else { return }
    let mayHaveFailed = expectsErrors || isPoisoned || shared.syncHasFailed.load(ordering: .relaxed)
    forgetWriter()
    if !mayHaveFailed { promise { $0.kept = attempts.count } }
  }

  /// The process dies; the disk, and what the system has not written to it yet, go on.
  func kill() {
    disk.endProcess()
    forgetWriter()
  }

  /// The process dies right before the first operation that `isNext` says, or else behind the last step.
  func kill(before isNext: @escaping @Sendable (DiskOperation) -> Bool, during steps: () throws -> Void) throws {
    let expectedErrors = expectsErrors
    expectsErrors = true
    if !hasFaults {
      disk.setRule { [disk, shared] operation in
        guard shared.isDead.load(ordering: .relaxed) || isNext(operation) else { return nil }
        shared.isDead.store(true, ordering: .relaxed)
        disk.endProcess()
        return DiskFault(.io)
      }
    }
    try steps()
    kill()
    if !hasFaults { disk.setRule(nil) }
    shared.isDead.store(false, ordering: .relaxed)
    expectsErrors = expectedErrors
  }

  /// The next sync fails, and the system forgets what it could not write; then the writer is given up.
  func failSync(_ step: () throws -> Void) throws {
    if hasFaults {
      try step()
      return forgetWriter()
    }
    disk.setRule { $0.isSync ? DiskFault(.io) : nil }
    do {
      try step()
      throw LogError(.corrupt, "a failed sync was not reported")
    } catch let error as LogError where error.code == .poisoned {}
    disk.setRule(nil)
    forgetWriter()
  }

  func writeView() throws {
    _ = try ask { () throws(LogError) in try sessions.writeView(of: Self.id) }
  }

  func writeViewIfClosed() throws {
    if promise.isClosed { try writeView() }
  }

  func removeView() throws {
    guard disk.image.inode(of: disk.sessions.viewPath(Self.id)) != nil else { return }
    _ = try ask { () throws(LogError) in try disk.remove(sessions.viewPath(Self.id)) }
  }

  func importSession(_ path: String) throws {
    guard try ask({ () throws(LogError) in _ = try sessions.importSession(path) }) != nil else { return }
    promise {
      $0.presence = .certain
      $0.isClosed = true
    }
  }

  /// The session is one of several.
  func importAll() throws {
    var isImported = false
    _ = try ask { () throws(LogError) in
      try sessions.importAll { result throws(LogError) in if try result.get() == Self.id { isImported = true } }
    }
    guard isImported else { return }
    promise {
      $0.presence = .certain
      $0.isClosed = true
    }
  }

  /// Files are sealed, and made smaller and fewer.
  func compact(level: Int? = nil, rawSizeMax: UInt64 = .max) throws {
    if hasFaults, try !SimulatedDisk(disk.image).hasStarted() { return }
    do throws(LogError) {
      _ = try disk.log.compact(Self.id, CompactionRules(level: level, rawSizeMax: rawSizeMax))
    } catch {
      guard expectsErrors, error.code != .corrupt else { throw error }
      errors.append(error)
    }
  }

  /// Whether its files are replaced by others.
  var seals: Bool { options.sealingSizeMin != nil }

  func remove() throws {
    promise { $0.presence = .possible }
    if try ask({ () throws(LogError) in try sessions.remove(Self.id) }) != nil { promise { $0.presence = .gone } }
  }

  /// Another session is opened, long after, and takes away what is too old.
  func expire() throws {
    promise { $0.presence = .possible }
    var options = options
    options.clock = { [options] in options.clock().advanced(hours: 1000) }
    let opened = try ask { () throws(LogError) in
      try ProvChain(
        storageDirectory: Self.storageDirectory, label: "l", kernelURN: "ckp://Kernel#K:v1.0", sessionID: SessionID("opener"), options: options)
    }
    if opened != nil, !expectsErrors { promise { $0.presence = .gone } }
  }

  // MARK: Reading

  /// The notes of the actions, in their order; their seqs are counted up from 1.
  func notes(on disk: SimulatedDisk) throws(LogError) -> [JSONString] {
    let log = disk.log
    var reader = try LogReader.open(log, of: Self.id)
    var notes: [JSONString] = []
    while let frame = try reader.next() {
      guard frame.kind == .action else { continue }
      let action = try ActionRecord(payload: try reader.payload)
      notes.append(action.note)
      guard action.seq == notes.count else { throw LogError(.corrupt, "seq \(action.seq) for action \(notes.count)") }
    }
    return notes
  }
}

extension SimulatedDisk {
  var sessions: SessionsDirectory { SessionsDirectory(storageDirectory: Life.storageDirectory, fileSystem: self) }
  var log: LogDirectory { sessions.log(of: Life.id) }

  func hasStarted() throws(LogError) -> Bool {
    guard try status(of: log.path) != nil else { return false }
    return try !log.segments().isEmpty
  }
}

extension Timestamp {
  fileprivate func advanced(hours: Int64) -> Timestamp { Timestamp(microseconds: microseconds + hours * 3_600_000_000)! }
}
