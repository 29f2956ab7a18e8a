internal import LogFormat
internal import LogStorage

/// A whole log that is made under a temporary name, of frames that are there already: for import and recovery. Nothing of it is on stable storage before it is
/// finished and synced.
struct LogBuilder: ~Copyable {
  let log: LogDirectory
  private let lock: LogLock
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
      writer = try LogWriter.start(log, header, lock: lock, syncs: false) { UInt32.random(in: .min ... .max) }
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

  /// Nothing may be appended afterwards. Before it gets its name the log must be synced, for its last frame says that all of it is on stable storage.
  mutating func finish() throws(LogError) -> UnnamedLog {
    try writer.append(.checkpoint, try Checkpoint(header: header, summary: summary.summary).payload())
    try flush()
    let end = try writer.syncPoint()!
    try writer.didSync(end)
    writer.appendMark()
    writer.release()
    return UnnamedLog(log: log, lock: lock, end: end)
  }

  private mutating func flush() throws(LogError) {
    if let error = writer.flush().error { throw error }
  }
}

/// A finished log that has not got its name yet. While someone has it nobody takes it for a left-over.
struct UnnamedLog {
  let log: LogDirectory
  private let lock: LogLock
  private let end: LogWriter.SyncPoint

  fileprivate init(log: LogDirectory, lock: LogLock, end: LogWriter.SyncPoint) {
    self.log = log
    self.lock = lock
    self.end = end
  }

  /// Puts all of it on stable storage.
  func sync() throws(LogError) {
    try end.sync()
    try log.fileSystem.syncDirectory(log.path)
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
