package import ProvenanceModel

/// Which actions of a session are wanted.
package struct ActionFilter: Sendable, Equatable {
  package var seqs: ClosedRange<Int64>
  /// Of `generated_at`, in microseconds since 1970.
  package var times: ClosedRange<Int64>

  package init(seqs: ClosedRange<Int64> = .min ... .max, times: ClosedRange<Int64> = .min ... .max) {
    self.seqs = seqs
    self.times = times
  }

  /// Any action.
  package static let all = ActionFilter()

  /// Whether an action's payload is one of them.
  /// - Throws: `LogError` `corrupt` if it is no action.
  package func contains(action payload: UnsafeRawBufferPointer) throws(LogError) -> Bool {
    if self == .all { return true }
    guard seqs.contains(try ActionOutline(payload: payload).seq) else { return false }
    return times == .min ... .max ? true : times.contains(try generatedAt(ofAction: payload).microseconds)
  }
}
