import LogStorage
import Testing

/// The table that decides what the end of a file's frames is (Format/frame.md): every combination of what can be known has one row, and one only.
struct EndRuleTests {
  private static let booleans = [false, true]

  private static let all: [EndEvidence] = EndEvidence.Place.allCases.flatMap { place in
    EndEvidence.Later.allCases.flatMap { later in
      (0..<16).map { bits in
        EndEvidence(
          place: place, isSealed: bits & 1 != 0, later: later, isVouchedFor: bits & 2 != 0, hasWriter: bits & 4 != 0,
          hasFramesBehind: bits & 8 != 0)
      }
    }
  }

  @Test func exactlyOneRuleAppliesToAnyEvidence() {
    #expect(Set(Self.all).count == 144)
    for evidence in Self.all {
      let rules = EndRule.table.filter { $0.applies(to: evidence) }
      #expect(rules.count == 1, "\(rules.count) rules for \(evidence)")
    }
  }

  @Test func everyRuleIsOfUse() {
    for (index, rule) in EndRule.table.enumerated() {
      #expect(Self.all.contains { rule.applies(to: $0) }, "rule \(index) never applies")
    }
  }

  /// The same, said in another way: whoever changes the table must change this, too.
  @Test func verdicts() {
    for evidence in Self.all {
      let expected: EndVerdict
      if evidence.later != .none {
        expected = evidence.place == .end ? .goesOn : .corrupt
      } else if evidence.isSealed {
        expected = evidence.place != .end ? .corrupt : evidence.hasWriter ? .writing : .clean
      } else if evidence.isVouchedFor {
        expected = .corrupt
      } else if evidence.hasWriter {
        expected = .writing
      } else if evidence.place == .other {
        expected = evidence.hasFramesBehind ? .tailInDoubt : .tornTail
      } else {
        expected = .clean
      }
      #expect(classify(evidence) == expected, "\(evidence)")
    }
    #expect(
      Dictionary(grouping: Self.all, by: { "\(classify($0))" }).mapValues(\.count) == [
        "goesOn": 32, "corrupt": 92, "clean": 8, "writing": 10, "tornTail": 1, "tailInDoubt": 1,
      ])
  }

  // MARK: Named cases

  private func newest(
    _ place: EndEvidence.Place, isVouchedFor: Bool = false, hasWriter: Bool = false, hasFramesBehind: Bool = false
  ) -> EndVerdict {
    classify(
      EndEvidence(
        place: place, isSealed: false, later: .none, isVouchedFor: isVouchedFor, hasWriter: hasWriter, hasFramesBehind: hasFramesBehind))
  }

  private func older(_ place: EndEvidence.Place, _ later: EndEvidence.Later, isSealed: Bool = false) -> EndVerdict {
    classify(
      EndEvidence(place: place, isSealed: isSealed, later: later, isVouchedFor: false, hasWriter: false, hasFramesBehind: false))
  }

  @Test func aFileThatIsCutAtTheEndIsNeverJudgedByItsBytes() {
    // Whether zeros or garbage stand there, and whether a writer lives: a voucher makes it corruption.
    for place in EndEvidence.Place.allCases {
      #expect(newest(place, isVouchedFor: true) == .corrupt)
      #expect(newest(place, isVouchedFor: true, hasWriter: true, hasFramesBehind: true) == .corrupt)
    }
  }

  @Test func withoutAVoucherNothingIsCorrupt() {
    #expect(newest(.end) == .clean)
    #expect(newest(.blank) == .clean)
    #expect(newest(.other) == .tornTail)
    #expect(newest(.other, hasFramesBehind: true) == .tailInDoubt)
  }

  @Test func whatALivingWriterHasNotFinishedIsNotJudged() {
    for place in EndEvidence.Place.allCases {
      #expect(newest(place, hasWriter: true) == .writing)
      #expect(newest(place, hasWriter: true, hasFramesBehind: true) == .writing)
    }
  }

  @Test func anOlderFileHasNoTail() {
    for later in [EndEvidence.Later.follows, .unlinked] {
      for isSealed in Self.booleans {
        #expect(older(.end, later, isSealed: isSealed) == .goesOn)
        #expect(older(.blank, later, isSealed: isSealed) == .corrupt)
        #expect(older(.other, later, isSealed: isSealed) == .corrupt)
      }
    }
  }

  @Test func aSealedFileHasNoTail() {
    #expect(older(.end, .none, isSealed: true) == .clean)
    #expect(older(.blank, .none, isSealed: true) == .corrupt)
    #expect(older(.other, .none, isSealed: true) == .corrupt)
  }
}
