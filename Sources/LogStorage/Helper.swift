internal import Glibc

/// A second thread of whoever has it, which does one thing after the other. It is there from the first of them on, and has ended when this is gone.
///
/// Not to be shared between threads.
package final class Helper {
  private let shared = Shared()
  private var thread: pthread_t?

  package init() {}

  /// Does `body` meanwhile, once what was given before is done; at once, if the system starts no more threads.
  package func start(_ body: @escaping @Sendable () -> Void) {
    if thread == nil { thread = startThread(isDetached: false) { [shared] in shared.run() } }
    guard thread != nil else { return body() }
    shared.give(body)
  }

  /// Returns when what was given is done.
  package func wait() {
    if thread != nil { shared.wait() }
  }

  deinit {
    guard let thread else { return }
    shared.end()
    pthread_join(thread, nil)
  }

  /// Unchecked: `Synchronization` has no condition to wait for, so the state is guarded by hand, with a pthread mutex.
  private final class Shared: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    /// Touched only with the mutex held; what is being done is still here.
    private var body: (@Sendable () -> Void)?
    private var isEnding = false

    init() {
      pthread_mutex_init(mutex, nil)
      pthread_cond_init(changed, nil)
    }

    deinit {
      pthread_cond_destroy(changed)
      pthread_mutex_destroy(mutex)
      changed.deallocate()
      mutex.deallocate()
    }

    func give(_ body: @escaping @Sendable () -> Void) {
      pthread_mutex_lock(mutex)
      while self.body != nil { pthread_cond_wait(changed, mutex) }
      self.body = body
      unlockAndTell()
    }

    func wait() {
      pthread_mutex_lock(mutex)
      while body != nil { pthread_cond_wait(changed, mutex) }
      pthread_mutex_unlock(mutex)
    }

    func end() {
      pthread_mutex_lock(mutex)
      isEnding = true
      unlockAndTell()
    }

    /// In this order, so that who is woken does not wait for the mutex at once.
    private func unlockAndTell() {
      pthread_mutex_unlock(mutex)
      pthread_cond_broadcast(changed)
    }

    func run() {
      pthread_mutex_lock(mutex)
      while true {
        while body == nil, !isEnding { pthread_cond_wait(changed, mutex) }
        guard let body else { break }
        pthread_mutex_unlock(mutex)
        body()
        pthread_mutex_lock(mutex)
        self.body = nil
        unlockAndTell()
        pthread_mutex_lock(mutex)
      }
      pthread_mutex_unlock(mutex)
    }
  }
}
