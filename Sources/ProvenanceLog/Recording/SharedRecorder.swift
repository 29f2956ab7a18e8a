internal import LogFormat
internal import LogStorage
internal import Synchronization

/// A recorder that threads share, and the timer that syncs in the background; so the chain itself belongs to its callers alone.
///
/// Who takes several locks takes them in the order `recording`, `syncing`, `sealing`, `state`.
final class SharedRecorder: Sendable {
  private let options: ProvChain.Options
  private let id: SessionID
  private let log: LogDirectory
  /// For actions that name none.
  let ownKernel: JSONString
  private let state: Mutex<Recorder>
  private let stateLock = Lock()
  /// Memory for encoding, while nobody needs it.
  private let spare = Mutex<EncodedActions?>(nil)
  private let spareLock = Lock()
  /// Held by who records or closes, so that nothing comes between the actions of a batch, while it waits for a sync to begin a new segment.
  private let recording = Lock()
  /// Had by who syncs: who waits for it finds, as a rule, that the sync before covered it.
  private let syncing = Turn()
  /// Every frame with a lower sequence is on stable storage: what those who wait for a sync look at.
  private let syncedBelow = Atomic<UInt64>(0)
  private let earlySyncIsScheduled = Atomic<Bool>(false)
  private let syncIsScheduled = Atomic<Bool>(false)
  /// Held while full files are being sealed.
  private let sealing = Mutex<Void>(())
  private let sealingIsDue = Atomic<Bool>(false)

  init(_ recorder: consuming sending Recorder, _ options: ProvChain.Options) {
    self.options = options
    (id, log) = (recorder.header.sessionID, recorder.log)
    ownKernel = URN.kernelName(ofURN: recorder.header.wasAssociatedWith)
    state = Mutex(recorder)
  }

  /// The mutex that holds the state is had by nobody who has not this lock, so it is never waited for.
  private func withState<Result, E: Error>(_ body: (inout sending Recorder) throws(E) -> sending Result) throws(E) -> sending Result {
    stateLock.take()
    defer { stateLock.giveBack() }
    return try state.withLock(body)
  }

  var session: Session { withState { $0.session } }

  // MARK: Recording

  /// - Returns: the seq that it got, what else it was recorded with, and the sequence of its frame.
  func record(_ action: borrowing Action) throws(LogError) -> (seq: Int64, entry: EncodedActions.Entry, sequence: UInt64) {
    var encoded = takeEncoder()
    try encoded.append(action, ownKernel: ownKernel, now: options.clock)
    var batch = Batch()
    try recording.with { () throws(LogError) in try append(encoded, to: &batch) }
    let entry = encoded.entries[0]
    giveBack(encoded)
    return (batch.seqs.lowerBound, entry, batch.sequence)
  }

  /// What of a batch was recorded, and why not all of it.
  struct Batch: Sendable {
    fileprivate(set) var seqs: Range<Int64> = 0..<0
    /// Of the last frame.
    fileprivate(set) var sequence: UInt64 = 0
    fileprivate(set) var error: LogError?
    /// Of those in `seqs`, and perhaps of others behind them, if they were asked for.
    fileprivate(set) var entries: [EncodedActions.Entry] = []

    fileprivate mutating func add(_ more: Range<Int64>, through sequence: UInt64) {
      guard !more.isEmpty else { return }
      seqs = (seqs.isEmpty ? more.lowerBound : seqs.lowerBound)..<more.upperBound
      self.sequence = sequence
    }
  }

  /// Of many actions, which take memory, a part at a time is encoded: the first one before anybody has to wait.
  func record(contentsOf actions: [Action], listsEntries: Bool) -> Batch {
    var batch = Batch()
    do throws(LogError) {
      var encoded = takeEncoder()
      var next = 0
      var failure = encode(actions, from: &next, to: &encoded)
      try recording.with { () throws(LogError) in
        while true {
          if listsEntries { batch.entries += encoded.entries }
          try append(encoded, to: &batch)
          if let failure { throw failure }
          guard next < actions.count else { return }
          encoded.removeAll()
          failure = encode(actions, from: &next, to: &encoded)
        }
      }
      giveBack(encoded)
    } catch {
      batch.error = error
    }
    return batch
  }

  func record(_ actions: borrowing EncodedActions) -> Batch {
    var batch = Batch()
    do throws(LogError) {
      try recording.with { () throws(LogError) in try append(actions, to: &batch) }
    } catch {
      batch.error = error
    }
    return batch
  }

  private func encode(_ actions: [Action], from next: inout Int, to encoded: inout EncodedActions) -> LogError? {
    do throws(LogError) {
      while next < actions.count, encoded.size < 1 << 20 {
        try encoded.append(actions[next], ownKernel: ownKernel, now: options.clock)
        next += 1
      }
      return nil
    } catch {
      return error
    }
  }

  private func append(_ actions: borrowing EncodedActions, to batch: inout Batch) throws(LogError) {
    var next = 0
    var isDueToSync = false
    defer { if isDueToSync { syncEarly() } }
    while next < actions.count {
      try inSegment { state throws(LogError) in
        defer { isDueToSync = state.isDueToSync(options) }
        // Told by where it ends: where it begins is known only once a log that was closed has been opened again.
        let before = next
        defer { batch.add(state.nextSeq - Int64(next - before)..<state.nextSeq, through: state.nextSequence - 1) }
        try state.record(actions, from: &next, options)
      }
    }
  }

  /// Lets `body` record, in a new segment if the active one is full.
  ///
  /// A new segment is begun while no sync is under way: of two syncs of one file at once the kernel tells only one that it failed, and the other would go
  /// on as if all were well.
  private func inSegment(_ body: (inout Recorder) throws(LogError) -> Void) throws(LogError) {
    let isDone = try withState { state throws(LogError) in
      if state.isDueToRoll(options) { return false }
      try body(&state)
      return true
    }
    guard !isDone else { return }
    try syncing.take { () throws(LogError) in
      try withState { state throws(LogError) in
        if state.isDueToRoll(options) {
          try state.roll()
          scheduleSealing()
        }
        try body(&state)
      }
    }
  }

  private func takeEncoder() -> EncodedActions {
    var mine: EncodedActions? = nil
    spareLock.with { spare.withLock { swap(&$0, &mine) } }
    if let mine { return mine }
    return EncodedActions()
  }

  /// Where recording fails it is not given back: the next one gets new memory.
  private func giveBack(_ encoded: consuming EncodedActions) {
    encoded.removeAll()
    var mine: EncodedActions? = encoded
    spareLock.with { spare.withLock { swap(&$0, &mine) } }
  }

  func close(outcome: JSONString, endedAt: Timestamp?) throws(LogError) -> Session {
    try recording.with { () throws(LogError) in
      var session: Session?
      try syncing.take { () throws(LogError) in
        session = try sealing.withLock { _ throws(LogError) in
          try withState { state throws(LogError) in try state.close(outcome: outcome, endedAt: endedAt, options) }
        }
      }
      return session!
    }
  }

  /// Gives the lock back, of a session that is not closed; a timer may still hold `self`.
  func release() {
    syncAndMark()
    withState { $0.release() }
    sealFullFiles()
  }

  // MARK: Sealing

  /// On a thread of its own: recording never waits for compression.
  private func scheduleSealing() {
    guard options.sealingSizeMin != nil, !sealingIsDue.exchange(true, ordering: .relaxed) else { return }
    options.timer(.zero) { [weak self] in
      giveWay()
      self?.sealFullFiles()
    }
  }

  private func sealFullFiles() {
    sealing.withLock { _ in
      guard sealingIsDue.exchange(false, ordering: .relaxed) else { return }
      log.seal(id, options)
    }
  }

  // MARK: Durability

  /// Returns when what `durability` promises of all frames up to `sequence` holds.
  func keepPromise(through sequence: UInt64) throws(LogError) {
    if options.durability == .power { try sync(through: sequence) }
    scheduleSync()
  }

  /// One at a time syncs for all whose frames were written when it began; the others find theirs covered (group commit).
  func sync(through sequence: UInt64 = .max) throws(LogError) {
    try syncing.take(unless: { sequence < syncedBelow.load(ordering: .acquiring) }) { () throws(LogError) in
      let point = try withState { state throws(LogError) in try state.syncPoint(through: sequence) }
      guard let point else { return }
      do throws(LogError) {
        try point.sync()
      } catch {
        throw withState { $0.didFailToSync(error) }
      }
      try withState { state throws(LogError) in try state.didSync(point) }
      syncedBelow.store(point.below, ordering: .releasing)
    }
  }

  /// Once `syncInterval` after a record: with `process` this is what puts it on stable storage; then, if no other came, a mark says so.
  private func scheduleSync() {
    guard !syncIsScheduled.load(ordering: .relaxed), !syncIsScheduled.exchange(true, ordering: .relaxed) else { return }
    options.timer(options.syncInterval) { [weak self] in
      guard let self else { return }
      self.syncIsScheduled.store(false, ordering: .relaxed)
      self.syncAndMark()
    }
  }

  /// With `process`: a roll, or a close, must not have to wait until much is written.
  private func syncEarly() {
    guard options.durability == .process, !earlySyncIsScheduled.exchange(true, ordering: .relaxed) else { return }
    options.timer(.zero) { [weak self] in
      try? self?.sync()
      self?.earlySyncIsScheduled.store(false, ordering: .relaxed)
    }
  }

  /// The mark says that nothing is in doubt any more. A failure poisons the writer; the next call reports it.
  private func syncAndMark() {
    guard (try? sync()) != nil else { return }
    withState { $0.appendMark() }
  }
}
