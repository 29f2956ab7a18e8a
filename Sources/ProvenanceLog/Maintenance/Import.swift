internal import LogFormat
package import LogStorage
internal import Synchronization

extension SessionsDirectory {
  /// Turns a session that the reference wrote into a log. It is accepted only if projecting the log gives the same bytes back; the original stays as it is, and
  /// the log gets its modification time.
  ///
  /// - Parameter progress: gets how many MiB of how many were read; all are read twice.
  /// - Throws: `LogError` `invalidInput` if the file is no session that can be reproduced exactly, `alreadyExists` if its id has a log, `locked` if one is being
  ///   made.
  package func importSession(_ path: String, progress: (Int, Int) -> Void = { _, _ in }) throws(LogError) -> SessionID {
    try name([try importLog(of: path, makesDirectory: true, progress: progress)])[0].get()
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
    var batch: [ImportedLog] = []
    defer { for log in batch { try? log.made.log.delete() } }
    func finishBatch() throws(LogError) {
      let results = name(batch)
      batch = []
      var noSpace: LogError?
      for result in results {
        if case .failure(let error) = result, error.code == .noSpace { noSpace = error } else { try each(result) }
      }
      if let noSpace { throw noSpace }
    }
    for (index, name) in files.enumerated() {
      func tick() { progress(index, files.count) }
      tick()
      do throws(LogError) {
        let log: ImportedLog?
        do throws(LogError) {
          log = try importIfMissing(name, from: place, behind: batch, tick)
        } catch let error where error.isOutOfFiles {
          // Each log of the batch holds two.
          try finishBatch()
          log = try importIfMissing(name, from: place, behind: batch, tick)
        }
        guard let log else { continue }
        batch.append(log)
      } catch {
        guard error.code == .noSpace else {
          try each(.failure(error))
          continue
        }
        // Nor would there be room for the next one.
        try finishBatch()
        throw error
      }
      if batch.count == ImportedLog.batchMax { try finishBatch() }
    }
    try finishBatch()
  }

  /// - Returns: `nil` if its session has a log already that holds as much, or will have with the batch; or if it is gone.
  private func importIfMissing(_ name: String, from place: String?, behind batch: [ImportedLog], _ tick: () -> Void) throws(LogError) -> ImportedLog?
  {
    let file = LogStorage.path(place ?? path, "\(name).json")
    let outline: ViewOutline
    // Removed since it was listed.
    do throws(LogError) { outline = try ViewOutline(file, in: fileSystem) } catch let error where error.code == .notFound {
      try checkIsText(file)
      return nil
    }
    if let id = outline.sessionID {
      guard place != nil || id.description == name else {
        throw LogError(
          .invalidInput, "this is session '\(id)', and not named so: it would not be the view of its log; rename it, or move it away", path: file)
      }
      let unnamed = batch.first { $0.id == id }
      let session = if let unnamed { unnamed.session } else { try known(id) }
      if let session, outline.isView(of: session.header), try !outline.holdsMore(than: session.summary) {
        // Another file may say something else of the same session.
        if place != nil, try outline.endsAs(session.summary) { try checkIsSame(file, as: unnamed?.made.log ?? log(of: id), id) }
        return nil
      }
    }
    return try importLog(of: file, makesDirectory: batch.isEmpty) { _, _ in tick() }
  }

  /// What a log holds; `nil` if there is none, or if it is damaged.
  /// - Throws: `LogError` if it cannot be read.
  private func known(_ id: SessionID) throws(LogError) -> Checkpoint? {
    do throws(LogError) { return try log(of: id).state(of: id).checkpoint } catch {
      guard error.code == .notFound || error.code == .corrupt else { throw error }
      return nil
    }
  }

  private func checkIsSame(_ path: String, as log: LogDirectory, _ id: SessionID) throws(LogError) {
    let bytes = try readBytes(of: try fileSystem.open(path, for: .reading), at: 0)
    do throws(LogError) {
      try bytes.withRawBytes { json throws(LogError) in try checkProjection(of: log, id, gives: json) }
    } catch let error where error.code == .invalidInput {
      throw LogError(
        .alreadyExists, "session '\(id)' has a log already, and this file differs from it; it is left alone", path: path, offset: error.offset)
    }
  }

  /// The log of a session that the reference wrote, without its name.
  private func importLog(of path: String, makesDirectory: Bool, progress: (Int, Int) -> Void) throws(LogError) -> ImportedLog {
    let file = try fileSystem.open(path, for: .reading)
    let status = try file.status()
    let bytes = try readBytes(of: file, at: 0)
    do throws(LogError) {
      return try bytes.withRawBytes { json throws(LogError) in
        let legacy = try LegacySession(json)
        if makesDirectory { try make() }
        try checkIsFree(legacy.header)
        return try importLog(of: legacy, json, path, modified: status.modified) { progress($0 >> 20, json.count >> 19) }
      }
    } catch {
      throw error.of(path)
    }
  }

  /// - Parameter tellRead: gets how many bytes were read; all are read twice.
  private func importLog(
    of legacy: LegacySession, _ json: UnsafeRawBufferPointer, _ path: String, modified: Int64, tellRead: (Int) -> Void
  ) throws(LogError) -> ImportedLog {
    var builder = try LogBuilder(legacy.header, in: self)
    do throws(LogError) {
      try legacy.write(to: &builder, json, tellRead: tellRead)
      let made = try builder.finish()
      let log = made.log
      try checkProjection(of: log, legacy.header.sessionID, gives: json) { tellRead(json.count + $0) }
      for name in try fileSystem.names(in: log.path) { try fileSystem.setModificationTime(of: log.path(of: name), to: modified) }
      return ImportedLog(path: path, session: Checkpoint(header: legacy.header, summary: builder.summary.summary), made: made)
    } catch {
      let log = builder.log
      // It may be the files that it holds open that are too many.
      _ = consume builder
      try? log.delete()
      throw error
    }
  }

  /// Puts logs on stable storage and gives them their names; together, for what it takes to sync them costs the most.
  /// - Returns: for each its id, or why it is not there, or not known to be.
  private func name(_ logs: [ImportedLog]) -> [Result<SessionID, LogError>] {
    var results = logs.map { Result<SessionID, LogError>.success($0.id) }
    func each(_ step: (ImportedLog) throws(LogError) -> Void) {
      for (index, log) in logs.enumerated() {
        guard case .success = results[index] else { continue }
        do throws(LogError) { try step(log) } catch { results[index] = .failure(error.of(log.path)) }
      }
    }
    let failures = Mutex<[Int: LogError]>([:])
    onThreads(each: logs.count) { index in
      do throws(LogError) { try logs[index].made.sync() } catch { failures.withLock { $0[index] = error.of(logs[index].path) } }
    }
    for (index, error) in failures.withLock({ $0 }) { results[index] = .failure(error) }
    each { log throws(LogError) in
      try removeUnfinished(self.log(of: log.id))
      guard try fileSystem.renameToNew(log.made.log.path, to: logPath(log.id)) else {
        throw hasLog(log.id)
      }
    }
    for (log, result) in zip(logs, results) { if case .failure = result { try? log.made.log.delete() } }
    do throws(LogError) { if !logs.isEmpty { try fileSystem.syncDirectory(path) } } catch { each { _ throws(LogError) in throw error } }
    return results
  }

  private func hasLog(_ id: SessionID) -> LogError {
    LogError(
      .alreadyExists, "session '\(id)' has a log already; if the file holds more of it, move the log away and import the file again",
      path: logPath(id))
  }

  private func checkIsFree(_ session: SessionHeader) throws(LogError) {
    let id = session.sessionID
    guard try isFree(log(of: id)) else {
      throw hasLog(id)
    }
    guard try [.missing, .view].contains(jsonKind(of: id, session)) else {
      throw LogError(.alreadyExists, "another session of the same id stands here", path: viewPath(id))
    }
  }

  private func checkProjection(
    of log: LogDirectory, _ id: SessionID, gives json: UnsafeRawBufferPointer, tellRead: (Int) -> Void = { _ in }
  ) throws(LogError) {
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
      tellRead(offset)
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

/// A log that was made of a session that the reference wrote.
private struct ImportedLog {
  /// Of the JSON file.
  let path: String
  let session: Checkpoint
  let made: UnnamedLog

  var id: SessionID { session.header.sessionID }

  /// Each holds two files open.
  static let batchMax = 64
}

extension LogError {
  /// Of this file, unless it names another one.
  fileprivate func of(_ path: String) -> LogError {
    self.path == nil ? self.at(path) : self
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

  /// Writes the log, closed if the session is.
  func write(to log: inout LogBuilder, _ json: UnsafeRawBufferPointer, tellRead: (Int) -> Void) throws(LogError) {
    var parser = try JSONParser(UnsafeRawBufferPointer(rebasing: json[actionsOffset...]), depth: 1)
    guard parser.next() == UInt8(ascii: "[") else { throw parser.failure("actions must be an array") }
    try parser.enter()
    var isFirst = true
    func place(_ error: LogError) -> LogError {
      LogError(error.code, error.message, path: error.path, offset: UInt64(actionsOffset) + (error.offset ?? UInt64(parser.position)))
    }
    while true {
      let action: JSONValue
      do throws(LogError) {
        guard try parser.nextElement(isFirst: isFirst) else { break }
        action = try parser.value()
      } catch {
        throw place(error)
      }
      isFirst = false
      tellRead(actionsOffset + parser.position)
      let payload = try action.compactJSON()
      do throws(LogError) {
        guard !action.hasNullMember else { throw LogError(.invalidInput, "a member is null, and the reference writes none such; it is left alone") }
        _ = try payload.withRawBytes { bytes throws(LogError) in try ActionRecord(payload: bytes) }
        try payload.withRawBytes { bytes throws(LogError) in try log.append(.action, bytes) }
      } catch {
        guard error.code == .corrupt || error.code == .invalidInput else { throw error.code == .tooLarge ? place(error) : error }
        throw LogError(.invalidInput, error.message, offset: UInt64(actionsOffset + parser.position))
      }
    }
    if let end {
      let payload = try end.payload()
      try payload.withRawBytes { bytes throws(LogError) in try log.append(.sessionClosed, bytes) }
    }
  }
}
