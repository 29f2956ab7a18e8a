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
