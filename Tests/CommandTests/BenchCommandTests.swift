import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `bench` records what it says, and leaves nothing.
@Suite(.timeLimit(.minutes(10)))
struct BenchCommandTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test(arguments: [
    ["--form", "raw"], ["--form", "values", "--batch", "7"], ["--form", "lines", "--durability", "power"], ["--threads", "4", "--sessions", "2"],
    ["--size", "small", "--segment-size", "4K"], ["--size", "large", "--segment-size", "64K", "--no-seal"],
  ])
  func recordsAndCleansUp(_ options: [String]) async throws {
    let result = try await bench.run(["bench", "--count", "84", "--json"] + options, input: [])
    #expect(result.status == 0, "\(result.errors)")
    let report = try json(result.output)
    #expect(report["actions"] == 84)
    for key: JSONString in ["form", "durability", "threads", "sessions", "batch", "payload_bytes", "seconds", "actions_per_second", "fdatasync_us"] {
      #expect(report[key] != .null, "\(key)")
    }
    #expect(try DiskFileSystem().names(in: bench.storage.path).isEmpty)
  }

  /// What was recorded is there, whole, in each of the sessions.
  @Test(arguments: ["raw", "values", "lines"])
  func whatItRecordsIsWhole(_ form: String) async throws {
    let line = #"{"note":"n","before_state":{"k":1,"s":null},"after_state":{"k":2.5,"s":"é"},"outcome":"verified","action_type":"t"}"#
    let input = try bench.file("lines", line + "\n")
    let options = ["--input", input, "--form", form, "--count", "50", "--batch", "5", "--threads", "2", "--sessions", "2", "--keep"]
    #expect(try await bench.run(["bench"] + options, input: []).status == 0)
    let name = try #require(try DiskFileSystem().names(in: bench.storage.path).first { $0.hasPrefix("ckprov-bench-") })
    let store = SessionStore(storageDirectory: "\(bench.storage.path)/\(name)")
    let sessions = try store.listSessions()
    #expect(sessions.map(\.actionCount) == [25, 25] && sessions.allSatisfy { $0.outcome == "complete" })
    for session in sessions {
      #expect(try !store.directory.verify(session.sessionID, isDeep: true).isDamaged)
      var actions = try session.actions()
      while let action = try actions.next() { #expect(action.diffSummary == "k: 1 -> 2.5 | s: None -> é") }
    }
  }

  @Test func aNegativeNumberIsNamed() async throws {
    for option in ["batch", "threads", "sessions", "count"] {
      let result = try await bench.run("bench", "--\(option)", "-1")
      #expect(result.status == 64 && result.errors.contains("--\(option) must be 1 or more"), "\(result.errors)")
    }
  }

  @Test(arguments: [["--threads", "1", "--sessions", "2"], ["--batch", "0"], ["--duration", "0"], ["--size", "huge"], ["--form", "xml"]])
  func usage(_ options: [String]) async throws {
    #expect(try await bench.run(["bench"] + options, input: []).status == 64)
  }

  @Test func inputThatIsNoActionIsNamed() async throws {
    let input = try bench.file("lines", #"{"action_type":"t"}"# + "\n")
    let result = try await bench.run("bench", "--input", input)
    #expect(result.status == 65 && result.errors.contains("an action must have 'outcome'"))
    #expect(try DiskFileSystem().names(in: bench.storage.path) == ["lines"])
  }
}
