import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

struct BatchTests {
  private let storage: Storage
  private let disk = WatchedFileSystem()

  init() throws {
    storage = try Storage()
  }

  private func start(_ change: (inout ProvChain.Options) -> Void = { _ in }) throws -> ProvChain {
    try storage.start("a", watchedBy: disk, change)
  }

  private var tooDeep: Action {
    var object: JSONObject = [:]
    for _ in 0..<600 { object = ["k": .object(object)] }
    return Action(actionType: "deep", outcome: "o", intent: .object(object))
  }

  private func batchError(_ prov: ProvChain, _ actions: [Action]) -> BatchError? {
    do throws(BatchError) { try prov.recordActions(actions) } catch { return error }
    return nil
  }

  @Test(arguments: ProvChain.Durability.allCases)
  func batchIsOneWriteAndWithPowerOneSync(_ durability: ProvChain.Durability) throws {
    let prov = try start { $0.durability = durability }
    #expect(try prov.recordActions((1...100).map { action("t\($0)") }) == 1..<101)
    #expect(disk.count(\.isWrite) == 1)
    #expect(disk.count(\.isSync) == (durability == .power ? 1 : 0))
    #expect(try prov.recordActions([action("last")]) == 101..<102)
    #expect(try storage.actions("a").map(\.actionType) == (1...100).map { "t\($0)" } + ["last"])
  }

  /// All of a batch went into the segment that was not full when it began.
  @Test(arguments: [0, 1000, 5000, 3 << 20] as [UInt64])
  func segmentEndsWithTheRecordThatFillsIt(_ sizeMax: UInt64) throws {
    let prov = try start { $0.segmentSizeMax = sizeMax }
    let note = JSONString(String(repeating: "x", count: sizeMax > 1 << 20 ? 300_000 : 100))
    #expect(try prov.recordActions((1...30).map { action("t\($0)", note: note) }) == 1..<31)
    let log = try storage.log("a")
    let sizes = try log.segments().map { try disk.status(of: log.path(of: $0.description))?.size ?? 0 }
    let frame = UInt64(try frameSize())
    #expect(sizes.count > 1 && sizes.dropLast().allSatisfy { $0 >= sizeMax }, "\(sizes)")
    // What a segment begins with may be more than that.
    #expect(sizes.allSatisfy { $0 <= max(sizeMax, 1000) + frame + 8 }, "\(sizes)")
    #expect(try storage.actions("a").map(\.actionType) == (1...30).map { "t\($0)" })
    #expect(try !storage.verify("a").isDamaged)
  }

  /// The batch goes on in a new file, and there is none.
  @Test func whatTheFullSegmentHoldsIsKept() throws {
    let prov = try start {
      $0.segmentSizeMax = 1000
      $0.durability = .power
    }
    disk.setRule { if case .create = $0 { .init(.noSpace) } else { nil } }
    let error = try #require(batchError(prov, (0..<30).map { _ in action() }))
    #expect(error.error.code == .noSpace && error.kept > 0 && error.kept < 10)
    #expect(prov.actionCount == UInt64(error.kept))
    disk.setRule(nil)
    #expect(try prov.recordActions([action()]) == Int64(error.kept + 1)..<Int64(error.kept + 2))
    #expect(try storage.seqs("a") == Array(1...Int64(error.kept + 1)))
  }

  @Test func emptyBatchIsNothing() throws {
    let prov = try start { $0.durability = .power }
    #expect(try prov.recordActions([]).isEmpty)
    #expect(disk.operations.isEmpty && prov.actionCount == 0)
  }

  @Test func actionsBeforeTheBadOneAreKept() throws {
    let lines = Lines()
    let prov = try start { $0.liveLine = { lines.append($0) } }
    let error = try #require(batchError(prov, [action(), action(), tooDeep, action()]))
    #expect(error.kept == 2 && error.error.code == .tooLarge)
    #expect(prov.actionCount == 2 && lines.all.count == 2)
    #expect(batchError(prov, [tooDeep, action()])?.kept == 0)
    #expect(try prov.recordAction(action()).seq == 3)
    #expect(try storage.seqs("a") == [1, 2, 3])
  }

  /// The disk takes so many bytes of the batch and then is full.
  @Test(arguments: Array(stride(from: 0, through: 1100, by: 50)))
  func onAFullDiskWholeActionsAreKept(_ written: Int) throws {
    let lines = Lines()
    let prov = try start { $0.liveLine = { lines.append($0) } }
    try prov.recordAction(action())
    let frame = try frameSize()
    disk.setRule { $0.isWrite ? .init(.noSpace, written: written) : nil }
    let error = try #require(batchError(prov, (0..<6).map { _ in action() }))
    #expect(error.error.code == .noSpace)
    #expect(error.kept == written / frame)
    #expect(prov.actionCount == UInt64(1 + error.kept) && lines.all.count == 1 + error.kept)
    disk.setRule(nil)
    #expect(try prov.recordActions([action(), action()]).lowerBound == Int64(2 + error.kept))
    #expect(try storage.seqs("a") == Array(1...Int64(3 + error.kept)))
    #expect(try storage.verify("a").actions == UInt64(3 + error.kept))
  }

  private func frameSize() throws -> Int {
    FrameHeader.frameSize(payload: try #require(try storage.payloads("a").first).utf8.count)
  }

  /// More than a mebibyte goes in several writes; what an earlier one wrote is kept.
  @Test func failureOfALaterWriteKeepsTheEarlierOnes() throws {
    let prov = try start()
    let note = JSONString(String(repeating: "x", count: 300_000))
    disk.setRule { [disk] operation in operation.isWrite && disk.count(\.isWrite) > 1 ? .init(.io) : nil }
    let error = try #require(batchError(prov, (0..<10).map { _ in action(note: note) }))
    #expect(error.error.code == .io && error.kept == 4)
    disk.setRule(nil)
    #expect(try prov.recordAction(action()).seq == 5)
    #expect(try storage.seqs("a") == [1, 2, 3, 4, 5])
  }

  /// Nothing of a batch keeps the promise of `power` if its sync fails.
  @Test func failedSyncKeepsNoneOfABatch() throws {
    let prov = try start { $0.durability = .power }
    disk.setRule { $0.isSync ? .init(.io) : nil }
    let error = try #require(batchError(prov, [action(), action()]))
    #expect(error.kept == 0 && error.error.code == .poisoned)
  }

  @Test func batchReopensAClosedSession() throws {
    let prov = try start()
    try prov.recordActions([action()])
    try prov.close()
    #expect(try prov.recordActions([action(), action()]) == 2..<4)
    #expect(prov.session.outcome == "in_progress")
  }
}
