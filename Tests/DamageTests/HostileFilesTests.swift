import Foundation
import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// Names in a storage directory that are not what they seem to be, on a real file system.
@Suite(.timeLimit(.minutes(10)))
struct HostileFilesTests {
  private let storage: TemporaryDirectory
  private let disk = DiskFileSystem()

  init() throws {
    storage = try TemporaryDirectory()
    let directory = sessions
    try directory.make()
    _ = try disk.makeDirectory(log.path)
    for file in KnownLog.of(.raw).files { try disk.write(file.bytes, to: path(file.name)) }
    try disk.write([], to: log.path(of: "lock"))
  }

  private var sessions: SessionsDirectory { SessionsDirectory(storageDirectory: storage.path, fileSystem: disk) }
  private var log: LogDirectory { sessions.log(of: KnownLog.id) }
  private var elsewhere: String { "\(storage.path)/elsewhere" }

  private func path(_ name: SegmentFileName) -> String { log.path(of: name.description) }

  /// Every door through which a log is read or changed.
  private var doors: [(String, () throws -> Void)] {
    let (sessions, log, storage) = (sessions, log, storage)
    return [
      (
        "read",
        {
          var reader = try LogReader.open(log, of: KnownLog.id)
          while try reader.nextItem() != nil {}
        }
      ),
      ("state", { _ = try log.state(of: KnownLog.id) }),
      ("verify", { _ = try sessions.verify(KnownLog.id, isDeep: true) }),
      (
        "project",
        {
          var projection = try SessionProjection.open(log, of: KnownLog.id)
          while try projection.next() != nil {}
          if let damage = projection.damage { throw damage }
        }
      ),
      ("write the view", { try sessions.writeView(of: KnownLog.id) }),
      ("plan a recovery", { _ = try sessions.planRecovery(of: KnownLog.id, .salvage) }),
      ("recover", { _ = try sessions.recover(KnownLog.id, .salvage) }),
      ("resume", { _ = try ProvChain(resuming: KnownLog.id, storageDirectory: storage.path, retentionHours: nil) }),
      ("get", { _ = try SessionStore(storageDirectory: storage.path).getSession("known") }),
    ]
  }

  private func expectRefused(_ what: String, except open: Set<String> = [], _ codes: Set<LogError.Code> = [.io]) throws {
    let before = try treeContents(elsewhere)
    for (door, body) in doors where !open.contains(door) {
      do {
        try body()
        Issue.record("\(what): '\(door)' went through")
      } catch let error as LogError {
        #expect(codes.contains(error.code), "\(what): \(door): \(error)")
      }
    }
    #expect(try treeContents(elsewhere) == before, "\(what): something outside was changed")
  }

  private func link(_ path: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
  }

  /// Zeros without end, in a file that begins as the view: whoever asks how much it holds gives up, and leaves it alone.
  @Test func aViewWithoutEndIsBoundedWork() throws {
    let disk = KnownLog.of(.allSealed).disk()
    let sessions = KnownLog.sessions(on: disk)
    try sessions.writeView(of: KnownLog.id)
    let path = sessions.viewPath(KnownLog.id)
    disk.lengthen(path, to: 8 << 30)
    disk.setHook(nil)
    do throws(LogError) {
      try sessions.writeView(of: KnownLog.id)
      Issue.record("it was replaced")
    } catch {
      #expect(error.code == .corrupt && error.path == path && error.message.contains("left alone"), "\(error)")
    }
    #expect(disk.counts.bytes < 160 << 20)
    // Nor does it keep anybody from recovering what is damaged.
    let known = KnownLog.of(.allSealed)
    disk.update(known.path(known.files[1].name)) { $0[$0.count / 3] ^= 1 }
    #expect(try sessions.recover(KnownLog.id, .salvage).originalView != nil)
  }

  @Test func aLinkInThePlaceOfTheLog() throws {
    try disk.rename(log.path, to: elsewhere)
    try link(log.path, to: elsewhere)
    try expectRefused("a link to a log")
    #expect(try SessionStore(storageDirectory: storage.path).listSessions().isEmpty)
  }

  @Test(arguments: [0, 1, 2])
  func aLinkInThePlaceOfAFile(_ index: Int) throws {
    _ = try disk.makeDirectory(elsewhere)
    let path = path(KnownLog.of(.raw).files[index].name)
    try disk.rename(path, to: "\(elsewhere)/file")
    try link(path, to: "\(elsewhere)/file")
    // The state is read from the newest file alone.
    try expectRefused("file \(index) is a link", except: index < 2 ? ["state", "get"] : [])
  }

  @Test func aLinkInThePlaceOfTheLock() throws {
    _ = try disk.makeDirectory(elsewhere)
    try disk.rename(log.path(of: "lock"), to: "\(elsewhere)/lock")
    try link(log.path(of: "lock"), to: "\(elsewhere)/lock")
    // What need not ask whether a writer is at work does not look at it.
    try expectRefused("the lock is a link")
    #expect(throws: (any Error).self) { try sessions.remove(KnownLog.id) }
    try disk.remove(log.path(of: "lock"))
    try link(log.path(of: "lock"), to: "\(elsewhere)/new")
    try expectRefused("the lock is a link to nothing")
    #expect(try disk.names(in: elsewhere) == ["lock"])
  }

  @Test(arguments: [0, 1, 2])
  func aPipeOrADirectoryInThePlaceOfAFile(_ index: Int) async throws {
    let path = path(KnownLog.of(.raw).files[index].name)
    try disk.remove(path)
    #expect(try await runProgram("mkfifo", [path]).status == 0)
    try expectRefused("file \(index) is a pipe", except: index < 2 ? ["state", "get"] : [])
    try disk.remove(path)
    _ = try disk.makeDirectory(path)
    try expectRefused("file \(index) is a directory", except: index < 2 ? ["state", "get"] : [])
  }

  @Test func aPipeInThePlaceOfTheLock() async throws {
    try disk.remove(log.path(of: "lock"))
    #expect(try await runProgram("mkfifo", [log.path(of: "lock")]).status == 0)
    try expectRefused("the lock is a pipe")
  }

  @Test func aLinkInThePlaceOfTheView() throws {
    _ = try disk.makeDirectory(elsewhere)
    try sessions.writeView(of: KnownLog.id)
    let view = sessions.viewPath(KnownLog.id)
    try disk.rename(view, to: "\(elsewhere)/view")
    try link(view, to: "\(elsewhere)/view")
    let before = try treeContents(elsewhere)
    for (_, body) in doors { _ = try? body() }
    #expect(try treeContents(elsewhere) == before)
  }

  /// A hole takes no room on the disk; that it is read as zeros must not take the time for them.
  @Test func aHoleOfEightGigabytes() throws {
    for file in KnownLog.of(.raw).files {
      let opened = try disk.open(path(file.name), for: .readingAndWriting)
      try opened.truncate(to: 8 << 30)
    }
    let verification = try sessions.verify(KnownLog.id, isDeep: true)
    #expect(verification.actions == 8 && verification.problems.map(\.cause) == [], "\(verification.problems)")
    #expect(try sessions.planRecovery(of: KnownLog.id, .salvage).problemCount == 0)
    let prov = try ProvChain(resuming: KnownLog.id, storageDirectory: storage.path, retentionHours: nil)
    #expect(try prov.recordAction(Action(actionType: "t", outcome: "o")).seq == 9)
  }

  // MARK: Ids

  static let badIDs = [
    "", ".", "..", "../x", "../../etc/passwd", "/etc/passwd", "a/b", "a\\b/../c", "a\0b", "a\nb", "a\rb", "\u{1B}[2J", "-rf", ".hidden", "é", "a b",
    "a*", "$(id)",
    String(repeating: "x", count: 65), "~root", "x\u{202E}",
  ]

  @Test(arguments: badIDs)
  func anIDThatIsAPathIsRefusedAtEveryDoor(_ id: String) throws {
    let before = try disk.names(in: storage.path + "/storage/sessions").sorted()
    let store = SessionStore(storageDirectory: storage.path)
    #expect { try SessionID(id) } throws: { ($0 as? LogError)?.code == .invalidInput }
    #expect { try store.getSession(id) } throws: { [.invalidInput, .notFound].contains(($0 as? LogError)?.code) }
    #expect { try store.locate(id) } throws: { [.invalidInput, .notFound].contains(($0 as? LogError)?.code) }
    #expect(SegmentFileName(id) == nil)
    // In files that others have made: in a segment header, a record, and a JSON file.
    var header = KnownLog.of(.raw).files[0].bytes
    let text = Array(id.utf8).prefix(64)
    for index in 0..<64 { header[64 + index] = index < text.count ? text[text.startIndex + index] : 0 }
    Forger.sealSegmentHeader(in: &header)
    // A header ends its id at the first zero, and has room for 64 bytes.
    if !id.contains("\0"), id.utf8.count <= 64 {
      #expect { try header.withRawBytes { bytes throws(LogError) in try SegmentHeader(bytes) } } throws: { ($0 as? LogError)?.code == .corrupt }
    }
    var session = JSONObject()
    session["session_id"] = .string(JSONString(id))
    for key in ["urn", "label", "kernel_action", "started_at", "was_associated_with"] as [JSONString] { session[key] = "2026-03-14T20:00:02.000000Z" }
    let payload = try JSONValue.object(session).compactJSON()
    #expect(throws: (any Error).self) { try payload.withRawBytes { bytes throws(LogError) in try SessionHeader(payload: bytes) } }
    session["actions"] = .array([])
    let file = "\(storage.path)/import.json"
    try disk.write(try JSONValue.object(session).compactJSON(), to: file)
    #expect(throws: (any Error).self) { try sessions.importSession(file) }
    #expect(try disk.names(in: storage.path + "/storage/sessions").sorted() == before)
  }
}
