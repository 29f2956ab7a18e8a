import LogStorage
import ProvenanceModel
import Synchronization
import Testing

struct TurnTests {
  @Test func oneAtATime() throws {
    let turn = Turn()
    let (inside, runs) = (Counter(), Counter())
    _ = onThreads(8) { _ in
      for _ in 0..<200 {
        try? turn.take { () throws(LogError) in
          if inside.value.add(1, ordering: .relaxed).newValue > 1 { Issue.record("two had their turn") }
          runs.value.add(1, ordering: .relaxed)
          inside.value.subtract(1, ordering: .relaxed)
        }
      }
    }
    #expect(runs.value.load(ordering: .relaxed) == 1600)
  }

  /// All wait for the first one, and find that it did what they came for.
  @Test func whoFindsItDoneGoes() throws {
    let turn = Turn()
    let (done, runs, waiting) = (Counter(), Counter(), Counter())
    _ = onThreads(8) { _ in
      try? turn.take(unless: {
        waiting.value.add(1, ordering: .relaxed)
        return done.value.load(ordering: .relaxed) > 0
      }) { () throws(LogError) in
        runs.value.add(1, ordering: .relaxed)
        while waiting.value.load(ordering: .relaxed) < 8 { sleepThread(.milliseconds(1)) }
        done.value.store(1, ordering: .relaxed)
      }
    }
    #expect(runs.value.load(ordering: .relaxed) == 1)
  }

  /// The next one tries again.
  @Test func errorEndsTheTurn() throws {
    let turn = Turn()
    #expect(throws: LogError.self) { try turn.take { () throws(LogError) in throw LogError(.io, "no") } }
    var ran = false
    try turn.take { () throws(LogError) in ran = true }
    #expect(ran)
  }
}

private final class Counter: Sendable {
  let value = Atomic(0)
}
