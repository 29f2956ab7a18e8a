import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// The differential test compares what is recorded with the reference; here is what it has no word for: cancellation, Swift's errors, tasks.
struct VerifiedActionTests {
  private let storage: Storage

  init() throws {
    storage = try Storage()
  }

  private struct Broken: Error, CustomStringConvertible {
    var description: String { "it broke" }
  }

  private func start() throws -> (prov: ProvChain, sleeps: Lines) {
    let sleeps = Lines()
    return (try storage.start("a", storage.options { $0.sleep = { sleeps.append("\($0)") } }), sleeps)
  }

  private func outcomes() throws -> [JSONString] { try storage.actions("a").map(\.outcome) }

  // MARK: Without tasks

  @Test func attemptsAreRecordedUntilOneIsVerified() throws {
    let (prov, sleeps) = try start()
    var states = 0
    var tries = 0
    let isVerified = try prov.verifiedAction(
      actionType: "t", kernel: "Other", viaEdge: "REQUIRES", intent: ["want": 1],
      captureState: {
        states += 1
        return ["state": JSONValue(states)]
      }, action: { tries += 1 }, verify: { tries == 2 })
    #expect(isVerified && tries == 2)
    #expect(sleeps.all == Array(repeating: "0.5 seconds", count: 3))
    let actions = try storage.actions("a")
    #expect(actions.map(\.outcome) == ["retry", "verified"])
    #expect(actions.map(\.attempt) == [1, 2])
    #expect(actions.map(\.diffSummary) == ["state: 1 -> 2", "state: 3 -> 4"])
    #expect(actions.allSatisfy { $0.viaEdge == "REQUIRES" && $0.kernel == "ckp://Kernel#Other:v1.0" })
    #expect(try actions.map { try $0.evidence?.object() } == [["verified": false], ["verified": true]])
  }

  @Test func errorsBecomeEvidence() throws {
    let (prov, _) = try start()
    #expect(try !prov.verifiedAction(actionType: "t", kernel: "", maxAttempts: 1, action: { throw Broken() }, verify: { true }))
    #expect(try !prov.verifiedAction(actionType: "t", kernel: "", maxAttempts: 1, action: {}, verify: { throw LogError(.io, "odd") }))
    let actions = try storage.actions("a")
    #expect(try actions.map { try $0.evidence?.object() } == [["error": "it broke", "exception_type": "Broken"], ["verify_error": "odd"]])
    #expect(actions.map(\.note) == ["action raised: it broke", "verify raised: odd"])
    #expect(try outcomes() == ["failed", "failed"])
  }

  @Test(arguments: [0, -1, Int.min])
  func noAttemptsRecordNothing(_ attempts: Int) throws {
    let (prov, sleeps) = try start()
    #expect(try !prov.verifiedAction(actionType: "t", kernel: "", maxAttempts: attempts, action: { throw Broken() }, verify: { true }))
    #expect(prov.actionCount == 0 && sleeps.all == [])
  }

  enum Place: CaseIterable { case captureBefore, captureAfter, action, verify }

  /// A `CancellationError` passes through from wherever it comes; what an earlier attempt recorded stays.
  @Test(arguments: Place.allCases, [1, 2])
  func cancellationPassesThrough(_ place: Place, _ attempt: Int) async throws {
    let (prov, _) = try start()
    let steps = Steps(cancellingAt: place, of: attempt)
    #expect(throws: CancellationError.self) {
      try prov.verifiedAction(
        actionType: "t", kernel: "", settleDelay: .zero, captureState: { try steps.capture() }, action: { try steps.act() },
        verify: { try steps.verify() })
    }
    #expect(try outcomes() == Array(repeating: "retry", count: attempt - 1))

    let asynchronous = Steps(cancellingAt: place, of: attempt)
    await #expect(throws: CancellationError.self) {
      try await prov.verifiedAction(
        actionType: "t", kernel: "", settleDelay: .zero, captureState: { () async throws in try asynchronous.capture() },
        action: { () async throws in try asynchronous.act() }, verify: { () async throws in try asynchronous.verify() })
    }
    #expect(prov.actionCount == UInt64(2 * (attempt - 1)))
    #expect(try prov.recordAction(action()).seq == Int64(2 * attempt - 1))
  }

  /// Cancels itself at one place of one attempt.
  private final class Steps: Sendable {
    private let place: Place
    private let attempt: Int
    private let state = Mutex((attempt: 1, hasActed: false))

    init(cancellingAt place: Place, of attempt: Int) {
      self.place = place
      self.attempt = attempt
    }

    private func pass(_ here: Place) throws {
      if here == place, state.withLock({ $0.attempt }) == attempt { throw CancellationError() }
    }

    func capture() throws -> Payload? {
      try pass(state.withLock { $0.hasActed } ? .captureAfter : .captureBefore)
      throw Broken()
    }

    func act() throws {
      try pass(.action)
      state.withLock { $0.hasActed = true }
    }

    func verify() throws -> Bool {
      try pass(.verify)
      state.withLock { $0 = ($0.attempt + 1, false) }
      return false
    }
  }

  // MARK: In tasks

  @Test func asynchronousFormRecordsTheSame() async throws {
    let (prov, _) = try start()
    let tries = Mutex(0)
    let isVerified = try await prov.verifiedAction(
      actionType: "t", kernel: "", settleDelay: .zero, captureState: { () async throws in ["a": 1] },
      action: {
        await Task.yield()
        if tries.withLock({
          $0 += 1; return $0
        }) == 1 {
          throw Broken()
        }
      },
      verify: { () async throws in tries.withLock { $0 } == 3 })
    #expect(isVerified)
    #expect(try outcomes() == ["failed", "retry", "verified"])
    let actions = try storage.actions("a")
    #expect(try actions.map { try $0.afterState?.object() } == [nil, ["a": 1], ["a": 1]])
    #expect(
      try
        !(await prov.verifiedAction(actionType: "t", kernel: "", maxAttempts: 0, action: { () async throws in }, verify: { () async throws in true }))
    )
    #expect(prov.actionCount == 3)
  }

  @Test func cancelledTaskStopsWaiting() async throws {
    let (prov, _) = try start()
    // While it settles: nothing of this attempt is recorded.
    let settling = Task {
      try await prov.verifiedAction(
        actionType: "t", kernel: "", settleDelay: .seconds(100_000), action: { () async throws in withUnsafeCurrentTask { $0?.cancel() } },
        verify: { () async throws in true })
    }
    await #expect(throws: CancellationError.self) { try await settling.value }
    #expect(prov.actionCount == 0)
    // Between two attempts: the first is recorded.
    let between = Task {
      try await prov.verifiedAction(
        actionType: "t", kernel: "", settleDelay: .seconds(100_000),
        action: { () async throws in
          withUnsafeCurrentTask { $0?.cancel() }
          throw Broken()
        }, verify: { () async throws in true })
    }
    await #expect(throws: CancellationError.self) { try await between.value }
    #expect(try outcomes() == ["failed"])
  }

  @MainActor private final class Counter { var count = 0 }

  /// The closures run where the caller is.
  @MainActor @Test func staysOnItsActor() async throws {
    let (prov, _) = try start()
    let counter = Counter()
    try await prov.verifiedAction(
      actionType: "t", kernel: "", settleDelay: .zero,
      action: {
        await Task.yield()
        counter.count += 1
      },
      verify: { () async throws in
        MainActor.assertIsolated()
        return counter.count == 1
      })
    #expect(try outcomes() == ["verified"])
  }

  @Test func failureToRecordIsThrown() async throws {
    let disk = WatchedFileSystem()
    let prov = try storage.start("a", storage.options { $0.fileSystem = disk })
    disk.setRule { $0.isWrite ? .init(.noSpace) : nil }
    #expect(errorCode { try prov.verifiedAction(actionType: "t", kernel: "", settleDelay: .zero, action: {}, verify: { true }) } == .noSpace)
    disk.setRule(nil)
    #expect(try prov.verifiedAction(actionType: "t", kernel: "", settleDelay: .zero, action: {}, verify: { true }))
    #expect(try storage.seqs("a") == [1])
  }
}
