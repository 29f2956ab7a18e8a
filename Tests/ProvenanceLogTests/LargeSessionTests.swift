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

  /// Recording, closing with a view, listing and projecting 64 MiB take far less memory than that.
  @Test func memoryDoesNotGrowWithTheSession() throws {
    let note = JSONString(String(repeating: "0123456789abcdef", count: 1 << 14))
    let before = try anonymousMemory()
    var most = before
    let prov = try storage.start("a", storage.options { $0.view = .always })
    for count in 0..<256 {
      try prov.recordAction(action(note: note))
      if count % 16 == 0 { most = max(most, try anonymousMemory()) }
    }
    try prov.close()
    most = max(most, try anonymousMemory())
    var projection = try SessionProjection.open(try storage.log("a"), of: try SessionID("a"))
    var size = 0
    while let block = try projection.next() {
      size += block.count
      most = max(most, try anonymousMemory())
    }
    #expect(size > 64 << 20)
    #expect(try DiskFileSystem().status(of: prov.filePath)?.size == UInt64(size))
    #expect(try storage.store.listSessions().first?.actionCount == 256)
    most = max(most, try anonymousMemory())
    // Other tests run meanwhile.
    #expect(most < before + (24 << 20), "grew by \((most - before) >> 20) MiB")
  }

  /// Bytes of memory that are this process's own.
  private func anonymousMemory() throws -> Int {
    let status = try #require(try? String(decoding: readProcessStatus(), as: UTF8.self))
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("RssAnon:") })
    return try #require(Int(line.filter(\.isNumber))) << 10
  }

  private func readProcessStatus() throws -> [UInt8] {
    // Files of /proc say that they are empty.
    try readBytes(of: try DiskFileSystem().open("/proc/self/status", for: .reading), at: 0, count: 1 << 16)
  }
}
