import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// A small log of three segments of which every byte is known, to be damaged.
struct KnownLog: Sendable {
  enum Layout: String, CaseIterable, Sendable {
    case raw
    case olderSealed = "older ones sealed"
    case merged = "older ones merged in one sealed file"
    case allSealed = "all sealed"
  }

  struct Frame: Sendable {
    var header: FrameHeader
    var payload: [UInt8]
    var segment: Int
    /// In its segment.
    var offset: Int
    var bytes: [UInt8]
  }

  struct File: Sendable {
    var name: SegmentFileName
    var bytes: [UInt8]
    /// Of the segments in it.
    var segments: Range<Int>
  }

  let layout: Layout
  let files: [File]
  /// The raw bytes of each segment, and its header.
  let segments: [(bytes: [UInt8], header: SegmentHeader)]
  let frames: [Frame]
  /// What a checkpoint says behind so many frames; at least two.
  let checkpoints: [Checkpoint?]
  /// What stands in the newest file for each count of frames, if the log ended there.
  let projections: [[UInt8]?]

  static let id: SessionID = try! SessionID("known")
  static let store = "store"
  static var sessions: String { "\(store)/storage/sessions" }
  static var directory: String { "\(sessions)/\(id).log" }

  /// Left in the first file, behind its end, from a crash.
  static let evidence: [UInt8] = Array(repeating: 0xAB, count: 21)

  func disk() -> MemoryDisk {
    let disk = MemoryDisk()
    Self.make(on: disk)
    for file in files { disk.set(path(file.name), file.bytes) }
    return disk
  }

  static func make(on disk: MemoryDisk) {
    for directory in [store, "\(store)/storage", sessions, directory] { _ = try? disk.makeDirectory(directory) }
    disk.set("\(directory)/lock", [])
  }

  func path(_ name: SegmentFileName) -> String { "\(Self.directory)/\(name)" }

  static func log(on disk: any FileSystem) -> LogDirectory { LogDirectory(path: directory, fileSystem: disk) }

  static func sessions(on disk: any FileSystem) -> SessionsDirectory { SessionsDirectory(storageDirectory: store, fileSystem: disk) }

  // MARK: Making it

  static let all: [Layout: KnownLog] = try! Dictionary(uniqueKeysWithValues: Layout.allCases.map { ($0, try KnownLog($0)) })

  static func of(_ layout: Layout) -> KnownLog { all[layout]! }

  init(_ layout: Layout, firstSalt: UInt32 = 11, kernel: JSONString = "K") throws {
    let disk = MemoryDisk()
    Self.make(on: disk)
    try Self.record(on: disk, kernel) { [salts = Salts(firstSalt)] in salts.next() }
    let log = Self.log(on: disk)
    let raw = try log.segments().map { disk.bytes(log.path(of: $0.description)) }
    self.layout = layout
    segments = try raw.map { bytes in (bytes, try bytes.withRawBytes { bytes throws(LogError) in try SegmentHeader(bytes) }) }
    frames = try Self.frames(of: log, raw)
    let names = segments.map { SegmentFileName(firstSequence: $0.header.firstSequence) }
    func plain(_ index: Int) -> File {
      File(name: names[index], bytes: raw[index] + (index == 0 ? Self.evidence : []), segments: index..<index + 1)
    }
    func sealed(_ range: Range<Int>) throws -> File {
      let name = SegmentFileName(firstSequence: names[range.lowerBound].firstSequence, isSealed: true)
      let before = range.lowerBound == 0 ? nil : raw[..<range.lowerBound].flatMap { $0 }
      return File(name: name, bytes: try seal(range.flatMap { raw[$0] }, behind: before), segments: range)
    }
    switch layout {
    case .raw: files = [plain(0), plain(1), plain(2)]
    case .olderSealed: files = [try sealed(0..<1), try sealed(1..<2), plain(2)]
    case .merged: files = [try sealed(0..<2), plain(2)]
    case .allSealed: files = [try sealed(0..<1), try sealed(1..<3)]
    }

    var summary = SummaryBuilder()
    var checkpoints: [Checkpoint?] = [nil]
    for frame in frames {
      try frame.payload.withRawBytes { payload throws(LogError) in try summary.apply(frame.header.kind, payload: payload) }
      checkpoints.append(summary.checkpoint)
    }
    self.checkpoints = checkpoints
    projections = try Self.projections(frames, raw)
  }

  /// The first segment ends in an open session, the second in a closed one. In the newest one a sync stands behind the sixth action; the seventh and
  /// the eighth vouch for what was before it, and nothing does for them.
  private static func record(on disk: MemoryDisk, _ kernel: JSONString, _ salt: @escaping @Sendable () -> UInt32) throws {
    let log = log(on: disk)
    let header = SessionHeader(
      sessionID: id, urn: "ckp://Action#K/session-1", label: "l", kernelAction: "", startedAt: Timestamp(microseconds: 1000)!,
      wasAssociatedWith: "ckp://Kernel#\(kernel):v1.0")
    var summary = SummaryBuilder(header)
    var writer = try LogWriter.start(log, header, lock: try LogLock(.writer, of: log), randomSalt: salt)
    try append(1, to: &writer, &summary)
    try writer.sync()
    try append(2, to: &writer, &summary)
    try writer.roll(Checkpoint(header: header, summary: summary.summary))
    try append(3, to: &writer, &summary)
    try append(
      .sessionClosed, SessionEnd(endedAt: Timestamp(microseconds: 5_000_000)!, durationMS: 4999, outcome: "complete").payload(), to: &writer, &summary
    )
    try append(.checkpoint, Checkpoint(header: header, summary: summary.summary).payload(), to: &writer, &summary)
    try writer.sync()
    writer.appendMark()
    try writer.roll(Checkpoint(header: header, summary: summary.summary))
    for seq in Int64(4)...8 {
      try append(seq, to: &writer, &summary)
      if seq == 6 { try writer.sync() }
    }
  }

  static func append(_ seq: Int64, to writer: inout LogWriter, _ summary: inout SummaryBuilder) throws {
    try append(.action, action(seq), to: &writer, &summary)
  }

  static func append(_ kind: FrameKind, _ payload: [UInt8], to writer: inout LogWriter, _ summary: inout SummaryBuilder) throws {
    try writer.append(kind, payload)
    let (_, error) = writer.flush()
    if let error { throw error }
    try payload.withRawBytes { payload throws(LogError) in try summary.apply(kind, payload: payload) }
  }

  static func action(_ seq: Int64) throws -> [UInt8] {
    var payload = ByteBuffer()
    try payload.appendAction(
      Action(actionType: "t", outcome: seq == 3 ? "failed" : "verified", note: "note \(seq)"), seq: seq, ownKernel: "K",
      at: Timestamp(microseconds: 1_000_000 * seq)!)
    return Array(payload.bytes)
  }

  private static func frames(of log: LogDirectory, _ raw: [[UInt8]]) throws -> [Frame] {
    let files = try log.segments()
    var reader = try LogReader.open(log, of: id)
    var frames: [Frame] = []
    while let header = try reader.next() {
      let segment = files.firstIndex(of: reader.fileName)!
      let offset = Int(reader.place.offset)
      frames.append(
        Frame(
          header: header, payload: Array(try reader.payload), segment: segment, offset: offset,
          bytes: Array(raw[segment][offset..<offset + header.frameSize])))
    }
    return frames
  }

  /// Of logs that are whole and end behind each frame.
  private static func projections(_ frames: [Frame], _ raw: [[UInt8]]) throws -> [[UInt8]?] {
    try (0...frames.count).map { count in
      guard count >= 2 else { return nil }
      let disk = MemoryDisk()
      make(on: disk)
      let last = frames[count - 1]
      for segment in 0...last.segment {
        let bytes = segment < last.segment ? raw[segment] : Array(raw[segment][..<(last.offset + last.bytes.count)])
        let first = frames.first { $0.segment == segment }!.header.sequence
        disk.set("\(directory)/\(SegmentFileName(firstSequence: first))", bytes)
      }
      var projection = try SessionProjection.open(log(on: disk), of: id)
      var json: [UInt8] = []
      while let block = try projection.next() { json += Array(block) }
      try #require(projection.damage == nil)
      return json
    }
  }
}

private final class Salts: Sendable {
  private let salt: Atomic<UInt32>

  init(_ first: UInt32) { salt = Atomic(first) }
  func next() -> UInt32 { salt.wrappingAdd(11, ordering: .relaxed).oldValue }
}

/// A sealed file of the whole segments in `raw`.
/// - Parameter before: the raw bytes of the log before them: the closing checkpoint describes all of it.
func seal(_ raw: [UInt8], behind before: [UInt8]? = nil) throws -> [UInt8] {
  var file = ByteBuffer()
  var sealer = Sealer(level: 1)
  var summary = SummaryBuilder()
  if let before {
    try walk(before) { header, frame throws(LogError) in
      try summary.apply(header, frame)
    } segment: { _, _ in
    }
  }
  try walk(raw) { header, frame throws(LogError) in
    try sealer.append(header, frame: frame, to: &file)
    try summary.apply(header, frame)
  } segment: { header, bytes throws(LogError) in
    try sealer.append(header, bytes: bytes, to: &file)
  }
  try sealer.finish(checkpoint: try summary.checkpoint!.payload(), to: &file)
  return Array(file.bytes)
}

extension SummaryBuilder {
  fileprivate mutating func apply(_ header: FrameHeader, _ frame: UnsafeRawBufferPointer) throws(LogError) {
    try apply(header.kind, payload: UnsafeRawBufferPointer(rebasing: frame[FrameHeader.size..<FrameHeader.size + header.payloadSize]))
  }
}

private func walk(
  _ raw: [UInt8], frame: (FrameHeader, UnsafeRawBufferPointer) throws(LogError) -> Void,
  segment: (SegmentHeader, UnsafeRawBufferPointer) throws(LogError) -> Void
) throws(LogError) {
  try raw.withRawBytes { raw throws(LogError) in
    var offset = 0
    var salt: UInt32 = 0
    while offset < raw.count {
      let rest = UnsafeRawBufferPointer(rebasing: raw[offset...])
      if let size = SegmentHeader.declaredSize(rest) {
        let header = try SegmentHeader(rest)
        salt = header.salt
        try segment(header, UnsafeRawBufferPointer(rebasing: rest[0..<size]))
        offset += size
        continue
      }
      guard let header = FrameHeader(rest, salt: salt) else { throw LogError(.corrupt, "no frame") }
      try frame(header, UnsafeRawBufferPointer(rebasing: rest[0..<header.frameSize]))
      offset += header.frameSize
    }
  }
}

extension KnownLog {
  func path(_ sequence: UInt64, isSealed: Bool = false) -> String {
    path(SegmentFileName(firstSequence: sequence, isSealed: isSealed))
  }

  /// The raw bytes of these segments in one sealed file.
  func sealed(_ numbers: Range<Int>) throws -> [UInt8] {
    func raw(_ range: Range<Int>) -> [UInt8] { range.flatMap { segments[$0].bytes } }
    return try seal(raw(numbers), behind: numbers.lowerBound == 0 ? nil : raw(0..<numbers.lowerBound))
  }

  struct Found {
    var count = 0
    var error: LogError?
    var ending: LogEnding?
  }

  /// Reads the log as readers do; each frame that comes must be this one's.
  /// - Parameter between: is called before the first frame, and behind each with how many have come.
  func read(_ disk: MemoryDisk, between: (Int) -> Void = { _ in }) throws -> Found {
    var found = Found()
    do throws(LogError) {
      var reader = try LogReader.open(KnownLog.log(on: disk), of: KnownLog.id)
      between(0)
      while let frame = try reader.next() {
        guard found.count < frames.count else {
          Issue.record("more than there was")
          break
        }
        let payload = Array(try reader.payload)
        let isRight = frames[found.count].header == frame && payload == frames[found.count].payload
        #expect(isRight, "frame \(found.count)")
        found.count += 1
        between(found.count)
      }
      found.ending = reader.ending
    } catch {
      found.error = error
    }
    return found
  }
}
