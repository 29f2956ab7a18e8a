import Foundation
import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// A storage directory of a test's own, and ways into it. No timer syncs, and nothing is sealed, unless a test asks for it; each opening looks for what is too
/// old or left over.
final class Storage: Sendable {
  let directory: TemporaryDirectory
  let notices = Lines()

  init() throws {
    directory = try TemporaryDirectory()
  }

  var path: String { directory.path }
  var sessions: SessionsDirectory { SessionsDirectory(storageDirectory: path, fileSystem: DiskFileSystem()) }
  var store: SessionStore { SessionStore(storageDirectory: path) }

  var options: ProvChain.Options {
    var options = ProvChain.Options()
    options.syncInterval = .seconds(1_000_000)
    options.retentionInterval = .zero
    options.sealingSizeMin = nil
    options.notice = { [notices] in notices.append($0) }
    return options
  }

  func options(_ change: (inout ProvChain.Options) -> Void) -> ProvChain.Options {
    var options = options
    change(&options)
    return options
  }

  func start(_ id: String? = nil, _ options: ProvChain.Options? = nil) throws(LogError) -> ProvChain {
    let id = if let id { try SessionID(id) } else { nil as SessionID? }
    return try ProvChain(
      storageDirectory: path, label: "a test", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: id, options: options ?? self.options)
  }

  /// Through a file system that has seen nothing when this returns.
  func start(_ id: String, watchedBy disk: WatchedFileSystem, _ change: (inout ProvChain.Options) -> Void) throws -> ProvChain {
    let prov = try start(
      id,
      options {
        $0.fileSystem = disk
        change(&$0)
      })
    disk.forget()
    return prov
  }

  func resume(_ id: String, _ options: ProvChain.Options? = nil) throws(LogError) -> ProvChain {
    try ProvChain(resuming: try SessionID(id), storageDirectory: path, retentionHours: nil, options: options ?? self.options)
  }

  func log(_ id: String) throws -> LogDirectory { sessions.log(of: try SessionID(id)) }

  /// Path of a file of the log, the newest unless `index` says which.
  func segment(_ id: String, _ index: Int? = nil) throws -> String {
    let log = try log(id)
    let names = try log.segments()
    return log.path(of: names[index ?? names.count - 1].description)
  }

  func seqs(_ id: String) throws -> [Int64] {
    var reader = try store.getSession(id).actions()
    var seqs: [Int64] = []
    while let action = try reader.next() { seqs.append(action.seq) }
    return seqs
  }

  func actions(_ id: String) throws -> [ActionRecord] {
    var reader = try store.getSession(id).actions()
    var actions: [ActionRecord] = []
    while let action = try reader.next() { actions.append(action) }
    return actions
  }

  /// The payloads of all actions as they are kept.
  func payloads(_ id: String) throws -> [String] {
    var reader = try LogReader.open(try log(id), of: try SessionID(id))
    var payloads: [String] = []
    while let frame = try reader.next() {
      if frame.kind == .action { payloads.append(String(decoding: try reader.payload, as: UTF8.self)) }
    }
    return payloads
  }

  func project(_ id: String) throws -> (json: [UInt8], damage: LogError?, bytesInDoubt: UInt64) {
    var projection = try SessionProjection.open(try log(id), of: try SessionID(id))
    var json: [UInt8] = []
    while let block = try projection.next() { json += Array(block) }
    return (json, projection.damage, projection.bytesInDoubt)
  }

  func verify(_ id: String, isDeep: Bool = false) throws -> Verification { try sessions.verify(try SessionID(id), isDeep: isDeep) }

  /// All files below `path`, with what is in them.
  func contents() throws -> [String: [UInt8]] { try treeContents(path) }
}

/// Lines that were handed over, from any thread.
final class Lines: Sendable {
  private let lines = Mutex<[String]>([])

  func append(_ line: String) { lines.withLock { $0.append(line) } }
  var all: [String] { lines.withLock { $0 } }
}

/// Its code, if `body` throws a `LogError`; any other error is an issue.
func errorCode<Result>(_ body: () throws -> Result) -> LogError.Code? { logError(body)?.code }

func logError<Result>(_ body: () throws -> Result) -> LogError? {
  do {
    _ = try body()
    return nil
  } catch let error as LogError {
    return error
  } catch {
    Issue.record("an error of another kind: \(error)")
    return nil
  }
}

func action(_ type: JSONString = "t", _ outcome: JSONString = "verified", note: JSONString = "") -> Action {
  Action(actionType: type, outcome: outcome, note: note)
}

extension DiskFileSystem {
  func append(_ bytes: [UInt8], to path: String) throws {
    let file = try open(path, for: .readingAndWriting)
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: try file.status().size) }
  }

  func cut(_ path: String, to size: UInt64) throws {
    try open(path, for: .readingAndWriting).truncate(to: size)
  }

  func flipBit(at offset: UInt64, of path: String) throws {
    let file = try open(path, for: .readingAndWriting)
    let bytes = try readBytes(of: file, at: offset, count: 1).map { $0 ^ 1 }
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: offset) }
  }
}

func makeLink(_ path: String, to target: String) throws {
  try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
}

/// The header CRC that a segment with this header must have.
func headerChecksum(_ header: [UInt8]) -> [UInt8] {
  let crc = header[..<132].withUnsafeBytes { crc32c(0, $0) }
  return (0..<4).map { UInt8(truncatingIfNeeded: crc >> (8 * $0)) }
}
