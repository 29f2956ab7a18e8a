import ProvenanceLog
import Testing

struct HistogramTests {
  /// Never below what it stands for, and at most a 64th above.
  @Test func quantilesAreWithinAStep() {
    var histogram = Histogram()
    let values = (0..<2000).map { UInt64($0) } + (11...62).map { 1 << $0 }
    for value in values { histogram.count(nanoseconds: value) }
    #expect(histogram.count == UInt64(values.count))
    for share in [0.001, 0.1, 0.5, 0.9, 0.97, 0.99, 1] {
      let exact = Double(values[Int((Double(values.count) * share).rounded(.up)) - 1])
      let found = histogram.quantile(share) / .nanoseconds(1)
      #expect(found >= exact && found <= exact * (1 + 1.0 / 64) + 1, "\(share)")
    }
    #expect(histogram.longest == .nanoseconds(1 << 62))
    #expect(histogram.octaves.reduce(0) { $0 + $1.count } == histogram.count)
  }

  @Test func sumsAreAsIfCountedTogether() {
    var (a, b, both) = (Histogram(), Histogram(), Histogram())
    for value in stride(from: UInt64(1), to: 100_000, by: 37) {
      a.count(nanoseconds: value)
      b.count(nanoseconds: value * 13)
      both.count(nanoseconds: value)
      both.count(nanoseconds: value * 13)
    }
    a.add(b)
    #expect([0.1, 0.5, 0.999].allSatisfy { a.quantile($0) == both.quantile($0) } && a.longest == both.longest)
  }

  @Test func nothingIsZero() {
    #expect(Histogram().quantile(0.5) == .zero && Histogram().octaves.isEmpty)
  }
}
