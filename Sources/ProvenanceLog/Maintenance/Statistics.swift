internal import LogFormat
internal import LogStorage

/// What sessions add up to. Bounded memory, whatever they hold.
package struct Statistics: Sendable {
  package internal(set) var sessions = 0
  /// Those of them that are kept as the JSON that the reference wrote: they have actions, but no frames, segments, files and bytes of a log.
  package internal(set) var legacySessions = 0
  package internal(set) var actions: UInt64 = 0
  package internal(set) var frames: UInt64 = 0
  package internal(set) var segments: UInt64 = 0
  package internal(set) var files: UInt64 = 0
  /// Bytes of the segments' headers and frames, unpacked.
  package internal(set) var rawBytes: UInt64 = 0
  /// Bytes of the files, packed as they are.
  package internal(set) var storedBytes: UInt64 = 0
  /// The least and the greatest `generated_at`.
  package internal(set) var times: ClosedRange<Timestamp>?
  package internal(set) var outcomes = Tally()
  package internal(set) var actionTypes = Tally()
  package internal(set) var kernels = Tally()

  package init() {}

  fileprivate mutating func count(action payload: UnsafeRawBufferPointer) throws(LogError) {
    let action = try ActionOutline(payload: payload)
    let time = try generatedAt(ofAction: payload)
    outcomes.count(try unescaped(action.outcome))
    actionTypes.count(try unescaped(action.actionType))
    kernels.count(try unescaped(action.kernelName))
    times = times.map { min($0.lowerBound, time)...max($0.upperBound, time) } ?? time...time
    actions += 1
  }
}

/// How often each name came; of names that are too many, or too long, only how often they came together.
package struct Tally: Sendable {
  package static let namesMax = 1000
  /// Bytes.
  package static let nameSizeMax = 1024

  private var counts: [JSONString: UInt64] = [:]
  /// Of all names that are not held.
  package private(set) var other: UInt64 = 0

  /// Most frequent first, ties by name.
  package var names: [(name: JSONString, count: UInt64)] {
    counts.map { ($0.key, $0.value) }.sorted { $0.1 == $1.1 ? $0.0 < $1.0 : $0.1 > $1.1 }
  }

  mutating func count(_ name: JSONString) {
    if counts[name] != nil || (counts.count < Self.namesMax && name.byteCount <= Self.nameSizeMax) {
      counts[name, default: 0] += 1
    } else {
      other += 1
    }
  }
}

extension SessionStore {
  /// Adds a session, read once from its start to its end.
  ///
  /// - Throws: `LogError` `notFound` for a log that was never started, which is no session; `corrupt` where it is damaged: what stands before is counted.
  package func add(_ location: Location, to statistics: inout Statistics) throws(LogError) {
    switch location {
    case .log(let id): try add(directory.log(of: id), of: id, to: &statistics)
    case .legacy(let name): try addLegacy(name, to: &statistics)
    }
  }

  private func add(_ log: LogDirectory, of id: SessionID, to statistics: inout Statistics) throws(LogError) {
    var reader = try LogReader.open(log, of: id)
    statistics.sessions += 1
    for name in try log.segments() {
      statistics.files += 1
      statistics.storedBytes += try log.fileSystem.status(of: log.path(of: name.description))?.size ?? 0
    }
    var segment: UInt64?
    while let frame = try reader.next() {
      statistics.frames += 1
      statistics.rawBytes += UInt64(frame.frameSize)
      // A segment that a compaction moves meanwhile is still the same one.
      let (header, start) = reader.currentSegment
      if header.firstSequence != segment {
        segment = header.firstSequence
        statistics.segments += 1
        if frame.sequence == header.firstSequence { statistics.rawBytes += reader.place.offset - start }
      }
      if frame.kind == .action { try statistics.count(action: try reader.payload) }
    }
  }

  private func addLegacy(_ name: String, to statistics: inout Statistics) throws(LogError) {
    guard case .array(let actions)? = try legacyObject(name)["actions"] else {
      throw LogError(.corrupt, "this JSON file is no session of the reference's", path: directory.legacyPath(name))
    }
    statistics.sessions += 1
    statistics.legacySessions += 1
    for action in actions {
      let payload = try action.compactJSON()
      do throws(LogError) { try payload.withRawBytes { bytes throws(LogError) in try statistics.count(action: bytes) } } catch {
        throw error.adding("; 'import' says whether it can become a log").at(directory.legacyPath(name))
      }
    }
  }
}
