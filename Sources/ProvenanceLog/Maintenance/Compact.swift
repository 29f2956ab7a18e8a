internal import LogStorage

/// What a compaction has done, or would do.
public struct Compaction: Sendable, Equatable {
  /// Files of the log that became others, or would.
  public var filesBefore = 0
  public var filesAfter = 0
  /// Bytes of their frames and headers, unpacked.
  public var rawBytes: UInt64 = 0
  /// Bytes on disk.
  public var bytesBefore: UInt64 = 0
  /// `nil` for a plan: only packing shows it.
  public var bytesAfter: UInt64?
  /// Files that interrupted work had left, and that are gone now.
  public var filesRemoved = 0
  /// Files that stay as they were, because a writer has gone on with the log meanwhile.
  public var filesOvertaken = 0
}

extension SessionStore {
  /// Makes the files of a log fewer and smaller: raw ones are compressed, small ones merged, and what interrupted work has left is taken away. Its frames stay the
  /// same to the byte, which is checked before an old file goes.
  ///
  /// May run at any time, in any process: readers go on, and a writer's newest file is left alone. What is replaced is on stable storage.
  /// - Parameters:
  ///   - id: whose log.
  ///   - level: LZ4's, 1 (fast) to 12 (small), also for what is compressed already; `nil` for 1, which leaves that as it is.
  ///   - isPlan: nothing is changed.
  ///   - progress: gets how many MiB of how many were read.
  /// - Throws: `LogError` `notFound`; `locked` if another one is at work on it; `corrupt` if a file is damaged, `noSpace`, `io`: what was not finished is as it was.
  public func compact(
    _ id: SessionID, level: Int? = nil, isPlan: Bool = false, progress: (_ done: UInt64, _ total: UInt64) -> Void = { _, _ in }
  ) throws(LogError) -> Compaction {
    precondition(level.map { 1...12 ~= $0 } ?? true, "LZ4 has the levels 1 to 12")
    let log = directory.log(of: id)
    let rules = CompactionRules(level: level)
    var result = Compaction(bytesAfter: isPlan ? nil : 0)
    func tellRemoved(_ names: [String]) { result.filesRemoved = names.count }
    let steps =
      isPlan
      ? try log.planCompaction(of: id, rules, tellRemoved: tellRemoved) : try log.compact(id, rules, tellRemoved: tellRemoved, progress: progress)
    for step in steps {
      guard !step.isOvertaken else {
        result.filesOvertaken += step.files.count
        continue
      }
      result.filesBefore += step.files.count
      result.filesAfter += 1
      result.rawBytes += step.rawSize
      result.bytesBefore += step.sizeBefore
      if let size = step.sizeAfter { result.bytesAfter? += size }
    }
    return result
  }
}
