package import ProvenanceModel

/// Why a log has no further frame.
package enum LogEnding: Sendable, Equatable {
  /// The last frame is the end.
  case clean
  /// A writer is at work: more may come.
  case writing
  /// What stands behind the last frame is in doubt: nothing vouches for it, and it is not used.
  case tornTail(Damage)

  /// Bytes that are in doubt.
  package var bytesInDoubt: UInt64 {
    if case .tornTail(let damage) = self { damage.size } else { 0 }
  }
}

/// What is known of the place where no further frame of a file can be read (Format/frame.md, "Where a segment's frames end").
package struct EndEvidence: Sendable, Hashable {
  package enum Place: Sendable, CaseIterable {
    /// The file ends here, or, as a later header says, its part of the log.
    case end
    /// From here on the file reads as zeros.
    case blank
    /// Something that is not the frame that must follow.
    case other
  }

  package enum Later: Sendable, CaseIterable {
    /// This is the newest file.
    case none
    /// The next file follows the segment that is read here: it says where that one ends.
    case follows
    /// The next file can't be read, or follows something else.
    case unlinked
  }

  package var place: Place
  /// The trailer of a sealed file says where the file ends.
  package var isSealed: Bool
  package var later: Later
  /// The name of the file, or something that stands behind, says that the expected frame was on stable storage.
  package var isVouchedFor: Bool
  package var hasWriter: Bool
  /// Whole frames of this segment stand behind the place.
  package var hasFramesBehind: Bool

  package init(place: Place, isSealed: Bool, later: Later, isVouchedFor: Bool, hasWriter: Bool, hasFramesBehind: Bool) {
    self.place = place
    self.isSealed = isSealed
    self.later = later
    self.isVouchedFor = isVouchedFor
    self.hasWriter = hasWriter
    self.hasFramesBehind = hasFramesBehind
  }
}

/// What such a place is.
package enum EndVerdict: Sendable, Equatable {
  case goesOn
  case clean
  case writing
  case tornTail
  case tailInDoubt
  case corrupt
}

/// A row of the decision table; what is `nil` or not listed is of no account.
package struct EndRule: Sendable {
  package var places: [EndEvidence.Place] = EndEvidence.Place.allCases
  package var isSealed: Bool?
  package var later: [EndEvidence.Later] = EndEvidence.Later.allCases
  package var isVouchedFor: Bool?
  package var hasWriter: Bool?
  package var hasFramesBehind: Bool?
  package var verdict: EndVerdict

  package func applies(to evidence: EndEvidence) -> Bool {
    places.contains(evidence.place) && isSealed ?? evidence.isSealed == evidence.isSealed && later.contains(evidence.later)
      && isVouchedFor ?? evidence.isVouchedFor == evidence.isVouchedFor && hasWriter ?? evidence.hasWriter == evidence.hasWriter
      && hasFramesBehind ?? evidence.hasFramesBehind == evidence.hasFramesBehind
  }

  /// Of all rows exactly one applies to any evidence. Never judged by what the bytes look like, but for whether there are any: by what vouches for them.
  package static let table: [EndRule] = [
    // The next file says whether it follows.
    EndRule(places: [.end], later: [.follows, .unlinked], verdict: .goesOn),
    // Where the end is known, nothing but frames may stand before it.
    EndRule(places: [.blank, .other], later: [.follows, .unlinked], verdict: .corrupt),
    EndRule(places: [.blank, .other], isSealed: true, later: [.none], verdict: .corrupt),
    // The end of a sealed log: its trailer vouches for it. A writer may be about to begin a new file.
    EndRule(places: [.end], isSealed: true, later: [.none], hasWriter: false, verdict: .clean),
    EndRule(places: [.end], isSealed: true, later: [.none], hasWriter: true, verdict: .writing),
    // The newest file, whose end nobody knows.
    EndRule(isSealed: false, later: [.none], isVouchedFor: true, verdict: .corrupt),
    EndRule(isSealed: false, later: [.none], isVouchedFor: false, hasWriter: true, verdict: .writing),
    EndRule(places: [.end, .blank], isSealed: false, later: [.none], isVouchedFor: false, hasWriter: false, verdict: .clean),
    EndRule(places: [.other], isSealed: false, later: [.none], isVouchedFor: false, hasWriter: false, hasFramesBehind: false, verdict: .tornTail),
    EndRule(places: [.other], isSealed: false, later: [.none], isVouchedFor: false, hasWriter: false, hasFramesBehind: true, verdict: .tailInDoubt),
  ]
}

/// The one place where it is decided what the end of a file's frames is.
package func classify(_ evidence: EndEvidence) -> EndVerdict {
  guard let rule = EndRule.table.first(where: { $0.applies(to: evidence) }) else { preconditionFailure("no rule for \(evidence)") }
  return rule.verdict
}
