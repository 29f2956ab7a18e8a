internal import Glibc

/// A mutex that many threads want at once. Who gives it back goes on, and may have it again before those who sleep are awake: threads need not change places for
/// every action. `Synchronization.Mutex` is handed over to who waits longest, and the others spin meanwhile: with 64 callers of one session it took half of all time.
///
/// Unchecked: it holds nothing but the mutex.
final class Lock: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  init() {
    pthread_mutex_init(mutex, nil)
  }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func take() { pthread_mutex_lock(mutex) }

  func giveBack() { pthread_mutex_unlock(mutex) }

  func with<Result, E: Error>(_ body: () throws(E) -> Result) throws(E) -> Result {
    take()
    defer { giveBack() }
    return try body()
  }
}
