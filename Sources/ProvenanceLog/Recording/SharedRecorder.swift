internal import LogStorage
internal import Synchronization

/// A recorder that threads share, and the timer that syncs in the background; so the chain itself belongs to its callers alone.
///
/// Who takes several locks takes them in the order `recording`, `syncing`, `sealing`, `state`.
final class SharedRecorder: Sendable {
  private let options: ProvChain.Options
  private let id: SessionID
  private let log: LogDirectory
  private let state: Mutex<Recorder>
  /// Held by who records or closes, so that nothing comes between the actions of a batch, while it waits for a sync to begin a new segment.
  private let recording = Mutex<Void>(())
  /// Held while a sync is under way: who waits here finds, as a rule, that the sync before covered it.
  private let syncing = Mutex<Void>(())
  private let syncIsScheduled = Atomic<Bool>(false)
  /// Held while full files are being sealed.
  private let sealing = Mutex<Void>(())
  private let sealingIsDue = Atomic<Bool>(false)

  init(_ recorder: consuming sending Recorder, _ options: ProvChain.Options) {
    self.options = options
    (id, log) = (recorder.header.sessionID, recorder.log)
    state = Mutex(recorder)
  }

  var session: Session { state.withLock { $0.session } }

  /// - Returns: what was recorded, and the sequence of its frame.
  func record(_ action: Action) throws(LogError) -> (record: ActionRecord, sequence: UInt64) {
    try recording.withLock { _ throws(LogError) in
      try inSegment { state throws(LogError) in (try state.record(action, options), state.nextSequence - 1) }
    }
  }

  /// - Returns: the actions that were kept, the error that kept it from keeping all, and the sequence of the last frame.
  func record(contentsOf actions: [Action]) -> (records: [ActionRecord], error: LogError?, sequence: UInt64) {
    recording.withLock { _ in
      var (kept, sequence) = ([ActionRecord](), UInt64(0))
      do throws(LogError) {
        while kept.count < actions.count {
          try inSegment { state throws(LogError) in
            defer { sequence = state.nextSequence - 1 }
            try state.record(contentsOf: actions[kept.count...], to: &kept, options)
          }
        }
        return (kept, nil, sequence)
      } catch {
        return (kept, error, sequence)
      }
    }
  }

  /// Lets `body` record, in a new segment if the active one is full.
  ///
  /// A new segment is begun while no sync is under way: of two syncs of one file at once the kernel tells only one that it failed, and the other would go
  /// on as if all were well.
  private func inSegment<Result: Sendable>(_ body: (inout Recorder) throws(LogError) -> Result) throws(LogError) -> Result {
    let result: Result? = try state.withLock { state throws(LogError) in state.isDueToRoll(options) ? nil : try body(&state) }
    if let result { return result }
    return try syncing.withLock { _ throws(LogError) in
      try state.withLock { state throws(LogError) in
        if state.isDueToRoll(options) {
          try state.roll()
          scheduleSealing()
        }
        return try body(&state)
      }
    }
  }

  func close(outcome: JSONString, endedAt: Timestamp?) throws(LogError) -> Session {
    try recording.withLock { _ throws(LogError) in
      try syncing.withLock { _ throws(LogError) in
        try sealing.withLock { _ throws(LogError) in
          try state.withLock { state throws(LogError) in try state.close(outcome: outcome, endedAt: endedAt, options) }
        }
      }
    }
  }

  /// Gives the lock back, of a session that is not closed; a timer may still hold `self`.
  func release() {
    syncAndMark()
    state.withLock { $0.release() }
    sealFullFiles()
  }

  // MARK: Sealing

  /// On a thread of its own: recording never waits for compression.
  private func scheduleSealing() {
    guard options.sealingSizeMin != nil, !sealingIsDue.exchange(true, ordering: .relaxed) else { return }
    options.timer(.zero) { [weak self] in self?.sealFullFiles() }
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
    try syncing.withLock { _ throws(LogError) in
      let point = try state.withLock { state throws(LogError) in try state.syncPoint(through: sequence) }
      guard let point else { return }
      do throws(LogError) {
        try point.sync()
      } catch {
        throw state.withLock { $0.didFailToSync(error) }
      }
      state.withLock { $0.didSync(point) }
    }
  }

  /// Once `syncInterval` after a record: with `process` this is what puts it on stable storage; then, if no other came, a mark says so.
  private func scheduleSync() {
    guard !syncIsScheduled.exchange(true, ordering: .relaxed) else { return }
    options.timer(options.syncInterval) { [weak self] in
      guard let self else { return }
      self.syncIsScheduled.store(false, ordering: .relaxed)
      self.syncAndMark()
    }
  }

  /// The mark says that nothing is in doubt any more. A failure poisons the writer; the next call reports it.
  private func syncAndMark() {
    guard (try? sync()) != nil else { return }
    state.withLock { $0.appendMark() }
  }
}
