internal import LogFormat
internal import LogStorage
package import ProvenanceModel

/// Records the same actions over and over into sessions of their own, and takes the time of each call.
package struct Bench: Sendable {
  /// In what form the actions are handed over.
  package enum Form: String, Sendable, CaseIterable {
    /// Payloads that were encoded before.
    case raw
    /// Swift values.
    case values
    /// JSON Lines, as `record` reads them.
    case lines
  }

  /// What is recorded: JSON Lines, used in turn.
  package var lines: [[UInt8]]
  package var form = Form.values
  package var durability = ProvChain.Durability.process
  /// Callers, spread over the sessions.
  package var threads = 1
  package var sessions = 1
  /// Actions a call.
  package var batch = 1
  /// It ends after so long, or after so many actions, whichever comes first.
  package var duration = Duration.seconds(5)
  package var count = Int.max
  package var segmentSizeMax: UInt64 = 64 << 20
  /// Full files are compressed beside the recording.
  package var seals = true

  package init(lines: [[UInt8]]) {
    self.lines = lines
  }

  package struct Result: Sendable {
    package let actions: Int
    package let seconds: Double
    /// Mean length of a line.
    package let lineSize: Double
    /// Of a call.
    package let latency: Histogram
  }

  /// - Parameter storageDirectory: where the sessions are made; they are closed afterwards, and stay.
  /// - Throws: `LogError` `invalidInput` for a line that is no action; what recording throws.
  package func run(in storageDirectory: String) throws(LogError) -> Result {
    let calls = try self.calls()
    var options = ProvChain.Options()
    options.durability = durability
    options.view = .never
    options.segmentSizeMax = segmentSizeMax
    if !seals { options.sealingSizeMin = nil }
    var chains: [ProvChain] = []
    for number in 0..<sessions {
      chains.append(
        try ProvChain(
          storageDirectory: storageDirectory, label: "bench \(number)", kernelURN: "ckp://Kernel#Bench:v1.0", retentionHours: nil, options: options))
    }
    let start = monotonicNanoseconds()
    let end = start + UInt64(duration / .nanoseconds(1))
    let workers = onThreads(threads) { [chains] thread in
      Worker(chain: chains[thread % chains.count], calls: calls, first: thread * 7).run(until: end, count: count / threads)
    }
    let seconds = Double(monotonicNanoseconds() - start) / 1e9
    for chain in chains { try chain.close() }
    var latency = Histogram()
    for worker in workers {
      if let error = worker.error { throw error }
      latency.add(worker.latency)
    }
    let lineSize = Double(lines.reduce(0) { $0 + $1.count }) / Double(lines.count)
    return Result(actions: workers.reduce(0) { $0 + $1.actions }, seconds: seconds, lineSize: lineSize, latency: latency)
  }

  private func calls() throws(LogError) -> [Call] {
    var reader = LineReader()
    var actions: [Action] = []
    for (index, line) in lines.enumerated() {
      guard try line.withRawBytes({ line throws(LogError) in try reader.read(line) }) == .action else {
        throw LogError(.invalidInput, "line \(index + 1) is no action")
      }
      let action = try reader.action
      actions.append(form == .values ? try action.withValues() : action)
    }
    // A batch may be more than there are lines.
    return stride(from: 0, to: max(1, lines.count / batch * batch), by: batch).map { start in
      let indices = (start..<start + batch).map { $0 % lines.count }
      return form == .lines ? .lines(indices.map { lines[$0] }) : .actions(indices.map { actions[$0] })
    }
  }
}

private enum Call: Sendable {
  case actions([Action])
  case lines([[UInt8]])
}

extension Action {
  fileprivate func withValues() throws(LogError) -> Action {
    var action = self
    action.intent = try intent.map { payload throws(LogError) in .object(try payload.object()) }
    action.evidence = try evidence.map { payload throws(LogError) in .object(try payload.object()) }
    action.beforeState = try beforeState.map { payload throws(LogError) in .object(try payload.object()) }
    action.afterState = try afterState.map { payload throws(LogError) in .object(try payload.object()) }
    return action
  }
}

/// One caller.
private struct Worker: ~Copyable {
  let chain: ProvChain
  let calls: [Call]
  var next: Int
  private var done = Done()
  private var reader = LineReader()
  private var encoded = EncodedActions()

  struct Done: Sendable {
    var actions = 0
    var latency = Histogram()
    var error: LogError?
  }

  init(chain: ProvChain, calls: [Call], first: Int) {
    self.chain = chain
    self.calls = calls
    next = first
  }

  consuming func run(until end: UInt64, count: Int) -> Done {
    do throws(LogError) {
      var before = monotonicNanoseconds()
      while before < end, done.actions < count {
        done.actions += try record(calls[next % calls.count])
        let now = monotonicNanoseconds()
        done.latency.count(nanoseconds: now - before)
        before = now
        next += 1
      }
    } catch {
      done.error = error
    }
    return done
  }

  private mutating func record(_ call: Call) throws(LogError) -> Int {
    switch call {
    case .actions(let actions) where actions.count == 1:
      try chain.recordAction(actions[0])
      return 1
    case .actions(let actions):
      do throws(BatchError) { return try chain.recordActions(actions).count } catch { throw error.error }
    case .lines(let lines):
      encoded.removeAll()
      for line in lines {
        _ = try line.withRawBytes { line throws(LogError) in try reader.read(line) }
        try encoded.append(reader, ownKernel: chain.ownKernel, now: chain.options.clock)
      }
      do throws(BatchError) { return try chain.recordActions(encoded).count } catch { throw error.error }
    }
  }
}

/// How long a sync of 1 KiB more takes on this disk.
package func measureSyncs(in directory: String, count: Int) throws(LogError) -> Histogram {
  let fileSystem = DiskFileSystem()
  let file = try fileSystem.create(path(directory, "sync"))
  let bytes = [UInt8](repeating: 0x41, count: 1024)
  var latency = Histogram()
  for index in 0..<count {
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: UInt64(index * 1024)) }
    let before = monotonicNanoseconds()
    try file.sync()
    latency.count(nanoseconds: monotonicNanoseconds() - before)
  }
  return latency
}
