import TestSupport
import Testing

/// The built command against the real kernel: killed, cut from power, out of space, with failing system calls.
///
/// CKPROV_SEED repeats a run. Each test is short unless CKPROV_SECONDS gives it a time to go on for, or CKPROV_ROUNDS a number of rounds
/// (`Tests/exhaustive` does). They run one after the other: mounts and loop devices belong to the whole machine.
@Suite(.serialized, .timeLimit(.minutes(120)))
enum OneAtATime {}

/// The seed of this run.
let seed = setting("CKPROV_SEED").flatMap { UInt64($0) } ?? UInt64(UInt32.random(in: .min ... .max))

/// The rounds of one test: as many as the quick form has, as CKPROV_ROUNDS says, or as fit into CKPROV_SECONDS.
struct Rounds: Sequence, IteratorProtocol {
  private var begun = 0
  private let count: Int
  private let end: ContinuousClock.Instant?

  /// - Parameter among: of how many cases these are the numbers; `nil` if there is no end to them.
  init(quick: Int, among all: Int? = nil) {
    let rounds = setting("CKPROV_ROUNDS").flatMap { Int($0) }
    let seconds = setting("CKPROV_SECONDS").flatMap { Int($0) }
    end = rounds == nil ? seconds.map { .now + .seconds($0) } : nil
    count = Swift.min(rounds ?? (seconds == nil ? quick : .max), all ?? .max)
  }

  mutating func next() -> Int? {
    if begun >= count { return nil }
    if let end, begun > 0, ContinuousClock.now >= end { return nil }
    defer { begun += 1 }
    return begun
  }
}

/// One line on what a test did, for people and for `Tests/exhaustive`.
func report(_ test: String, _ figures: String) {
  print("RESULT: \(test): \(figures), seed \(seed)")
}

/// Runs a shell script that must succeed.
@discardableResult
func shell(_ script: String, _ arguments: String..., place: Comment? = nil) async throws -> String {
  let result = try await runProgram("bash", ["-euc", script, "bash"] + arguments)
  try #require(result.status == 0, "\(script): \(result.errors) \(place.map { "\($0)" } ?? "")")
  return result.text.split(separator: "\n").first.map(String.init) ?? ""
}

extension RandomNumberGenerator {
  /// From 0 to `max`, short ones as often as long ones.
  mutating func delay(upTo max: Duration) -> Duration {
    if Int.random(in: 0..<8, using: &self) == 0 { return .zero }
    var delay = max
    for _ in 0..<Int.random(in: 0..<6, using: &self) { delay /= 3 }
    return delay * Double.random(in: 0...1, using: &self)
  }
}
