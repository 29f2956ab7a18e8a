internal import Glibc
internal import Synchronization

/// Calls `body` on another thread, `delay` from now or soon after.
///
/// Not Dispatch: its timers take file descriptors, and where there are none left it ends the whole process.
package func callLater(after delay: Duration, _ body: @escaping @Sendable () -> Void) {
  Alarm.shared.add(Alarm.Call(due: .now + delay, body: body))
}

/// Calls `body` with each number below `count`, several at once, and returns when all have returned. For what waits for a disk: of syncs that come together it
/// makes few. What are fewer than nine come one after the other.
package func onThreads(each count: Int, _ body: @Sendable (Int) -> Void) {
  final class Counter: Sendable {
    let next = Atomic(0)
  }
  let counter = Counter()
  withoutActuallyEscaping(body) { body in
    let work: @Sendable () -> Void = {
      while true {
        let number = counter.next.add(1, ordering: .relaxed).oldValue
        guard number < count else { return }
        body(number)
      }
    }
    // Where no thread can be started the others do its share.
    let threads = (0..<min(7, max(count - 1, 0) / 8)).compactMap { _ in startThread(isDetached: false, work) }
    work()
    for thread in threads { pthread_join(thread, nil) }
  }
}

/// Calls `body` with each number below `count`, each on a thread of its own, and waits for all of them.
package func onThreads<Result: Sendable>(_ count: Int, _ body: @escaping @Sendable (Int) -> Result) -> [Result] {
  let results = Results<Result>(count)
  let threads = (0..<count).compactMap { number in
    let work: @Sendable () -> Void = {
      let result = body(number)
      results.all.withLock { $0[number] = result }
    }
    guard let thread = startThread(isDetached: false, work) else {
      work()
      return nil as pthread_t?
    }
    return thread
  }
  for thread in threads { pthread_join(thread, nil) }
  return results.all.withLock { $0.map { $0! } }
}

/// `transform` of each, in their order; on two threads where they are many.
package func mapOnTwoThreads<Item: Sendable, Result: Sendable>(_ items: [Item], _ transform: @escaping @Sendable (Item) -> Result) -> [Result] {
  guard items.count >= 64 else { return items.map(transform) }
  let middle = items.count / 2
  return Array(onThreads(2) { part in items[part == 0 ? 0..<middle : middle..<items.count].map(transform) }.joined())
}

/// From here on the calling thread, and those that it starts, leave the processors to others that want them: for work that nobody waits for.
package func giveWay() {
  setpriority(__priority_which_t(PRIO_PROCESS.rawValue), 0, 10)
}

private final class Results<Result: Sendable>: Sendable {
  let all: Mutex<[Result?]>

  init(_ count: Int) { all = Mutex(Array(repeating: nil, count: count)) }
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
    if !isRunning { isRunning = startThread { Alarm.shared.run() } != nil }
    if due.map({ call.due < $0 }) ?? true { pthread_cond_signal(changed) }
    pthread_mutex_unlock(mutex)
  }

  private func run() {
    pthread_mutex_lock(mutex)
    while true {
      let now = ContinuousClock.now
      while let index = calls.firstIndex(where: { $0.due <= now }) {
        let body = calls.remove(at: index).body
        if startThread(body) == nil {
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

/// - Parameter isDetached: false for a thread that will be joined.
/// - Returns: `nil` if the system starts no more threads.
@discardableResult
func startThread(isDetached: Bool = true, _ body: @escaping @Sendable () -> Void) -> pthread_t? {
  final class Box {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  var attributes = pthread_attr_t()
  pthread_attr_init(&attributes)
  defer { pthread_attr_destroy(&attributes) }
  if isDetached { pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED)) }
  pthread_attr_setstacksize(&attributes, 1 << 20)
  let box = Unmanaged.passRetained(Box(body))
  var thread = pthread_t()
  let result = pthread_create(
    &thread, &attributes,
    { pointer in
      Unmanaged<Box>.fromOpaque(pointer!).takeRetainedValue().body()
      return nil
    }, box.toOpaque())
  guard result == 0 else {
    box.release()
    return nil
  }
  return thread
}
