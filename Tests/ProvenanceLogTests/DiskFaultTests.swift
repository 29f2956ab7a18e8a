import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Every operation of every workload fails, on the simulated disk, and the disk is full at every byte. Afterwards the session is read as the next process
/// finds it, and as power cuts during its life leave it.
///
/// The quick form takes a few at random; with CKPROV_SECONDS every one is taken in turn, for so long.
struct DiskFaultTests {
  enum Kind: CaseIterable {
    case io, noSpace, interrupted, shortWrite

    /// - Returns: `nil` if such an operation does not fail so.
    func fault(_ operation: DiskOperation) -> DiskFault? {
      switch (self, operation) {
      case (.io, _): DiskFault(.io, errno: 5)
      case (.interrupted, _): DiskFault(.io, errno: 4)
      case (.noSpace, .read), (.noSpace, .remove), (.noSpace, .removeDirectory), (.noSpace, .truncate): nil
      case (.noSpace, _): DiskFault(.noSpace, errno: 28)
      case (.shortWrite, .write(_, let size)): DiskFault(.noSpace, written: size / 2, errno: 28)
      case (.shortWrite, _): nil
      }
    }
  }

  /// What the k-th operation, or every one from it on, has become.
  private final class Plan: Sendable {
    private let kind: Kind
    private let first: Int
    private let isForEver: Bool
    private let count = Mutex(0)
    private let failed = Mutex<DiskOperation?>(nil)

    init(_ kind: Kind, at first: Int, isForEver: Bool) {
      self.kind = kind
      self.first = first
      self.isForEver = isForEver
    }

    func fault(_ operation: DiskOperation) -> DiskFault? {
      guard let fault = kind.fault(operation) else { return nil }
      let number = count.withLock { count in
        defer { count += 1 }
        return count
      }
      guard number == first || (isForEver && number > first) else { return nil }
      failed.withLock { $0 = $0 ?? operation }
      return fault
    }

    /// The first that failed.
    var operation: DiskOperation? { failed.withLock { $0 } }
    /// How many there were that could have failed.
    var operations: Int { count.withLock { $0 } }
  }

  // MARK: Faults

  @Test(arguments: Workload.allCases)
  func everyOperationFails(_ workload: Workload) throws {
    let effort = Effort(cases: Workload.allCases.count, seed: Workload.allCases.firstIndex(of: workload) ?? 0)
    var random = SeededGenerator(seed: effort.seed)
    var runs = 0
    repeat {
      let seed = random.next()
      for durability in ProvChain.Durability.allCases {
        for kind in Kind.allCases {
          for isForEver in [false, true] {
            let operations = try count(workload, durability, kind, seed)
            let failing = effort.isLong ? Array(0..<operations) : (0..<2).map { _ in Int.random(in: 0..<max(1, operations), using: &random) }
            for k in failing where !effort.isOver {
              let plan = Plan(kind, at: k, isForEver: isForEver)
              do {
                try fail(workload, durability, kind, plan, isOnce: !isForEver, seed, &random)
              } catch {
                Issue.record(
                  """
                  \(workload), \(durability), seed \(effort.seed) (\(seed)), \(kind) \(isForEver ? "from" : "at") operation \(k) of \(operations), \
                  \(plan.operation.map { "\($0)" } ?? "none"): \(error)
                  """)
                return
              }
              runs += 1
            }
          }
        }
      }
    } while effort.isLong && !effort.isOver
    print("RESULT: faults in \(workload): \(runs) runs, seed \(effort.seed)")
  }

  private func count(_ workload: Workload, _ durability: ProvChain.Durability, _ kind: Kind, _ seed: UInt64) throws -> Int {
    let life = try workload.prepare(durability, seed: seed, isFaulty: true)
    let plan = Plan(kind, at: .max, isForEver: false)
    life.setRule { plan.fault($0) }
    try workload.run(life, seed: seed)
    return plan.operations
  }

  private func fail(
    _ workload: Workload, _ durability: ProvChain.Durability, _ kind: Kind, _ plan: Plan, isOnce: Bool, _ seed: UInt64,
    _ random: inout SeededGenerator
  ) throws {
    let life = try workload.prepare(durability, seed: seed, isFaulty: true)
    life.setRule { plan.fault($0) }
    try workload.run(life, seed: seed)
    life.heal()
    let codes = Set(life.errors.map(\.code))
    if let operation = plan.operation {
      let code = kind.fault(operation)?.error.code ?? .io
      guard codes.isSubset(of: [code, .poisoned]) else { throw LogError(.corrupt, "errors \(codes)") }
      if isOnce, case .write(let path, _) = operation, path.hasSuffix(".seg"), codes.contains(.poisoned) {
        throw LogError(.corrupt, "a write that failed and was undone has poisoned the writer")
      }
    }
    // The next process finds what the system has not written yet, too, and goes on; removals are left as they are.
    if Bool.random(using: &random) { life.kill() } else { life.drop() }
    if ![.remove, .expire].contains(workload), Bool.random(using: &random) {
      try life.record()
      try life.sync()
    }
    try checkAfter(life, &random)
  }

  /// As the next process finds it; and after power cuts, some anywhere, some at the end.
  private func checkAfter(_ life: Life, _ random: inout SeededGenerator) throws {
    life.drop()
    _ = try checkCrashState(life.disk.image, life.promise, of: life, salt: 3)
    let losses = [0, 0.5, 1].randomElement(using: &random)!
    let points = CrashPoint.all(of: life.disk.operations, on: life.disk.base, losses: losses, using: &random)
    for point in [points[points.count - 1], points.randomElement(using: &random)!, points.randomElement(using: &random)!] {
      for keeping in [0, 0.5] {
        let image = point.state(keeping: keeping, garbage: 0, using: &random)
        do {
          _ = try checkCrashState(image, life.promises[point.promise], of: life, salt: 4)
        } catch {
          throw LogError(.corrupt, "after a power cut, keeping \(keeping), \(life.promises[point.promise]): \(error)")
        }
      }
    }
  }

  // MARK: Full

  /// Each workload but those that make failures of their own, and those that do not record.
  static let recording = Workload.allCases.filter { ![.failedSync, .remove, .expire, .importLegacy].contains($0) }

  @Test(arguments: recording)
  func diskIsFullAtEveryByte(_ workload: Workload) throws {
    let effort = Effort(cases: Self.recording.count, seed: Self.recording.firstIndex(of: workload) ?? 0)
    var random = SeededGenerator(seed: effort.seed)
    var runs = 0
    repeat {
      let seed = random.next()
      for durability in ProvChain.Durability.allCases {
        let size = try fill(workload, durability, seed, room: .max / 2).disk.used
        let sizes = effort.isLong ? Array(0...size) : (0..<6).map { _ in Int.random(in: 0...size, using: &random) }
        for room in sizes where !effort.isOver {
          do {
            let life = try fill(workload, durability, seed, room: room)
            guard life.errors.allSatisfy({ $0.code == .noSpace }) else { throw LogError(.corrupt, "errors \(life.errors.map(\.code))") }
            life.heal()
            try life.record()
            try life.sync()
            try life.record()
            try checkAfter(life, &random)
          } catch {
            Issue.record("\(workload), \(durability), seed \(effort.seed) (\(seed)), room for \(room) of \(size) bytes: \(error)")
            return
          }
          runs += 1
        }
      }
    } while effort.isLong && !effort.isOver
    print("RESULT: full disks in \(workload): \(runs) runs, seed \(effort.seed)")
  }

  private func fill(_ workload: Workload, _ durability: ProvChain.Durability, _ seed: UInt64, room: Int) throws -> Life {
    let life = try workload.prepare(durability, seed: seed, isFaulty: true)
    life.disk.setRoom(room)
    try workload.run(life, seed: seed)
    return life
  }
}
