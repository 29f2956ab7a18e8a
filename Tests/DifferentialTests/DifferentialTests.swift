import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// The same calls, recorded here and by the reference (cklib.prov of conceptkernel 1.3.0): no byte of the Session JSON may differ.
///
/// `reference.py` runs the reference. CKPROV_COUNT sets the number of random sessions (default 300), CKPROV_SEED repeats a run.
struct DifferentialTests {
  @Test(arguments: try fixtureNames())
  func fixture(_ name: String) throws {
    try check(try Case(json: try DiskFileSystem().bytes(of: "\(directory)/Fixtures/\(name)")), way: .values)
  }

  @Test func randomSessions() async throws {
    guard await referenceIsAvailable() else { return }
    let count = setting("CKPROV_COUNT") ?? "300"
    let seed = setting("CKPROV_SEED") ?? String(UInt32.random(in: .min ... .max))
    let generated = try await runProgram("python3", ["\(directory)/reference.py", "generate", "--seed", seed, "--count", count])
    #expect(generated.status == 0, "\(generated.errors)")
    var checked = 0
    for (index, line) in generated.output.split(separator: 0x0A).enumerated() {
      try check(try Case(json: Array(line)), way: Way.allCases[index % Way.allCases.count])
      checked += 1
    }
    #expect(String(checked) == count)
    print("differential test: seed \(seed), \(checked) random sessions compared with cklib.prov")
  }

  /// The command has no clock to set, so every line carries its time.
  @Test func randomSessionsThroughTheCommand() async throws {
    guard await referenceIsAvailable() else { return }
    let count = setting("CKPROV_COMMAND_COUNT") ?? "40"
    let seed = setting("CKPROV_SEED") ?? String(UInt32.random(in: .min ... .max))
    let generated = try await runProgram(
      "python3", ["\(directory)/reference.py", "generate", "--all-timestamps", "--seed", seed, "--count", count])
    let storage = try TemporaryDirectory()
    for line in generated.output.split(separator: 0x0A) {
      let session = try Case(json: Array(line))
      let lines = session.steps.map { $0.line! + [0x0A] }.joined()
      let recorded = try await runProgram(
        try commandPath(),
        [
          "record", "--storage-dir", storage.path, "--label", session.label.description, "--kernel-urn", session.kernelURN.description,
          "--kernel-action", session.kernelAction.description, "--session-id", session.sessionID.description, "--started-at",
          session.startedAt.description, "--no-close",
        ], input: Array(lines))
      #expect(recorded.status == 0, "seed \(seed): \(recorded.errors)")
      let projected = try await runProgram(try commandPath(), ["project", session.sessionID.description, "--storage-dir", storage.path])
      let isSame = projected.output == session.expected
      #expect(isSame, "seed \(seed), session \(session.sessionID) \(firstDifference(projected.output, session.expected))")
    }
    print("differential test: seed \(seed), \(count) random sessions through the command compared with cklib.prov")
  }

  // MARK: One session

  /// In which form payloads are handed over.
  private enum Way: CaseIterable { case values, raw, batch, lines }

  private func check(_ session: Case, way: Way) throws {
    let storage = try TemporaryDirectory()
    let clock = Mutex(session.startedAt)
    let sleeps = Mutex<[Duration]>([])
    var options = ProvChain.Options()
    options.clock = { clock.withLock { $0 } }
    options.sleep = { duration in sleeps.withLock { $0.append(duration) } }
    let prov = try ProvChain(
      storageDirectory: storage.path, label: session.label, kernelURN: session.kernelURN, kernelAction: session.kernelAction,
      retentionHours: nil, sessionID: session.sessionID, options: options)
    var isClosed = false
    for step in session.steps {
      if let reading = step.clock { clock.withLock { $0 = reading } }
      if let verified = step.verifiedAction {
        // With no attempts nothing is recorded, and a closed session stays closed.
        if !step.clocks.isEmpty { isClosed = false }
        sleeps.withLock { $0 = [] }
        let readings = Mutex(step.clocks[...])
        let result = try verified.run(prov, beforeRecording: { if let next = readings.withLock({ $0.popFirst() }) { clock.withLock { $0 = next } } })
        #expect(result == step.result)
        #expect(sleeps.withLock { $0 } == step.sleeps)
        continue
      }
      var reader = LineReader()
      switch try step.line!.withRawBytes({ bytes throws(LogError) in try reader.read(bytes) }) {
      case .action:
        isClosed = false
        switch way {
        case .values: try prov.recordAction(try reader.action.withValues())
        case .raw: try prov.recordAction(try reader.action.withRawPayloads())
        case .batch: try prov.recordActions([try reader.action])
        case .lines:
          var encoded = EncodedActions()
          try encoded.append(reader, ownKernel: prov.ownKernel, now: options.clock)
          _ = try prov.recordActions(encoded)
        }
      case .close(let outcome, let endedAt):
        isClosed = true
        try prov.close(outcome: outcome, endedAt: endedAt)
      case .blank: Issue.record("a blank line")
      }
    }
    let log = LogDirectory(path: prov.logPath, fileSystem: DiskFileSystem())
    let projected = try projection(of: log, session.sessionID)
    let isSame = projected == session.expected
    #expect(isSame, "\(firstDifference(projected, session.expected))")
    let viewIsSame = try !isClosed || DiskFileSystem().bytes(of: prov.filePath) == session.expected
    #expect(viewIsSame)
    #expect(try DiskFileSystem().status(of: prov.filePath) == nil || isClosed)
    var liveLines: [JSONString] = []
    var actions = try prov.session.actions()
    while let action = try actions.next() { liveLines.append(action.liveLine) }
    for (line, expected) in zip(liveLines, session.liveLines) where line != expected { Issue.record("live line: \(line), reference: \(expected)") }
    #expect(liveLines.count == session.liveLines.count)
  }
}

private let directory = repositoryPath() + "/Tests/DifferentialTests"

private func fixtureNames() throws -> [String] {
  try DiskFileSystem().names(in: "\(directory)/Fixtures").filter { $0.hasSuffix(".json") }.sorted()
}

private func projection(of log: LogDirectory, _ id: SessionID) throws -> [UInt8] {
  var projection = try SessionProjection.open(log, of: id)
  var bytes: [UInt8] = []
  while let block = try projection.next() { bytes += Array(block) }
  if let damage = projection.damage { throw damage }
  return bytes
}

private func firstDifference(_ a: [UInt8], _ b: [UInt8]) -> String {
  let same = zip(a, b).prefix { $0 == $1 }.count
  func around(_ bytes: [UInt8]) -> String { String(decoding: bytes[max(0, same - 60)..<min(bytes.count, same + 60)], as: UTF8.self) }
  return "from byte \(same): ours …\(around(a))… reference …\(around(b))…"
}

extension Action {
  fileprivate func withRawPayloads() throws -> Action {
    try withPayloads { .raw(try RawJSON(utf8: try JSONValue.object(try $0.object()).compactJSON())) }
  }

  fileprivate func withValues() throws -> Action {
    try withPayloads { .object(try $0.object()) }
  }

  private func withPayloads(_ form: (Payload) throws -> Payload) rethrows -> Action {
    var action = self
    action.intent = try intent.map(form)
    action.evidence = try evidence.map(form)
    action.beforeState = try beforeState.map(form)
    action.afterState = try afterState.map(form)
    return action
  }
}

// MARK: Cases

/// One session of `reference.py`.
private struct Case {
  let sessionID: SessionID
  let label, kernelURN, kernelAction: JSONString
  let startedAt: Timestamp
  let steps: [Step]
  let liveLines: [JSONString]
  let expected: [UInt8]

  init(json: [UInt8]) throws {
    let value = try json.withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
    sessionID = try SessionID(value["session_id"].string.description)
    label = try value["label"].string
    kernelURN = try value["kernel_urn"].string
    kernelAction = try value["kernel_action"].string
    startedAt = try value["started_at"].timestamp
    steps = try value["steps"].array.map(Step.init)
    liveLines = try value["live"].array.map { try $0.string }
    expected = try value["expected"].string.bytes
  }
}

private struct Step {
  var line: [UInt8]?
  var clock: Timestamp?
  var verifiedAction: ScriptedAction?
  var clocks: [Timestamp] = []
  var sleeps: [Duration] = []
  var result = false

  init(_ value: JSONValue) throws {
    guard case .null = value["line"] else {
      line = try value["line"].string.bytes
      clock = try value["clock"].timestamp
      return
    }
    verifiedAction = try ScriptedAction(value["verified_action"])
    clocks = try value["clocks"].array.map { try $0.timestamp }
    sleeps = try value["sleeps"].array.map { try $0.seconds }
    result = value["result"] == .bool(true)
  }
}

/// What a verified action's closures do at each attempt.
private struct ScriptedAction {
  let value: JSONValue

  init(_ value: JSONValue) throws {
    self.value = value
  }

  func run(_ prov: ProvChain, beforeRecording: () -> Void) throws -> Bool {
    let attempts = try value["attempts"].array
    var attempt = -1
    var isBefore = true
    // The clock is read when an attempt is recorded: after the check, or when acting has failed.
    let captures = value["captures"] == .bool(true)
    func capture() throws -> Payload? {
      if isBefore { attempt += 1 }
      let state = attempts[attempt][isBefore ? "before" : "after"]
      if case .object = state { throw VerifyFault(description: "no state") }
      guard case .string(let text) = state else { return nil }
      return .raw(try RawJSON(utf8: text.bytes))
    }
    let intent: Payload? = try value["intent"] == .null ? nil : .raw(RawJSON(utf8: value["intent"].string.bytes))
    let viaEdge: JSONString? = try value["via_edge"] == .null ? nil : value["via_edge"].string
    return try prov.verifiedAction(
      actionType: value["action_type"].string, kernel: value["kernel"].string, viaEdge: viaEdge, intent: intent,
      maxAttempts: Int(value["max_attempts"].integer), settleDelay: value["settle_delay"].seconds,
      captureState: captures
        ? {
          defer { isBefore.toggle() }
          return try capture()
        } : nil,
      action: {
        if !captures { attempt += 1 }
        let script = attempts[attempt]["action"]
        guard case .object = script else { return }
        isBefore = true
        beforeRecording()
        throw try fault(script)
      },
      verify: {
        let script = attempts[attempt]["verify"]
        beforeRecording()
        guard case .bool(let verified) = script else { throw VerifyFault(description: try script["message"].string.description) }
        return verified
      })
  }

  private func fault(_ script: JSONValue) throws -> any Error {
    let message = try script["message"].string.description
    return switch try script["type"].string {
    case "ActionFault": ActionFault(description: message)
    case "TimeoutFault": TimeoutFault(description: message)
    default: VerifyFault(description: message)
    }
  }
}

private struct ActionFault: Error, CustomStringConvertible { let description: String }
private struct TimeoutFault: Error, CustomStringConvertible { let description: String }
private struct VerifyFault: Error, CustomStringConvertible { let description: String }

/// Reading a case: a member that is missing or of another type fails the test that asks for it.
extension JSONValue {
  fileprivate subscript(key: JSONString) -> JSONValue {
    if case .object(let object) = self { object[key] ?? .null } else { .null }
  }

  fileprivate var string: JSONString {
    get throws {
      guard case .string(let string) = self else { throw Unexpected(value: self) }
      return string
    }
  }

  fileprivate var array: [JSONValue] {
    get throws {
      guard case .array(let array) = self else { throw Unexpected(value: self) }
      return array
    }
  }

  fileprivate var integer: Int64 {
    get throws {
      guard case .integer(let integer) = self else { throw Unexpected(value: self) }
      return integer
    }
  }

  fileprivate var seconds: Duration {
    get throws {
      switch self {
      case .integer(let seconds): .seconds(seconds)
      case .double(let seconds): .seconds(seconds)
      default: throw Unexpected(value: self)
      }
    }
  }

  fileprivate var timestamp: Timestamp {
    get throws {
      guard let timestamp = Timestamp(try string.description) else { throw Unexpected(value: self) }
      return timestamp
    }
  }
}

private struct Unexpected: Error { let value: JSONValue }
