internal import LogFormat
package import LogStorage

/// Keeps the Session JSON of logs up to date while they are recorded, for tools that poll the files: each is written again at most once a second, and nothing is done
/// while nothing is recorded.
///
/// Not to be shared between threads.
package struct ViewKeeper: ~Copyable {
  private let directory: SessionsDirectory
  /// `nil`: all.
  private let only: SessionID?
  private let notice: (SessionID, LogError) -> Void
  private let changes = DirectoryChanges()
  private var ofSessions: Int32?
  /// Sessions that are watched: those that have not ended.
  private var watches: [Int32: SessionID] = [:]
  private var watched: [SessionID: Int32] = [:]
  /// What is to be written, and not before when.
  private var due: [SessionID: ContinuousClock.Instant] = [:]
  private var failed: [SessionID: String] = [:]

  private static let pause = Duration.seconds(1)

  /// - Parameter notice: gets what kept a view from being written, once for each reason.
  package init(_ directory: SessionsDirectory, only: SessionID?, notice: @escaping (SessionID, LogError) -> Void) {
    self.directory = directory
    self.only = only
    self.notice = notice
  }

  /// Brings all up to date and keeps them so; with one session, until it has ended.
  /// - Throws: `LogError` if the directory cannot be read.
  package mutating func run() throws(LogError) {
    // The first session makes it.
    while try directory.isMissing() { sleepThread(Self.pause) }
    ofSessions = changes.watch(directory.path)
    var isKnown = false
    while true {
      if !isKnown { try lookAtAll() }
      let now = ContinuousClock.now
      for (id, time) in due where time <= now { try write(id) }
      if only != nil, watched.isEmpty, due.isEmpty { return }
      let wait = due.values.min().map { max(1, ($0 - .now) / .milliseconds(1)) }
      let changed = changes.wait(milliseconds: wait.map { Int32(clamping: Int64($0.rounded(.up))) }).changed
      isKnown = changed != nil
      for change in changed ?? [] { take(change) }
    }
  }

  private mutating func lookAtAll() throws(LogError) {
    let ids = if let only { [only] } else { try directory.entries().logs }
    for id in ids where due[id] == nil { due[id] = .now }
  }

  private mutating func take(_ change: DirectoryChanges.Change) {
    if let id = watches[change.watch] {
      if due[id] == nil { due[id] = .now }
    } else if change.watch == ofSessions, let id = id(ofEntry: change.name), watched[id] == nil, only == nil || id == only, due[id] == nil {
      // A new session, one that was taken up again, or what was written here.
      due[id] = .now
    }
  }

  /// Of a log or a view.
  private func id(ofEntry name: String) -> SessionID? {
    for ending in [".log", ".json"] where name.hasSuffix(ending) { return try? SessionID(String(name.dropLast(ending.count))) }
    return nil
  }

  private mutating func write(_ id: SessionID) throws(LogError) {
    due[id] = nil
    let log = directory.log(of: id)
    do throws(LogError) {
      // Watched before it is read, so that no change goes unseen.
      if watched[id] == nil, let watch = changes.watch(log.path) {
        watches[watch] = id
        watched[id] = watch
      }
      let session = try log.state(of: id).checkpoint
      if try !directory.viewIsUpToDate(with: session) {
        try directory.writeView(of: id)
        due[id] = .now + Self.pause
      }
      if session.summary.end != nil {
        forget(id)
      } else if watched[id] == nil, due[id] == nil {
        // The system watches no more directories.
        due[id] = .now + Self.pause
      }
      failed[id] = nil
    } catch {
      // Not found: not started yet, or removed.
      if error.code == .notFound, try directory.fileSystem.status(of: log.path) != nil { return }
      forget(id)
      if error.code == .notFound { return }
      if only != nil { throw error }
      if failed.updateValue(error.description, forKey: id) != error.description { notice(id, error) }
    }
  }

  private mutating func forget(_ id: SessionID) {
    guard let watch = watched.removeValue(forKey: id) else { return }
    watches[watch] = nil
    changes.unwatch(watch)
  }
}
