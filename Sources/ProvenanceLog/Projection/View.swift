package import LogFormat
package import LogStorage

// The view: the Session JSON beside its log, for tools that read the reference's files (Format/directory.md).

extension SessionsDirectory {
  /// Writes the Session JSON of a log to its place, atomically, with the log's modification time. A damaged view that stands there is renamed to a name that nobody
  /// sweeps.
  ///
  /// - Returns: that name.
  /// - Throws: `LogError` `alreadyExists` if a legacy session stands there; `corrupt` if the log is damaged, or has lost what the view that stands there holds: a
  ///   view is never replaced by less.
  @discardableResult
  package func writeView(of id: SessionID) throws(LogError) -> String? {
    var projection = try SessionProjection.open(log(of: id), of: id)
    return try writeView(&projection)
  }

  /// The same for a projection of which nothing was read yet.
  @discardableResult
  package func writeView(_ projection: inout SessionProjection) throws(LogError) -> String? {
    let id = projection.header.sessionID
    let log = log(of: id)
    var aside: String?
    if try jsonKind(of: id, projection.header) == .damaged {
      aside = try setViewAside(of: projection.header)
      try fileSystem.syncDirectory(path)
    }
    do throws(LogError) { try checkIsFreeOrView(viewPath(id), of: projection.session) } catch {
      // What it holds more may have been recorded since.
      guard error.code == .corrupt, projection.damage == nil, let now = try? log.state(of: id).checkpoint.summary,
        now.isFurther(than: projection.summary)
      else { throw error }
      return try writeView(of: id) ?? aside
    }
    try writeProjection(&projection, to: viewPath(id), in: fileSystem, modified: try log.modified())
    // Closed meanwhile, by a writer whose view this one has replaced.
    if let now = try? log.closedState(of: id)?.checkpoint.summary, now.end != projection.summary.end || now.isFurther(than: projection.summary) {
      return try writeView(of: id) ?? aside
    }
    // Removed meanwhile: a removal looks for the view once more behind the log's new name, so it has not seen this one, or will see it.
    if try fileSystem.status(of: log.path) == nil { try removeView(of: projection.header) }
    return aside
  }

  /// Writes the view of a session that has ended where there is none, since its close was interrupted; not of one that is too long for a view at close.
  /// - Returns: whether it did.
  package func makeMissingView(of id: SessionID) throws(LogError) -> Bool {
    guard try fileSystem.status(of: viewPath(id)) == nil, case .upTo(let size) = ProvChain.View.automatic, try log(of: id).rawSize() <= size
    else { return false }
    try writeView(of: id)
    return true
  }

  /// Removes the JSON file of this session if it is its view.
  package func removeView(of header: SessionHeader) throws(LogError) {
    guard try jsonKind(of: header.sessionID, header) == .view else { return }
    try fileSystem.remove(viewPath(header.sessionID))
    try fileSystem.syncDirectory(path)
  }

  /// Renames the view of this session, if it has one, whole or damaged, to a name that nobody sweeps. The caller syncs the directory.
  /// - Returns: the new name.
  package func setViewAside(of header: SessionHeader) throws(LogError) -> String? {
    guard [.view, .damaged].contains(try jsonKind(of: header.sessionID, header)) else { return nil }
    let aside = asidePath("\(header.sessionID).json", "aside")
    try fileSystem.rename(viewPath(header.sessionID), to: aside)
    return aside
  }

  /// Whether this session's view holds what its log does not: the log has lost its end, in a power cut for example.
  package func viewHoldsMore(than session: Checkpoint) throws(LogError) -> Bool {
    let path = viewPath(session.header.sessionID)
    guard try fileSystem.status(of: path)?.kind == .file else { return false }
    let view = try ViewOutline(path, in: fileSystem)
    guard view.isView(of: session.header) else { return false }
    return try view.holdsMore(than: session.summary)
  }

  /// Whether this session has a view, and it is another one than what projecting gives, byte for byte.
  func viewDiffers(of header: SessionHeader) throws(LogError) -> Bool {
    let kind = try jsonKind(of: header.sessionID, header)
    guard kind == .view else { return kind == .damaged }
    let view = try fileSystem.open(viewPath(header.sessionID), for: .reading)
    var projection = try SessionProjection.open(log(of: header.sessionID), of: header.sessionID)
    var offset: UInt64 = 0
    while let block = try projection.next() {
      guard try readBytes(of: view, at: offset, count: block.count).elementsEqual(block) else { return true }
      offset += UInt64(block.count)
    }
    return try view.status().size != offset
  }

  /// Whether this session's view is there, and ends as its log does.
  func viewIsUpToDate(with session: Checkpoint) throws(LogError) -> Bool {
    let path = viewPath(session.header.sessionID)
    guard try fileSystem.status(of: path)?.kind == .file else { return false }
    let view = try ViewOutline(path, in: fileSystem)
    guard view.isView(of: session.header) else { return false }
    return try view.endsAs(session.summary)
  }

  /// What a JSON file beside a log is to it.
  enum JSONKind {
    case view
    /// It was its view, or may have been: it does not say of itself what a view does, and not what a session of its own would. Or the log does not say what its
    /// view is.
    case damaged
    /// A legacy session in its own right.
    case another
    /// There is none.
    case missing
    case noFile
  }

  /// - Parameter header: what the log says of itself, if it does.
  func jsonKind(of id: SessionID, _ header: SessionHeader?) throws(LogError) -> JSONKind {
    guard let status = try fileSystem.status(of: viewPath(id)) else { return .missing }
    guard status.kind == .file else { return .noFile }
    return try ViewOutline(viewPath(id), in: fileSystem).kind(beside: id, header)
  }

  private func checkIsFreeOrView(_ path: String, of session: Checkpoint?) throws(LogError) {
    guard try fileSystem.status(of: path) != nil else { return }
    let view = try ViewOutline(path, in: fileSystem)
    guard let session, view.isView(of: session.header) else {
      throw LogError(.alreadyExists, "the JSON of another session stands here; move it away", path: path)
    }
    guard try !view.holdsMore(than: session.summary) else {
      throw LogError(
        .corrupt,
        "the log has lost its end: this holds the session up to seq \(try view.lastSeq() ?? 0), the log up to \(session.summary.nextSeq &- 1); "
          + "it is left alone, move it away", path: path)
    }
  }

  /// Refuses to replace, at any path, what may be a session's only copy: a JSON file of this directory that is no view of the session to be written, or holds
  /// more of it.
  /// - Parameter session: `nil` if the session to be written could not be read.
  /// - Throws: `LogError` `alreadyExists`, `corrupt`.
  package func checkMayReplace(_ path: String, by session: Checkpoint?) throws(LogError) {
    guard path.hasSuffix(".json") else { return }
    let place = try fileSystem.status(of: LogStorage.path(parentDirectory(path), "."))
    guard let place, try place.identity == fileSystem.status(of: LogStorage.path(self.path, "."))?.identity else { return }
    try checkIsFreeOrView(path, of: session)
  }
}

extension LogDirectory {
  /// Whether the log goes further, or ends otherwise, than it did.
  func hasChanged(since session: Checkpoint) -> Bool {
    guard let now = try? state(of: session.header.sessionID).checkpoint.summary else { return false }
    return now.nextSeq != session.summary.nextSeq || now.end != session.summary.end
  }
}

extension SessionSummary {
  fileprivate func isFurther(than other: SessionSummary) -> Bool {
    nextSeq > other.nextSeq || nextSeq == other.nextSeq && end != nil && other.end == nil
  }
}

/// What a JSON file says of itself at its start and at its end, in bounded memory.
struct ViewOutline {
  private let path: String
  private let file: any File
  /// Up to `was_associated_with`, which follows `ended_at`; empty if it is no session's JSON.
  private let members: JSONObject

  init(_ path: String, in fileSystem: any FileSystem) throws(LogError) {
    self.path = path
    file = try fileSystem.open(path, for: .reading)
    // The members in question stand at the start, mostly in its first block; everything before them in a session's header is bounded.
    var members: JSONObject?
    for size in [4096, 2 * headerPayloadSizeMax] where members == nil {
      var start = try readBytes(of: file, at: 0, count: size)
      if start.count == size, let line = start.lastIndex(of: 0x0A) { start.removeSubrange(line...) }
      members = try? start.withRawBytes { bytes throws(LogError) in try leadingMembers(bytes) }
    }
    self.members = members ?? JSONObject()
  }

  /// `nil` if it is none that a log can have.
  var sessionID: SessionID? {
    if case .string(let text)? = members["session_id"] { try? SessionID(text.description) } else { nil }
  }

  func isView(of header: SessionHeader) -> Bool {
    members["session_id"] == .string(JSONString(header.sessionID.description)) && members["urn"] == .string(header.urn)
      && members["started_at"] == .string(JSONString(header.startedAt.description))
  }

  func kind(beside id: SessionID, _ header: SessionHeader?) -> SessionsDirectory.JSONKind {
    let said = ["session_id", "urn", "started_at"].map { members[$0] }
    // What damage takes from one of them it leaves of the others.
    guard said.allSatisfy({ if case .string? = $0 { true } else { false } }) else { return .damaged }
    guard let header else { return sessionID == id ? .damaged : .another }
    let expected = [JSONString(id.description), header.urn, JSONString(header.startedAt.description)].map(JSONValue.string)
    let differences = zip(said, expected).count { $0 != $1 }
    return differences == 0 ? .view : differences == 1 ? .damaged : .another
  }

  func holdsMore(than summary: SessionSummary) throws(LogError) -> Bool {
    let (seq, logSeq) = (try lastSeq() ?? 0, summary.nextSeq &- 1)
    if seq != logSeq { return seq > logSeq }
    guard case .string? = members["ended_at"] else { return false }
    return summary.end == nil
  }

  func endsAs(_ summary: SessionSummary) throws(LogError) -> Bool {
    let endedAt: JSONValue? = summary.end.map { .string(JSONString($0.endedAt.description)) }
    guard members["ended_at"] == endedAt else { return false }
    return try lastSeq() ?? 0 == summary.nextSeq &- 1
  }

  /// The seq of the last action; `nil` if there is none. Reads backwards, as much as this action is long, up to a bound that only a file that is no view goes
  /// beyond.
  /// - Throws: `LogError` `corrupt` at that bound.
  func lastSeq() throws(LogError) -> Int64? {
    // Strings hold no line feeds, and no other member stands six spaces deep.
    let mark = Array("\n      \"seq\": ".utf8)
    let size = try file.status().size
    var end = size
    while end > 0 {
      guard size - end < Self.lastActionSizeMax else {
        throw LogError(
          .corrupt, "no action begins in the last \(Self.lastActionSizeMax >> 20) MiB of this JSON file; it is left alone, move it away", path: path)
      }
      let start = end > 1 << 16 ? end - 1 << 16 : 0
      // A mark across the border, and the digits behind it, are in both blocks.
      let block = try readBytes(of: file, at: start, count: Int(end - start) + mark.count + 20)
      var index = block.count
      while let line = block[..<index].lastIndex(of: 0x0A) {
        if block[line...].starts(with: mark) {
          return Int64(String(decoding: block[(line + mark.count)...].prefix { $0 == 0x2D || 0x30...0x39 ~= $0 }, as: UTF8.self))
        }
        index = line
      }
      end = start
    }
    return nil
  }

  private static let lastActionSizeMax: UInt64 = 128 << 20
}

/// The members of an object up to `was_associated_with`.
private func leadingMembers(_ bytes: UnsafeRawBufferPointer) throws(LogError) -> JSONObject {
  var parser = try JSONParser(bytes)
  guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("an object is expected") }
  try parser.enter()
  var members = JSONObject()
  var isFirst = true
  while let key = try parser.nextKey(isFirst: isFirst) {
    isFirst = false
    members[key] = try parser.value()
    if key == "was_associated_with" || members.count > 16 { break }
  }
  return members
}

/// Writes a whole projection to a file that appears at once or not at all.
/// - Parameter progress: gets how many actions were read.
/// - Throws: the projection's `damage`; what stood at `path` is then still there.
package func writeProjection(
  _ projection: inout SessionProjection, to path: String, in fileSystem: any FileSystem, modified: Int64? = nil, progress: (UInt64) -> Void = { _ in }
) throws(LogError) {
  var file = try OutputFile.create(path, in: fileSystem)
  while let block = try projection.next() {
    try file.write(block)
    progress(projection.actions)
  }
  if let damage = projection.damage { throw damage }
  try file.finish(modified: modified)
}
