import ProvenanceModel
import Testing

struct URNTests {
  @Test func urnsAreBuiltInTheReferencesForm() throws {
    #expect(try URN.build(entityType: "Task", identifier: "T001") == "ckp://Task#T001")
    #expect(try URN.build(entityType: "Kernel", identifier: "A.B", version: "2.0") == "ckp://Kernel#A.B:v2.0")
    #expect(try URN.build(entityType: "Kernel", identifier: "A.B", version: "v2.0") == "ckp://Kernel#A.B:v2.0")
    #expect(try URN.build(entityType: "Kernel", identifier: "A.B", version: "") == "ckp://Kernel#A.B")
    #expect(URN.buildKernel("TG.Cymatics") == "ckp://Kernel#TG.Cymatics:v1.0")
    #expect(URN.buildKernel("TG.Cymatics", version: nil) == "ckp://Kernel#TG.Cymatics")
    #expect(
      URN.buildProcess("deploy", timestampMS: 1_773_518_402_000, hash: "3fff0e38")
        == "ckp://Process#deploy-1773518402000-3fff0e38")
    #expect(URN.buildInstance(traceID: "tx-ab12", timestamp: 17) == "ckp://Instance#i-tx-ab12-17")
    #expect(URN.buildEdge(source: "A", target: "B", predicate: "COMPOSES") == "ckp://Edge#Connection-A-to-B-COMPOSES")
    #expect(
      URN.buildEdge(source: "A", target: "B", predicate: "EXTENDS", version: "1.0") == "ckp://Edge#Connection-A-to-B-EXTENDS:v1.0"
    )
    #expect(URN.buildAction(kernel: "CK.Task", actionName: "task.create") == "ckp://Action#CK.Task/task.create")
    #expect(URN.buildAction(kernel: "CK.Task", actionName: "x", timestampMS: -5) == "ckp://Action#CK.Task/x--5")
  }

  @Test func anUnknownEntityTypeIsRefusedInTheReferencesWords() {
    let error = #expect(throws: LogError.self) { try URN.build(entityType: "Nothing", identifier: "x") }
    #expect(error?.code == .invalidInput)
    #expect(error?.message == "Unknown entity type: Nothing")
  }

  private static let kernelNames: [(JSONString, JSONString)] = [
    ("ckp://Kernel#A:v1.0", "A"), ("ckp://Kernel#AKernel#B:v1", "A"), ("Kernel#", ""), ("Kernel#:x", ""), ("Kernel#Kernel#A", ""),
    ("plain:name", "plain:name"), ("ckp://Action#A/b", "ckp://Action#A/b"), ("Kernel#é\u{301}:v1", "é\u{301}"), ("", ""),
  ]

  @Test(arguments: kernelNames)
  func theKernelsNameIsCutOutOfItsURN(urn: JSONString, name: JSONString) {
    #expect(URN.kernelName(ofURN: urn) == name)
  }

  private static let kernelURNs: [(JSONString, JSONString)] = [
    ("A", "ckp://Kernel#A:v1.0"), ("ckp://Edge#A", "ckp://Edge#A"), ("ckp:/A", "ckp://Kernel#ckp:/A:v1.0"),
    ("", "ckp://Kernel#:v1.0"),
  ]

  @Test(arguments: kernelURNs)
  func aKernelsURNIsItselfOrIsBuiltOfItsName(kernel: JSONString, urn: JSONString) {
    #expect(URN.kernelURN(for: kernel) == urn)
  }

  @Test func partsOfAParsedURNAreTyped() {
    let process = URN.parse("ckp://Process#deploy-1773518402000-3fff0e38?a=b")
    #expect(process.isValid && process.category == .occurrent && process.version == nil)
    #expect(process.processType == "deploy" && process.timestampMS == 1_773_518_402_000 && process.hash == "3fff0e38")
    let kernel = URN.parse("ckp://Kernel#TG.Cymatics:v1.0")
    #expect(
      kernel.kernelName == "TG.Cymatics" && kernel.prefix == "TG" && kernel.version == "v1.0" && kernel.bfoClass == "BFO:0000002")
    let edge = URN.parse("ckp://Edge#Connection-A-to-B-to-C-COMPOSES")
    #expect(edge.source == "A" && edge.target == "B-to-C" && edge.predicate == "COMPOSES")
    let action = URN.parse("ckp://Action#CK.Task/task.create-17")
    #expect(action.kernelName == "CK.Task" && action.actionName == "task.create" && action.actionPath == "CK.Task/task.create")
    #expect(action.timestampMS == 17)
    #expect(URN.parse("ckp://Action#a-99999999999999999999").timestampMS == nil)
  }

  private static let objects: [(JSONString, String)] = [
    (
      "ckp://Task#T001",
      #"{"valid": true, "urn": "ckp://Task#T001", "entity_type": "Task", "identifier": "T001", "version": null, "#
        + #""category": "occurrent", "bfo_class": "BFO:0000003", "task_id": "T001"}"#
    ),
    (
      "ckp://Action#K/a-0012",
      #"{"valid": true, "urn": "ckp://Action#K/a-0012", "entity_type": "Action", "identifier": "K/a-0012", "#
        + #""version": null, "category": "occurrent", "bfo_class": "BFO:0000003", "timestamp_ms": 12, "kernel_name": "K", "#
        + #""action_name": "a", "action_path": "K/a"}"#
    ),
    (
      "ckp://Thing#x:v1.2.3\n",
      #"{"valid": true, "urn": "ckp://Thing#x:v1.2.3\n", "entity_type": "Thing", "identifier": "x", "#
        + #""version": "v1.2.3", "category": "unknown"}"#
    ),
    (
      "ckp://Kernel#x\n\n",
      #"{"valid": true, "urn": "ckp://Kernel#x\n\n", "entity_type": "Kernel", "identifier": "x\n", "#
        + #""version": null, "category": "continuant", "bfo_class": "BFO:0000002", "kernel_name": "x\n"}"#
    ),
    ("nonsense", #"{"valid": false, "error": "Does not match URN pattern", "urn": "nonsense"}"#),
    (
      "ckp://Action#a-1²",
      #"{"valid": false, "error": "Timestamp is no decimal number: 1\u00b2", "urn": "ckp://Action#a-1\u00b2"}"#
    ),
  ]

  @Test(arguments: objects)
  func theObjectOfAParsedURNIsTheReferencesDict(urn: JSONString, text: String) {
    #expect(jsonText(.object(URN.parse(urn).object)) == text)
  }

  @Test func aTimestampOfTooManyDigitsIsNoTimestamp() {
    let digits = String(repeating: "1", count: 4301)
    #expect(URN.parse("ckp://Action#a-\(digits)").error == "Timestamp has more than 4300 digits")
    #expect(URN.parse("ckp://Action#a-\(digits.dropLast())").isValid)
  }

  private static let validations: [(JSONString, [String], [String])] = [
    ("ckp://Kernel#TG.Cymatics:v1.0", [], []),
    (
      "ckp://Kernel#cymatics", ["Kernel name must be PascalCase.Dot.Notation: cymatics"],
      ["Kernel URN should include version (e.g. :v1.0)"]
    ),
    ("ckp://Kernel#Other.Name:v1.0", [], ["Kernel prefix 'Other' not in standard set: CK, CS, LOCAL, TG, TechGames, Test"]),
    ("ckp://Process#deploy", [], ["Occurrent identifier should contain timestamp-hash: deploy"]),
    ("ckp://Task#1", [], ["Task identifier should match T{NNN} pattern: 1"]),
    ("ckp://Instance#1", [], ["Instance identifier should match i-{trace}-{ts} pattern: 1"]),
    ("ckp://Goal#1", [], []),
    ("", ["Does not match URN pattern"], []),
    (
      "ckp://X#1",
      [
        "Unknown entity type: X (valid: Action, Actor, Check, Deployment, Domain, Edge, Event, Goal, Grant, Instance, Kernel, "
          + "Message, Mutation, Process, Project, Role, Task, Transaction, Transfer)"
      ], []
    ),
  ]

  @Test(arguments: validations)
  func aURNIsValidatedInTheReferencesWords(urn: JSONString, errors: [String], warnings: [String]) {
    let validation = URN.validate(urn)
    #expect(validation.errors == errors.map { JSONString($0) })
    #expect(validation.warnings == warnings.map { JSONString($0) })
    #expect(validation.isValid == errors.isEmpty)
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func urnsAreParsedAndValidatedAsByTheLiveReference() {
    var random = ValueGenerator(for: "urns")
    let types = ["Kernel", "Process", "Check", "Task", "Goal", "Instance", "Edge", "Action", "Role", "Other"]
    let urns =
      types.flatMap { type in identifiers.map { JSONString("ckp://\(type)#\($0)") } } + (0..<700).map { _ in random.urn() }
    let answers = ReferencePython.answers(to: urns.flatMap { [["parse_urn", .string($0)], ["validate_urn", .string($0)]] })
    #expect(answers.count == 2 * urns.count)
    for (index, urn) in urns.enumerated() {
      let (parsed, validation) = (URN.parse(urn), URN.validate(urn))
      check(.object(parsed.object), parsed.error, answers[2 * index], urn)
      check(.object(validation.object), parsed.error, answers[2 * index + 1], urn)
    }
  }

  /// Where `int()` raises, ours is invalid.
  private func check(_ ours: JSONValue, _ error: JSONString?, _ answer: String, _ urn: JSONString) {
    let agree =
      answer.hasPrefix("{\"error\"") ? error != nil && error != "Does not match URN pattern" : answer == jsonText(["ok": ours])
    if !agree { Issue.record("\(jsonText(.string(urn))): \(jsonText(ours)) instead of \(answer)") }
  }

  @Test(.enabled(if: ReferencePython.isThere))
  func urnsAreBuiltAsByTheLiveReference() throws {
    var random = ValueGenerator(for: "built urns")
    var questions: [JSONValue] = [["types"]]
    var ours: [JSONValue] = [
      [.array(URN.continuantTypes.map { JSONValue($0) }), .array(URN.occurrentTypes.map { JSONValue($0) })]
    ]
    func ask(_ question: JSONValue, _ answer: JSONString) {
      questions.append(question)
      ours.append(.string(answer))
    }
    for _ in 0..<100 {
      let (a, b, c) = (random.urn(), random.string(), random.string())
      let number = Int64(random.below(3)) * Int64(random.below(1 << 50))
      ask(["name", .string(a)], URN.kernelName(ofURN: a))
      ask(["kernel", .string(a)], URN.kernelURN(for: a))
      ask(["build_urn", "Role", .string(b), .string(c)], try URN.build(entityType: "Role", identifier: b, version: c))
      ask(["build_kernel_urn", .string(b), .string(c)], URN.buildKernel(b, version: c))
      ask(["build_process_urn", .string(b), .integer(number), .string(c)], URN.buildProcess(b, timestampMS: number, hash: c))
      ask(["build_instance_urn", .string(b), .integer(number)], URN.buildInstance(traceID: b, timestamp: number))
      ask(["build_edge_urn", .string(a), .string(b), .string(c)], URN.buildEdge(source: a, target: b, predicate: c))
      ask(
        ["build_action_urn", .string(a), .string(b), .integer(number)],
        URN.buildAction(kernel: a, actionName: b, timestampMS: number))
    }
    #expect(ReferencePython.answers(to: questions) == ours.map { jsonText(["ok": $0]) })
  }
}

extension ValueGenerator {
  /// Mostly a URN, or nearly one.
  fileprivate mutating func urn() -> JSONString {
    let type =
      below(12) == 0 ? piece() : JSONString(pick(URN.allTypes + ["Kernel", "Process", "Edge", "Action", "Instance", "Action"]))
    var parts: [JSONString] = [below(30) == 0 ? "cpk://" : "ckp://", type, below(30) == 0 ? "" : "#"]
    if below(3) > 0 {
      parts.append(JSONString(pick(identifiers)))
    }
    for _ in 0..<(below(3) == 0 ? below(6) : 0) { parts.append(piece()) }
    if below(3) == 0 {
      parts.append(JSONString(pick([":v1.0", ":v1.2.3", ":v1", ":1.0", ":v1.0.", ":v٣.٤", ":v1.0.0.0", ":V1.0", ":v1.²"])))
    }
    if below(5) == 0 { parts.append(JSONString(pick(["?a=b", "?", "?a\nb", "?a:b?c", "?\n", "?a\n\n"]))) }
    if below(5) == 0 { parts.append(JSONString(pick(["\n", "\n\n", "\r\n", " ", "\u{2028}"]))) }
    return JSONString(wtf8: parts.flatMap(\.bytes))
  }

  private mutating func piece() -> JSONString {
    // A dash after what may be half of a surrogate pair.
    if below(6) == 0 { return JSONString(wtf8: string().bytes + "-".utf8) }
    return JSONString(pick(pieces))
  }

  private var pieces: [String] {
    [
      "-", "#", ":", "?", "/", ".", "\n", "-to-", "Kernel#", "Connection-", "A", "b", "T", "0", "12", "1234567890", "٣", "²", "_",
      "-ab",
    ]
  }
}

/// Identifiers that match the pattern of some entity type, or just do not.
private let identifiers = [
  "TG.Cymatics", "Other.Name.x9", "T.x", "Tg.é", "CK.", ".x", "deploy-1773518402000-3fff0e38", "a-b.C-1234567890-abc",
  "a-123456789-ab", "a-٣٤٣٤٣٤٣٤٣٤-0f", "a-123456789²-ab", "a--1234567890-ab", "-1234567890-ab", "a-12345678901234-ab",
  "a-1234567890-AB", "a_b-1234567890-ab", "T001", "T12", "T٣٤٣", "T00²", "T0012x", "G001", "i-tx-ab12-17", "i-tx-AB-1", "i--ab-1",
  "i-tx-ab-٣", "i-tx-ab-²", "i-t-x-ab-1", "j-tx-ab-1", "Connection-A-to-B-COMPOSES", "Connection--to-B-COMPOSES",
  "Connection--to--to-B-X_Y", "Connection-A-to-to-B-X", "Connection-A-to-B-to-C-X", "Connection-A-to--X", "Connection-A-to---X",
  "Connection-A-to-B-x", "Connection-A-to-B-", "Connection-A\n-to-B-X", "Connection-A-to-B-X\n", "Connection-", "COMPOSES",
  "CK.Task/task.create-1773518402000", "K/a/b-12", "K.a-007", "a/b-²", "a/b-1²", "a/b-٣٤", "a-", "-1", "a/b-①", "/-0",
  "a-99999999999999999999", "a-00099999999999999999999", "a-٠٠", "\n", "x\n", "x\n\n", "x:v1.²", "x:v1.0²", "x:v1.0.٣", "x?",
]
