internal import LogFormat
internal import LogStorage

/// A whole log that is made under a temporary name, of frames that are there already: for import and recovery.
struct LogBuilder: ~Copyable {
  let log: LogDirectory
  /// Held as long as someone has it, also behind `finish`.
  let lock: LogLock
  private var writer: LogWriter
  private(set) var summary: SummaryBuilder

  private let header: SessionHeader
  private static let segmentSizeMax = 64 << 20

  /// - Parameter directory: where the log's directory is made, under a name that no session has.
  init(_ header: SessionHeader, in directory: SessionsDirectory) throws(LogError) {
    let log = try directory.makeTemporaryLog(of: header.sessionID)
    let lock: LogLock
    let writer: LogWriter
    do throws(LogError) {
      lock = try LogLock(.writer, of: log)
      writer = try LogWriter.start(log, header, lock: lock) { UInt32.random(in: .min ... .max) }
    } catch {
      try? log.delete()
      throw error
    }
    self.header = header
    self.log = log
    self.lock = lock
    self.writer = writer
    summary = SummaryBuilder(header)
  }

  /// - Throws: `LogError` `corrupt` if the payload is not what Format/record.md says, or does not fit what came before: nothing is appended then.
  mutating func append(_ kind: FrameKind, _ payload: UnsafeRawBufferPointer) throws(LogError) {
    try summary.apply(kind, payload: payload)
    let start = writer.buffer.beginFrame()
    writer.buffer.append(payload)
    try writer.endFrame(at: start, kind)
    if writer.buffer.count > 1 << 20 { try flush() }
    if writer.segmentSize > Self.segmentSizeMax {
      try flush()
      try writer.roll(Checkpoint(header: header, summary: summary.summary))
    }
  }

  /// Puts all of it on stable storage. Nothing may be appended afterwards.
  mutating func finish() throws(LogError) {
    try writer.append(.checkpoint, try Checkpoint(header: header, summary: summary.summary).payload())
    try flush()
    try writer.sync()
    writer.appendMark()
    writer.release()
  }

  private mutating func flush() throws(LogError) {
    if let error = writer.flush().error { throw error }
  }
}

extension SessionsDirectory {
  fileprivate func makeTemporaryLog(of id: SessionID) throws(LogError) -> LogDirectory {
    while true {
      let log = LogDirectory(path: asidePath("\(id).log", "tmp"), fileSystem: fileSystem)
      if try fileSystem.makeDirectory(log.path) { return log }
    }
  }

  /// A name that no session has: `.NAME.XXXXXXXX.SUFFIX`.
  func asidePath(_ name: String, _ suffix: String) -> String {
    LogStorage.path(path, ".\(name).\(String(UInt32.random(in: .min ... .max), radix: 16)).\(suffix)")
  }
}
