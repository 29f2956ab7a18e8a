import LogStorage
import ProvenanceLog
import TestSupport
import Testing

// README: begin
func deployWidgets(_ kernelDirectory: String) throws {
  var options = ProvChain.Options()
  options.durability = .power  // recordAction returns once the action is on stable storage
  let prov = try ProvChain(
    storageDirectory: kernelDirectory, label: "deploy-widgets", kernelURN: "ckp://Kernel#MyKernel:v1.0", options: options)

  try prov.recordAction(actionType: "widget.deploy", outcome: "verified", intent: ["target": "prod"], evidence: ["replicas": 3])

  // Act, wait, check, record the outcome, try again if need be.
  var replicas = 3
  try prov.verifiedAction(
    actionType: "widget.scale", kernel: "MyKernel", settleDelay: .milliseconds(10), captureState: { ["replicas": JSONValue(replicas)] },
    action: { replicas = 5 }, verify: { replicas == 5 })

  try prov.close()

  // Later, or after a crash: the next action gets the next seq.
  let again = try ProvChain(resuming: prov.sessionID, storageDirectory: kernelDirectory)
  try again.recordAction(actionType: "widget.check", outcome: "verified")
  let session = try again.close()

  for session in try SessionStore(storageDirectory: kernelDirectory).listSessions() {
    print(session.sessionID, session.label, session.outcome, session.actionCount)
  }
  var actions = try session.actions()  // read one by one, from disk
  while let action = try actions.next() { print(action.seq, action.actionType, action.outcome, action.diffSummary ?? "") }
}
// README: end

/// The Swift in README.md compiles, runs, and is what stands here.
struct ReadmeExample {
  @Test func runs() throws {
    let storage = try TemporaryDirectory()
    try deployWidgets(storage.path)
    let sessions = try SessionStore(storageDirectory: storage.path).listSessions()
    #expect(sessions.map(\.actionCount) == [3])
  }

  @Test func isInTheReadme() throws {
    let source = String(decoding: try DiskFileSystem().bytes(of: #filePath), as: UTF8.self)
    let readme = String(decoding: try DiskFileSystem().bytes(of: "\(repositoryPath())/README.md"), as: UTF8.self)
    let example = source.split(separator: "// README: begin\n")[1].split(separator: "// README: end\n")[0]
    #expect(readme.contains("import ProvenanceLog\n\n\(example)"))
  }
}
