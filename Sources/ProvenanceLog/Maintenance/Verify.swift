internal import LogFormat
package import LogStorage

/// What a session's log is like, after all of it was read.
package struct Verification: Sendable {
  package enum Finding: Sendable {
    case clean
    /// A writer is at work; all that it has written so far is whole.
    case writing
    case tornTail(bytes: UInt64)
    case damaged(LogError)
  }

  package var finding: Finding
  package var isDamaged: Bool { if case .damaged = finding { true } else { false } }
  package var frames: UInt64 = 0
  package var actions: UInt64 = 0
  /// Raw bytes of the frames.
  package var bytes: UInt64 = 0
}

extension LogDirectory {
  /// Reads every frame, checks every checksum and link, and compares each checkpoint with what the frames add up to.
  /// - Throws: `LogError` if it cannot be read: `notFound`, `unsupportedVersion`, `noPermission`, `io`.
  package func verify(_ id: SessionID) throws(LogError) -> Verification {
    var result = Verification(finding: .clean)
    do throws(LogError) {
      var reader = try LogReader.open(self, of: id)
      var summary = SummaryBuilder()
      var first: Checkpoint?
      while let frame = try reader.next() {
        let payload = try reader.payload
        do throws(LogError) {
          if frame.kind == .checkpoint {
            let checkpoint = try Checkpoint(payload: payload)
            // The very first one stands before the frame that it is taken from.
            if frame.sequence == 0 { first = checkpoint } else { try compare(checkpoint, with: summary.checkpoint) }
          }
          if frame.kind == .action { try checkAction(payload) }
          try summary.apply(frame.kind, payload: payload)
          if frame.kind == .sessionStarted {
            if let first { try compare(first, with: summary.checkpoint) }
            guard summary.header?.sessionID == id else { throw LogError(.corrupt, "the session that starts here is another one") }
          }
        } catch {
          let place = reader.place
          throw LogError(
            error.code, error.message, path: path, segment: place.segment, sequence: frame.sequence, offset: place.offset)
        }
        result.frames += 1
        result.actions = summary.summary.actionCount
        result.bytes += UInt64(frame.frameSize)
      }
      switch reader.ending {
      case .tornTail(let bytes)?: result.finding = .tornTail(bytes: bytes)
      case .writing?: result.finding = .writing
      default: result.finding = .clean
      }
    } catch {
      guard error.code == .corrupt else { throw error }
      result.finding = .damaged(error)
    }
    return result
  }

  /// All that Format/record.md says of an action's payload: its members, and that it is in the form in which it is stored.
  private func checkAction(_ payload: UnsafeRawBufferPointer) throws(LogError) {
    do throws(LogError) {
      _ = try ActionRecord(payload: payload)
      var parser = try JSONParser(payload)
      var canonical = ByteBuffer(capacity: 0)
      try parser.transcode(to: &canonical)
      try parser.end()
      guard !parser.metNullMember, canonical.bytes.elementsEqual(payload) else {
        throw LogError(.corrupt, "the action is not in the form in which it must be stored")
      }
    } catch {
      throw LogError(.corrupt, error.message)
    }
  }

  private func compare(_ checkpoint: Checkpoint, with recomputed: Checkpoint?) throws(LogError) {
    guard var recomputed else { throw LogError(.corrupt, "a checkpoint stands before the start of the session") }
    if !checkpoint.summary.kernelsComplete { recomputed.summary.forgetKernels() }
    guard checkpoint == recomputed else { throw LogError(.corrupt, "the checkpoint differs from what the frames before it add up to") }
  }
}
