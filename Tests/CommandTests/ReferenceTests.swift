import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// The command and cklib's own tools over one directory that holds sessions of both kinds. Needs the reference (`referenceIsAvailable`).
@Suite(.timeLimit(.minutes(10)))
struct ReferenceTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  private func reference(_ arguments: String..., input: String = "") async throws -> ProgramResult {
    let result = try await runProgram("python3", [repositoryPath() + "/Tests/DifferentialTests/reference.py"] + arguments, input: Array(input.utf8))
    try #require(result.status == 0, "\(result.errors)")
    return result
  }

  private let lines = [
    #"{"action_type":"a","outcome":"verified","before_state":{"k":1,"é":[1.0,null]},"after_state":{"k":2.5e16},"generated_at":"2026-03-14T20:00:02.123456Z"}"#,
    #"{"action_type":"b","outcome":"failed","kernel":"CK.Lib","intent":{"n":NaN,"s":"\ud800 \u007f/","l":[{"x":null},-0.0]},"generated_at":"2026-03-14T20:00:03.000000Z"}"#,
    #"{"close":{"ended_at":"2026-03-14T20:00:04.000001Z"}}"#,
  ].map { $0 + "\n" }.joined()

  /// Two of ours, one of them left open and then projected, and two of the reference's.
  private func recordBothKinds() async throws {
    for (index, id) in ["1ours", "2theirs", "3ours", "4theirs"].enumerated() {
      let header = [
        "--label", "l\(index)", "--kernel-urn", "ckp://Kernel#CK.Test:v1.0", "--session-id", id, "--started-at", "2026-03-14T20:00:0\(index).000000Z",
      ]
      if id.hasSuffix("ours") {
        try #require(await bench.run(["record"] + header, input: Array(lines.utf8)).status == 0)
      } else {
        let made = try await runProgram(
          "python3", [repositoryPath() + "/Tests/DifferentialTests/reference.py", "record", bench.storage.path] + header, input: Array(lines.utf8))
        try #require(made.status == 0, "\(made.errors)")
      }
    }
    try #require(await bench.run("record", "--resume", "3ours", "--no-close", input: action("open")).status == 0)
    try #require(await bench.run("project", "3ours", "--write").status == 0)
  }

  @Test func listsAgree() async throws {
    guard await referenceIsAvailable() else { return }
    #expect(try await bench.run("list", "--json").output == reference("list", bench.storage.path).output)
    try await recordBothKinds()
    let (ours, theirs) = (try await bench.run("list", "--json"), try await reference("list", bench.storage.path))
    #expect(try json(ours.output).elements.map { $0["session_id"].text } == ["4theirs", "3ours", "2theirs", "1ours"])
    let isSame = ours.output == theirs.output
    #expect(isSame && ours.status == 0, "ours: \(ours.text)\nreference: \(theirs.text)")
  }

  @Test func referenceReadsOurViews() async throws {
    guard await referenceIsAvailable() else { return }
    try await recordBothKinds()
    for id in ["1ours", "3ours", "2theirs"] {
      let theirs = try await reference("get", bench.storage.path, id)
      let isSame = try await bench.run("project", id).output + [0x0A] == theirs.output
      #expect(isSame, "\(id): \(theirs.text)")
    }
    #expect(try json(await reference("get", bench.storage.path, "3").output)["session_id"] == "3ours")
  }

  @Test func sameLinesGiveTheSameBytes() async throws {
    guard await referenceIsAvailable() else { return }
    let other = try Bench()
    let header = [
      "--label", "é", "--kernel-urn", "ckp://Kernel#CK.Test:v1.0", "--kernel-action", "do", "--session-id", "s1", "--started-at",
      "2026-03-14T20:00:00.000001Z",
    ]
    try #require(await bench.run(["record"] + header, input: Array(lines.utf8)).status == 0)
    _ = try await runProgram(
      "python3", [repositoryPath() + "/Tests/DifferentialTests/reference.py", "record", other.storage.path] + header, input: Array(lines.utf8))
    let isSame = try bench.bytes(bench.viewPath("s1")) == other.bytes(other.viewPath("s1"))
    #expect(isSame)
  }

  @Test func importedSessionsGiveTheSameBytes() async throws {
    guard await referenceIsAvailable() else { return }
    try await recordBothKinds()
    let before = try await bench.run("list", "--json").output
    for id in ["2theirs", "4theirs"] {
      let original = try bench.bytes(bench.viewPath(id))
      #expect(try await bench.run("import", bench.viewPath(id)).text == "\(id)\n")
      let projected = try await bench.run("project", id).output
      #expect(projected == original)
      #expect(try bench.bytes(bench.viewPath(id)) == original)
    }
    #expect(try await bench.run("verify").status == 0)
    let isSame = try await bench.run("list", "--json").output == before
    #expect(isSame)
    let theirs = try await reference("list", bench.storage.path).output
    #expect(theirs == before)
  }
}
