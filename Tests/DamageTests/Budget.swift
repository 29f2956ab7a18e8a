import LogFormat
import TestSupport
import Testing

/// What is found in logs that are damaged in every way, and in logs that were made to do harm.
///
/// CKPROV_SEED repeats a run. The quick form takes a part of the cases; with CKPROV_SECONDS all are taken, and what is random goes on for that long
/// (`Tests/exhaustive` sets it).
let seed = setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64(UInt32.random(in: .min ... .max))

let isLong = setting("CKPROV_SECONDS") != nil

/// The numbers of the cases that are taken: all in the long form, else about so many, at a stride with a random start.
func cases(of count: Int, quick: Int) -> [Int] {
  if isLong || count <= quick { return Array(0..<count) }
  let step = (count + quick - 1) / quick
  var random = SeededGenerator(seed: seed)
  return Array(stride(from: Int.random(in: 0..<step, using: &random), to: count, by: step))
}

/// Rounds of what is random: so many, or for as long as CKPROV_SECONDS says.
struct Rounds: Sequence, IteratorProtocol {
  private var begun = 0
  private let quick: Int
  private let end: ContinuousClock.Instant?

  init(quick: Int) {
    self.quick = quick
    end = setting("CKPROV_SECONDS").flatMap { Int($0) }.map { .now + .seconds($0) }
  }

  mutating func next() -> Int? {
    if let end { if begun > 0, ContinuousClock.now >= end { return nil } } else if begun >= quick { return nil }
    defer { begun += 1 }
    return begun
  }
}

/// How often each outcome came.
struct Tally {
  private(set) var counts: [String: [String: Int]] = [:]

  mutating func add(_ row: String, _ outcome: String) { counts[row, default: [:]][outcome, default: 0] += 1 }

  var total: Int { counts.values.flatMap(\.values).reduce(0, +) }

  /// A line for each row, for people and for `Tests/exhaustive`.
  func report(_ test: String) {
    for (row, outcomes) in counts.sorted(by: { $0.key < $1.key }) {
      let text = outcomes.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
      print("RESULT: \(test): \(row): \(outcomes.values.reduce(0, +)) cases: \(text)\(isLong ? "" : " (a part of them)")")
    }
  }
}
