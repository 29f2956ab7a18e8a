import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `urn`, which prints what `python -m cklib.urn` prints.
@Suite(.timeLimit(.minutes(10)))
struct URNCommandTests {
  private let command: String

  init() throws { command = try commandPath() }

  private static let urns = [
    "ckp://Kernel#CK.Task:v1.0", "ckp://Kernel#Odd", "ckp://Process#deploy-1773518400000-1f2e", "ckp://Process#deploy",
    "ckp://Action#K/t.a-1773518400000",
    "ckp://Edge#Connection-A-to-B-REQUIRES:v1", "ckp://Edge#Connection-A-to-B-REQUIRES", "ckp://Instance#a-1",
    "ckp://Goal#G001", "ckp://Task#T12", "ckp://Nothing#x", "http://example.org", "",
    "ckp://Kernel#é/ü:v2",
  ]

  @Test(arguments: ["validate", "parse"])
  func saysWhatTheReferenceSays(_ verb: String) async throws {
    guard await referenceIsAvailable() else { return }
    for urn in Self.urns {
      let ours = try await runProgram(command, ["urn", verb, urn])
      let theirs = try await runProgram("python3", ["-m", "cklib.urn", verb, urn])
      #expect(ours.output == theirs.output && ours.errors == "", "\(urn): \(ours.text) \(ours.errors) \(theirs.text)")
      #expect(ours.status == (theirs.status == 0 ? 0 : 65), "\(urn)")
    }
  }

  /// What Format/reports.md lists.
  @Test func itsPartsAreDocumented() async throws {
    let document = String(decoding: try DiskFileSystem().bytes(of: repositoryPath() + "/Format/reports.md"), as: UTF8.self)
    let section = try #require(document.split(separator: "## `urn parse`\n").last?.split(separator: "\n## ").first)
    let words = Set(section.split { !$0.isLetter && $0 != "_" }.map(String.init))
    for urn in Self.urns {
      guard case .object(let parts) = try json(await runProgram(command, ["urn", "parse", urn]).output) else { throw LogError(.corrupt, urn) }
      for (name, _) in parts { #expect(words.contains(name.description), "\(name)") }
    }
  }

  @Test func buildsAndListsWhatTheReferenceDoes() async throws {
    guard await referenceIsAvailable() else { return }
    for arguments in [
      ["build", "--type", "Kernel", "--name", "CK.Task", "--version", "v1.0"], ["build", "--type", "Goal", "--name", "G001"],
      ["build", "--type", "Kernel", "--name", "no name"], ["types"],
    ] {
      let ours = try await runProgram(command, ["urn"] + arguments)
      let theirs = try await runProgram("python3", ["-m", "cklib.urn"] + arguments)
      #expect(ours.output == theirs.output && theirs.status == 0, "\(ours.text) \(theirs.text)")
      #expect(ours.status == (ours.text.contains("ERROR") ? 65 : 0))
    }
  }

  @Test func whatCannotBeBuilt() async throws {
    let result = try await runProgram(command, ["urn", "build", "--type", "Thing", "--name", "x"])
    #expect(result.status == 65 && result.text == "")
    #expect(result.errors.hasPrefix("ckprov-log: Unknown entity type: Thing (valid: Action, Actor, "), "\(result.errors)")
  }

  @Test func nothingSteersATerminal() async throws {
    let result = try await runProgram(command, ["urn", "validate", "ckp://\u{1B}[2J"])
    #expect(result.status == 65 && !result.text.contains("\u{1B}"))
  }
}
