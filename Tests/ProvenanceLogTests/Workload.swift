import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// What is done to a session while crashes and faults come. A further one is a case here, and its steps below.
enum Workload: String, CaseIterable {
  case append, batch, roll, rollAfterMark, close, closeWithView, reopen, create, recreate, resumeTorn, killed, killedAtNewSegment
  case killedAnywhere, failedSync, writeView, importLegacy, importAll, remove, expire, mixed, seal, compact, compactAfterKill

  /// A life in which nothing was done yet: what the workload begins with is there, all of it durable.
  func prepare(_ durability: ProvChain.Durability, seed: UInt64, isFaulty: Bool = false) throws -> Life {
    func life(_ disk: SimulatedDisk = SimulatedDisk(), _ attempts: [Life.Attempt] = [], _ promise: Life.Promise = .init()) -> Life {
      Life(on: disk, durability, seed: seed, isFaulty: isFaulty, attempts: attempts, promise: promise) { options in
        switch self {
        case .roll, .rollAfterMark, .killed, .killedAnywhere, .seal, .compact, .compactAfterKill: options.segmentSizeMax = 1200
        default: break
        }
        switch self {
        case .seal, .compact, .compactAfterKill: options.sealingSizeMin = 0
        case .mixed where seed % 3 == 0: options.sealingSizeMin = 500
        default: break
        }
        if self == .mixed, seed % 2 == 0 { options.segmentSizeMax = 1200 }
        switch self {
        case .closeWithView, .reopen, .killedAnywhere, .remove, .expire, .mixed: options.view = .always
        default: break
        }
      }
    }
    switch self {
    case .recreate:
      // Of a creation everything is there but the name of its segment.
      let before = Life(durability, seed: seed &+ 1)
      try before.start()
      let disk = SimulatedDisk(before.disk.image)
      for name in try disk.log.segments() { try disk.rename(disk.log.path(of: name.description), to: disk.log.path(of: name.temporaryName)) }
      return life(SimulatedDisk(disk.image))
    case .resumeTorn:
      // A power cut has left a part of what was not synced.
      let before = Life(.process, seed: seed &+ 1)
      try before.start()
      try before.record(2)
      try before.sync()
      try before.record(3)
      var random = SeededGenerator(seed: seed)
      let points = CrashPoint.all(of: before.disk.operations, on: before.disk.base, losses: 1, using: &random)
      let disk = SimulatedDisk(points[points.count - 1].state(keeping: 0.5, garbage: 0.3, using: &random))
      let found = try before.notes(on: disk).map { Life.Attempt(note: $0, returned: true) }
      return life(disk, found, .init(kept: found.count, presence: .certain))
    case .importLegacy, .importAll, .writeView, .remove, .expire:
      let before = Life(durability, seed: seed &+ 1) { options in
        if self != .writeView { options.view = .always }
      }
      try before.start()
      try before.record(3)
      try before.close()
      guard self == .importLegacy || self == .importAll else {
        return life(SimulatedDisk(before.disk.image), before.attempts, .init(kept: 3, presence: .certain, isClosed: true))
      }
      let json = before.disk.image.bytes(of: before.sessions.viewPath(Life.id)) ?? []
      let disk = SimulatedDisk()
      try before.sessions.make(on: disk)
      try disk.put(json, at: before.sessions.viewPath(Life.id))
      for other in self == .importAll ? Self.importedWithIt : [] {
        let text = String(decoding: json, as: UTF8.self).replacing(#""session_id": "\#(Life.id)""#, with: #""session_id": "\#(other)""#)
        try disk.put(Array(text.utf8), at: before.sessions.viewPath(try SessionID(other)))
      }
      return life(SimulatedDisk(disk.image), before.attempts, .init(kept: 3, isClosed: true, legacyFile: .certain))
    default: return life()
    }
  }

  /// Sessions before and behind the one that is looked at.
  static let importedWithIt = ["a", "z"]

  /// Whether every run is another one, so that many say more than many states of one.
  var isRandom: Bool { self == .mixed || self == .killedAnywhere }

  func run(_ life: Life, seed: UInt64) throws {
    switch self {
    case .append:
      try life.start()
      try life.record(3)
      try life.sync()
      try life.record(2)
      life.tick()
      try life.record(2)
      life.drop()
    case .batch:
      try life.start()
      for _ in 0..<3 { try life.batch(3) }
      try life.sync()
    case .roll:
      try life.start()
      try life.record(8)
    case .rollAfterMark:
      try life.start()
      for _ in 0..<4 {
        try life.record(2)
        life.tick()
      }
    case .close, .closeWithView:
      try life.start()
      try life.record(3)
      try life.close()
    case .reopen:
      try life.start()
      try life.record(2)
      try life.close()
      try life.record(2)
      life.drop()
      try life.resume()
      try life.record()
      try life.batch(2)
      try life.close()
      try life.close()
    case .create, .recreate:
      try life.start()
      try life.record()
      life.drop()
      try life.resume()
      try life.record()
    case .resumeTorn:
      try life.resume()
      try life.record(2)
      life.drop()
      try life.resume()
      try life.record()
    case .killed:
      try life.start()
      try life.record(3)
      life.kill()
      try life.resume()
      try life.record(2)
      life.kill()
      try life.resume()
      try life.close()
    case .killedAtNewSegment:
      // It has its name, which nobody has made durable.
      try life.start()
      try life.record(2)
      life.kill()
      try life.kill(before: { $0.isSyncDirectoryOfLog }) { try life.resume() }
      try life.resume()
      try life.record(2)
    case .killedAnywhere:
      var random = SeededGenerator(seed: seed)
      for _ in 0..<2 {
        let left = Countdown(Int.random(in: 0..<60, using: &random))
        try life.kill(before: { !$0.isRead && left.isOver() }) {
          try life.record(4)
          try life.close()
          try life.record(2)
          life.drop()
          try life.batch(3)
        }
      }
      // Resumed, or started if it was not.
      try life.record(2)
    case .failedSync:
      try life.start()
      try life.record(2)
      try life.failSync {
        try life.record()
        try life.sync()
      }
      try life.resume()
      try life.record()
      try life.failSync { try life.close() }
      try life.resume()
      try life.record()
      try life.close()
    case .writeView:
      try life.writeView()
      try life.removeView()
      try life.writeView()
      try life.writeView()
      try life.resume()
      try life.record()
    case .importLegacy:
      try life.importSession(life.sessions.viewPath(Life.id))
      try life.resume()
      try life.record()
    case .importAll:
      try life.importAll()
      try life.resume()
      try life.record()
    case .remove:
      try life.remove()
    case .expire:
      try life.expire()
    case .seal:
      try life.start()
      try life.record(5)
      life.tick()
      try life.record(3)
      try life.close()
      try life.record()
      try life.close()
    case .compact:
      try life.start()
      try life.record(6)
      life.drop()
      try life.compact(rawSizeMax: 2500)
      try life.resume()
      try life.record(3)
      try life.close()
      try life.compact()
      try life.compact(level: 9)
      try life.resume()
      try life.record()
      try life.compact()
    case .compactAfterKill:
      try life.start()
      try life.record(5)
      life.kill()
      try life.resume()
      try life.record(2)
      try life.compact()
      life.kill()
      try life.compact()
      let left = Countdown(Int(seed % 40))
      try life.kill(before: { !$0.isRead && left.isOver() }) {
        try life.resume()
        try life.close()
        try life.compact(level: 3)
      }
      try life.compact()
      try life.record()
    case .mixed:
      var random = SeededGenerator(seed: seed)
      try life.start()
      for _ in 0..<10 {
        switch Int.random(in: 0..<10, using: &random) {
        case 0: try life.batch(Int.random(in: 1...3, using: &random))
        case 1: try life.sync()
        case 2: if life.options.segmentSizeMax > 1200 { life.tick() }
        case 3: try life.close()
        case 4: life.drop()
        case 5: life.kill()
        case 6: try life.writeViewIfClosed()
        case 7 where life.seals: try life.compact()
        default: try life.record()
        }
      }
    }
  }
}

/// Is over after so many questions.
private final class Countdown: Sendable {
  private let left: Atomic<Int>

  init(_ count: Int) { left = Atomic(count) }

  func isOver() -> Bool { left.subtract(1, ordering: .relaxed).oldValue <= 0 }
}

extension DiskOperation {
  fileprivate var isSyncDirectoryOfLog: Bool { if case .syncDirectory(let path) = self { path.hasSuffix(".log") } else { false } }
}

extension SessionsDirectory {
  /// The same directory on another disk.
  fileprivate func make(on disk: SimulatedDisk) throws(LogError) { try disk.sessions.make() }
}

extension SimulatedDisk {
  fileprivate func put(_ bytes: [UInt8], at path: String) throws(LogError) {
    let file = try create(path)
    try bytes.withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: 0) }
  }
}
