import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// What the sessions of a storage directory must hold, in memory: the whole of what the log is for.
private struct Model {
  struct Session {
    var actions: [JSONString] = []
    /// So many are on stable storage.
    var durable = 0
    /// Nothing was recorded since the last close.
    var isClosed = false
    var isClosedDurably = false
    /// A view may stand beside the log.
    var mayHaveView = false
  }

  var sessions: [String: Session] = [:]

  mutating func start(_ id: String) { sessions[id] = Session() }

  mutating func record(_ id: String, _ notes: [JSONString], isDurable: Bool) {
    sessions[id]!.actions += notes
    sessions[id]!.isClosed = false
    sessions[id]!.isClosedDurably = false
    sessions[id]!.mayHaveView = false
    if isDurable { sync(id) }
  }

  mutating func sync(_ id: String) { sessions[id]!.durable = sessions[id]!.actions.count }

  mutating func close(_ id: String) {
    sync(id)
    sessions[id]!.isClosed = true
    sessions[id]!.isClosedDurably = true
    sessions[id]!.mayHaveView = true
  }

  mutating func resume(_ id: String) {
    sync(id)
    sessions[id]!.mayHaveView = false
  }

  mutating func remove(_ id: String) { sessions[id] = nil }

  /// After a power cut so many actions of a session were found.
  /// - Returns: false if that may not be.
  mutating func crash(_ id: String, found: Int) -> Bool {
    let session = sessions[id]!
    guard session.durable...session.actions.count ~= found else { return false }
    sessions[id]!.actions.removeLast(session.actions.count - found)
    sync(id)
    return true
  }
}

/// Random operations on several sessions, against the model.
///
/// The quick form takes some hundreds of steps; with CKPROV_SECONDS it goes on for so long. CKPROV_SEED repeats a run.
struct ModelTests {
  @Test(arguments: ProvChain.Durability.allCases)
  func sessionsHoldWhatTheModelSays(_ durability: ProvChain.Durability) throws {
    let effort = Effort(cases: 2, seed: durability == .power ? 1 : 0)
    var random = SeededGenerator(seed: effort.seed)
    var steps = 0
    var run: UInt64 = 0
    repeat {
      var world = World(durability, seed: random.next())
      for step in 0..<150 {
        do { try world.step() } catch {
          Issue.record("\(durability), seed \(effort.seed), run \(run), step \(step), \(world.last): \(error)")
          return
        }
        steps += 1
      }
      run += 1
    } while effort.isLong ? !effort.isOver : run < 4
    print("RESULT: model, \(durability): \(steps) steps, 0 differences, seed \(effort.seed)")
  }
}

/// The sessions as they are on the disk, beside the model.
private struct World {
  private static let storageDirectory = "store"
  private static let ids = ["a", "b", "c"]

  private let durability: ProvChain.Durability
  private var random: SeededGenerator
  private var disk = SimulatedDisk()
  private var model = Model()
  private var chains: [String: ProvChain] = [:]
  private let timers = Timers()
  private var notes = 0
  /// What was done last.
  private(set) var last = ""

  private final class Timers: Sendable {
    let bodies = Mutex<[@Sendable () -> Void]>([])
  }

  init(_ durability: ProvChain.Durability, seed: UInt64) {
    self.durability = durability
    random = SeededGenerator(seed: seed)
  }

  private var sessions: SessionsDirectory { SessionsDirectory(storageDirectory: Self.storageDirectory, fileSystem: disk) }

  private mutating func options() -> ProvChain.Options {
    var options = ProvChain.Options()
    options.fileSystem = disk
    options.durability = durability
    options.view = .always
    options.notice = { _ in }
    options.segmentSizeMax = [900, 3000, 64 << 20].randomElement(using: &random)!
    options.timer = { [timers] _, body in timers.bodies.withLock { $0.append(body) } }
    return options
  }

  private mutating func nextNote() -> JSONString {
    notes += 1
    return JSONString("\(notes) \(String(repeating: "y", count: Int.random(in: 0..<500, using: &random)))")
  }

  // MARK: Steps

  mutating func step() throws {
    let id = Self.ids.randomElement(using: &random)!
    let kind = Int.random(in: 0..<20, using: &random)
    last = "\(kind) of \(id)"
    switch kind {
    case 0..<8: try record(id, 1)
    case 8..<10: try record(id, Int.random(in: 2...4, using: &random))
    case 10:
      try chains[id]?.sync()
      if chains[id] != nil { model.sync(id) }
    case 11..<13: try close(id)
    case 13:
      if chains.removeValue(forKey: id) != nil { model.sync(id) }
    case 14: kill()
    case 15, 16: try crash()
    case 17: try remove(id)
    case 18: try changeView(id)
    default: try tick()
    }
    try compare(id)
  }

  private mutating func open(_ id: String) throws -> ProvChain {
    if let chain = chains[id] { return chain }
    let chain: ProvChain
    if model.sessions[id] == nil {
      chain = try ProvChain(
        storageDirectory: Self.storageDirectory, label: "l", kernelURN: "ckp://Kernel#K:v1.0", retentionHours: nil, sessionID: SessionID(id),
        options: options())
      model.start(id)
    } else {
      chain = try ProvChain(resuming: SessionID(id), storageDirectory: Self.storageDirectory, retentionHours: nil, options: options())
      model.resume(id)
    }
    chains[id] = chain
    return chain
  }

  private mutating func record(_ id: String, _ count: Int) throws {
    let chain = try open(id)
    let notes = (0..<count).map { _ in nextNote() }
    let actions = notes.map { Action(actionType: "model", outcome: "verified", note: $0) }
    let before = model.sessions[id]!.actions.count
    let seqs = count == 1 ? try chain.recordAction(actions[0]).seq..<Int64(before + 2) : try chain.recordActions(actions)
    guard seqs == Int64(before + 1)..<Int64(before + 1 + count) else { throw LogError(.corrupt, "seqs \(seqs) behind \(before)") }
    model.record(id, notes, isDurable: durability == .power)
  }

  private mutating func close(_ id: String) throws {
    guard let chain = chains[id] else { return }
    guard try chain.close().actionCount == model.sessions[id]!.actions.count else { throw LogError(.corrupt, "close counts otherwise") }
    model.close(id)
  }

  /// The process dies.
  private mutating func kill() {
    disk.endProcess()
    chains = [:]
    timers.bodies.withLock { $0 = [] }
  }

  /// Power is cut: of what is not durable any part is there.
  private mutating func crash() throws {
    kill()
    let points = CrashPoint.all(of: disk.operations, on: disk.base, losses: 1, using: &random)
    let keeping = [0, 0.3, 0.8, 1].randomElement(using: &random)!
    disk = SimulatedDisk(points[points.count - 1].state(keeping: keeping, garbage: 0.1, using: &random))
    for id in model.sessions.keys.sorted() {
      let found = try actions(id).count
      guard model.crash(id, found: found) else {
        throw LogError(.corrupt, "\(found) of session \(id) are there; \(model.sessions[id]!.durable) were on stable storage")
      }
      let isClosed = try SessionStore(sessions).getSession(id).endedAt != nil
      guard isClosed || !model.sessions[id]!.isClosedDurably else { throw LogError(.corrupt, "session \(id) is no longer closed") }
      model.sessions[id]!.isClosed = isClosed
    }
  }

  /// One goes as the oldest do; who is being written stays.
  private mutating func remove(_ id: String) throws {
    guard model.sessions[id] != nil else { return }
    let isBusy = chains[id] != nil && !model.sessions[id]!.isClosed
    do throws(LogError) {
      try sessions.remove(SessionID(id))
      guard !isBusy else { throw LogError(.corrupt, "a session was removed under its writer") }
      model.remove(id)
      chains[id] = nil
    } catch {
      guard error.code == .locked, chains[id] != nil else { throw error }
    }
  }

  private mutating func changeView(_ id: String) throws {
    guard model.sessions[id]?.isClosed == true else { return }
    let path = sessions.viewPath(try SessionID(id))
    if Bool.random(using: &random), try disk.status(of: path) != nil {
      try disk.remove(path)
    } else {
      try sessions.writeView(of: SessionID(id))
      model.sessions[id]!.mayHaveView = true
    }
  }

  private mutating func tick() throws {
    // Not where the active file is full: what `Workload.rollAfterMark` shows would come.
    guard chains.values.allSatisfy({ $0.options.segmentSizeMax > 1 << 20 }) else { return }
    let bodies = timers.bodies.withLock { bodies in
      defer { bodies = [] }
      return bodies
    }
    guard !bodies.isEmpty else { return }
    for body in bodies { body() }
    for id in chains.keys { model.sync(id) }
  }

  // MARK: Comparing

  private func actions(_ id: String) throws -> [JSONString] {
    let log = sessions.log(of: try SessionID(id))
    var reader = try LogReader.open(log, of: try SessionID(id))
    var notes: [JSONString] = []
    while let frame = try reader.next() {
      if frame.kind == .action { notes.append(try ActionRecord(payload: try reader.payload).note) }
    }
    return notes
  }

  private func compare(_ id: String) throws {
    let store = SessionStore(sessions)
    guard try Set(store.listSessions().map(\.sessionID.description)) == Set(model.sessions.keys) else {
      throw LogError(.corrupt, "listed: \(try store.listSessions().map(\.sessionID.description)), expected: \(model.sessions.keys.sorted())")
    }
    guard let expected = model.sessions[id] else { return }
    guard try actions(id) == expected.actions else { throw LogError(.corrupt, "\(id) holds other actions than the model") }
    let session = try store.getSession(id)
    guard session.actionCount == expected.actions.count, (session.endedAt != nil) == expected.isClosed || chains[id] == nil else {
      throw LogError(.corrupt, "\(id): \(session.actionCount) actions, outcome \(session.outcome)")
    }
    let view = disk.image.bytes(of: sessions.viewPath(session.sessionID))
    guard let view else { return }
    var projection = try SessionProjection.open(sessions.log(of: session.sessionID), of: session.sessionID)
    var json: [UInt8] = []
    while let block = try projection.next() { json += Array(block) }
    guard projection.damage == nil, json == view, expected.mayHaveView else { throw LogError(.corrupt, "the view of \(id) is not the session") }
  }
}
