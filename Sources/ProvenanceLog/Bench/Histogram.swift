/// How often which duration came, to one part in 64: a power of two is divided into 64 steps. Up to 292 years in 28 KiB.
package struct Histogram: Sendable {
  private var counts = [UInt64](repeating: 0, count: 64 * 58)
  package private(set) var count: UInt64 = 0
  private var longestNanoseconds: UInt64 = 0

  package init() {}

  package var longest: Duration { .nanoseconds(Int64(clamping: longestNanoseconds)) }

  package mutating func count(nanoseconds: UInt64) {
    counts[Self.step(of: nanoseconds)] += 1
    count += 1
    longestNanoseconds = max(longestNanoseconds, nanoseconds)
  }

  package mutating func add(_ other: Histogram) {
    for index in counts.indices { counts[index] += other.counts[index] }
    count += other.count
    longestNanoseconds = max(longestNanoseconds, other.longestNanoseconds)
  }

  /// The duration, rounded up to its step, that `share` of all do not exceed; zero if there is none.
  package func quantile(_ share: Double) -> Duration {
    let rank = UInt64((Double(count) * share).rounded(.up))
    var sum: UInt64 = 0
    for (step, count) in counts.enumerated() where count > 0 {
      sum += count
      if sum >= rank { return min(.nanoseconds(Int64(clamping: Self.upperBound(of: step))), longest) }
    }
    return longest
  }

  /// Per power of two of nanoseconds, from the first to the last that came: its lower bound, and how many there were.
  package var octaves: [(from: Duration, count: UInt64)] {
    let sums = stride(from: 0, to: counts.count, by: 64).map { start in counts[start..<start + 64].reduce(0, +) }
    guard let first = sums.firstIndex(where: { $0 > 0 }), let last = sums.lastIndex(where: { $0 > 0 }) else { return [] }
    return (first...last).map { octave in (.nanoseconds(octave == 0 ? 0 : Int64(64) << (octave - 1)), sums[octave]) }
  }

  private static func step(of nanoseconds: UInt64) -> Int {
    guard nanoseconds >= 64 else { return Int(nanoseconds) }
    let octave = 58 - nanoseconds.leadingZeroBitCount
    return min(octave, 57) * 64 + Int(nanoseconds >> (octave - 1) & 63)
  }

  private static func upperBound(of step: Int) -> UInt64 {
    let (octave, place) = step.quotientAndRemainder(dividingBy: 64)
    return octave == 0 ? UInt64(place) : (UInt64(64 + place) + 1) << UInt64(octave - 1) - 1
  }
}
