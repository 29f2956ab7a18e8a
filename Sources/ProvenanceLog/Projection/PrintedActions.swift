internal import LogFormat
internal import LogStorage

/// Actions of a session, and what is printed of them: as elements of `actions`, each behind a comma but the session's first one.
///
/// Unchecked: one thread at a time has it.
final class PrintedActions: @unchecked Sendable {
  private var batch: Batch

  init(level: Int) {
    batch = Batch(level: level)
  }

  /// Bytes of the payloads.
  var size: Int { batch.payloads.count }
  var isFinished: Bool { batch.isFinished }
  var isPartlyPrinted: Bool { batch.reindenter != nil }
  /// What is printed, and was not dropped.
  var json: UnsafeRawBufferPointer { batch.printed.bytes }
  /// Of the frame whose action is printed next.
  var nextSequence: UInt64 { batch.ends[batch.count].sequence }

  /// - Parameter isFirst: whether the session's first action is appended next.
  func removeAll(isFirst: Bool) { batch.removeAll(isFirst: isFirst) }

  func append(_ payload: UnsafeRawBufferPointer, _ sequence: UInt64) { batch.append(payload, sequence) }

  func dropJSON() { batch.printed.removeAll() }

  /// Prints on, until there is enough.
  /// - Throws: `LogError` `corrupt` where a payload is no JSON, once what stands before it was dropped.
  func printOn() throws(LogError) { try batch.printOn() }
}

/// What the class guards, so that it is looked after once for each call and not for each of these.
private struct Batch: ~Copyable {
  /// How many levels deep they stand.
  let level: Int
  var payloads = ByteBuffer(capacity: 4096)
  /// Where each payload ends, and the sequence of its frame.
  var ends: [(offset: Int, sequence: UInt64)] = []
  var isFirst = false
  var printed = ByteBuffer(capacity: 4096)
  /// How many are printed whole.
  var count = 0
  /// Of the next one, if a part of it is printed.
  var reindenter: Reindenter?
  var error: LogError?

  /// The JSON of an action may be hundreds of times as long as its payload: so much of it is held, and a little more.
  static let jsonMax = 1 << 20

  init(level: Int) {
    self.level = level
  }

  var isFinished: Bool { count == ends.count }

  mutating func removeAll(isFirst: Bool) {
    payloads.removeAll()
    payloads.shrink(to: 1 << 20)
    ends.removeAll(keepingCapacity: true)
    printed.removeAll()
    printed.shrink(to: Self.jsonMax)
    (count, reindenter, error) = (0, nil, nil)
    self.isFirst = isFirst
  }

  mutating func append(_ payload: UnsafeRawBufferPointer, _ sequence: UInt64) {
    payloads.append(payload)
    ends.append((payloads.count, sequence))
  }

  mutating func printOn() throws(LogError) {
    if let error { throw error }
    do throws(LogError) {
      while !isFinished, printed.count < Self.jsonMax { try printNext() }
    } catch {
      self.error = error
      if printed.count == 0 { throw error }
    }
  }

  private mutating func printNext() throws(LogError) {
    let start = printed.count
    if reindenter == nil {
      if count > 0 || !isFirst { printed.append(",") }
      printed.appendNewLine(level)
    }
    var reindenter = reindenter ?? Reindenter(level: level)
    let payload = UnsafeRawBufferPointer(rebasing: payloads.bytes[(count == 0 ? 0 : ends[count - 1].offset)..<ends[count].offset])
    let written: (count: Int, isFinished: Bool)
    do throws(LogError) {
      written = try reindenter.write(payload, into: printed.freeRoom(atLeast: max(Reindenter.roomMin, min(payload.count, 1 << 16))))
    } catch {
      printed.truncate(to: start)
      throw error
    }
    printed.commit(written.count)
    self.reindenter = written.isFinished ? nil : reindenter
    if written.isFinished { count += 1 }
  }
}
