import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What needs much memory, one after the other.
@Suite(.serialized) struct LargeSessionTests {
  private let storage: Storage

  init() throws {
    storage = try Storage()
  }

  @Test func recordOver64MiBIsRefusedAndTheLogGoesOn() throws {
    let prov = try storage.start("a")
    try prov.recordAction(action())
    let overhead = try #require(try storage.payloads("a").first).utf8.count
    let longest = JSONString(String(repeating: "x", count: FrameHeader.payloadSizeMax - overhead))
    let tooLong = JSONString(longest.description + "x")
    #expect(errorCode { try prov.recordAction(action(note: tooLong)) } == .tooLarge)
    #expect(prov.actionCount == 1)
    #expect(try prov.recordAction(action(note: longest)).seq == 2)
    let batch = try #require(throws: BatchError.self) { try prov.recordActions([action(), action(note: tooLong), action()]) }
    #expect(batch.kept == 1 && batch.error.code == .tooLarge)
    #expect(try prov.recordAction(action()).seq == 4)
    #expect(try storage.seqs("a") == [1, 2, 3, 4])
    #expect(try storage.log("a").rawSize() > UInt64(FrameHeader.payloadSizeMax))
  }

  /// Reading 64 MiB takes far less memory than that. Measured of a process of its own, for other tests run in this one.
  @Test(arguments: [["project", "a"], ["cat", "a"], ["verify"], ["list"], ["list", "--json"], ["stats"]])
  func memoryDoesNotGrowWithTheSession(_ arguments: [String]) async throws {
    let note = JSONString(String(repeating: "0123456789abcdef", count: 1 << 14))
    let prov = try storage.start("a", storage.options { $0.view = .never })
    for _ in 0..<256 { try prov.recordAction(action(note: note)) }
    try prov.close()
    try await expectMemory(below: 32, arguments)
  }

  /// The same for many sessions of the reference's: of each file only what is listed is held.
  @Test(arguments: [["list"], ["list", "--json"], ["stats"], ["retain", "--max-bytes", "0", "--dry-run"]])
  func memoryDoesNotGrowWithTheNumberOfSessions(_ arguments: [String]) async throws {
    let prov = try storage.start("a", storage.options { $0.view = .always })
    try prov.recordAction(action(note: JSONString(String(repeating: "0123456789abcdef", count: 1 << 15))))
    let session = try prov.close()
    let json = try DiskFileSystem().bytes(of: prov.filePath)
    for count in 0..<64 { try DiskFileSystem().write(json, to: "\(storage.sessions.path)/copy\(count).json") }
    #expect(try storage.store.listSessions().map(\.sessionID) == Array(repeating: session.sessionID, count: 65))
    try await expectMemory(below: 32, arguments)
  }

  private func expectMemory(below mebibytes: Int, _ arguments: [String]) async throws {
    let script = """
      import resource, subprocess, sys
      subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
      print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
      """
    guard (try? await runProgram("python3", ["-c", ""]))?.status == 0 else {
      print("SKIPPED: the memory of a process is measured with python3")
      return
    }
    let result = try await runProgram("python3", ["-c", script, try commandPath()] + arguments + ["--storage-dir", storage.path])
    let kibibytes = try #require(Int(result.text.filter(\.isNumber)), "\(result.errors)")
    #expect(kibibytes < mebibytes << 10, "\(arguments): \(kibibytes) KiB")
  }
}
