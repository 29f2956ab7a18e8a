import Foundation
import LogStorage
import Testing

/// A thread of its own, so that a test may block it.
final class TestThread: Sendable {
  private let ended = DispatchSemaphore(value: 0)

  init(_ body: @escaping @Sendable () -> Void) {
    let thread = Thread { [ended] in
      body()
      ended.signal()
    }
    thread.start()
  }

  func join() { ended.wait() }
}

/// Runs `body` on so many threads at once, to its end.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
  let threads = (0..<count).map { index in TestThread { body(index) } }
  for thread in threads { thread.join() }
}

/// Waits for something that another thread does; how long is no matter, but a test must end.
func wait(until what: Comment, _ condition: () throws -> Bool) rethrows {
  for _ in 0..<30_000 {
    if try condition() { return }
    sleepThread(.milliseconds(1))
  }
  Issue.record(what)
}
