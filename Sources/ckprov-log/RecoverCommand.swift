import ArgumentParser
import LogStorage
import ProvenanceLog

struct RecoverCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recover",
    abstract: "Makes a new log of all that is whole in a damaged one.",
    discussion: """
      Shows what it would keep, and which actions are gone; with --apply it does it. The original is set aside, whole, under a name that begins with a dot, and so is \
      its view, which may hold what the log has lost. Actions keep their seqs. A torn tail needs no recovery: 'record --resume' goes on behind the last whole record.

      Examples:
        ckprov-log recover 1e192fa4
        ckprov-log recover 1e192fa4 --mode tail --apply

      Exit codes: 0 done, or nothing to do; 65 there is nothing that could be kept; 75 another process is at work on the session.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Option(help: "tail keeps all up to the first damage; salvage keeps every whole record, also behind it.") var mode = RecoveryMode.salvage
  @Flag(help: "Does it; without, nothing is changed.") var apply = false

  func run() throws {
    try reporting { () throws(LogError) in
      let id = try storage.store.locateLog(argument.session)
      let directory = storage.store.directory
      let size = (try? directory.log(of: id).rawSize()) ?? 0
      let progress = Progress("MiB of frames read")
      defer { progress.end() }
      let result =
        apply
        ? try directory.recover(id, mode) { progress.update($0 >> 20, of: size >> 19) }
        : try directory.planRecovery(of: id, mode) { progress.update($0 >> 20, of: size >> 20) }
      progress.end()
      var failure: LogError?
      // Also where a recovery was interrupted before it came to the view.
      let isViewMissing = (try? directory.fileSystem.status(of: directory.viewPath(id))) == .some(nil)
      if apply, result.isClosed, result.original != nil || isViewMissing {
        do throws(LogError) { try directory.writeView(of: id) } catch {
          failure = error.adding("; the log is in place, its view is not: 'ckprov-log project \(id) --write' makes it")
        }
      }
      var out = Output()
      do throws(LogError) {
        for line in lines(id, result) { try out.line(line) }
        try out.flush()
      } catch {
        throw result.original.map { error.adding("; the new log is in place, and the original is '\($0)'") } ?? error
      }
      if let failure { throw failure }
    }
  }

  private func lines(_ id: SessionID, _ result: Recovery) -> [String] {
    guard result.problemCount > 0 else {
      let view = "its view holds more than the log, which has lost its end: keep it; 'record --resume \(id)' sets it aside"
      let aside = result.originalView.map { ["the view that an interrupted recovery has left, which may hold what is gone, is \($0)"] } ?? []
      return ["\(id)  nothing to recover: \(result.kept) actions, all whole"] + (result.viewHoldsMore ? [view] : []) + aside
    }
    var lines = ["\(id)  \(result.problemCount == 1 ? "1 problem" : "\(result.problemCount) problems")"]
    lines += result.problems.map { "  \($0)" }
    let unlisted = result.problemCount - UInt64(result.problems.count)
    if unlisted > 0 { lines.append("  and \(unlisted) more") }
    lines.append("kept: \(result.kept) actions")
    lines.append("gone: \(gone(result))")
    if let original = result.original {
      lines.append("the new log is in place; the original is \(original)")
      if let view = result.originalView { lines.append("its view, which may hold what is gone, is \(view)") }
    } else {
      lines.append("nothing was changed; --apply does it")
    }
    return lines.map(escapedForTerminal)
  }

  private func gone(_ result: Recovery) -> String {
    guard result.lostCount > 0 else { return "no action that is known of" }
    let shown = result.lost.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)" }
    let more = result.lost.count == Verification.problemsMax ? ", …" : ""
    return "\(result.lostCount) actions, seq \(shown.joined(separator: ", "))\(more)"
  }
}

extension RecoveryMode: ExpressibleByArgument {}
