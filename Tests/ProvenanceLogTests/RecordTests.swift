import LogFormat
import LogStorage
import ProvenanceLog
import ProvenanceModel
import TestSupport
import Testing

struct RecordTests {
  private let storage: Storage
  private let prov: ProvChain
  private let at = Timestamp("2026-03-14T20:00:02.000000Z")!

  init() throws {
    storage = try Storage()
    prov = try storage.start("a", storage.options { [at] in $0.clock = { at } })
  }

  // MARK: Forms of payloads

  @Test func literalsKeepKindAndOrder() throws {
    let record = try prov.recordAction(
      actionType: "t", outcome: "verified", viaEdge: "REQUIRES",
      intent: ["z": 1, "a": 1.0, "true": true, "none": nil, "text": "é\n", "list": [nil, ["x": nil, "y": []]], "inner": ["b": nil]], attempt: -1,
      note: "n")
    let expected = #"""
      {"seq":1,"action_type":"t","outcome":"verified","urn":"ckp://Action#K/t-1773518402000","kernel":"ckp://Kernel#K:v1.0","via_edge":"REQUIRES",\#
      "intent":{"z":1,"a":1.0,"true":true,"text":"\u00e9\n","list":[null,{"y":[]}],"inner":{}},"attempt":-1,\#
      "generated_at":"2026-03-14T20:00:02.000000Z","note":"n"}
      """#
    #expect(try storage.payloads("a") == [expected])
    #expect(record.seq == 1 && record.attempt == -1 && record.viaEdge == "REQUIRES" && record.note == "n" && record.generatedAt == at)
    #expect(record.urn == "ckp://Action#K/t-1773518402000" && record.kernel == "ckp://Kernel#K:v1.0" && record.diffSummary == nil)
  }

  private struct Deployment: Encodable {
    var zone = "z"
    var count = 2
    var missing: String?
    var inner = Inner()

    struct Inner: Encodable {
      var b = true
      var a = [1.5]
    }
  }

  @Test func encodableKeepsTheOrderOfItsKeys() throws {
    try prov.recordAction(actionType: "t", outcome: "verified", evidence: try Payload(encoding: Deployment()))
    let payload = try #require(try storage.payloads("a").first)
    #expect(payload.contains(#","evidence":{"zone":"z","count":2,"inner":{"b":true,"a":[1.5]}},"attempt""#), "\(payload)")
  }

  @Test(arguments: [#"{"a":1}"#, #" { "a" : 1 , "n" : null , "o" : {"n":null, "l":[null]} } "#, #"{"a":2,"a":1}"#])
  func rawJSONIsWhatItsValueIs(_ text: String) throws {
    guard case .object(let object) = try JSONValue(json: text) else { return }
    let state: Payload = .raw(try RawJSON(text))
    try prov.recordAction(actionType: "t", outcome: "verified", intent: state, beforeState: state, afterState: ["a": 1])
    try prov.recordAction(actionType: "t", outcome: "verified", intent: .object(object), beforeState: .object(object), afterState: ["a": 1])
    let payloads = try storage.payloads("a")
    #expect(payloads[0].replacing("\"seq\":1", with: "\"seq\":2") == payloads[1])
    #expect(!payloads[0].contains("\"n\""))
  }

  @Test(arguments: ["[]", "1", "\"a\"", "null", "", "{", #"{"a":}"#, #"{"a":1}x"#, "{\"a\":\"\u{1}\"}"])
  func rawJSONThatIsNoObjectIsRefused(_ text: String) throws {
    let error = try #require(logError { try RawJSON(text) })
    #expect(error.code == .invalidInput && error.offset != nil)
  }

  @Test func payloadThatEncodesAsNoObjectIsRefused() throws {
    #expect(errorCode { try Payload(encoding: [1, 2]) } == .invalidInput)
    #expect(errorCode { try Payload(encoding: "text") } == .invalidInput)
  }

  @Test func loneSurrogatesSurvive() throws {
    let strange = JSONString(utf16: [0xDC00, 0x61, 0xD800])
    var action = Action(
      actionType: strange, outcome: strange, kernel: strange, viaEdge: strange, intent: .object([strange: .string(strange)]), note: strange)
    action.evidence = .raw(try RawJSON(#"{"\ud800":"\udc00"}"#))
    try prov.recordAction(action)
    let read = try #require(try storage.actions("a").first)
    #expect([read.actionType, read.outcome, read.viaEdge, read.note] == [strange, strange, strange, strange])
    guard case .object(let intent)? = read.intent else { throw LogError(.corrupt, "no intent") }
    #expect(intent == [strange: .string(strange)])
    let payload = try #require(try storage.payloads("a").first)
    #expect(payload.contains(#""evidence":{"\ud800":"\udc00"}"#))
    #expect(payload.contains(#""urn":"ckp://Action#\udc00a\ud800/\udc00a\ud800-1773518402000""#))
    #expect(try storage.store.getSession("a").kernelsInvolved == ["K", strange])
  }

  @Test func extremeNumbersSurvive() throws {
    let large = String(repeating: "9", count: 4300)
    try prov.recordAction(
      actionType: "t", outcome: "o",
      intent: ["max": .integer(.max), "min": .integer(.min), "large": JSONValue(integer: large)!, "nan": .double(.nan), "inf": .double(-.infinity)],
      attempt: .max)
    try prov.recordAction(actionType: "t", outcome: "o", attempt: .min)
    let actions = try storage.actions("a")
    #expect(actions.map(\.attempt) == [.max, .min])
    let payload = try storage.payloads("a")[0]
    #expect(payload.contains(#"{"max":9223372036854775807,"min":-9223372036854775808,"large":\#(large),"nan":NaN,"inf":-Infinity}"#))
  }

  private static let memberValues = [
    "null", "true", "false", "0", "1", "-1", "10", "12345678901234567890123", "0.0", "-0.0", "1.0", "-1.5", "1e22", "1e-07", "NaN", "Infinity",
    "-Infinity", #""""#, #""a""#, #""1""#, #""é\n""#, #""e\"""#, "[]", "[1]", "[1.0]", "{}", #"{"a":"b"}"#,
  ]

  /// Of states that are prepared, most members are worded without being read.
  @Test(arguments: memberValues)
  func diffSummaryOfRawStatesIsThatOfTheirValues(_ old: String) throws {
    var expected: [JSONString?] = []
    for new in Self.memberValues {
      let states = (try RawJSON(#"{"z":1,"k":\#(old),"a":"b"}"#), try RawJSON(#"{"z":2,"k":\#(new),"a":"c"}"#))
      let record = try prov.recordAction(actionType: "t", outcome: "o", beforeState: .raw(states.0), afterState: .raw(states.1))
      expected.append(diffSummary(before: try states.0.object(), after: try states.1.object()))
      #expect(record.diffSummary == expected.last!, "\(old) -> \(new)")
    }
    #expect(try storage.actions("a").map(\.diffSummary) == expected)
  }

  /// What is read back is what `recordAction` gave.
  @Test func recordedActionsReadBackTheSame() throws {
    let given = Action(
      actionType: "a.b", outcome: "retry", kernel: "Other", viaEdge: "", intent: [:], evidence: ["e": 1], beforeState: ["s": 1], afterState: ["s": 2],
      attempt: 3, generatedAt: Timestamp("1000-01-01T00:00:00.000000Z")!, note: "\u{7F}")
    let record = try prov.recordAction(given)
    let read = try #require(try storage.actions("a").first)
    #expect(read.seq == record.seq && read.actionType == record.actionType && read.outcome == record.outcome && read.urn == record.urn)
    #expect(read.kernel == record.kernel && read.viaEdge == record.viaEdge && read.diffSummary == "s: 1 -> 2" && record.diffSummary == "s: 1 -> 2")
    #expect(read.attempt == record.attempt && read.generatedAt == record.generatedAt && read.note == record.note)
    for (a, b) in [
      (read.intent, record.intent), (read.evidence, record.evidence), (read.beforeState, record.beforeState), (read.afterState, record.afterState),
    ] {
      #expect(try a?.object() == b?.object())
    }
  }

  // MARK: Limits

  /// An object that is `levels` deep.
  private func nested(_ levels: Int) -> JSONObject {
    var object: JSONObject = [:]
    for _ in 1..<levels { object = ["k": .object(object)] }
    return object
  }

  private struct Nest: Encodable {
    let levels: Int

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      if levels > 1 { try container.encode(Nest(levels: levels - 1), forKey: .k) }
    }

    enum Key: CodingKey { case k }
  }

  @Test func recordsNestUpTo512Levels() throws {
    let text = { (levels: Int) in String(repeating: #"{"k":"#, count: levels - 1) + "{}" + String(repeating: "}", count: levels - 1) }
    // The record itself is the first level.
    try prov.recordAction(actionType: "t", outcome: "o", intent: .object(nested(511)))
    try prov.recordAction(
      actionType: "t", outcome: "o", beforeState: .raw(try RawJSON(text(511))), afterState: try Payload(encoding: Nest(levels: 511)))
    #expect(errorCode { try prov.recordAction(actionType: "t", outcome: "o", intent: .object(nested(512))) } == .tooLarge)
    #expect(errorCode { try prov.recordAction(actionType: "t", outcome: "o", beforeState: ["a": 1], afterState: .object(nested(512))) } == .tooLarge)
    #expect(errorCode { try RawJSON(text(512)) } == .tooLarge)
    #expect(errorCode { try prov.recordAction(actionType: "t", outcome: "o", evidence: try Payload(encoding: Nest(levels: 512))) } == .tooLarge)
    #expect(try prov.recordAction(action()).seq == 3)
    #expect(try storage.seqs("a") == [1, 2, 3])
    let projected = try storage.project("a")
    #expect(projected.damage == nil)
    let viewIsProjection = try prov.close().actionCount == 3 && DiskFileSystem().bytes(of: prov.filePath).starts(with: projected.json.prefix(100))
    #expect(viewIsProjection)
  }

  @Test func seqsEndBeforeTheyOverflow() throws {
    let header = prov.session.header
    try prov.close()
    var summary = SummaryBuilder(header).summary
    summary = SessionSummary(end: nil, actionCount: 1, nextSeq: .max - 1, outcomes: summary.outcomes, kernels: summary.kernels, kernelsComplete: true)
    try startLog("b", Checkpoint(header: header.renamed(try SessionID("b")), summary: summary))
    let last = try storage.resume("b")
    #expect(try last.recordAction(action()).seq == .max - 1)
    #expect(errorCode { try last.recordAction(action()) } == .tooLarge)
    #expect(last.actionCount == 2)
    let batch = try #require(throws: BatchError.self) { try last.recordActions([action(), action()]) }
    #expect(batch.kept == 0 && batch.error.code == .tooLarge)
    #expect(try last.close().actionCount == 2)
  }

  @Test func checkpointWithAnImpossibleSeqIsRefused() throws {
    let header = prov.session.header.renamed(try SessionID("b"))
    let summary = SessionSummary(end: nil, actionCount: 0, nextSeq: 0, outcomes: OutcomeCounts(), kernels: ["K"], kernelsComplete: true)
    try startLog("b", Checkpoint(header: header, summary: summary))
    #expect(errorCode { try storage.resume("b") } == .corrupt)
  }

  /// A log whose newest segment begins with this checkpoint.
  private func startLog(_ id: String, _ checkpoint: Checkpoint) throws {
    let log = try storage.log(id)
    _ = try DiskFileSystem().makeDirectory(log.path)
    var writer = try LogWriter.start(log, checkpoint.header, lock: try LogLock(.writer, of: log), randomSalt: { 1 })
    try writer.roll(checkpoint)
  }
}

extension SessionHeader {
  fileprivate func renamed(_ id: SessionID) -> SessionHeader {
    SessionHeader(sessionID: id, urn: urn, label: label, kernelAction: kernelAction, startedAt: startedAt, wasAssociatedWith: wasAssociatedWith)
  }
}
