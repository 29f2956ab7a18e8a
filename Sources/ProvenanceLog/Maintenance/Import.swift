internal import LogFormat
package import LogStorage

extension SessionsDirectory {
  /// Turns a session that the reference wrote into a log. It is accepted only if projecting the log gives the same bytes back; the original stays as it is, and
  /// the log gets its modification time.
  ///
  /// - Throws: `LogError` `invalidInput` if the file is no session that can be reproduced exactly, `alreadyExists` if its id has a log, `locked` if one is being
  ///   made.
  package func importSession(_ path: String) throws(LogError) -> SessionID {
    let file = try fileSystem.open(path, for: .reading)
    let status = try file.status()
    let bytes = try readBytes(of: file, at: 0)
    do throws(LogError) {
      return try bytes.withRawBytes { bytes throws(LogError) in try importSession(bytes, modified: status.modified) }
    } catch {
      throw LogError(error.code, error.message, path: error.path ?? path, offset: error.offset, errno: error.errno)
    }
  }

  /// Imports every JSON file of a directory whose session has no log yet, by name. What is imported already is passed over, so it goes on where an earlier
  /// run has ended. Memory: one file at a time.
  ///
  /// - Parameters:
  ///   - place: `nil` for the directory of the logs: the files then are the views of their logs.
  ///   - each: gets each new log's id, or why a file was left alone; after that the others go on.
  ///   - progress: gets how many files of how many have been looked at.
  /// - Throws: `LogError` if the directory cannot be listed; `noSpace`; what `each` throws.
  package func importAll(
    from place: String? = nil, progress: (Int, Int) -> Void = { _, _ in }, each: (Result<SessionID, LogError>) throws(LogError) -> Void
  ) throws(LogError) {
    let names = if let place { try fileSystem.names(in: place) } else { try names() }
    let files = entries(among: names).jsonFiles
    for (index, name) in files.enumerated() {
      progress(index, files.count)
      let result: Result<SessionID, LogError>
      do throws(LogError) {
        guard let id = try importIfMissing(name, from: place) else { continue }
        result = .success(id)
      } catch {
        // Nor would there be room for the next one.
        guard error.code != .noSpace else { throw error }
        result = .failure(error)
      }
      try each(result)
    }
  }

  /// - Returns: `nil` if its session has a log already that holds as much.
  private func importIfMissing(_ name: String, from place: String?) throws(LogError) -> SessionID? {
    let file = LogStorage.path(place ?? path, "\(name).json")
    let outline = try ViewOutline(file, in: fileSystem)
    if let id = outline.sessionID {
      guard place != nil || id.description == name else {
        throw LogError(
          .invalidInput, "this is session '\(id)', and not named so: it would not be the view of its log; rename it, or move it away", path: file)
      }
      if let log = try? log(of: id).state(of: id).checkpoint, outline.isView(of: log.header), try !outline.holdsMore(than: log.summary) { return nil }
    }
    return try importSession(file)
  }

  private func importSession(_ json: UnsafeRawBufferPointer, modified: Int64) throws(LogError) -> SessionID {
    let legacy = try LegacySession(json)
    let id = legacy.header.sessionID
    try make()
    guard try isFree(log(of: id)) else {
      throw LogError(.alreadyExists, "session '\(id)' has a log already", path: logPath(id))
    }
    if try fileSystem.status(of: viewPath(id)) != nil, try !isView(viewPath(id), of: legacy.header) {
      throw LogError(.alreadyExists, "another session of the same id stands here", path: viewPath(id))
    }
    var builder = try LogBuilder(legacy.header, in: self)
    let made = builder.log
    // Until it has its name: while it is locked nobody takes it for a left-over.
    let lock = builder.lock
    defer { withExtendedLifetime(lock) {} }
    do throws(LogError) {
      try legacy.write(to: &builder, json)
      try checkProjection(of: made, id, gives: json)
      for name in try fileSystem.names(in: made.path) { try fileSystem.setModificationTime(of: made.path(of: name), to: modified) }
      try removeUnfinished(log(of: id))
      guard try fileSystem.renameToNew(made.path, to: logPath(id)) else {
        throw LogError(.alreadyExists, "session '\(id)' has a log already", path: logPath(id))
      }
    } catch {
      try? made.delete()
      throw error
    }
    try fileSystem.syncDirectory(self.path)
    return id
  }

  private func checkProjection(of log: LogDirectory, _ id: SessionID, gives json: UnsafeRawBufferPointer) throws(LogError) {
    var projection = try SessionProjection.open(log, of: id)
    var offset = 0
    while let block = try projection.next() {
      let rest = UnsafeRawBufferPointer(rebasing: json[offset...].prefix(block.count))
      if !rest.elementsEqual(block) {
        let same = zip(rest, block).prefix { $0 == $1 }.count
        throw LogError(
          .invalidInput, "this is not what the reference writes, from here on; it cannot be reproduced exactly and is left alone",
          offset: UInt64(offset + same))
      }
      offset += block.count
    }
    if let damage = projection.damage { throw damage }
    guard offset == json.count else {
      throw LogError(.invalidInput, "something follows the session; it cannot be reproduced exactly and is left alone", offset: UInt64(offset))
    }
  }

  /// As for a new session: a creation that did not finish makes way, for nothing was acknowledged in it.
  private func isFree(_ log: LogDirectory) throws(LogError) -> Bool {
    guard let status = try fileSystem.status(of: log.path) else { return true }
    guard status.kind == .directory else { return false }
    return try log.segments().isEmpty
  }

  private func removeUnfinished(_ log: LogDirectory) throws(LogError) {
    guard try fileSystem.status(of: log.path) != nil else { return }
    let lock = try LogLock(.writer, of: log)
    log.removeUnfinished()
    withExtendedLifetime(lock) {}
  }
}

/// A session of the reference's, read as far as its actions.
private struct LegacySession {
  let header: SessionHeader
  private let end: SessionEnd?
  private let actionsOffset: Int

  init(_ json: UnsafeRawBufferPointer) throws(LogError) {
    var parser = try JSONParser(json)
    guard parser.next() == UInt8(ascii: "{") else { throw parser.failure("a session must be a JSON object") }
    try parser.enter()
    var members = JSONObject()
    var isFirst = true
    var actions: Int?
    while actions == nil, let key = try parser.nextKey(isFirst: isFirst) {
      isFirst = false
      if key == "actions" {
        actions = parser.position
      } else {
        members[key] = try parser.value()
      }
    }
    guard let actions else { throw parser.failure("the session has no actions") }
    actionsOffset = actions
    do throws(LogError) {
      let payload = try JSONValue.object(members).compactJSON()
      header = try payload.withRawBytes { bytes throws(LogError) in try SessionHeader(payload: bytes) }
      end = members["ended_at"] == nil ? nil : try payload.withRawBytes { bytes throws(LogError) in try SessionEnd(payload: bytes) }
    } catch {
      throw LogError(.invalidInput, error.message)
    }
  }

  /// Writes the log, closed if the session is, and puts it on stable storage.
  func write(to log: inout LogBuilder, _ json: UnsafeRawBufferPointer) throws(LogError) {
    var parser = try JSONParser(UnsafeRawBufferPointer(rebasing: json[actionsOffset...]), depth: 1)
    guard parser.next() == UInt8(ascii: "[") else { throw parser.failure("actions must be an array") }
    try parser.enter()
    var isFirst = true
    while try parser.nextElement(isFirst: isFirst) {
      isFirst = false
      let payload = try parser.value().compactJSON()
      do throws(LogError) {
        _ = try payload.withRawBytes { bytes throws(LogError) in try ActionRecord(payload: bytes) }
        try payload.withRawBytes { bytes throws(LogError) in try log.append(.action, bytes) }
      } catch {
        guard error.code == .corrupt || error.code == .invalidInput else { throw error }
        throw LogError(.invalidInput, error.message, offset: UInt64(actionsOffset + parser.position))
      }
    }
    if let end {
      let payload = try end.payload()
      try payload.withRawBytes { bytes throws(LogError) in try log.append(.sessionClosed, bytes) }
    }
    try log.finish()
  }
}
