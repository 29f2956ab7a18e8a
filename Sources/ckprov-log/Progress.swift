import LogStorage

/// Says on standard error how far a command is, once that takes longer than a second and a person is watching; otherwise nothing.
final class Progress {
  private let what: String
  private let isWatched: Bool
  private let start = ContinuousClock.now
  private var nextTime = ContinuousClock.now + .seconds(1)
  private var isShown = false

  /// - Parameters:
  ///   - what: `sessions read`, say.
  ///   - isPrinting: the command prints meanwhile, so that nothing is shown where both go to the same terminal.
  init(_ what: String, isPrinting: Bool = false) {
    self.what = what
    isWatched = standardErrorIsTerminal() && !(isPrinting && standardOutputIsTerminal())
  }

  /// Whether `update` would show something now.
  var isDue: Bool { isWatched && ContinuousClock.now >= nextTime }

  func update(_ done: UInt64, of total: UInt64) { update(Int(clamping: done), of: Int(clamping: total)) }

  func update(_ done: Int, of total: Int) {
    guard isDue else { return }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    let rate = Double(done) / seconds
    let left = rate > 0 ? ", \(Int(rate.rounded()))/s, \(durationText(milliseconds: Int64(Double(total - done) / rate * 1000))) left" : ""
    let filled = total > 0 ? min(20, max(0, 20 * Double(done) / Double(total))) : 0
    let bar = String(repeating: "=", count: Int(filled)) + String(repeating: " ", count: 20 - Int(filled))
    // A line that is wider could not be taken away again.
    showOnStandardError(cut("[\(bar)] \(done) of \(total) \(what)\(left)", to: standardErrorColumns() ?? .max))
    nextTime = .now + .milliseconds(100)
    isShown = true
  }

  /// Takes the line away, before something else is printed.
  func end() {
    if isShown { showOnStandardError(nil) }
    isShown = false
  }
}
