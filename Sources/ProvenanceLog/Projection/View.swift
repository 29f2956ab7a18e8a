internal import LogFormat
package import LogStorage

// The view: the Session JSON beside its log, for tools that read the reference's files (Format/directory.md).

extension SessionsDirectory {
  /// Writes the Session JSON of a log to its place, atomically, with the log's modification time.
  ///
  /// - Throws: `LogError` `alreadyExists` if a legacy session stands there; `corrupt` if the log is damaged: a view is never replaced by less.
  package func writeView(of id: SessionID) throws(LogError) {
    var projection = try SessionProjection.open(log(of: id), of: id)
    try writeView(&projection)
  }

  /// The same for a projection of which nothing was read yet.
  package func writeView(_ projection: inout SessionProjection) throws(LogError) {
    let id = projection.header.sessionID
    try checkIsFreeOrView(viewPath(id), of: projection.header)
    try writeProjection(&projection, to: viewPath(id), in: fileSystem, modified: try log(of: id).modified())
  }

  /// Removes the JSON file of this session if it is its view.
  package func removeView(of header: SessionHeader) throws(LogError) {
    let path = viewPath(header.sessionID)
    guard try fileSystem.status(of: path)?.kind == .file, try isView(path, of: header) else { return }
    try fileSystem.remove(path)
    try fileSystem.syncDirectory(self.path)
  }

  /// Whether the JSON file is this session's view: session_id, urn and started_at are the log's.
  package func isView(_ path: String, of header: SessionHeader) throws(LogError) -> Bool {
    let file = try fileSystem.open(path, for: .reading)
    // The members in question stand at the start; everything before them in a session's header is bounded.
    var start = try readBytes(of: file, at: 0, count: 2 * headerPayloadSizeMax)
    if start.count == 2 * headerPayloadSizeMax, let line = start.lastIndex(of: 0x0A) { start.removeSubrange(line...) }
    let found = (try? start.withRawBytes { bytes throws(LogError) in try leadingMembers(bytes) }) ?? JSONObject()
    return found["session_id"] == .string(JSONString(header.sessionID.description)) && found["urn"] == .string(header.urn)
      && found["started_at"] == .string(JSONString(header.startedAt.description))
  }

  private func checkIsFreeOrView(_ path: String, of header: SessionHeader?) throws(LogError) {
    guard try fileSystem.status(of: path) != nil else { return }
    if let header, try isView(path, of: header) { return }
    throw LogError(.alreadyExists, "the JSON of another session stands here; move it away", path: path)
  }

  /// Refuses to replace, at any path, what may be a session's only copy: a JSON file of this directory that is no view of the session to be written.
  /// - Parameter header: `nil` if the session to be written has none that could be read.
  /// - Throws: `LogError` `alreadyExists`.
  package func checkMayReplace(_ path: String, by header: SessionHeader?) throws(LogError) {
    guard path.hasSuffix(".json") else { return }
    let place = try fileSystem.status(of: LogStorage.path(parentDirectory(path), "."))
    guard let place, try place.identity == fileSystem.status(of: LogStorage.path(self.path, "."))?.identity else { return }
    try checkIsFreeOrView(path, of: header)
  }
}

/// The members of an object up to `started_at`.
private func leadingMembers(_ bytes: UnsafeRawBufferPointer) throws(LogError) -> JSONObject {
  var parser = try JSONParser(bytes)
  guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("an object is expected") }
  try parser.enter()
  var members = JSONObject()
  var isFirst = true
  while let key = try parser.nextKey(isFirst: isFirst) {
    isFirst = false
    members[key] = try parser.value()
    if key == "started_at" || members.count > 16 { break }
  }
  return members
}

/// Writes a whole projection to a file that appears at once or not at all.
/// - Throws: the projection's `damage`; what stood at `path` is then still there.
package func writeProjection(
  _ projection: inout SessionProjection, to path: String, in fileSystem: any FileSystem, modified: Int64? = nil
) throws(LogError) {
  var file = try OutputFile.create(path, in: fileSystem)
  while let block = try projection.next() { try file.write(block) }
  if let damage = projection.damage { throw damage }
  try file.finish(modified: modified)
}
