internal import LogStorage

extension ProvChain {
  /// Acts, waits, checks that it worked, records the outcome, and tries again if need be: the reference's `verified_action`.
  ///
  /// Each attempt is recorded: `verified`; `retry`, or `failed` for the last one; `failed` for an error thrown by `action` or `verify`, with its text
  /// and type as evidence, followed by another attempt. An error of `captureState` counts as no state. `CancellationError` is no failure: it passes
  /// through, and nothing is recorded of that attempt.
  ///
  /// - Parameters:
  ///   - actionType: dotted name, such as `task.create`.
  ///   - kernel: short name or `ckp://` URN; empty for the session's own.
  ///   - viaEdge: edge predicate, if the action crosses a kernel boundary.
  ///   - intent: what the action wants.
  ///   - maxAttempts: 0 records nothing and returns false.
  ///   - settleDelay: the wait between acting and checking, and between attempts; this thread sleeps.
  ///   - captureState: a snapshot, taken before acting and after settling.
  ///   - action: acts.
  ///   - verify: true if the action worked.
  /// - Returns: whether an attempt was verified.
  /// - Throws: `LogError` if recording fails, `CancellationError`.
  @discardableResult
  public func verifiedAction(
    actionType: JSONString, kernel: JSONString, viaEdge: JSONString? = nil, intent: Payload? = nil, maxAttempts: Int = 3,
    settleDelay: Duration = .milliseconds(500), captureState: (() throws -> Payload?)? = nil, action: () throws -> Void,
    verify: () throws -> Bool
  ) throws -> Bool {
    let template = Action(actionType: actionType, outcome: "", kernel: kernel, viaEdge: viaEdge, intent: intent)
    var machine = VerifiedAction(template, maxAttempts: maxAttempts, settleDelay: settleDelay)
    while true {
      switch machine.step {
      case .capture: try machine.captured(captureState == nil ? .success(nil) : Result { try captureState!() })
      case .act: try machine.acted(Result { try action() })
      case .wait(let duration):
        options.sleep(duration)
        machine.waited()
      case .verify: try machine.checked(Result { try verify() })
      case .record(let action):
        try recordAction(action)
        machine.recorded()
      case .done(let verified): return verified
      }
    }
  }

  /// The same for asynchronous closures; a task that is cancelled while it waits ends with `CancellationError`.
  @discardableResult
  public func verifiedAction(
    actionType: JSONString, kernel: JSONString, viaEdge: JSONString? = nil, intent: Payload? = nil, maxAttempts: Int = 3,
    settleDelay: Duration = .milliseconds(500), isolation: isolated (any Actor)? = #isolation,
    captureState: (() async throws -> Payload?)? = nil, action: () async throws -> Void, verify: () async throws -> Bool
  ) async throws -> Bool {
    let template = Action(actionType: actionType, outcome: "", kernel: kernel, viaEdge: viaEdge, intent: intent)
    var machine = VerifiedAction(template, maxAttempts: maxAttempts, settleDelay: settleDelay)
    while true {
      switch machine.step {
      case .capture:
        do { try machine.captured(.success(await captureState?())) } catch { try machine.captured(.failure(error)) }
      case .act:
        let result: Result<Void, any Error>
        do { result = .success(try await action()) } catch { result = .failure(error) }
        try machine.acted(result)
      case .wait(let duration):
        try await Task.sleep(for: duration)
        machine.waited()
      case .verify:
        let result: Result<Bool, any Error>
        do { result = .success(try await verify()) } catch { result = .failure(error) }
        try machine.checked(result)
      case .record(let action):
        try recordAction(action)
        machine.recorded()
      case .done(let verified): return verified
      }
    }
  }
}

/// The steps of a verified action, one after the other; whoever drives it does each step and says how it went.
struct VerifiedAction {
  enum Step {
    case capture
    case act
    case wait(Duration)
    case verify
    case record(Action)
    case done(Bool)
  }

  private(set) var step: Step
  private let template: Action
  private let maxAttempts: Int
  private let settleDelay: Duration
  private var attempt = 1
  private var hasActed = false
  private var before: Payload?
  private var after: Payload?
  /// Waiting for the next attempt, not for the action to settle.
  private var isBetweenAttempts = false

  init(_ template: Action, maxAttempts: Int, settleDelay: Duration) {
    self.template = template
    self.maxAttempts = maxAttempts
    self.settleDelay = settleDelay
    step = maxAttempts < 1 ? .done(false) : .capture
  }

  mutating func captured(_ result: Result<Payload?, any Error>) throws {
    let state = try result.unlessCancelled { _ in nil }
    if hasActed {
      after = state
      step = .verify
    } else {
      before = state
      step = .act
    }
  }

  mutating func acted(_ result: Result<Void, any Error>) throws {
    hasActed = true
    if let error = try result.failureUnlessCancelled() {
      let text = JSONString(String(describing: error))
      let type = JSONString(String(describing: Swift.type(of: error)))
      record("failed", ["error": .string(text), "exception_type": .string(type)], note: "action raised: \(error)")
    } else {
      step = settleDelay > .zero ? .wait(settleDelay) : .capture
    }
  }

  mutating func waited() {
    if isBetweenAttempts {
      isBetweenAttempts = false
      attempt += 1
      hasActed = false
      before = nil
      after = nil
    }
    step = .capture
  }

  mutating func checked(_ result: Result<Bool, any Error>) throws {
    if let error = try result.failureUnlessCancelled() {
      record("failed", ["verify_error": .string(JSONString(String(describing: error)))], note: "verify raised: \(error)")
    } else if try result.get() {
      record("verified", ["verified": true], note: "")
    } else if attempt == maxAttempts {
      record("failed", ["verified": false], note: "verification failed")
    } else {
      record("retry", ["verified": false], note: "retrying")
    }
  }

  mutating func recorded() {
    guard case .record(let action) = step else { return }
    if action.outcome == "verified" {
      step = .done(true)
    } else if attempt < maxAttempts {
      isBetweenAttempts = true
      step = .wait(settleDelay)
    } else {
      step = .done(false)
    }
  }

  private mutating func record(_ outcome: JSONString, _ evidence: Payload, note: String) {
    var action = template
    action.outcome = outcome
    action.evidence = evidence
    action.beforeState = before
    action.afterState = after
    action.attempt = Int64(attempt)
    action.note = JSONString(note)
    step = .record(action)
  }
}

extension Result where Failure == any Error {
  fileprivate func failureUnlessCancelled() throws -> (any Error)? {
    guard case .failure(let error) = self else { return nil }
    if error is CancellationError { throw error }
    return error
  }

  fileprivate func unlessCancelled(_ fallback: (any Error) -> Success) throws -> Success {
    guard let error = try failureUnlessCancelled() else { return try get() }
    return fallback(error)
  }
}
