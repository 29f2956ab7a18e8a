import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// `stats`: what is in sessions, and what they take on disk.
@Suite(.timeLimit(.minutes(10)))
struct StatsTests {
  private let bench: Bench

  init() async throws {
    bench = try Bench()
    _ = try await bench.record("s1", [action("a"), action("b", outcome: "failed")])
    try await bench.makeLegacy("s2", [action("c")])
  }

  @Test func countsForPeople() async throws {
    let all = try await bench.run("stats")
    #expect(all.status == 0 && all.errors == "")
    let rows = all.text.split(separator: "\n").map { $0.split(separator: #/  +/#).map(String.init) }
    #expect(
      rows.map { $0[0] } == [
        "sessions", "actions", "frames", "segments", "files", "raw", "stored", "first", "last", "outcomes", "action types", "kernels",
      ])
    #expect(rows[0][1] == "2, 1 of them kept as JSON" && rows[1][1] == "3" && rows[3][1] == "1")
    #expect(rows[6][1].hasSuffix(" KiB, 100 % of it") && rows[9][1] == "verified 2, failed 1" && rows[10][1] == "t 3" && rows[11][1] == "CK.Test 3")
    let one = try await bench.run("stats", "s1")
    #expect(one.status == 0 && one.text.contains("\noutcomes      failed 1, verified 1\n") && !one.text.contains("sessions"), "\(one.text)")
  }

  @Test func moreThanTenNamesAreSummedUp() async throws {
    let lines = (1...12).map { #"{"action_type":"t\u001b\#($0)","outcome":"verified"}"# }
    _ = try await bench.record("s3", lines)
    let text = try await bench.run("stats", "s3").text
    #expect(text.contains(#"action types  t\x1b1 1, t\x1b10 1, t\x1b11 1, t\x1b12 1, t\x1b2 1,"#), "\(text)")
    #expect(text.contains("t\\x1b7 1, others 2\n"), "\(text)")
  }

  @Test func longListsFitTheTerminal() async throws {
    let lines = (1...9).map { #"{"action_type":"deploy.service.\#($0)","outcome":"verified"}"# }
    _ = try await bench.record("s4", lines)
    let rows = try await bench.shell("COLUMNS=80 $C stats s4").text.split(separator: "\n")
    #expect(rows.allSatisfy { $0.count <= 80 } && rows.count > 11, "\(rows)")
    let types = rows.drop { !$0.hasPrefix("action types") }.prefix { !$0.hasPrefix("kernels") }
    #expect(types.count > 1 && types.dropFirst().allSatisfy { $0.hasPrefix("              deploy.service.") }, "\(types)")
    #expect((1...9).allSatisfy { number in types.contains { $0.contains("deploy.service.\(number) 1") } }, "\(types)")
  }

  @Test func countsForPrograms() async throws {
    let report = try json(await bench.run("stats", "--json").output)
    #expect(report["sessions"] == .integer(2) && report["legacy_sessions"] == .integer(1) && report["actions"] == .integer(3))
    #expect(report["raw_bytes"] == report["stored_bytes"] && report["ratio"] == .double(1) && report["segments"] == .integer(1))
    #expect(report["outcomes"] == .object(["verified": .integer(2), "failed": .integer(1)]) && report["other_outcomes"] == .integer(0))
    #expect(report["action_types"] == .object(["t": .integer(3)]) && report["kernels"] == .object(["CK.Test": .integer(3)]))
    #expect(Timestamp(report["first_time"].text)! < Timestamp(report["last_time"].text)!)
    let legacy = try json(await bench.run("stats", "s2", "--json").output)
    #expect(legacy["ratio"] == .null && legacy["frames"] == .integer(0) && legacy["actions"] == .integer(1))
    let empty = try json(await Bench().run("stats", "--json").output)
    #expect(empty["sessions"] == .integer(0) && empty["first_time"] == .null && empty["outcomes"] == .object([:]))
  }

  @Test func diskUsage() async throws {
    let report = try json(await bench.run("stats", "--disk-usage", "--json").output)
    let (log, view) = (try bench.size("\(bench.logPath("s1"))/00000000000000000000.seg"), try bench.size(bench.viewPath("s1")))
    let legacy = try bench.size(bench.viewPath("s2"))
    #expect(report["sessions"].elements.map { $0["session_id"].text } == ["s1", "s2"])
    #expect(report["sessions"].elements[0]["log_bytes"] == JSONValue(log) && report["sessions"].elements[0]["json_bytes"] == JSONValue(view))
    #expect(report["log_bytes"] == JSONValue(log) && report["view_bytes"] == JSONValue(view) && report["legacy_bytes"] == JSONValue(legacy))
    #expect(report["leftover_bytes"] == .integer(0) && report["aside_bytes"] == .integer(0) && report["bytes"] == JSONValue(log + view + legacy))
    let text = try await bench.run("stats", "--disk-usage").text.split(separator: "\n")
    #expect(text.count == 9)
    #expect(text[0].split(separator: " ") == ["SESSION", "LOG", "JSON"] && text[1].hasPrefix("s1  ") && text[2].hasPrefix("s2  "), "\(text)")
    #expect(text[3].hasPrefix("logs  ") && text[6...7] == ["left over     0 B", "set aside     0 B"] && text[8].hasPrefix("in all  "), "\(text)")
  }

  /// Evidence stands beside the sessions, and among the files of a log.
  @Test func diskUsageOfWhatIsSetAside() async throws {
    let before = try json(await bench.run("stats", "--disk-usage", "--json").output)
    let names = ["s1.log/.00000000000000000000.seg.aside", "s1.log/.00000000000000000000.seg.lz4.aside", ".s1.json.aside"]
    for (number, name) in names.enumerated() { try DiskFileSystem().write(Array(repeating: 0, count: 10 << number), to: "\(bench.sessions)/\(name)") }
    let after = try json(await bench.run("stats", "--disk-usage", "--json").output)
    #expect(after["aside_bytes"] == .integer(70) && after["bytes"].integer == before["bytes"].integer + 70)
    for member in ["log_bytes", "view_bytes", "leftover_bytes"] as [JSONString] { #expect(after[member] == before[member]) }
    #expect(try json(await bench.run("retain", "--json", "--keep", "0").output)["bytes_freed"].integer == before["bytes"].integer + 30)
  }

  @Test func damageIsNamedAndTheRestCounted() async throws {
    try bench.damage("s1", actionWithNote: "a")
    let all = try await bench.run("stats")
    #expect(all.status == 65 && all.errors.hasPrefix("ckprov-log: \(bench.logPath("s1"))/00000000000000000000.seg, sequence "), "\(all.errors)")
    #expect(all.text.hasPrefix("sessions      2, 1 of them kept as JSON\nactions       1\n"), "\(all.text)")
    #expect(try await bench.run("stats", "none").status == 66)
    #expect(try await bench.run("stats", "s1", "--disk-usage").status == 64)
  }
}
