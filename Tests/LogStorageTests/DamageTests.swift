import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// What is found of a small log after each possible cut of its newest file and each flipped bit: the same data, a named error, or a legal torn tail.
struct DamageTests {
  private let storage: TemporaryDirectory
  private let directory: SessionsDirectory
  private let id: SessionID

  init() throws {
    storage = try TemporaryDirectory()
    directory = SessionsDirectory(storageDirectory: storage.path, fileSystem: DiskFileSystem())
    id = try SessionID("damaged")
  }

  private var log: LogDirectory { directory.log(of: id) }

  /// Two segments. In the newest: four actions, a sync after the second, so that the third and fourth vouch for what was before it.
  private func record(salt: UInt32 = 11) throws {
    try directory.make()
    _ = try DiskFileSystem().makeDirectory(log.path)
    let header = SessionHeader(
      sessionID: id, urn: "ckp://Action#K/session-1", label: "l", kernelAction: "", startedAt: Timestamp(microseconds: 1000)!,
      wasAssociatedWith: "ckp://Kernel#K:v1.0")
    var writer = try LogWriter.start(log, header, lock: try LogLock(.writer, of: log), randomSalt: { salt })
    var summary = SummaryBuilder(header)
    try append(1, to: &writer, &summary)
    try writer.roll(Checkpoint(header: header, summary: summary.summary))
    for seq in Int64(2)...5 {
      try append(seq, to: &writer, &summary)
      if seq == 3 { try writer.sync() }
    }
  }

  private func append(_ seq: Int64, to writer: inout LogWriter, _ summary: inout SummaryBuilder) throws {
    let start = writer.buffer.beginFrame()
    let action = Action(actionType: "t", outcome: "verified", note: "note \(seq)")
    let generatedAt = Timestamp(microseconds: 1_000_000 * seq)!
    try writer.buffer.appendAction(action, seq: seq, ownKernel: "K", at: generatedAt)
    try writer.endFrame(at: start, .action)
    let (kept, error) = writer.flush()
    #expect(kept == 1 && error == nil)
    summary = try reread()
  }

  private func reread() throws -> SummaryBuilder {
    var reader = try LogReader.open(log, of: id)
    var summary = SummaryBuilder()
    while let frame = try reader.next() { try summary.apply(frame.kind, payload: try reader.payload) }
    return summary
  }

  private struct Found {
    var payloads: [[UInt8]] = []
    var ending: LogEnding?
    var error: LogError?
    var vouchedBelow: UInt64 = 0
  }

  private func read() -> Found {
    var found = Found()
    do throws(LogError) {
      var reader = try LogReader.open(log, of: id)
      while let frame = try reader.next() {
        let payload = Array(try reader.payload)
        if frame.kind == .action { found.payloads.append(payload) }
        found.vouchedBelow = reader.vouchedBelow
      }
      found.ending = reader.ending
    } catch {
      found.error = error
    }
    return found
  }

  private func newest() throws -> String { log.path(of: try #require(try log.segments().last).description) }

  private func replace(_ bytes: [UInt8]) throws { try DiskFileSystem().write(bytes, to: newest()) }

  /// Goes on with the damaged log as it is, in a copy of the original afterwards.
  private func resumeAndAppend(expecting before: [[UInt8]]) throws {
    let undisturbed = try DiskFileSystem().bytes(of: newest())
    let newestName = try newest()
    do {
      var writer = try log.resume(id, lock: try LogLock(.writer, of: log), randomSalt: { 99 })
      var summary = SummaryBuilder()
      try append(writer.opened.summary.nextSeq, to: &writer, &summary)
    }
    let after = read()
    #expect(after.error == nil && after.ending == .clean)
    #expect(Array(after.payloads.dropLast()) == before && after.payloads.count == before.count + 1)
    let kept = try DiskFileSystem().bytes(of: newestName)
    #expect(kept == undisturbed, "a resume changed the old segment")
    try DiskFileSystem().remove(newest())
  }

  @Test func everyCutOfTheNewestFile() throws {
    try record()
    let whole = try DiskFileSystem().bytes(of: newest())
    let original = read()
    #expect(original.payloads.count == 5 && original.ending == .clean)
    var outcomes: [String: Int] = [:]
    for size in 0..<whole.count {
      try replace(Array(whole[..<size]))
      let found = read()
      if let error = found.error {
        // Header and checkpoint of a segment were synced before it got its name.
        #expect(error.code == .corrupt && found.payloads.count == 1)
        outcomes["corrupt", default: 0] += 1
        continue
      }
      #expect(found.payloads == Array(original.payloads.prefix(found.payloads.count)))
      outcomes[found.ending == .clean ? "clean" : "torn tail", default: 0] += 1
      try resumeAndAppend(expecting: found.payloads)
    }
    print("cuts of \(whole.count) bytes: \(outcomes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
    #expect(outcomes.keys.sorted() == ["clean", "corrupt", "torn tail"])
  }

  @Test func everyFlippedBitOfBothFiles() throws {
    try record()
    let original = read()
    var outcomes: [String: Int] = [:]
    for name in try log.segments() {
      let path = log.path(of: name.description)
      let whole = try DiskFileSystem().bytes(of: path)
      for bit in 0..<whole.count * 8 {
        var flipped = whole
        flipped[bit / 8] ^= 1 << (bit % 8)
        try DiskFileSystem().write(flipped, to: path)
        let found = read()
        #expect(found.payloads == Array(original.payloads.prefix(found.payloads.count)), "bit \(bit) of \(name)")
        if found.error != nil {
          outcomes["error", default: 0] += 1
        } else if found.payloads.count == 5 {
          outcomes["same data", default: 0] += 1
        } else {
          // Seqs 2 and 3 were synced, and 4 and 5 say so: only these two may be missed, and only as a torn tail.
          #expect(found.payloads.count >= 3, "bit \(bit) of \(name): a frame that something vouches for is gone")
          guard case .tornTail? = found.ending else {
            Issue.record("bit \(bit) of \(name): a frame is gone, and nothing was said")
            continue
          }
          outcomes["torn tail", default: 0] += 1
        }
      }
      try DiskFileSystem().write(whole, to: path)
    }
    print("flipped bits: \(outcomes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))")
    #expect(outcomes.keys.sorted() == ["error", "same data", "torn tail"])
  }

  /// A reader once waited for ever for the bytes that the next segment's header speaks of.
  @Test func aCutOfAnOlderFileIsNamed() throws {
    try record()
    let older = log.path(of: try log.segments()[0].description)
    let whole = try DiskFileSystem().bytes(of: older)
    for size in stride(from: 0, to: whole.count, by: 7) {
      try DiskFileSystem().write(Array(whole[..<size]), to: older)
      #expect(read().error?.code == .corrupt, "cut to \(size)")
    }
  }

  @Test func aMissingFileIsNamed() throws {
    try record()
    let files = try log.segments()
    let second = log.path(of: files[1].description)
    try DiskFileSystem().remove(log.path(of: files[0].description))
    #expect(read().error?.message.contains("missing") == true)
    // Swapped for another segment of the same session, the next one notices.
    try DiskFileSystem().write(try DiskFileSystem().bytes(of: second), to: log.path(of: files[0].description))
    #expect(read().error?.code == .corrupt)
  }

  /// From a copy of the log that went another way: same session, same sequences, same sizes. Only the next file's header tells.
  @Test func aFileOfAnotherCourseIsNamed() throws {
    try record(salt: 11)
    let first = log.path(of: try log.segments()[0].description)
    let other = try DamageTests()
    try other.record(salt: 12)
    try DiskFileSystem().write(try DiskFileSystem().bytes(of: other.log.path(of: try other.log.segments()[0].description)), to: first)
    let error = try #require(read().error)
    #expect(error.damage?.cause == .otherSegment && error.segment == "00000000000000000003.seg", "\(error)")
    #expect { _ = try log.resume(id, lock: try LogLock(.writer, of: log), randomSalt: { 99 }) } throws: { ($0 as? LogError)?.code == .corrupt }
  }

  /// A trailer with a right checksum that speaks of another last frame.
  @Test(arguments: [16, 44, 48])
  func aTrailerThatContradictsTheFramesIsNamed(_ field: Int) throws {
    let source = repositoryPath() + "/Format/vectors/sealed.log"
    try directory.make()
    let log = directory.log(of: try SessionID("sealed"))
    _ = try DiskFileSystem().makeDirectory(log.path)
    let names = try DiskFileSystem().names(in: source).sorted()
    for name in names { try DiskFileSystem().write(try DiskFileSystem().bytes(of: "\(source)/\(name)"), to: log.path(of: name)) }
    let path = log.path(of: try #require(names.last { $0.hasSuffix(".lz4") }))
    var bytes = try DiskFileSystem().bytes(of: path)
    let trailer = bytes.count - SealedIndex.trailerSize
    bytes[trailer + field] ^= 1
    let crc = bytes.withUnsafeBytes { crc32c(0, UnsafeRawBufferPointer(rebasing: $0[trailer..<trailer + 68])) }
    withUnsafeBytes(of: crc.littleEndian) { bytes.replaceSubrange((trailer + 68)..., with: $0) }
    try DiskFileSystem().write(bytes, to: path)
    var reader = try LogReader.open(log, of: try SessionID("sealed"))
    var cause: Damage.Cause?
    do throws(LogError) { while try reader.next() != nil {} } catch { cause = error.damage?.cause }
    #expect(cause == .sealedTrailer)
  }

  @Test func garbageBehindTheTailIsATornTail() throws {
    try record()
    let whole = try DiskFileSystem().bytes(of: newest())
    let original = read()
    var random = SeededGenerator(seed: 3)
    for size in 1...200 {
      try replace(whole + (0..<size).map { _ in UInt8.random(in: 1...255, using: &random) })
      let found = read()
      #expect(found.payloads == original.payloads && found.ending?.bytesInDoubt == UInt64(size), "\(size) bytes")
    }
    try replace(whole + [UInt8](repeating: 0, count: 4096))
    #expect(read().ending == .clean)
  }

  @Test func aSecondWriterIsRefused() throws {
    try record()
    let first = try LogLock(.writer, of: log)
    #expect { try LogLock(.writer, of: log) } throws: { ($0 as? LogError)?.code == .locked }
    #expect(try log.hasLivingWriter())
    _ = try LogLock(.maintainer, of: log)
    withExtendedLifetime(first) {}
  }
}
