internal import Glibc
internal import Synchronization

/// Calls `body` on another thread, `delay` from now or soon after.
///
/// Not Dispatch: its timers take file descriptors, and where there are none left it ends the whole process.
package func callLater(after delay: Duration, _ body: @escaping @Sendable () -> Void) {
  Alarm.shared.add(Alarm.Call(due: .now + delay, body: body))
}

/// One thread that waits for what is due next; each call gets a thread of its own, so that a slow disk holds up nobody else's.
///
/// Unchecked: `Synchronization` has no condition to wait for, so the state is guarded by hand, with a pthread mutex.
private final class Alarm: @unchecked Sendable {
  static let shared = Alarm()

  struct Call {
    let due: ContinuousClock.Instant
    let body: @Sendable () -> Void
  }

  // What follows the two is touched only with the mutex held.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var calls: [Call] = []
  /// What the thread waits for; `nil` while it has nothing to wait for.
  private var due: ContinuousClock.Instant?
  private var isRunning = false

  private init() {
    pthread_mutex_init(mutex, nil)
    var attributes = pthread_condattr_t()
    pthread_condattr_init(&attributes)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    pthread_cond_init(changed, &attributes)
  }

  func add(_ call: Call) {
    pthread_mutex_lock(mutex)
    calls.append(call)
    // Where no thread can be started now, the next call tries again.
    if !isRunning { isRunning = startThread { Alarm.shared.run() } }
    if due.map({ call.due < $0 }) ?? true { pthread_cond_signal(changed) }
    pthread_mutex_unlock(mutex)
  }

  private func run() {
    pthread_mutex_lock(mutex)
    while true {
      let now = ContinuousClock.now
      while let index = calls.firstIndex(where: { $0.due <= now }) {
        let body = calls.remove(at: index).body
        if !startThread(body) {
          pthread_mutex_unlock(mutex)
          body()
          pthread_mutex_lock(mutex)
        }
      }
      due = calls.map(\.due).min()
      if let due { wait(atMost: due - now) } else { pthread_cond_wait(changed, mutex) }
    }
  }

  private func wait(atMost duration: Duration) {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    let (seconds, attoseconds) = duration.components
    let nanoseconds = time.tv_nsec + Int(attoseconds / 1_000_000_000) + 1
    time.tv_sec += Int(seconds) + nanoseconds / 1_000_000_000
    time.tv_nsec = nanoseconds % 1_000_000_000
    pthread_cond_timedwait(changed, mutex, &time)
  }
}

/// What a thread is started with.
private final class Box {
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  static func run(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
    return nil
  }
}

/// - Returns: false if the system starts no more threads.
private func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
  pthread_attr_setstacksize(&attributes, 1 << 20)
  let box = Unmanaged.passRetained(Box(body))
  var thread = pthread_t()
  let result = pthread_create(&thread, &attributes, { Box.run($0!) }, box.toOpaque())
  if result != 0 { box.release() }
  return result == 0
}

/// Runs `body` on `count` threads at once, with their numbers, and waits for all of them.
package func runOnThreads<Result: Sendable>(_ count: Int, _ body: @escaping @Sendable (Int) -> Result) -> [Result] {
  let results = Mutex([Result?](repeating: nil, count: count))
  var threads: [pthread_t] = []
  for number in 0..<count {
    let box = Unmanaged.passRetained(
      Box {
        let result = body(number)
        results.withLock { $0[number] = result }
      })
    var thread = pthread_t()
    guard pthread_create(&thread, nil, { Box.run($0!) }, box.toOpaque()) == 0 else {
      // Where the system starts no more threads, this one does it.
      _ = Box.run(box.toOpaque())
      continue
    }
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
  return results.withLock { $0.map { $0! } }
}
