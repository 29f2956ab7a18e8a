internal import Glibc
package import ProvenanceModel

/// What one caller at a time may do, and what the others who wait for it may find done when it ends: a sync.
///
/// Not a mutex: that wakes those who wait one after the other, each when the one before has looked; here all are woken at once, and as a rule all but one go.
///
/// Unchecked: `Synchronization` has no condition to wait for, so the state is guarded by hand, with a pthread mutex.
package final class Turn: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let ended = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  /// Touched only with the mutex held.
  private var isTaken = false

  package init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(ended, nil)
  }

  deinit {
    pthread_cond_destroy(ended)
    pthread_mutex_destroy(mutex)
    ended.deallocate()
    mutex.deallocate()
  }

  /// Runs `body` when nobody else does, unless it is not needed any more by then.
  /// - Parameter isDone: asked before and after each wait; must not take a turn itself.
  package func take(unless isDone: () -> Bool = { false }, _ body: () throws(LogError) -> Void) throws(LogError) {
    pthread_mutex_lock(mutex)
    while !isDone() {
      guard isTaken else {
        isTaken = true
        pthread_mutex_unlock(mutex)
        defer { end() }
        return try body()
      }
      pthread_cond_wait(ended, mutex)
    }
    pthread_mutex_unlock(mutex)
  }

  private func end() {
    pthread_mutex_lock(mutex)
    isTaken = false
    pthread_cond_broadcast(ended)
    pthread_mutex_unlock(mutex)
  }
}
