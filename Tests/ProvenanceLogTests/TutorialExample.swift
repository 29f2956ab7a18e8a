import LogStorage
import ProvenanceLog
import TestSupport
import Testing

/// The Swift of the tutorial compiles, runs, and is what stands there.
struct TutorialExample {
  @Test func runs() throws {
    let storage = try TemporaryDirectory()
    let directory = storage.path
    let (id, isOpen) = try record(directory)
    #expect(isOpen)

    // Tutorial
    let again = try ProvChain(resuming: id, storageDirectory: directory)
    let next = try again.recordAction(actionType: "snapshot.check", outcome: "failed", note: "checksum differs")
    let session = try again.close()
    // Tutorial

    #expect(next.seq == 6 && session.outcome == "partial")
    #expect(try DiskFileSystem().status(of: again.filePath) != nil)

    // Tutorial
    var failures: [String] = []
    var actions = try session.actions()
    while let action = try actions.next() {
      if action.outcome == "failed" { failures.append("\(action.seq) \(action.actionType): \(action.note)") }
    }
    var middle = try session.actions(seqs: 2...4)
    while let action = try middle.next() { print(action.seq, action.note) }
    // Tutorial

    #expect(failures == ["6 snapshot.check: checksum differs"])
  }

  /// What the program did that then died.
  private func record(_ directory: String) throws -> (SessionID, Bool) {
    // Tutorial
    var options = ProvChain.Options()
    options.durability = .power
    let prov = try ProvChain(
      storageDirectory: directory, label: "nightly backup", kernelURN: "ckp://Kernel#CK.Backup:v1.0", options: options)
    let first = try prov.recordAction(
      actionType: "snapshot.make", outcome: "verified", intent: ["volume": "data"], evidence: ["bytes": 734_003_200])
    // Tutorial

    #expect(first.seq == 1 && first.urn.description.hasPrefix("ckp://Action#CK.Backup/snapshot.make-"))

    // Tutorial
    let seqs = try prov.recordActions((1...3).map { Action(actionType: "file.copy", outcome: "verified", note: "file \($0)") })
    // Tutorial

    #expect(seqs == 2..<5)

    // Tutorial
    var copies = 1
    try prov.verifiedAction(
      actionType: "copy.replicate", kernel: "CK.Backup", settleDelay: .zero,
      captureState: { ["copies": JSONValue(copies)] }, action: { copies += 1 }, verify: { copies == 2 })
    // Tutorial

    // Tutorial
    let found = try SessionStore(storageDirectory: directory).getSession(prov.sessionID.description)
    let isOpen = found.endedAt == nil && found.outcome == "in_progress"
    // Tutorial

    return (prov.sessionID, isOpen)
  }

  @Test func isInTheTutorial() throws {
    let source = String(decoding: try DiskFileSystem().bytes(of: #filePath), as: UTF8.self)
    let path = "\(repositoryPath())/Sources/ProvenanceLog/ProvenanceLog.docc/Tutorial.md"
    let page = String(decoding: try DiskFileSystem().bytes(of: path), as: UTF8.self)
    let examples = source.split(separator: "    // Tutorial\n").enumerated().filter { $0.offset % 2 == 1 }.map { example in
      example.element.split(separator: "\n", omittingEmptySubsequences: false).map { $0.dropFirst(4) }.joined(separator: "\n")
    }
    let blocks = page.split(separator: "```swift\n").dropFirst().map { String($0.split(separator: "```\n")[0]) }
    #expect(blocks.count == 6 && Set(blocks) == Set(examples))
  }
}
