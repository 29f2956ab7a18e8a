import LogStorage

/// Says on standard error how far a command is, once that takes longer than a second and a person is watching; otherwise nothing.
final class Progress {
  private let what: String
  private let isWatched = standardErrorIsTerminal()
  private let start = ContinuousClock.now
  private var nextTime = ContinuousClock.now + .seconds(1)
  private var isShown = false

  /// - Parameter what: `sessions read`, say.
  init(_ what: String) {
    self.what = what
  }

  func update(_ done: Int, of total: Int) {
    guard isWatched, ContinuousClock.now >= nextTime else { return }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rate = Double(done) / seconds
    let left = rate > 0 ? ", \(Int(rate.rounded()))/s, \(durationText(milliseconds: Int64(Double(total - done) / rate * 1000))) left" : ""
    showOnStandardError("\(done) of \(total) \(what)\(left)")
    nextTime = .now + .milliseconds(100)
    isShown = true
  }

  /// Takes the line away, before something else is printed.
  func end() {
    if isShown { showOnStandardError(nil) }
    isShown = false
  }
}
