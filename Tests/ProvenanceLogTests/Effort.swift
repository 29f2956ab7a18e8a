import Foundation
import TestSupport

/// How much a test that could go on for ever does: its quick form unless CKPROV_SECONDS says for how long its suite goes on. CKPROV_SEED repeats a run.
struct Effort: Sendable {
  let seed: UInt64
  let isLong: Bool
  private let end: ContinuousClock.Instant?

  /// - Parameter cases: how many there are in the suite; each gets its share.
  init(cases: Int, seed number: Int) {
    seed = (setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: .min ... .max)) &+ UInt64(number)
    let cores = min(cases, ProcessInfo.processInfo.activeProcessorCount)
    let seconds = setting("CKPROV_SECONDS").flatMap { Double($0) }.map { $0 * Double(cores) / Double(cases) }
    isLong = seconds != nil
    end = seconds.map { ContinuousClock().now + .seconds($0) }
  }

  /// Never, of the quick form.
  var isOver: Bool { end.map { ContinuousClock().now >= $0 } ?? false }
}
