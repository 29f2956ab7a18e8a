internal import CLinux
package import ProvenanceModel

/// What one caller at a time may do, and what the others who wait for it may find done when it ends: a sync.
///
/// Not a mutex: that wakes those who wait one after the other, each when the one before has looked; here all are woken at once, look without waiting for each other, and as a
/// rule all but one go.
///
/// Unchecked: what the pointer points at is touched by atomic operations alone.
package final class Turn: @unchecked Sendable {
  private let turn = UnsafeMutablePointer<ckprov_turn>.allocate(capacity: 1)

  package init() {
    turn.initialize(to: ckprov_turn())
  }

  deinit {
    turn.deallocate()
  }

  /// Runs `body` when nobody else does, unless it is not needed any more by then.
  /// - Parameter isDone: asked before and after each wait, perhaps by many at once.
  package func take(unless isDone: () -> Bool = { false }, _ body: () throws(LogError) -> Void) throws(LogError) {
    while true {
      // In this order: who has seen that a turn ended sees what was done in it.
      let seen = ckprov_turn_look(turn)
      if isDone() { return }
      if ckprov_turn_begin(turn, seen) != 0 {
        defer { ckprov_turn_end(turn) }
        return try body()
      }
      ckprov_turn_wait(turn, seen)
    }
  }
}
