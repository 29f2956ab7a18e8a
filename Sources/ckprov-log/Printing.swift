import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

/// One run of `cat`.
struct Printing: ~Copyable {
  private let store: SessionStore
  private var selection: Selection
  private var printer: ActionPrinter
  private var cursor: Cursor?
  private var out = Output()
  /// Of the first session of all that could not be read.
  private(set) var failure: ExitCode?
  private var progress = Progress("actions read", isPrinting: true)
  /// Which of how many sessions is read; `nil` if it is but one.
  private var place: (index: Int, count: Int)?
  /// Of the session: how many actions were read of those that are gone through.
  private var actionsRead = 0
  /// Errors: each is said once.
  private var said: Set<String> = []

  init(store: SessionStore, selection: Selection, printer: consuming ActionPrinter, cursor: Cursor?) {
    self.store = store
    self.selection = selection
    self.printer = printer
    self.cursor = cursor
  }

  /// - Throws: also if there is no place for the cursor: what is printed would come again.
  mutating func begin() throws(LogError) {
    try cursor?.write()
    try printer.begin(&out)
  }

  /// What was printed is out, and then the cursor stands behind it.
  mutating func flush() throws(LogError) {
    try out.flush()
    if out.isOpen { try cursor?.write() }
  }

  mutating func printAll(last count: Int?, isReversed: Bool) throws(LogError) {
    progress = Progress("sessions read", isPrinting: true)
    defer {
      progress.end()
      place = nil
    }
    var damaged: [(id: SessionID, error: LogError)] = []
    var sessions = try store.entries(failed: { damaged.append(($0, $1)) }).map { (location: $0.location, count: Int?.none) }
    // Of the others nothing is left out.
    for (_, error) in damaged { try goingOn { _ throws(LogError) in throw error } }
    // The last ones of all stand in the newest sessions.
    if var rest = count {
      var wanted: [(SessionStore.Location, Int?)] = []
      for (index, (session, _)) in sessions.enumerated() where rest > 0 {
        place = (index, sessions.count)
        try goingOn { printing throws(LogError) in
          let found = min(rest, try printing.count(session, upTo: rest))
          if found > 0 { wanted.append((session, found)) }
          rest -= found
        }
      }
      sessions = wanted
    }
    for (index, (session, count)) in (isReversed ? sessions : sessions.reversed()).enumerated() where out.isOpen {
      place = (index, sessions.count)
      try goingOn { printing throws(LogError) in try printing.print(session, last: count, isReversed: isReversed) }
    }
  }

  /// What is damaged in one session is said, behind what was printed of it, and the others are printed all the same.
  private mutating func goingOn(_ body: (inout Printing) throws(LogError) -> Void) throws(LogError) {
    do throws(LogError) { try body(&self) } catch {
      try out.flush()
      guard out.isOpen else { throw error }
      // Removed since it was listed.
      guard error.code != .notFound else { return }
      failure = failure ?? error.code.exitCode
      progress.end()
      if said.insert(error.description).inserted { note(error.description) }
    }
  }

  /// - Parameter seqs: of the actions that are gone through.
  private mutating func tellProgress(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) {
    actionsRead += 1
    guard progress.isDue else { return }
    if let place {
      progress.update(place.index, of: place.count)
    } else if !session.isLegacy, let last = try? store.lastSeq(of: session) {
      progress.update(actionsRead, of: Int(max(min(seqs.upperBound, last) - max(seqs.lowerBound, 1) + 1, Int64(actionsRead))))
    }
  }

  mutating func print(_ session: SessionStore.Location, last count: Int?, isReversed: Bool) throws(LogError) {
    guard var seqs = remaining(session) else { return }
    defer { if place == nil { progress.end() } }
    if let count {
      guard let last = try self.seqs(ofLast: count, of: session, in: seqs) else { return }
      seqs = last
    }
    if isReversed { try printReversed(session, seqs) } else { try print(session, seqs) }
  }

  /// The seqs that are asked for, of a session that may have been printed in part; `nil` if there is none.
  private func remaining(_ session: SessionStore.Location) -> ClosedRange<Int64>? {
    let asked = selection.filter.seqs
    guard let seq = cursor?.seq(of: session.name) else { return asked }
    return seq < asked.upperBound ? max(asked.lowerBound, seq + 1)...asked.upperBound : nil
  }

  private mutating func actions(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) -> ActionReader {
    actionsRead = 0
    var filter = selection.filter
    filter.seqs = seqs
    return try store.actions(of: session, filter)
  }

  private mutating func print(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) {
    var actions = try actions(session, seqs)
    while out.isOpen, try actions.nextPayload() {
      tellProgress(session, seqs)
      let payload = try actions.payload
      if try selection.wants(payload, of: session.name) { try printer.print(payload, of: session.name, to: &out) }
      if cursor != nil { cursor!.advance(session.name, to: try seq(ofAction: payload)) }
    }
    if case .log(let id) = session {
      if actions.bytesInDoubt > 0 {
        progress.end()
        try out.flush()
      }
      noteDoubt(id, bytes: actions.bytesInDoubt)
    }
  }

  /// By pieces from the end, each of which is read forward.
  private mutating func printReversed(_ session: SessionStore.Location, _ seqs: ClosedRange<Int64>) throws(LogError) {
    var last = min(seqs.upperBound, try store.lastSeq(of: session))
    var width: Int64 = 1024
    while out.isOpen, last >= seqs.lowerBound, last > 0 {
      let first = max(seqs.lowerBound, last - width + 1)
      var (piece, size): ([[UInt8]], Int) = ([], 0)
      let before = actionsRead
      var actions = try actions(session, first...last)
      actionsRead = before
      while size < 1 << 24, try actions.nextPayload() {
        tellProgress(session, seqs)
        let payload = try actions.payload
        guard try selection.wants(payload, of: session.name) else { continue }
        piece.append(Array(payload))
        size += payload.count
      }
      if size >= 1 << 24, first < last {
        width = max(1, (last - first + 1) / 4)
        continue
      }
      for payload in piece.reversed() {
        try payload.withRawBytes { bytes throws(LogError) in try printer.print(bytes, of: session.name, to: &out) }
      }
      last = first - 1
    }
  }

  private mutating func count(_ session: SessionStore.Location, upTo count: Int) throws(LogError) -> Int {
    guard let seqs = try seqs(ofLast: count, of: session, in: selection.filter.seqs) else { return 0 }
    return try wantedSeqs(session, seqs, last: count).count
  }

  /// From the first of the last `count` actions that are asked for, to the last one; `nil` if there is none and can be none.
  private mutating func seqs(
    ofLast count: Int, of session: SessionStore.Location, in asked: ClosedRange<Int64>
  ) throws(LogError) -> ClosedRange<Int64>? {
    let nextSeq = try store.lastSeq(of: session) + 1
    var first = nextSeq
    // As a rule the last seqs are asked for; if not, all are looked at.
    for start in count == 0 ? [] : [nextSeq - Int64(clamping: count), .min] where start <= asked.upperBound {
      let seqs = try wantedSeqs(session, max(asked.lowerBound, start)...asked.upperBound, last: count)
      first = seqs.first ?? nextSeq
      if seqs.count >= count { break }
    }
    return first <= asked.upperBound ? max(asked.lowerBound, first)...asked.upperBound : nil
  }

  /// Those that are wanted, the last `count` of them.
  private mutating func wantedSeqs(
    _ session: SessionStore.Location, _ seqs: ClosedRange<Int64>, last count: Int
  ) throws(LogError) -> ArraySlice<Int64> {
    var wanted: [Int64] = []
    var actions = try actions(session, seqs)
    while try actions.nextPayload() {
      tellProgress(session, seqs)
      let payload = try actions.payload
      guard try selection.wants(payload, of: session.name) else { continue }
      if wanted.count / 2 >= count { wanted.removeFirst(wanted.count - count) }
      wanted.append(try seq(ofAction: payload))
    }
    return wanted.suffix(count)
  }

  mutating func follow(_ id: SessionID, last count: Int?) throws(LogError) {
    guard var seqs = remaining(.log(id)) else { return }
    if let count {
      guard let last = try self.seqs(ofLast: count, of: .log(id), in: seqs) else { return }
      seqs = last
    }
    let log = store.directory.log(of: id)
    // Before it is read, so that no change goes unseen.
    let changes = DirectoryChanges(in: log.path)
    var filter = selection.filter
    filter.seqs = seqs
    var reader = try LogReader.open(log, of: id)
    var isClosed = false
    repeat {
      while out.isOpen, let frame = try reader.next() {
        if frame.kind == .sessionClosed { isClosed = true }
        guard frame.kind == .action else { continue }
        isClosed = false
        let (payload, seq) = (try reader.payload, reader.lastSeq)
        if seq > seqs.upperBound { return }
        guard try filter.contains(action: payload) else { continue }
        if try selection.wants(payload, of: id.description) { try printer.print(payload, of: id.description, to: &out) }
        if cursor != nil { cursor!.advance(id.description, to: seq) }
      }
      try flush()
    } while !isClosed && out.isOpen && changes.wait()
  }

  // MARK: All, as they are recorded

  /// Prints all that is there, or the last so many, and then what comes, session by session where it comes at once, until nobody reads it.
  mutating func followAll(last count: Int?) throws(LogError) {
    let directory = store.directory
    let changes = DirectoryChanges()
    // Before anything is read, so that no change goes unseen.
    while try directory.isMissing() {
      guard changes.wait(milliseconds: 1000, watchingOutput: true).outputIsRead else { return }
    }
    let ofSessions = changes.watch(directory.path)
    // Of what is not among the last ones nothing is printed but what comes behind.
    var passed: [(name: String, seq: Int64)] = []
    for id in count == nil ? [] : try directory.entries().logs {
      if let seq = try? store.lastSeq(of: .log(id)) { passed.append((id.description, seq)) }
    }
    try printAll(last: count, isReversed: false)
    for (name, seq) in passed where seq > cursor?.seq(of: name) ?? 0 { cursor?.advance(name, to: seq) }
    var following = Following()
    var due: Set<SessionID>? = nil
    while out.isOpen {
      let ids = if let due { due.sorted() } else { try directory.entries().logs }
      for id in ids where out.isOpen {
        following.watch(id, in: directory, changes)
        try goingOn { printing throws(LogError) in try printing.printOn(id, &following) }
      }
      try flush()
      let (changed, isRead) = changes.wait(milliseconds: 1000, watchingOutput: true)
      guard isRead else { return }
      due = changed.map { following.sessions(of: $0, ofSessions) }
    }
  }

  /// What was recorded since it was looked at last.
  private mutating func printOn(_ id: SessionID, _ following: inout Following) throws(LogError) {
    let log = store.directory.log(of: id)
    let name = id.description
    do throws(LogError) {
      if following.logs[id] == nil {
        let summary = try log.state(of: id).checkpoint.summary
        let seen = cursor?.seq(of: name) ?? 0
        if summary.end != nil, summary.nextSeq - 1 <= seen { return }
        following.logs[id] = Following.Log(try LogReader.open(log, of: id, for: ActionFilter(seqs: (seen + 1)...Int64.max)))
      }
      guard let followed = following.logs[id] else { return }
      while out.isOpen, let frame = try followed.reader.next() {
        if frame.kind == .sessionClosed { followed.isClosed = true }
        guard frame.kind == .action else { continue }
        followed.isClosed = false
        let (payload, seq) = (try followed.reader.payload, followed.reader.lastSeq)
        guard seq > cursor?.seq(of: name) ?? 0 else { continue }
        if try selection.filter.contains(action: payload), try selection.wants(payload, of: name) { try printer.print(payload, of: name, to: &out) }
        cursor?.advance(name, to: seq)
      }
      if followed.isClosed { following.logs[id] = nil }
    } catch {
      following.forget(id)
      // Removed; another one may get its id.
      if error.code == .notFound { cursor?.forget(name) }
      throw error
    }
  }
}

/// The logs that `cat --all --follow` looks at.
private struct Following {
  /// One that is not closed, read up to its end so far.
  final class Log {
    var reader: LogReader
    var isClosed = false

    init(_ reader: consuming LogReader) { self.reader = reader }
  }

  var logs: [SessionID: Log] = [:]
  private var watches: [Int32: SessionID] = [:]
  private var watched: Set<SessionID> = []

  mutating func watch(_ id: SessionID, in directory: SessionsDirectory, _ changes: borrowing DirectoryChanges) {
    guard !watched.contains(id), let watch = changes.watch(directory.log(of: id).path) else { return }
    watches[watch] = id
    watched.insert(id)
  }

  mutating func forget(_ id: SessionID) {
    logs[id] = nil
    watched.remove(id)
  }

  /// Those in which something has changed, and those that the system does not watch.
  func sessions(of changes: Set<DirectoryChanges.Change>, _ ofSessions: Int32?) -> Set<SessionID> {
    var found = Set(logs.keys.filter { !watched.contains($0) })
    for change in changes {
      if let id = watches[change.watch] {
        found.insert(id)
      } else if change.watch == ofSessions, change.name.hasSuffix(".log"), let id = try? SessionID(String(change.name.dropLast(4))) {
        found.insert(id)
      }
    }
    return found
  }
}
