import LogFormat
import LogStorage
import ProvenanceLog
import TestSupport

/// One workload under crashes at every moment: the states that the disk may be in after each are made, and what the log makes of them is checked.
///
/// A variant is one run of the workload; its crash points are gone through in rounds, one state of each a round: all subsets of what is in doubt where
/// these are few, random ones elsewhere. Of some states the recovery is taken for a workload itself, so that it is cut off, too.
struct CrashExplorer {
  let workload: Workload
  let durability: ProvChain.Durability
  private let seed: UInt64
  private var random: SeededGenerator
  private var seen: Set<UInt64> = []
  private var variant = -1
  private var history: Life!
  /// Those at which there is something new.
  private var points: [(cut: Int, point: CrashPoint)] = []
  private var round = 0

  private(set) var operations = 0
  /// Made, equal ones included.
  private(set) var states = 0
  /// Of the distinct ones, those that a cut left during the recovery from another.
  private(set) var distinctOfRecovery = 0
  private(set) var violations: [String] = []

  var distinct: Int { seen.count }

  private static let exhaustiveDoubtsMax = 10
  private var roundsMax: Int { workload.isRandom ? 64 : 4 + 1 << Self.exhaustiveDoubtsMax }

  init(_ workload: Workload, _ durability: ProvChain.Durability, seed: UInt64) {
    self.workload = workload
    self.durability = durability
    self.seed = seed
    random = SeededGenerator(seed: seed)
  }

  /// Goes on until so many more states were made, or something is found.
  mutating func explore(states count: Int) {
    let end = states + count
    while states < end, violations.isEmpty {
      if points.isEmpty || round == roundsMax {
        do { try nextVariant() } catch { violations.append("\(workload), \(durability), seed \(seed), variant \(variant): \(error)") }
        continue
      }
      var isExhausted = true
      for (cut, point) in points {
        guard let image = state(round, of: point) else { continue }
        isExhausted = false
        visit(image, point, cut)
      }
      round = isExhausted ? roundsMax : round + 1
    }
  }

  private mutating func nextVariant() throws {
    variant += 1
    round = 0
    let variantSeed = random.next()
    history = try workload.prepare(durability, seed: variantSeed)
    try workload.run(history, seed: variantSeed)
    operations = max(operations, history.disk.operations.count)
    // The first run loses all that a failed sync forgot, later ones a part.
    let losses = variant == 0 ? 1 : Double.random(in: 0...1, using: &random)
    points = changes(CrashPoint.all(of: history.disk.operations, on: history.disk.base, losses: losses, using: &random), history)
  }

  /// Without those whose states are all states of the one before: a sync only takes some away.
  private func changes(_ points: [CrashPoint], _ life: Life) -> [(cut: Int, point: CrashPoint)] {
    zip(points.indices, points).filter { cut, _ in
      switch cut == 0 ? nil : life.disk.operations[cut - 1] {
      case .make, .sync: false
      default: true
      }
    }
  }

  /// - Returns: `nil` if the point has no further ones.
  private mutating func state(_ round: Int, of point: CrashPoint) -> DiskImage? {
    let doubts = point.doubts
    switch round {
    case 0: return point.state { _ in false }
    case 1: return point.state { _ in true }
    case 2: return point.state { $0 != 0 }
    case 3: return point.state { $0 == doubts - 1 }
    default: break
    }
    if doubts <= Self.exhaustiveDoubtsMax {
      guard round - 4 < 1 << doubts else { return nil }
      // Each once, in an order that mixes them.
      let mask = ((round - 4) * 0x9E3B + 0x5D) % (1 << doubts)
      return point.state { mask >> $0 & 1 == 1 }
    }
    let keeping = [0.5, 0.9, 0.1, 0.7][round % 4]
    return point.state(keeping: keeping, garbage: round % 3 == 0 ? 0.3 : 0, using: &random)
  }

  private mutating func visit(_ image: DiskImage, _ point: CrashPoint, _ cut: Int) {
    states += 1
    let promise = history.promises[point.promise]
    let (isNew, key) = remember(image, promise)
    guard isNew else { return }
    do {
      let recovery = try checkCrashState(image, promise, of: history, salt: 1)
      if key % 8 == 0 { try exploreRecovery(recovery) }
    } catch {
      violations.append(
        "\(workload), \(durability), seed \(seed), variant \(variant), cut behind operation \(cut), round \(round), \(promise): \(error)")
    }
  }

  private mutating func remember(_ image: DiskImage, _ promise: Life.Promise) -> (isNew: Bool, key: UInt64) {
    var hasher = Hasher()
    hasher.combine(image.fingerprint)
    hasher.combine(promise)
    let key = UInt64(bitPattern: Int64(hasher.finalize()))
    return (seen.insert(key).inserted, key)
  }

  /// Power is cut again, while the session is resumed and goes on.
  private mutating func exploreRecovery(_ recovery: Life) throws {
    let points = changes(CrashPoint.all(of: recovery.disk.operations, on: recovery.disk.base, losses: 1, using: &random), recovery)
    for (cut, point) in points {
      for keeping in [0, 1, 0.5] {
        states += 1
        let image = point.state(keeping: keeping, garbage: 0, using: &random)
        let promise = recovery.promises[point.promise]
        guard remember(image, promise).isNew else { continue }
        distinctOfRecovery += 1
        do {
          for name in try recovery.seals ? [] : SimulatedDisk(recovery.disk.base).oldSegments() where !image.hasSameFile(name, as: recovery.disk.base)
          {
            throw LogError(.corrupt, "recovery has changed an old segment", path: name)
          }
          _ = try checkCrashState(image, promise, of: recovery, salt: 2)
        } catch {
          throw LogError(.corrupt, "and again behind operation \(cut) of the recovery, keeping \(keeping), \(promise): \(error)")
        }
      }
    }
  }
}

/// Reads the session of a crashed disk, compares it with what was promised, and goes on with it.
/// - Returns: how it went on.
func checkCrashState(_ image: DiskImage, _ promise: Life.Promise, of history: Life, salt: UInt64) throws -> Life {
  let disk = SimulatedDisk(image)
  let viewPath = disk.sessions.viewPath(Life.id)
  let json = image.bytes(of: viewPath)
  let isStarted = try disk.hasStarted()
  let listed = try SessionStore(disk.sessions).entries().first { $0.name == Life.id.description }

  func violation(_ message: String) -> LogError { LogError(.corrupt, message) }
  if promise.presence == .certain, !isStarted { throw violation("the session is gone") }
  if promise.presence == .gone, isStarted || json != nil { throw violation("the session is there again") }
  let legacy = promise.legacyFile == .gone ? nil : history.disk.base.bytes(of: viewPath)
  if promise.legacyFile == .certain || !isStarted, json != legacy {
    throw violation(legacy == nil ? "a view without a log looks like a session" : "the imported file has changed")
  }
  if (listed != nil) != (isStarted || json != nil) { throw violation("listed: \(listed != nil), started: \(isStarted), JSON: \(json != nil)") }

  var found: [JSONString] = []
  if isStarted {
    found = try history.notes(on: disk)
    try compare(found, with: history.attempts, promise.kept)
    guard let session = listed?.session, session.actionCount == found.count else { throw violation("the list says another number of actions") }
    if promise.isClosed, session.endedAt == nil { throw violation("the session is no longer closed") }
    if let json, !history.hasFaults, try json != project(disk.log) { throw violation("the view is not the session") }
  }

  // So are those that were imported with it, if they are there.
  for id in try disk.sessions.entries().logs where Workload.importedWithIt.contains(id.description) {
    let verification = try disk.sessions.verify(id)
    if verification.isDamaged || verification.actions != 3 { throw violation("session \(id) is not whole") }
  }

  // A legacy session that has no log yet is imported.
  if !isStarted, json != nil { found = history.attempts.prefix(promise.kept).map(\.note) }
  let recovery = Life(
    on: disk, .power, seed: salt, attempts: found.map { .init(note: $0, returned: true) },
    promise: .init(
      kept: found.count, presence: isStarted ? .certain : .possible, isClosed: listed?.session?.endedAt != nil,
      legacyFile: json == nil ? .gone : promise.legacyFile)
  ) { $0.sealingSizeMin = history.options.sealingSizeMin }
  if isStarted {
    try recovery.resume()
    try recovery.record()
  } else if json == nil {
    try recovery.start()
    try recovery.record()
  } else {
    try recovery.importSession(viewPath)
  }
  let after = try recovery.notes(on: disk)
  guard after == found + (isStarted || json == nil ? [recovery.attempts[found.count].note] : []) else {
    throw violation("after \(found.count) actions and another there are \(after.count)")
  }
  if isStarted, disk.image.bytes(of: viewPath) != nil { throw violation("a view of a session that has gone on stands there") }
  for name in try SimulatedDisk(image).oldSegments() where !disk.image.hasSameFile(name, as: image) {
    throw LogError(.corrupt, "an old segment was changed", path: name)
  }
  if recovery.seals {
    try recovery.compact()
    try recovery.close()
    try recovery.compact()
    guard try recovery.notes(on: disk) == after, try disk.log.segments().count == 1 else { throw violation("compaction has changed the log") }
    guard try disk.names(in: disk.log.path).allSatisfy({ !$0.hasSuffix(".tmp") }) else { throw violation("compaction has left something") }
  }
  return recovery
}

/// What was found is what was sent, in order, up to some point: all that returned is there up to it, and that point is not before what is promised.
func compare(_ found: [JSONString], with attempts: [Life.Attempt], _ kept: Int) throws(LogError) {
  var next = 0
  var missing: Int?
  for (index, attempt) in attempts.enumerated() {
    if next < found.count, attempt.note == found[next] {
      if let missing { throw LogError(.corrupt, "action \(missing + 1) is missing before \(index + 1)") }
      next += 1
    } else if attempt.returned {
      missing = missing ?? index
      if index < kept { throw LogError(.corrupt, "action \(index + 1) was promised and is lost; \(found.count) of \(attempts.count) are there") }
    }
  }
  guard next == found.count else { throw LogError(.corrupt, "there are \(found.count) actions, the one behind \(next) was never sent there") }
}

private func project(_ log: LogDirectory) throws(LogError) -> [UInt8] {
  var projection = try SessionProjection.open(log, of: Life.id)
  var json: [UInt8] = []
  while let block = try projection.next() { json += Array(block) }
  if let damage = projection.damage { throw damage }
  return json
}

extension SimulatedDisk {
  /// Paths of the session's segments, if there are any.
  fileprivate func oldSegments() throws(LogError) -> [String] {
    let log = log
    guard try hasStarted() else { return [] }
    return try log.segments().map { log.path(of: $0.description) }
  }
}
