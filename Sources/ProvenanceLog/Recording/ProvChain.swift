package import LogFormat
internal import LogStorage

/// Records one provenance session into its log.
///
///     let prov = try ProvChain(
///       storageDirectory: "concepts/MyKernel", label: "deploy-widgets", kernelURN: "ckp://Kernel#MyKernel:v1.0")
///     try prov.recordAction(actionType: "widget.deploy", outcome: "verified", intent: ["target": "prod"], evidence: ["deployed": true])
///     try prov.close()
///
/// Holds the session's writer lock from its start to `close`, or to its own end. All methods may be called from any thread; actions get their seq in the order
/// in which they reach the log. Memory does not grow with the session, except for the names of the kernels involved.
///
/// Errors: every call throws `LogError`. After `noSpace` whole actions before the failure are kept, the failed one consumed no seq, and recording goes on once
/// there is room. After `poisoned` every further call throws: what was acknowledged with `power` is kept, the rest is open.
public final class ProvChain: Sendable {
  public let sessionID: SessionID
  public let options: Options
  /// Where the Session JSON is, once it has been written.
  public let filePath: String
  /// The directory of the log.
  public let logPath: String

  private let recorder: SharedRecorder

  /// The name that actions get that name no kernel.
  package var ownKernel: JSONString { recorder.ownKernel }

  /// Starts a session, as the reference's `ProvChain(...)` does.
  ///
  /// - Parameters:
  ///   - storageDirectory: the Concept Kernel's root; sessions are kept in its `storage/sessions`, which is made if it is missing.
  ///   - label: what the session is for.
  ///   - kernelURN: the kernel that records, `ckp://Kernel#NAME:vX.Y`.
  ///   - kernelAction: which action initiated the session.
  ///   - retentionHours: sessions last written longer ago are removed, at most once a minute (`Options.retentionInterval`); `nil` removes none.
  ///   - sessionID: an id that must be free; `nil` draws one.
  ///   - startedAt: `nil` for the clock's reading.
  ///   - options: how it is recorded.
  /// - Throws: `LogError` `alreadyExists` for a given id that is taken; `io`, `noSpace`, `noPermission`.
  public convenience init(
    storageDirectory: String, label: String, kernelURN: String, kernelAction: String = "", retentionHours: Double? = 48,
    sessionID: SessionID? = nil, startedAt: Timestamp? = nil, options: Options = Options()
  ) throws(LogError) {
    try self.init(
      storageDirectory: storageDirectory, label: JSONString(label), kernelURN: JSONString(kernelURN), kernelAction: JSONString(kernelAction),
      retentionHours: retentionHours, sessionID: sessionID, startedAt: startedAt, options: options)
  }

  /// The same for strings that Swift's `String` cannot hold.
  public init(
    storageDirectory: String, label: JSONString, kernelURN: JSONString, kernelAction: JSONString = "", retentionHours: Double? = 48,
    sessionID: SessionID? = nil, startedAt: Timestamp? = nil, options: Options = Options()
  ) throws(LogError) {
    let directory = SessionsDirectory(storageDirectory: storageDirectory, fileSystem: options.fileSystem)
    try directory.make()
    directory.tidy(retentionHours: retentionHours, every: options.retentionInterval, now: options.clock())
    let startedAt = startedAt ?? options.clock()
    let recorder = try Recorder.start(directory, sessionID, options) { id in
      SessionHeader(
        sessionID: id,
        urn: URN.buildAction(kernel: URN.kernelName(ofURN: kernelURN), actionName: "session", timestampMS: startedAt.milliseconds),
        label: label, kernelAction: kernelAction, startedAt: startedAt, wasAssociatedWith: kernelURN)
    }
    self.sessionID = recorder.header.sessionID
    self.options = options
    filePath = directory.viewPath(self.sessionID)
    logPath = directory.logPath(self.sessionID)
    self.recorder = SharedRecorder(recorder, options)
  }

  /// Goes on with a session after a crash, or reopens a closed one: the next action gets the next seq. Its view is removed until it is closed again.
  ///
  /// - Throws: `LogError` `notFound`, `locked` if it has a living writer, `corrupt` if something is damaged or missing that is known
  ///   to have been on stable storage: all files are read that are not sealed, of sealed ones the links.
  public init(
    resuming sessionID: SessionID, storageDirectory: String, retentionHours: Double? = 48, options: Options = Options()
  ) throws(LogError) {
    let directory = SessionsDirectory(storageDirectory: storageDirectory, fileSystem: options.fileSystem)
    let recorder = try Recorder.resume(directory, sessionID, options)
    directory.tidy(retentionHours: retentionHours, every: options.retentionInterval, now: options.clock())
    self.sessionID = sessionID
    self.options = options
    filePath = directory.viewPath(sessionID)
    logPath = directory.logPath(sessionID)
    self.recorder = SharedRecorder(recorder, options)
  }

  deinit {
    // Not closed: what was recorded stays for a resume, and is on stable storage like after a background sync.
    recorder.release()
  }

  // MARK: Recording

  /// Records an action.
  ///
  /// - Parameters:
  ///   - actionType: dotted name, such as `task.create`.
  ///   - outcome: `verified`, `failed`, `retry`, `skipped`, or any other text.
  ///   - kernel: short name or `ckp://` URN; empty for the session's own.
  ///   - viaEdge: edge predicate, if the action crosses a kernel boundary.
  ///   - intent: what the action wanted.
  ///   - evidence: what happened.
  ///   - beforeState: what was acted on, before.
  ///   - afterState: the same, after; what differs between both is summed up in the record.
  ///   - attempt: 1-based, for retries.
  ///   - generatedAt: when it was done; `nil` for the clock's reading.
  ///   - note: for people.
  /// - Returns: what was recorded, its promise kept (`Options.durability`).
  @discardableResult
  public func recordAction(
    actionType: String, outcome: String, kernel: String = "", viaEdge: String? = nil, intent: Payload? = nil, evidence: Payload? = nil,
    beforeState: Payload? = nil, afterState: Payload? = nil, attempt: Int64 = 1, generatedAt: Timestamp? = nil, note: String = ""
  ) throws(LogError) -> ActionRecord {
    try recordAction(
      Action(
        actionType: JSONString(actionType), outcome: JSONString(outcome), kernel: JSONString(kernel), viaEdge: viaEdge.map { JSONString($0) },
        intent: intent, evidence: evidence, beforeState: beforeState, afterState: afterState, attempt: attempt, generatedAt: generatedAt,
        note: JSONString(note)))
  }

  /// Records an action.
  /// - Returns: what was recorded, its promise kept (`Options.durability`).
  @discardableResult
  public func recordAction(_ action: consuming Action) throws(LogError) -> ActionRecord {
    let (seq, entry, sequence) = try recorder.record(action)
    try recorder.keepPromise(through: sequence)
    let record = ActionRecord(action, seq: seq, kernel: entry.kernel, generatedAt: entry.generatedAt)
    options.liveLine?(escapedForTerminal(record.liveLine.description))
    return record
  }

  /// Records actions one after the other, none of another thread's between them, with one write a MiB and a segment, and with `power` one sync. Not atomic: see
  /// the error.
  /// - Returns: the seqs that they got.
  @discardableResult
  public func recordActions(_ actions: [Action]) throws(BatchError) -> Range<Int64> {
    let batch = recorder.record(contentsOf: actions, listsEntries: options.liveLine != nil)
    return try keepPromise(batch) { index in
      ActionRecord(
        actions[index], seq: batch.seqs.lowerBound + Int64(index), kernel: batch.entries[index].kernel, generatedAt: batch.entries[index].generatedAt)
    }
  }

  /// The same for actions that were encoded before.
  package func recordActions(_ actions: borrowing EncodedActions) throws(BatchError) -> Range<Int64> {
    let batch = recorder.record(actions)
    return try keepPromise(batch) { index in try? actions.record(index, seq: batch.seqs.lowerBound + Int64(index)) }
  }

  private func keepPromise(_ batch: SharedRecorder.Batch, _ record: (Int) -> ActionRecord?) throws(BatchError) -> Range<Int64> {
    if !batch.seqs.isEmpty {
      do throws(LogError) { try recorder.keepPromise(through: batch.sequence) } catch { throw BatchError(seqs: 0..<0, error: error) }
      if let liveLine = options.liveLine {
        for index in 0..<batch.seqs.count { if let record = record(index) { liveLine(escapedForTerminal(record.liveLine.description)) } }
      }
    }
    if let error = batch.error { throw BatchError(seqs: batch.seqs, error: error) }
    return batch.seqs
  }

  /// Closes the session: its end is recorded, all of it is put on stable storage, the view is written, the lock is given back.
  ///
  /// An action recorded afterwards opens it again; closing again is allowed, and the last one counts.
  /// - Parameter outcome: empty for the derived one: `failed` if there are failures and nothing verified, `partial` if both, else `complete`.
  /// - Parameter endedAt: `nil` for the clock's reading.
  /// - Returns: the session. A view that cannot be written costs a notice, never the log.
  @discardableResult
  public func close(outcome: JSONString = "", endedAt: Timestamp? = nil) throws(LogError) -> Session {
    try recorder.close(outcome: outcome, endedAt: endedAt)
  }

  /// Puts everything that was recorded on stable storage.
  public func sync() throws(LogError) {
    try recorder.sync()
  }

  /// Actions in the session, those from before a resume included.
  public var actionCount: UInt64 { recorder.session.actionCount }

  /// Header and summary as they are now.
  public var session: Session { recorder.session }
}

/// Why a batch was not recorded whole.
public struct BatchError: Error, Sendable {
  /// The seqs of the actions, from the first on, that were recorded and keep their promise.
  public let seqs: Range<Int64>
  public let error: LogError

  /// How many they are.
  public var kept: Int { seqs.count }
}
