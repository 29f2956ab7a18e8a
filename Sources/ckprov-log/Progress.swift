import LogStorage

/// Says on standard error how far a command is, once that takes longer than a second and a person is watching; otherwise nothing.
final class Progress {
  private let what: String
  private let isWatched = standardErrorIsTerminal()
  private var nextTime = ContinuousClock.now + .seconds(1)
  private var isShown = false

  /// - Parameter what: `sessions read`, say.
  init(_ what: String) {
    self.what = what
  }

  func update(_ done: Int, of total: Int) {
    guard isWatched, ContinuousClock.now >= nextTime else { return }
    showOnStandardError("\(done) of \(total) \(what)")
    nextTime = .now + .milliseconds(100)
    isShown = true
  }

  /// Takes the line away, before something else is printed.
  func end() {
    if isShown { showOnStandardError(nil) }
    isShown = false
  }
}
