import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Reads everything and says what it found.",
    discussion: "Exit codes: 0 clean (also while a writer is at work); 1 torn tail only; 2 corruption; 3 cannot read; 66 no such session.")

  @OptionGroup var storage: StorageOptions
  @Argument(help: "Default: all.", transform: prefixOfSessionID) var sessions: [String] = []

  func run() throws {
    var worst: Int32 = 0
    do throws(LogError) {
      var out = Output()
      for location in try locations() {
        let (name, text, code) = verify(location)
        try out.line("\(escapedForTerminal(name))  \(text)")
        // Corruption is worse than what cannot be read, and that worse than a torn tail.
        let order: [Int32] = [0, 1, 3, 2]
        if order.firstIndex(of: code)! > order.firstIndex(of: worst)! { worst = code }
      }
      try out.flush()
    } catch {
      let code = fail(error)
      throw [.notFound, .ambiguous].contains(error.code) ? code : ExitCode(3)
    }
    if worst != 0 { throw ExitCode(worst) }
  }

  /// All sessions that are there, or those that are asked for.
  private func locations() throws(LogError) -> [SessionStore.Location] {
    guard sessions.isEmpty else { return try sessions.map { text throws(LogError) in try storage.store.locate(text) } }
    return try storage.store.locations()
  }

  private func verify(_ location: SessionStore.Location) -> (name: String, text: String, code: Int32) {
    let (text, code) =
      switch location {
      case .log(let id): verify(id)
      case .legacy(let name): verifyLegacy(name)
      }
    return (location.name, text, code)
  }

  private func verifyLegacy(_ name: String) -> (text: String, code: Int32) {
    do throws(LogError) {
      guard let session = try storage.store.legacyEntry(name).session else { return ("corrupt  this JSON file is no session of the reference's", 2) }
      return ("clean  \(session.actionCount) actions, kept as JSON by the reference", 0)
    } catch {
      return error.code == .corrupt ? ("corrupt  \(error)", 2) : ("cannot read  \(error)", 3)
    }
  }

  private func verify(_ id: SessionID) -> (text: String, code: Int32) {
    do throws(LogError) {
      let result = try storage.store.directory.log(of: id).verify(id)
      let counts = "\(result.actions) actions, \(result.frames) frames, \(sizeText(result.bytes))"
      switch result.finding {
      case .clean: return ("clean  \(counts)", 0)
      case .writing: return ("clean  \(counts), being written", 0)
      case .tornTail(let bytes): return ("torn tail  \(counts); \(bytes) bytes behind them are in doubt; --resume goes on", 1)
      case .damaged(let error): return ("corrupt  \(counts) are whole; then \(error)", 2)
      }
    } catch {
      switch error.code {
      case .corrupt: return ("corrupt  \(error)", 2)
      case .notFound: return ("not started  nothing was recorded in it", 0)
      default: return ("cannot read  \(error)", 3)
      }
    }
  }
}
