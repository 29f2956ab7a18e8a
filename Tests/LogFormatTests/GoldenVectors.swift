import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Format/vectors: logs as bytes, with the JSON that they mean. They tie Format/, this code and other readers together: what was written once must be read for ever.
///
/// `CKPROV_WRITE_VECTORS=1 swift test --filter GoldenVectors` writes them anew after a change of the format.
struct GoldenVectors {
  @Test(arguments: try vectors())
  func bytesAreTheCommittedOnes(_ vector: Vector) throws {
    if setting("CKPROV_WRITE_VECTORS") != nil { try vector.write() }
    let fileSystem = DiskFileSystem()
    #expect(try fileSystem.names(in: vector.logPath).sorted() == vector.files.keys.sorted())
    for (name, bytes) in vector.files {
      let committed = try fileSystem.bytes(of: "\(vector.logPath)/\(name)")
      // Another version of LZ4 may pack in other bytes; they mean the same.
      let isSame = name.hasSuffix(".lz4") ? try unsealed(committed) == unsealed(bytes) : committed == bytes
      #expect(isSame, "\(vector.name): \(name)")
    }
  }

  @Test(arguments: try vectors())
  func logsAreReadAsTheJSONThatTheyMean(_ vector: Vector) throws {
    let log = LogDirectory(path: vector.logPath, fileSystem: DiskFileSystem())
    var projection = try SessionProjection.open(log, of: try SessionID(vector.name))
    var json: [UInt8] = []
    while let block = try projection.next() { json += Array(block) }
    let isSame = try json == DiskFileSystem().bytes(of: vector.jsonPath)
    #expect(isSame, "\(String(decoding: json, as: UTF8.self))")
    #expect((projection.damage != nil) == (vector.ending == .corruption))
    #expect((projection.bytesInDoubt > 0) == (vector.ending == .tornTail))
  }

  /// The reader in Format/ is written from the text alone.
  @Test(arguments: try vectors())
  func theFormatReaderAgrees(_ vector: Vector) async throws {
    guard try await readerCanRead(sealed: vector.files.keys.contains { $0.hasSuffix(".lz4") }) else { return }
    let reader = repositoryPath() + "/Format/reader.py"
    let session = try await runProgram("python3", [reader, "session", vector.logPath])
    let lines = try await runProgram("python3", [reader, "jsonl", vector.logPath])
    let frames = try await runProgram("python3", [reader, "frames", vector.logPath])
    let expectedStatus: Int32 = vector.ending == .corruption ? 65 : 0
    #expect([session.status, lines.status, frames.status] == [expectedStatus, expectedStatus, expectedStatus], "\(session.errors)")
    let isSame = try session.output == DiskFileSystem().bytes(of: vector.jsonPath)
    #expect(isSame, "\(session.text)")
    let actions = try JSONValue(json: session.text)
    guard case .object(let object) = actions, case .array(let listed)? = object["actions"] else {
      Issue.record("no actions")
      return
    }
    var expected = ""
    for action in listed { expected += String(decoding: try action.compactJSON(), as: UTF8.self) + "\n" }
    #expect(lines.text == expected)
    #expect(frames.text.split(separator: "\n").count >= listed.count)
  }

  @Test func everyVectorDirectoryIsTested() throws {
    let committed = try DiskFileSystem().names(in: vectorsPath).filter { $0.hasSuffix(".log") }.sorted()
    #expect(committed == (try vectors().map { "\($0.name).log" }.sorted()))
  }
}

private let vectorsPath = repositoryPath() + "/Format/vectors"

private func readerCanRead(sealed: Bool) async throws -> Bool {
  let result = try? await runProgram("python3", ["-c", sealed ? "import lz4.frame" : ""])
  if result?.status != 0 { print("SKIPPED: Format/reader.py needs python3\(sealed ? " and its lz4 package" : "")") }
  return result?.status == 0
}

/// One log of Format/vectors.
struct Vector: Sendable, CustomTestStringConvertible {
  enum Ending: Sendable { case clean, tornTail, corruption }

  let name: String
  let ending: Ending
  let files: [String: [UInt8]]
  let json: [UInt8]

  var testDescription: String { name }
  var logPath: String { "\(vectorsPath)/\(name).log" }
  var jsonPath: String { "\(vectorsPath)/\(name).json" }

  /// The JSON is what the reference would have written; it is checked by eye when it is made anew, and never changes.
  func write() throws {
    let fileSystem = DiskFileSystem()
    _ = try fileSystem.makeDirectory(logPath)
    for name in try fileSystem.names(in: logPath) { try fileSystem.remove("\(logPath)/\(name)") }
    for (name, bytes) in files { try fileSystem.write(bytes, to: "\(logPath)/\(name)") }
    try fileSystem.write(json, to: jsonPath)
  }
}

// MARK: The logs

/// Builds the raw bytes of segments with fixed salts and times.
private struct LogBuilder {
  let header: SessionHeader
  private(set) var summary: SummaryBuilder
  private(set) var actions: [JSONValue] = []
  private(set) var bytes: [UInt8]
  private var salt: UInt32
  private var sequence: UInt64 = 0
  private var lastFrame = 0
  private var lastCRC: UInt32 = 0
  private var checkpoint = 0
  var syncedBelow: UInt64 = 0

  init(_ name: String, salt: UInt32) throws {
    let startedAt = Timestamp("2026-03-14T20:00:02.000000Z")!
    let kernelURN: JSONString = "ckp://Kernel#MyKernel:v1.0"
    header = SessionHeader(
      sessionID: try SessionID(name), urn: URN.buildAction(kernel: "MyKernel", actionName: "session", timestampMS: startedAt.milliseconds),
      label: "golden \"vector\" \u{1F9ED} é", kernelAction: "widget.deploy", startedAt: startedAt, wasAssociatedWith: kernelURN)
    summary = SummaryBuilder(header)
    self.salt = salt
    bytes = headerBytes(SegmentHeader(sessionID: header.sessionID, salt: salt, firstSequence: 0, firstSeq: 1, predecessor: nil))
    try append(.checkpoint, Checkpoint(header: header, summary: summary.summary).payload())
    try frame(.sessionStarted, header.payload())
    syncedBelow = 2
  }

  mutating func append(_ kind: FrameKind, _ payload: [UInt8]) throws {
    try frame(kind, payload)
    try payload.withRawBytes { payload throws(LogError) in try summary.apply(kind, payload: payload) }
  }

  private mutating func frame(_ kind: FrameKind, _ payload: [UInt8]) throws {
    lastFrame = bytes.count
    if kind == .checkpoint { checkpoint = lastFrame }
    var buffer = ByteBuffer()
    try buffer.appendFrame(kind, payload, sequence: sequence, unsynced: sequence - syncedBelow, salt: salt)
    lastCRC = buffer.headerCRC(ofFrameAt: 0)
    bytes += Array(buffer.bytes)
    sequence += 1
  }

  mutating func action(_ action: Action, second: Int) throws {
    var payload = ByteBuffer()
    let generatedAt = Timestamp("2026-03-14T20:00:\(second).250000Z")!
    try payload.appendAction(action, seq: summary.summary.nextSeq, ownKernel: "MyKernel", at: generatedAt)
    try append(.action, Array(payload.bytes))
    actions.append(try JSONValue(json: String(decoding: payload.bytes, as: UTF8.self)))
  }

  mutating func close(second: Int) throws {
    let endedAt = Timestamp("2026-03-14T20:00:\(second).001000Z")!
    let end = SessionEnd(
      endedAt: endedAt, durationMS: endedAt.milliseconds(since: header.startedAt), outcome: summary.summary.derivedOutcome)
    try append(.sessionClosed, end.payload())
    try append(.checkpoint, Checkpoint(header: header, summary: summary.summary).payload())
    syncedBelow = sequence
    let distance = UInt64(bytes.count - checkpoint)
    try append(.mark, withUnsafeBytes(of: distance.littleEndian) { Array($0) })
  }

  /// Ends the segment and begins the next one.
  /// - Returns: the bytes of the segment that ended.
  mutating func roll(salt next: UInt32) throws -> [UInt8] {
    let ended = bytes
    let end = SegmentEnd(salt: salt, size: UInt64(ended.count), lastSequence: sequence - 1, lastCRC: lastCRC)
    salt = next
    bytes = headerBytes(
      SegmentHeader(
        sessionID: header.sessionID, salt: next, firstSequence: sequence, firstSeq: summary.summary.nextSeq, predecessor: end))
    syncedBelow = sequence
    try append(.checkpoint, Checkpoint(header: header, summary: summary.summary).payload())
    syncedBelow = sequence
    return ended
  }
}

private func headerBytes(_ header: SegmentHeader) -> [UInt8] {
  var buffer = ByteBuffer()
  header.append(to: &buffer)
  return Array(buffer.bytes)
}

private func file(_ sequence: UInt64, isSealed: Bool = false) -> String {
  SegmentFileName(firstSequence: sequence, isSealed: isSealed).description
}

private let plain = Action(actionType: "widget.deploy", outcome: "verified", intent: ["target": "prod"], evidence: ["deployed": true])

private func traps() throws -> Action {
  let text = #"""
    {"z":[1,-0.0,1e16,1e-5,0.1,5e-324,NaN,Infinity,-Infinity,123456789012345678901234567890],"a":null,"é":"\ud800 \ud83d\ude00 \u007f/\"",
     "nested":{"null":null,"list":[null,{},[]]},"e\u0301":1}
    """#
  return Action(
    actionType: "a/b-1", outcome: "retry", kernel: "Other/Kernel", viaEdge: "REQUIRES", intent: .raw(try RawJSON(text)),
    beforeState: ["b": 1, "a": ["x": nil], "c": true], afterState: ["b": 1.0, "a": [1, "it's"], "c": nil], attempt: 2, note: "tab\tand \u{7F}")
}

private func vectors() throws -> [Vector] {
  [try started(), try closed(), try segments(), try tornTail(), try sealed(), try sealedAndRaw(), try corruption()]
}

private func started() throws -> Vector {
  let log = try LogBuilder("started", salt: 0x0102_0304)
  return Vector(name: "started", ending: .clean, files: [file(0): log.bytes], json: try sessionJSON(log))
}

private func closed() throws -> Vector {
  var log = try LogBuilder("closed", salt: 0xDEAD_BEEF)
  try log.action(plain, second: 10)
  try log.action(try traps(), second: 11)
  try log.close(second: 12)
  return Vector(name: "closed", ending: .clean, files: [file(0): log.bytes], json: try sessionJSON(log))
}

/// Killed, resumed, closed, opened again: the first file keeps what stood behind its end.
private func segments() throws -> Vector {
  var log = try LogBuilder("segments", salt: 1)
  try log.action(plain, second: 10)
  let first = try log.roll(salt: 2) + Array(repeating: 0xAA, count: 21)
  try log.action(try traps(), second: 11)
  try log.close(second: 12)
  let second = try log.roll(salt: 3)
  try log.action(plain, second: 13)
  return Vector(
    name: "segments", ending: .clean, files: [file(0): first, file(3): second, file(8): log.bytes + Array(repeating: 0, count: 512)],
    json: try sessionJSON(log))
}

/// The last frame was being written when the power went.
private func tornTail() throws -> Vector {
  var log = try LogBuilder("torn-tail", salt: 0x7777_7777)
  try log.action(plain, second: 10)
  let whole = log.bytes.count
  let json = try sessionJSON(log)
  try log.action(plain, second: 11)
  try log.action(plain, second: 12)
  var bytes = log.bytes
  bytes[whole + 40] ^= 0x20
  return Vector(name: "torn-tail", ending: .tornTail, files: [file(0): bytes], json: json)
}

/// Two segments in one sealed file.
private func sealed() throws -> Vector {
  var log = try LogBuilder("sealed", salt: 0x1111_1111)
  try log.action(plain, second: 10)
  var raw = try log.roll(salt: 0x2222_2222)
  for second in 11..<40 { try log.action(second % 2 == 0 ? plain : try traps(), second: second) }
  try log.close(second: 41)
  raw += log.bytes
  return Vector(name: "sealed", ending: .clean, files: [file(0, isSealed: true): try seal(raw)], json: try sessionJSON(log))
}

private func sealedAndRaw() throws -> Vector {
  var log = try LogBuilder("sealed-and-raw", salt: 0x3333_3333)
  try log.action(plain, second: 10)
  let first = try log.roll(salt: 0x4444_4444)
  try log.action(plain, second: 11)
  return Vector(
    name: "sealed-and-raw", ending: .clean, files: [file(0, isSealed: true): try seal(first), file(3): log.bytes],
    json: try sessionJSON(log))
}

/// A bit has flipped in a frame of which a later one says that it was on stable storage.
private func corruption() throws -> Vector {
  var log = try LogBuilder("corruption", salt: 0x5555_5555)
  try log.action(plain, second: 10)
  let json = try sessionJSON(log)
  let whole = log.bytes.count
  try log.action(plain, second: 11)
  log.syncedBelow = 4
  try log.action(plain, second: 12)
  var bytes = log.bytes
  bytes[whole + 60] ^= 0x01
  return Vector(name: "corruption", ending: .corruption, files: [file(0): bytes], json: json)
}

/// The Session JSON, made by another way than the projection: all of it as one value, printed by the oracle's rules for `indent=2`.
private func sessionJSON(_ log: LogBuilder) throws -> [UInt8] {
  let (header, summary) = (log.header, log.summary.summary)
  var session: JSONObject = [
    "session_id": JSONValue(header.sessionID.description), "urn": .string(header.urn), "label": .string(header.label),
    "kernel_action": .string(header.kernelAction), "started_at": JSONValue(header.startedAt.description),
  ]
  session["ended_at"] = summary.end.map { JSONValue($0.endedAt.description) }
  session["was_associated_with"] = .string(header.wasAssociatedWith)
  session["duration_ms"] = summary.end.map { .integer($0.durationMS) }
  session["outcome"] = .string(summary.end?.outcome ?? "in_progress")
  session["kernels_involved"] = .array(summary.kernels.sorted().map(JSONValue.string))
  session["actions"] = .array(log.actions)
  return Array(indented(.object(session), level: 0).utf8)
}

private func indented(_ value: JSONValue, level: Int) -> String {
  let newLine = "\n" + String(repeating: "  ", count: level + 1)
  let lastLine = "\n" + String(repeating: "  ", count: level)
  func atom(_ value: JSONValue) -> String { String(decoding: (try? value.compactJSON()) ?? [], as: UTF8.self) }
  switch value {
  case .array(let elements) where !elements.isEmpty:
    return "[" + newLine + elements.map { indented($0, level: level + 1) }.joined(separator: "," + newLine) + lastLine + "]"
  case .object(let object) where !object.isEmpty:
    let members = object.map { atom(.string($0.key)) + ": " + indented($0.value, level: level + 1) }
    return "{" + newLine + members.joined(separator: "," + newLine) + lastLine + "}"
  default: return atom(value)
  }
}

/// A sealed file of the segments in `raw`.
private func seal(_ raw: [UInt8]) throws -> [UInt8] {
  var file = ByteBuffer()
  var sealer = Sealer(level: 1)
  var summary = SummaryBuilder()
  try raw.withRawBytes { raw throws(LogError) in
    var offset = 0
    var salt: UInt32 = 0
    while offset < raw.count {
      let rest = UnsafeRawBufferPointer(rebasing: raw[offset...])
      if let size = SegmentHeader.declaredSize(rest) {
        let header = try SegmentHeader(rest)
        salt = header.salt
        try sealer.append(header, bytes: UnsafeRawBufferPointer(rebasing: rest[0..<size]), to: &file)
        offset += size
        continue
      }
      guard let header = FrameHeader(rest, salt: salt) else { throw LogError(.corrupt, "no frame") }
      try sealer.append(header, frame: UnsafeRawBufferPointer(rebasing: rest[0..<header.frameSize]), to: &file)
      try summary.apply(header.kind, payload: UnsafeRawBufferPointer(rebasing: rest[FrameHeader.size..<FrameHeader.size + header.payloadSize]))
      offset += header.frameSize
    }
  }
  try sealer.finish(checkpoint: try summary.checkpoint!.payload(), to: &file)
  return Array(file.bytes)
}

private func unsealed(_ file: [UInt8]) throws -> [UInt8] {
  var raw = ByteBuffer()
  try file.withRawBytes { file throws(LogError) in
    let trailer = UnsafeRawBufferPointer(rebasing: file[(file.count - SealedIndex.trailerSize)...])
    let size = try SealedIndex.size(trailer: trailer, fileSize: UInt64(file.count))
    let index = try SealedIndex(UnsafeRawBufferPointer(rebasing: file[(file.count - size)...]), fileSize: UInt64(file.count))
    for chunk in index.chunks {
      let start = Int(chunk.fileOffset)
      try raw.appendUnpacked(UnsafeRawBufferPointer(rebasing: file[start..<start + chunk.fileSize]), rawSize: chunk.rawSize)
    }
  }
  return Array(raw.bytes)
}
