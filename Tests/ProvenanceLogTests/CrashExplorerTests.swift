import Foundation
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// Power cuts at every moment of every workload, on the simulated disk, with every part of what was not durable there or not.
///
/// The quick form looks at CKPROV_STATES states of each workload; with CKPROV_SECONDS it goes on for so long. CKPROV_SEED repeats a run.
struct CrashExplorerTests {
  @Test func noCrashLosesWhatWasPromised() throws {
    let seed = setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: .min ... .max)
    let seconds = setting("CKPROV_SECONDS").flatMap { Double($0) }
    let statesMax = setting("CKPROV_STATES").flatMap { Int($0) } ?? (seconds == nil ? 150 : Int.max)
    let chosen = setting("CKPROV_WORKLOAD")
    let cases = Workload.allCases.filter { chosen == nil || chosen == $0.rawValue }
      .flatMap { workload in ProvChain.Durability.allCases.map { (workload, $0) } }
    let threads = max(1, min(cases.count, ProcessInfo.processInfo.activeProcessorCount))
    let clock = ContinuousClock()
    let end = seconds.map { clock.now + .seconds($0) }
    let reports = Mutex<[(index: Int, line: String, distinct: Int, violation: String?)]>([])
    onThreads(threads) { thread in
      var explorers = stride(from: thread, to: cases.count, by: threads).map { index in
        (index, CrashExplorer(cases[index].0, cases[index].1, seed: seed &+ UInt64(index)))
      }
      var isOver = false
      while !isOver {
        isOver = true
        for index in explorers.indices {
          guard explorers[index].1.states < statesMax, explorers[index].1.violations.isEmpty, end.map({ clock.now < $0 }) ?? true else { continue }
          explorers[index].1.explore(states: min(2000, statesMax - explorers[index].1.states))
          isOver = false
        }
      }
      for (index, explorer) in explorers {
        let line = """
          RESULT: crash states of \(explorer.workload), \(explorer.durability): \(explorer.operations) operations, \(explorer.states) states, \
          \(explorer.distinct) distinct (\(explorer.distinctOfRecovery) of a cut during recovery), \(explorer.violations.count) violations, seed \(seed)
          """
        reports.withLock { $0.append((index, line, explorer.distinct, explorer.violations.first)) }
      }
    }
    let sorted = reports.withLock { $0.sorted { $0.index < $1.index } }
    for report in sorted {
      print(report.line)
      if let violation = report.violation { Issue.record("\(violation)") }
    }
    print("RESULT: crash states in all: \(sorted.reduce(0) { $0 + $1.distinct }) distinct, seed \(seed)")
  }
}
