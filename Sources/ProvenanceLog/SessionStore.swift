package import LogFormat
package import LogStorage

/// The sessions of a storage directory: logs, and JSON files that the reference left, side by side.
///
/// Takes no lock and changes nothing; safe to use from any thread, while others record.
public struct SessionStore: Sendable {
  package let directory: SessionsDirectory

  /// - Parameter storageDirectory: the Concept Kernel's root; it need not exist.
  public init(storageDirectory: String) {
    self.init(SessionsDirectory(storageDirectory: storageDirectory, fileSystem: DiskFileSystem()))
  }

  package init(_ directory: SessionsDirectory) {
    self.directory = directory
  }

  /// All sessions, newest `startedAt` first, ties by id. What cannot be read is passed over.
  public func listSessions() throws(LogError) -> [Session] {
    try entries().compactMap { $0.session }
  }

  /// One session by its id, else by the only id that begins with `text`; `@` is the one that was started last.
  ///
  /// - Throws: `LogError` `notFound`; `ambiguous` with the candidates; `corrupt` if it is damaged; `invalidInput` if no id can begin so.
  public func getSession(_ text: String) throws(LogError) -> Session {
    let entry = try find(text)
    guard let session = entry.session else {
      throw LogError(.corrupt, "this JSON file is no session of the reference's", path: entry.path)
    }
    return session
  }

  /// A session as it is listed; of a JSON file's actions nothing is held.
  package struct Entry: Sendable {
    package let location: Location
    package let path: String
    /// What lists are sorted by: the text of `started_at`, empty if it has none.
    package let startedAt: JSONString
    /// `nil` for a JSON file that lacks what a session has.
    package let session: Session?

    /// The id, or the JSON file's name without `.json`.
    package var name: String { location.name }

    /// Bytes on disk; 0 if it has just been removed.
    package func size(in directory: SessionsDirectory) -> UInt64 {
      switch location {
      case .log(let id): (try? directory.log(of: id).size()) ?? 0
      case .legacy: ((try? directory.fileSystem.status(of: path)) ?? nil)?.size ?? 0
      }
    }
  }

  /// All that can be read, newest first: of a log its last checkpoint alone.
  /// - Parameters:
  ///   - progress: gets how many names of how many have been looked at.
  ///   - failed: gets each log that cannot be read, and why; not those that were never started.
  package func entries(
    progress: (Int, Int) -> Void = { _, _ in }, failed: (SessionID, LogError) -> Void = { _, _ in }
  ) throws(LogError) -> [Entry] {
    let (logs, jsonFiles) = try directory.entries()
    let count = logs.count + jsonFiles.count
    var found: [Entry] = []
    let results = readEach(logs, { progress($0, count) }) { id in Result { () throws(LogError) in try logEntry(id) } }
    for (id, result) in zip(logs, results) {
      switch result {
      case .success(let entry): found.append(entry)
      case .failure(let error): if error.code != .notFound { failed(id, error) }
      }
    }
    let headers = [String: SessionHeader](uniqueKeysWithValues: found.compactMap { entry in entry.session.map { (entry.name, $0.header) } })
    found += readEach(jsonFiles, { progress(logs.count + $0, count) }) { name -> Entry? in
      // A view is listed as its log; it stands for one that cannot be read.
      if let header = headers[name], (try? directory.jsonKind(of: header.sessionID, header)) != .another { return nil }
      return try? legacyEntry(name)
    }.compactMap { $0 }
    // Entries are large, and moved but once.
    let order = found.indices.sorted {
      found[$0].startedAt == found[$1].startedAt ? found[$0].name < found[$1].name : found[$0].startedAt > found[$1].startedAt
    }
    return order.map { found[$0] }
  }

  /// `read` of each name in its order, on two threads where there are many.
  private func readEach<Name: Sendable, Found: Sendable>(
    _ names: [Name], _ progress: (Int) -> Void, _ read: @escaping @Sendable (Name) -> Found
  ) -> [Found] {
    var found: [Found] = []
    progress(0)
    while found.count < names.count {
      found += mapOnTwoThreads(Array(names[found.count...].prefix(1024)), read)
      progress(found.count)
    }
    return found
  }

  /// How a session is kept, and under which name.
  package enum Location: Sendable {
    case log(SessionID)
    /// The JSON file's name without `.json`.
    case legacy(String)

    package var name: String {
      switch self {
      case .log(let id): id.description
      case .legacy(let name): name
      }
    }

    package var isLegacy: Bool { if case .legacy = self { true } else { false } }
  }

  /// Logs, then JSON files that have none, by name; logs that were never started are among them.
  package func locations() throws(LogError) -> [Location] {
    let (logs, jsonFiles) = try directory.entries()
    let started = Set(logs.filter(isStarted).map(\.description))
    return logs.map { .log($0) } + jsonFiles.filter { !started.contains($0) }.map { .legacy($0) }
  }

  package func startedLogs() throws(LogError) -> [SessionID] { try directory.entries().logs.filter(isStarted) }

  /// False for a creation that did not finish; what cannot be looked at counts as started.
  private func isStarted(_ id: SessionID) -> Bool { (try? directory.log(of: id).segments().isEmpty) != true }

  /// Whether a session may be named so: by the beginning of its id, or as the JSON file is shown that keeps it. It is compared with the names that are there, and
  /// never becomes part of a path.
  package static func canBeNamed(_ text: String) -> Bool {
    guard let first = text.utf8.first, first != UInt8(ascii: "."), first != UInt8(ascii: "-") else { return false }
    return !text.utf8.contains(UInt8(ascii: "/")) && !text.unicodeScalars.contains(where: steersTerminal)
  }

  /// See `getSession`.
  package func find(_ text: String) throws(LogError) -> Entry {
    switch try locate(text) {
    case .log(let id): try logEntry(id)
    case .legacy(let name): try legacyEntry(name)
    }
  }

  /// Which session is meant, by its names alone: it may be damaged.
  package func locate(_ text: String) throws(LogError) -> Location { try locate([text])[0] }

  /// The same of many, by one listing.
  package func locate(_ texts: [String]) throws(LogError) -> [Location] {
    var listed: (logs: [SessionID], jsonFiles: [String])?
    return try texts.map { text throws(LogError) in
      if text == "@" { return try locateNewest() }
      guard Self.canBeNamed(text) else { throw LogError(.invalidInput, try invalidMessage(text)) }
      let names = if let listed { listed } else { try directory.entries() }
      listed = names
      return try locate(text, names.logs, names.jsonFiles)
    }
  }

  private func locate(_ text: String, _ logs: [SessionID], _ jsonFiles: [String]) throws(LogError) -> Location {
    var found: [String: Location] = [:]
    for name in jsonFiles where escapedForTerminal(name).utf8.starts(with: text.utf8) { found[name] = .legacy(name) }
    for id in logs where id.description.utf8.starts(with: text.utf8) && isStarted(id) { found[id.description] = .log(id) }
    guard let location = found[text] ?? (found.count == 1 ? found.first?.value : nil) else {
      let names = found.keys
      if names.isEmpty, !SessionID.isValid(text) { throw LogError(.invalidInput, try invalidMessage(text)) }
      if names.isEmpty { throw LogError(.notFound, "no session '\(text)' in \(directory.path); \(advice(for: text, logs, jsonFiles))") }
      let shown = names.sorted().prefix(20).joined(separator: ", ") + (names.count > 20 ? ", …" : "")
      throw LogError(.ambiguous, "'\(text)' fits \(names.count) sessions; say which: \(shown)")
    }
    return location
  }

  /// One that is damaged may be the newest: as a rule what is left of it says when it was started.
  private func locateNewest() throws(LogError) -> Location {
    var damaged: [SessionID] = []
    let newest = try entries(failed: { id, _ in damaged.append(id) }).first
    var found = newest.map { (location: $0.location, startedAt: $0.startedAt) }
    if let name = newest?.name, let id = damaged.first(where: { $0.description == name }) { found?.location = .log(id) }
    for id in damaged {
      guard let startedAt = try directory.knownHeader(of: id).map({ JSONString($0.startedAt.description) }) else { continue }
      if found.map({ $0.startedAt < startedAt }) ?? true { found = (.log(id), startedAt) }
    }
    guard let found else { throw LogError(.notFound, "there is no session in \(directory.path)") }
    return found.location
  }

  /// The same, of a session that has a log.
  package func locateLog(_ text: String) throws(LogError) -> SessionID { try locateLogs([text])[0] }

  package func locateLogs(_ texts: [String]) throws(LogError) -> [SessionID] {
    try locate(texts).map { location throws(LogError) in
      switch location {
      case .log(let id): return id
      case .legacy(let name):
        let advice = "'ckprov-log import' makes one of this file"
        throw LogError(.notFound, "session '\(escapedForTerminal(name))' has no log yet; \(advice)", path: directory.legacyPath(name))
      }
    }
  }

  private func advice(for text: String, _ logs: [SessionID], _ jsonFiles: [String]) -> String {
    let names = Set(logs.filter(isStarted).map(\.description) + jsonFiles)
    let text = text.lowercased()
    func distance(_ name: String) -> Int { name.hasPrefix(text) ? 0 : editDistance(name, text) }
    let near = names.map { (distance: distance($0.lowercased()), name: $0) }.filter { $0.distance <= max(1, text.utf8.count / 4) }
      .sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
    guard !near.isEmpty else { return "'ckprov-log list' shows what is there" }
    return "did you mean \(near.prefix(3).map { "'\(escapedForTerminal($0.name))'" }.joined(separator: " or "))?"
  }

  private func invalidMessage(_ text: String) throws(LogError) -> String {
    do throws(LogError) { _ = try SessionID(text) } catch { return error.message }
    return "'\(escapedForTerminal(text))' is no session id"
  }

  private func logEntry(_ id: SessionID) throws(LogError) -> Entry {
    let log = directory.log(of: id)
    let checkpoint = try log.state(of: id).checkpoint
    return Entry(
      location: .log(id), path: log.path, startedAt: JSONString(checkpoint.header.startedAt.description),
      session: Session(header: checkpoint.header, summary: checkpoint.summary, path: log.path, isLegacy: false))
  }

  package func legacyEntry(_ name: String) throws(LogError) -> Entry {
    let object = try legacyObject(name)
    let path = directory.legacyPath(name)
    var startedAt: JSONString = ""
    if case .string(let text)? = object["started_at"] { startedAt = text }
    let session = (try? legacySession(object)).map { Session(header: $0.header, summary: $0.summary, path: path, isLegacy: true) }
    return Entry(location: .legacy(name), path: path, startedAt: startedAt, session: session)
  }

  /// All that a JSON file holds.
  package func legacyObject(_ name: String) throws(LogError) -> JSONObject {
    do throws(LogError) { return try ProvenanceLog.legacyObject(directory.fileSystem, directory.legacyPath(name)) } catch {
      if error.code == .notFound { try directory.checkIsText(directory.legacyPath(name)) }
      throw error
    }
  }
}

private func legacyObject(_ fileSystem: any FileSystem, _ path: String) throws(LogError) -> JSONObject {
  let bytes = try readBytes(of: try fileSystem.open(path, for: .reading), at: 0)
  do throws(LogError) {
    guard case .object(let object) = try bytes.withRawBytes({ bytes throws(LogError) in try JSONValue(json: bytes) }) else {
      throw LogError(.corrupt, "a session must be a JSON object", path: path)
    }
    return object
  } catch {
    throw LogError(.corrupt, "this file is no JSON: \(error.message)", path: path, offset: error.offset)
  }
}

/// None, if it has no such member.
private func legacyActions(_ fileSystem: any FileSystem, _ path: String) throws(LogError) -> [JSONValue] {
  if case .array(let actions)? = try legacyObject(fileSystem, path)["actions"] { actions } else { [] }
}

/// How many bytes must be put in, taken out or exchanged to make one of the other (Levenshtein).
package func editDistance(_ a: String, _ b: String) -> Int {
  let b = Array(b.utf8)
  var row = Array(0...b.count)
  for (i, byte) in a.utf8.enumerated() {
    var diagonal = row[0]
    row[0] = i + 1
    for j in b.indices {
      (diagonal, row[j + 1]) = (row[j + 1], min(min(row[j], row[j + 1]) + 1, diagonal + (byte == b[j] ? 0 : 1)))
    }
  }
  return row[b.count]
}

/// Header and summary of a session as the reference keeps it.
private func legacySession(_ object: JSONObject) throws(LogError) -> (header: SessionHeader, summary: SessionSummary) {
  var members = object
  members["actions"] = nil
  let payload = try JSONValue.object(members).compactJSON()
  let header = try payload.withRawBytes { bytes throws(LogError) in try SessionHeader(payload: bytes) }
  guard case .array(let actions)? = object["actions"] else { throw LogError(.corrupt, "the session has no actions") }
  var summary = SummaryBuilder(header)
  for action in actions {
    let payload = try action.compactJSON()
    try payload.withRawBytes { bytes throws(LogError) in try summary.apply(.action, payload: bytes) }
  }
  if object["ended_at"] != nil { try payload.withRawBytes { bytes throws(LogError) in try summary.apply(.sessionClosed, payload: bytes) } }
  return (header, summary.summary)
}

// MARK: Actions

extension Session {
  /// The actions, one by one, from disk; bounded memory for a log, of which no more is read than what may hold them: ten actions out of the middle of millions
  /// cost one or two chunks of 256 KiB.
  /// - Parameters:
  ///   - seqs: those that are wanted.
  ///   - generatedAt: from the first to the second time, both included. Times need not grow with the seqs.
  public func actions(
    seqs: ClosedRange<Int64> = .min ... .max, generatedAt: ClosedRange<Timestamp>? = nil
  ) throws(LogError) -> ActionReader {
    let times = generatedAt.map { $0.lowerBound.microseconds...$0.upperBound.microseconds }
    let filter = ActionFilter(seqs: seqs, times: times ?? .min ... .max)
    if isLegacy { return ActionReader(legacy: try legacyActions(DiskFileSystem(), path), filter) }
    return ActionReader(try LogReader.open(LogDirectory(path: path, fileSystem: DiskFileSystem()), of: sessionID, for: filter), filter)
  }
}

extension SessionStore {
  /// See `Session.actions`; its end need not be readable.
  package func actions(of session: Location, _ filter: ActionFilter) throws(LogError) -> ActionReader {
    switch session {
    case .log(let id): ActionReader(try LogReader.open(directory.log(of: id), of: id, for: filter), filter)
    case .legacy(let name): ActionReader(legacy: try legacyActions(directory.fileSystem, directory.legacyPath(name)), filter)
    }
  }

  /// 0 if there is none.
  package func lastSeq(of session: Location) throws(LogError) -> Int64 {
    switch session {
    case .log(let id): return try directory.log(of: id).state(of: id).checkpoint.summary.nextSeq - 1
    case .legacy:
      var actions = try actions(of: session, .all)
      var last: Int64 = 0
      while let action = try actions.next() { last = max(last, action.seq) }
      return last
    }
  }
}

/// Reads a session's actions in their order. Not to be shared between threads.
public struct ActionReader: ~Copyable {
  private var log: LogReader?
  private var legacy: ArraySlice<JSONValue> = []
  private var legacyPayload = ByteBuffer(capacity: 0)
  private let filter: ActionFilter

  fileprivate init(_ log: consuming LogReader, _ filter: ActionFilter) {
    self.log = consume log
    self.filter = filter
  }

  fileprivate init(legacy: [JSONValue], _ filter: ActionFilter) {
    log = nil
    self.legacy = legacy[...]
    self.filter = filter
  }

  /// The next action; `nil` at the end. With a living writer it may be asked again later.
  /// - Throws: `LogError` `corrupt` where the log is damaged; what came before is whole.
  public mutating func next() throws(LogError) -> ActionRecord? {
    guard try nextPayload() else { return nil }
    let payload = try payload
    do throws(LogError) { return try ActionRecord(payload: payload) } catch {
      guard log != nil else { throw error }
      throw log!.placed(error)
    }
  }

  /// Goes to the next action. - Returns: false at the end.
  package mutating func nextPayload() throws(LogError) -> Bool {
    if log != nil { return try log!.nextAction(filter) }
    while let value = legacy.popFirst() {
      legacyPayload.removeAll()
      try legacyPayload.append(value)
      if try filter.contains(action: legacyPayload.bytes) { return true }
    }
    return false
  }

  /// The action's compact JSON, until the next call.
  package var payload: UnsafeRawBufferPointer {
    mutating get throws(LogError) { log != nil ? try log!.payload : legacyPayload.bytes }
  }

  /// Bytes behind the last whole record, once it was read to its end.
  package var bytesInDoubt: UInt64 {
    switch log {
    case .some(let reader): reader.ending?.bytesInDoubt ?? 0
    case .none: 0
    }
  }
}

extension LogReader {
  /// Goes to the next action that is wanted; its payload is then `payload`.
  /// - Returns: false at the end, or where no later action can be one.
  package mutating func nextAction(_ filter: ActionFilter) throws(LogError) -> Bool {
    while let frame = try next() {
      guard frame.kind == .action else { continue }
      if try filter.contains(action: try payload) { return true }
      if lastSeq > filter.seqs.upperBound { return false }
    }
    return false
  }
}
