internal import Glibc
internal import LogFormat
package import ProvenanceModel

/// Which files of a log become larger, sealed ones.
package struct CompactionRules: Sendable {
  /// LZ4's, 1 (fast) to 12 (small); `nil` for 1, and then what is sealed already keeps its form.
  package var level: Int?
  /// Files are merged up to so many raw bytes.
  package var rawSizeMax: UInt64

  package init(level: Int? = nil, rawSizeMax: UInt64 = 256 << 20) {
    self.level = level
    self.rawSizeMax = rawSizeMax
  }
}

/// Files, side by side, that become one.
package struct CompactionStep: Sendable {
  /// Names in the log's directory.
  package let files: [SegmentFileName]
  package let rawSize: UInt64
  /// Bytes on disk.
  package let sizeBefore: UInt64
  /// `nil` as long as it is only planned.
  package fileprivate(set) var sizeAfter: UInt64?
  /// The files stay as they were: a writer has gone on with the log meanwhile.
  package fileprivate(set) var isOvertaken = false
  /// The file behind them.
  fileprivate let next: SegmentFileName?

  /// The sealed file that holds what they held.
  package var result: SegmentFileName { SegmentFileName(firstSequence: files[0].firstSequence, isSealed: true) }

  /// The sequence behind the last frame of a file; `nil` if only the file says it.
  fileprivate func end(of index: Int) -> UInt64? { (index + 1 < files.count ? files[index + 1] : next)?.firstSequence }
}

extension LogDirectory {
  /// What `compact` would do now. Changes nothing, takes no lock.
  /// - Parameter tellRemoved: gets the names of files that interrupted work has left.
  package func planCompaction(
    of id: SessionID, _ rules: CompactionRules = CompactionRules(), tellRemoved: ([String]) -> Void = { _ in }
  ) throws(LogError) -> [CompactionStep] {
    try checkHasFirst(try segments())
    let gone = try (hasLivingWriter() ? [] : unfinishedSegments()) + leftovers(of: id, removing: false)
    if !gone.isEmpty { tellRemoved(gone) }
    return try compactionSteps(of: id, rules, without: gone, lock: nil)
  }

  /// Seals raw files, merges small ones, packs sealed ones anew if a level is given, and takes away what interrupted work has left. The frame stream stays the
  /// same to the byte: each new file is read back and compared before it takes the place of the old ones, which go last.
  ///
  /// The newest file is taken only if the session is closed and nobody writes; the writer's lock is held while it is replaced, and no longer. Readers may be
  /// at work. What is replaced is on stable storage. Memory: the largest record and 64 bytes for each 256 KiB of a file.
  /// - Parameters:
  ///   - lock: the writer's, if the caller has it.
  ///   - tellRemoved: gets the names of files that interrupted work has left, once they are gone.
  ///   - progress: gets how many MiB of how many were read; all are read twice.
  /// - Returns: what was done, and what was overtaken.
  /// - Throws: `LogError` `locked` if another one compacts; `corrupt` if a file is damaged; `noSpace`, `io`. What was not finished is as it was.
  package func compact(
    _ id: SessionID, _ rules: CompactionRules = CompactionRules(), lock: LogLock? = nil, tellRemoved: ([String]) -> Void = { _ in },
    progress: (UInt64, UInt64) -> Void = { _, _ in }
  ) throws(LogError) -> [CompactionStep] {
    let maintainer = try LogLock(.maintainer, of: self)
    defer { withExtendedLifetime(maintainer) {} }
    try checkHasFirst(try segments())
    let gone = try removeUnfinishedSegments(lock) + leftovers(of: id, removing: true)
    if !gone.isEmpty { tellRemoved(gone) }
    var done: [CompactionStep] = []
    let steps = try compactionSteps(of: id, rules, lock: lock)
    let total = steps.reduce(0) { $0 + $1.rawSize >> 19 }
    var bytes: UInt64 = 0
    for var step in steps {
      step.sizeAfter = try perform(&step, id, rules, lock) {
        bytes += UInt64($0)
        progress(bytes >> 20, total)
      }
      if step.sizeAfter != nil || step.isOvertaken { done.append(step) }
    }
    return done
  }

  // MARK: Which files

  private func compactionSteps(
    of id: SessionID, _ rules: CompactionRules, without gone: [String] = [], lock: LogLock?
  ) throws(LogError) -> [CompactionStep] {
    var steps: [CompactionStep] = []
    var (files, rawSize, size) = ([SegmentFileName](), UInt64(0), UInt64(0))
    func finish(before next: SegmentFileName?) {
      if files.count > 1 || files.contains(where: { !$0.isSealed || rules.level != nil }) {
        steps.append(CompactionStep(files: files, rawSize: rawSize, sizeBefore: size, sizeAfter: nil, next: next))
      }
      (files, rawSize, size) = ([], 0, 0)
    }
    let all = try segments().filter { !gone.contains($0.description) }
    try checkHasFirst(all)
    var behind: UInt64 = 0
    // What another one covers is no part of any step.
    for name in all where files.isEmpty && steps.isEmpty || name.firstSequence >= behind {
      if name == all.last, !name.isSealed, try !isClosed(id, lock) {
        finish(before: name)
        break
      }
      let file = try SegmentFile.open(name, in: self)
      let raw = try file.rawSize()
      if rawSize + raw > min(rules.rawSizeMax, SealedIndex.rawSizeMax) { finish(before: name) }
      files.append(name)
      rawSize += raw
      size += try fileSystem.status(of: path(of: name.description))?.size ?? 0
      behind = (file.index?.lastSequence ?? name.firstSequence) + 1
    }
    if !files.isEmpty { finish(before: nil) }
    return steps
  }

  /// What has lost its beginning is not packed as if it were whole.
  private func checkHasFirst(_ files: [SegmentFileName]) throws(LogError) {
    guard let first = files.first, first.firstSequence > 0 else { return }
    throw LogError(
      .corrupt, "missing: the log's first file, before this one; 'recover' says what can be kept", path: path, segment: first.description)
  }

  private func isClosed(_ id: SessionID, _ lock: LogLock?) throws(LogError) -> Bool {
    if lock == nil, try hasLivingWriter() { return false }
    let state = try state(of: id)
    return state.ending == .clean && state.checkpoint.summary.end != nil
  }

  /// The chunks that `lz4 -d` does not take; readers do.
  package func contentDamage() throws(LogError) -> [Damage] {
    var damages: [Damage] = []
    for name in try segments() where name.isSealed {
      do throws(LogError) {
        damages += try SegmentFile.open(name, in: self).contentDamage()
      } catch {
        // Compaction has taken it away meanwhile.
        guard error.code == .notFound else { throw error }
      }
    }
    return damages
  }

  // MARK: Making a file

  /// - Returns: bytes of the new file; `nil` if nothing was replaced: it would be no smaller, or it was overtaken, which is then noted.
  private func perform(
    _ step: inout CompactionStep, _ id: SessionID, _ rules: CompactionRules, _ lock: LogLock?, tellRead: (Int) -> Void
  ) throws(LogError) -> UInt64? {
    let temporary = path(of: step.result.temporaryName)
    let newest = step.next == nil ? try fileSystem.status(of: path(of: step.files.last!.description)) : nil
    do throws(LogError) {
      let size = try write(step, id, rules, to: temporary, tellRead)
      try check(step, id, against: temporary, tellRead)
      let isBetter = step.files != [step.result] || size < step.sizeBefore
      let isWanted = isBetter ? true : try isIndexMended(step.result, by: temporary)
      guard isWanted, try replace(step, by: temporary, newest, lock) else {
        step.isOvertaken = isWanted
        try fileSystem.remove(temporary)
        return nil
      }
      for name in step.files where name != step.result { try fileSystem.remove(path(of: name.description)) }
      return size
    } catch {
      try? fileSystem.remove(temporary)
      guard error.code == .noSpace else { throw error }
      throw error.adding(" for the new file, which needs up to about \(step.sizeBefore) bytes beside the old ones; these are as they were")
    }
  }

  private func write(
    _ step: CompactionStep, _ id: SessionID, _ rules: CompactionRules, to path: String, _ tellRead: (Int) -> Void
  ) throws(LogError) -> UInt64 {
    let file = try fileSystem.create(path)
    var buffer = ByteBuffer(capacity: 2 << 20)
    var size: UInt64 = 0
    func flush(atLeast count: Int) throws(LogError) {
      guard buffer.count >= count else { return }
      try file.writeAll(buffer.bytes, at: size)
      size += UInt64(buffer.count)
      buffer.removeAll()
    }
    var sealer = Sealer(level: Int32(rules.level ?? 1))
    var checkpoint: [UInt8] = []
    for (number, name) in step.files.enumerated() {
      let source = try SegmentFile.open(name, in: self)
      if rules.level == nil, let index = source.index {
        try sealer.append(chunksOf: index, to: &buffer)
        for chunk in index.chunks {
          buffer.append(try source.packedBytes(of: chunk))
          tellRead(chunk.rawSize)
          try flush(atLeast: 1 << 20)
        }
        checkpoint = index.checkpoint
        continue
      }
      var reader = try reader(of: step, number, id)
      var summary = SummaryBuilder()
      while let frame = try next(of: step, number, &reader) {
        if let header = try reader.beginOfSegment { try sealer.append(reader.currentSegment.header, bytes: header, to: &buffer) }
        try reader.add(frame, to: &summary, trustingCheckpoint: true)
        try sealer.append(frame, frame: try reader.paddedFrameBytes, to: &buffer)
        tellRead(frame.frameSize)
        try flush(atLeast: 1 << 20)
      }
      guard let state = summary.checkpoint else {
        throw LogError(.corrupt, "the file does not begin with a checkpoint", path: self.path, segment: name.description)
      }
      checkpoint = try state.payload()
      if !name.isSealed { try keepRest(from: reader.segmentStart + reader.segmentEnd.size, of: name, salt: reader.segment.salt) }
    }
    try sealer.finish(checkpoint: checkpoint, to: &buffer)
    try flush(atLeast: 1)
    try file.sync()
    return size
  }

  /// What stands behind the frames of a raw file is evidence of a crash: it stays under a name of its own. A mark alone, which a drop or a close has left, is none.
  private func keepRest(from end: UInt64, of name: SegmentFileName, salt: UInt32) throws(LogError) {
    let file = try fileSystem.open(path(of: name.description), for: .reading)
    let mark = try readBytes(of: file, at: end, count: FrameHeader.size).withUnsafeBytes { FrameHeader($0, salt: salt) }
    let behindMark = mark?.kind == .mark ? end + UInt64(mark!.frameSize) : end
    let aside = path(of: ".\(name).aside")
    if try fileSystem.status(of: aside) != nil { try fileSystem.remove(aside) }
    guard let first = try nextBlock(of: file, from: behindMark) else { return }
    let kept = try fileSystem.create(aside)
    // The mark too, if there is one. Zeros stay holes.
    var block: (start: UInt64, bytes: [UInt8])? = (end, try readBytes(of: file, at: end, count: Int(behindMark - end)))
    var next: (start: UInt64, bytes: [UInt8])? = first
    while let (start, bytes) = block {
      try bytes.withRawBytes { bytes throws(LogError) in try kept.writeAll(bytes, at: start - end) }
      block = next
      next = if let (start, bytes) = next { try nextBlock(of: file, from: start + UInt64(bytes.count)) } else { nil }
    }
    try kept.sync()
  }

  /// The next bytes of a file that are not all zero, and where they stand; `nil` if there are none.
  private func nextBlock(of file: any File, from start: UInt64) throws(LogError) -> (start: UInt64, bytes: [UInt8])? {
    var start = start
    while let data = try file.nextData(from: start) {
      start = max(start, data)
      let bytes = try readBytes(of: file, at: start, count: 1 << 18)
      if bytes.isEmpty { return nil }
      if bytes.contains(where: { $0 != 0 }) { return (start, bytes) }
      start += UInt64(bytes.count)
    }
    return nil
  }

  private func isIndexMended(_ name: SegmentFileName, by temporary: String) throws(LogError) -> Bool {
    guard let old = try SegmentFile.open(name, in: self).index, let new = try SegmentFile.open(name, in: self, at: temporary).index else {
      return true
    }
    return !new.describes(as: old)
  }

  /// Reads the new file back: its segment headers and frames must be those of the files that it was made of, and its index must be true of them: it may have been
  /// taken over from those.
  private func check(_ step: CompactionStep, _ id: SessionID, against temporary: String, _ tellRead: (Int) -> Void) throws(LogError) {
    var result = LogReader(self, id, reading: try SegmentFile.open(step.result, in: self, at: temporary), of: [step.result])
    guard let written = result.index else { throw LogError(.io, "the new file's index is damaged; the old files stay", path: temporary) }
    var index = IndexCheck(written, includesTimes: true)
    var nextSeq: Int64 = 1
    for (number, name) in step.files.enumerated() {
      var reader = try reader(of: step, number, id)
      while let frame = try next(of: step, number, &reader) {
        guard try result.next() != nil, try isSame(&reader, &result) else {
          throw LogError(
            .io, "the new file does not hold this frame as it stands here; the old files stay", path: path, segment: name.description,
            sequence: frame.sequence)
        }
        let payload = try result.payload
        let segment = result.currentSegment
        if frame.sequence == segment.header.firstSequence { nextSeq = segment.header.firstSeq }
        index.take(frame, payload: payload, at: result.place.offset, of: segment, nextSeq: nextSeq)
        if frame.kind == .action { nextSeq = try ActionOutline(payload: payload).seq &+ 1 }
        tellRead(frame.frameSize)
      }
    }
    if let damage = try result.file.contentDamage().first { throw LogError(damage, in: path) }
    index.finishChunk()
    if let (chunk, message) = index.differences.first {
      let old = step.files.last { $0.firstSequence <= chunk.firstSequence }
      throw LogError(
        .corrupt, "\(message); '--level 9' makes the index anew", path: path, segment: old?.description, sequence: chunk.firstSequence)
    }
    guard written.nextSeq == nextSeq else {
      throw LogError(
        .corrupt, "its trailer says that seq \(written.nextSeq) comes next, and it is \(nextSeq); '--level 9' makes the index anew", path: path,
        segment: step.files.last?.description)
    }
    guard try result.next() == nil else { throw LogError(.io, "the new file holds more than the old ones, which stay", path: temporary) }
  }

  private func isSame(_ a: inout LogReader, _ b: inout LogReader) throws(LogError) -> Bool {
    switch (try a.beginOfSegment.map(Array.init), try b.beginOfSegment.map(Array.init)) {
    case (nil, nil): break
    case (let a?, let b?) where a == b: break
    default: return false
    }
    let (a, b) = (try a.paddedFrameBytes, try b.paddedFrameBytes)
    return a.count == b.count && memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0
  }

  private func reader(of step: CompactionStep, _ number: Int, _ id: SessionID) throws(LogError) -> LogReader {
    let name = step.files[number]
    let next = number + 1 < step.files.count ? step.files[number + 1] : step.next
    return LogReader(self, id, reading: try SegmentFile.open(name, in: self), of: [name] + (next.map { [$0] } ?? []))
  }

  /// The next frame of a file, up to where the file behind it begins.
  private func next(of step: CompactionStep, _ number: Int, _ reader: inout LogReader) throws(LogError) -> FrameHeader? {
    let end = step.end(of: number)
    if let end, reader.nextSequence >= end {
      guard !step.files[number].isSealed || reader.offset >= reader.fileSize else {
        throw LogError(
          .corrupt, "this file holds more than the one behind it says; 'recover' says what can be kept", path: path,
          segment: step.files[number].description)
      }
      return nil
    }
    if let frame = try reader.next() { return frame }
    if end == nil, reader.ending == .clean { return nil }
    throw LogError(.corrupt, "the file ends before the next one begins; 'verify' says more", path: path, segment: step.files[number].description)
  }

  // MARK: Replacing

  /// - Parameter newest: what the log's newest file was like when it was read, if it is one of those.
  /// - Returns: false if someone has gone on with the log since.
  private func replace(_ step: CompactionStep, by temporary: String, _ newest: FileStatus?, _ lock: LogLock?) throws(LogError) -> Bool {
    var ours: LogLock?
    if newest != nil, lock == nil {
      do throws(LogError) { ours = try LogLock(.writer, of: self) } catch let error where error.code == .locked { return false }
    }
    defer { withExtendedLifetime(ours) {} }
    var modified = Int64.min
    for name in step.files {
      guard let status = try fileSystem.status(of: path(of: name.description)) else {
        throw LogError(.notFound, "the log was removed meanwhile", path: path)
      }
      modified = max(modified, status.modified)
    }
    if let newest {
      let name = step.files.last!
      guard try segments().last == name, try fileSystem.status(of: path(of: name.description)) == newest else { return false }
    }
    try fileSystem.setModificationTime(of: temporary, to: modified)
    // The file behind it says where the last of these ends: in no crash may the result be there and that one not, of which a writer that was killed had not made the name
    // durable.
    if step.next != nil { try fileSystem.syncDirectory(path) }
    try fileSystem.rename(temporary, to: path(of: step.result.description))
    try fileSystem.syncDirectory(path)
    return true
  }

  // MARK: What interrupted work has left

  /// Those that a writer was making when it died. - Returns: their names.
  private func removeUnfinishedSegments(_ lock: LogLock?) throws(LogError) -> [String] {
    let unfinished = try unfinishedSegments()
    guard !unfinished.isEmpty else { return [] }
    do throws(LogError) {
      let ours = try lock == nil ? LogLock(.writer, of: self) : nil
      defer { withExtendedLifetime(ours) {} }
      removeUnfinishedSegments()
    } catch let error where error.code == .locked {
      return []
    }
    return unfinished
  }

  /// Files whose frames all stand in a sealed one, with which they are compared: they are removed. Where that one is damaged and the log is whole without it, it
  /// is set aside instead.
  /// - Parameter isRemoving: if not, nothing is changed.
  /// - Returns: their names.
  /// - Throws: `LogError` `corrupt` for one that is damaged, or differs; `notFound` for one that another process has just removed.
  package func leftovers(of id: SessionID, removing isRemoving: Bool) throws(LogError) -> [String] {
    let unfinished = try fileSystem.names(in: path).filter {
      $0.hasPrefix(".") && $0.hasSuffix(".tmp") && SegmentFileName(String($0.dropFirst().dropLast(4)))?.isSealed == true
    }
    if isRemoving { for name in unfinished { try fileSystem.remove(path(of: name)) } }
    var gone = unfinished
    var all = try segments()
    var files = all
    while let name = files.first {
      files.removeFirst()
      guard name.isSealed else { continue }
      let index = try SegmentFile.open(name, in: self).index
      let end = if let index { index.lastSequence + 1 } else { try files.isEmpty ? 0 : LogReader.end(of: name, in: self, id) }
      let covered = Array(files.prefix { $0.firstSequence < max(end, name.firstSequence + 1) })
      guard !covered.isEmpty else { continue }
      guard let index, try isWhole(name, of: id) else {
        try checkIsNotNeeded(name, among: all, id)
        if isRemoving {
          try setAside(name)
          try fileSystem.syncDirectory(path)
        }
        all.removeAll { $0 == name }
        gone.append(name.description)
        continue
      }
      files.removeFirst(covered.count)
      gone += covered.map(\.description)
      try compare(covered, with: name, index, before: files, id)
      guard isRemoving else { continue }
      // Who made it may have died before its name was durable.
      try fileSystem.syncDirectory(path)
      for name in covered { try fileSystem.remove(path(of: name.description)) }
    }
    return gone
  }

  /// Under a name that nobody sweeps, and no other file has.
  private func setAside(_ name: SegmentFileName) throws(LogError) {
    var number = 1
    while true {
      let aside = path(of: number == 1 ? ".\(name).aside" : ".\(name).\(number).aside")
      if try fileSystem.renameToNew(path(of: name.description), to: aside) { return }
      number += 1
    }
  }

  private func compare(
    _ covered: [SegmentFileName], with name: SegmentFileName, _ index: SealedIndex, before rest: [SegmentFileName], _ id: SessionID
  ) throws(LogError) {
    var whole = LogReader(self, id, reading: try SegmentFile.open(name, in: self), of: [name])
    var other = try whole.next()
    for file in covered {
      // Of a raw file and the sealed one that was made of it both may be left.
      if other?.sequence ?? .max > file.firstSequence {
        whole = LogReader(self, id, reading: try SegmentFile.open(name, in: self), of: [name])
        other = try whole.next()
      }
      var reader = LogReader(self, id, reading: try SegmentFile.open(file, in: self), of: [file])
      var sameSalt: UInt32?
      var isCopied = false
      func differs(_ what: String) -> LogError {
        LogError(
          .corrupt, "\(what) \(name), in which its frames stand, too; both stay, move one away", path: path, segment: file.description,
          sequence: max(reader.nextSequence, 1) - 1)
      }
      while true {
        let next: FrameHeader?
        do throws(LogError) { next = try reader.next() } catch let error where error.code == .corrupt {
          throw differs("this file is damaged, so that it cannot be compared with")
        }
        guard let frame = next else { break }
        let salt = reader.currentSegment.header.salt
        if !isCopied {
          while let passed = other, passed.sequence < frame.sequence { other = try whole.next() }
          if other != nil, whole.currentSegment.header.salt == salt {
            guard try isSame(&reader, &whole) else { throw differs("this file differs from") }
            sameSalt = salt
            other = try whole.next()
            continue
          }
          guard sameSalt == salt else { throw differs("this file is another one than") }
          // Behind here the log was taken up again: copies of the rest stand in the next segment, which may be that of the next file.
          isCopied = true
          if other == nil, let next = rest.first, try begins(next, behind: index) {
            whole = LogReader(self, id, reading: try SegmentFile.open(next, in: self), of: rest)
            other = try whole.next()
          }
        }
        if frame.kind == .mark { continue }
        while let passed = other, passed.kind == .mark || passed.sequence == whole.currentSegment.header.firstSequence { other = try whole.next() }
        guard other?.kind == frame.kind, try isSamePayload(&reader, &whole) else { throw differs("this file holds more than") }
        other = try whole.next()
      }
    }
  }

  private func isSamePayload(_ a: inout LogReader, _ b: inout LogReader) throws(LogError) -> Bool {
    let (a, b) = (try a.payload, try b.payload)
    return a.count == b.count && memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0
  }

  /// - Throws: `corrupt` if there is damage besides.
  private func checkIsNotNeeded(_ name: SegmentFileName, among files: [SegmentFileName], _ id: SessionID) throws(LogError) {
    let others = files.filter { $0 != name }
    var reader = LogReader(
      self, id, true, false, false, others, try SegmentFile.open(others[0], in: self), nextSequence: others[0].firstSequence)
    reader.ignored = name
    while try reader.next() != nil {}
    // What can be read of it, or is said to be in it, must be in the others.
    let file = try SegmentFile.open(name, in: self)
    let last = file.index?.lastSequence ?? 0
    var damaged = LogReader(self, id, reading: file, of: [name])
    while try damaged.nextItem() != nil {}
    guard others[0].firstSequence == files[0].firstSequence, max(damaged.nextSequence, last + 1) <= reader.nextSequence else {
      throw LogError(.corrupt, "this file is damaged; 'recover' says what can be kept", path: path, segment: name.description)
    }
  }
}
