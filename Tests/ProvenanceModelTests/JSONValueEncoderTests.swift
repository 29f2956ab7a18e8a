import Foundation
import ProvenanceModel
import Testing

struct JSONValueEncoderTests {
  private struct Step: Encodable {
    var zeta = 1
    var alpha: String? = nil
    var middle: [Double?] = [0.5, nil]
    var flag = true
    var inner = Inner()
    struct Inner: Encodable {
      var b = "x"
      var a: [Int8: Bool] = [:]
    }
  }

  @Test func keysKeepTheOrderOfEncodingAndNilPropertiesLeaveNone() throws {
    let text = jsonText(try JSONValue(encoding: Step()))
    #expect(text == #"{"zeta": 1, "middle": [0.5, null], "flag": true, "inner": {"b": "x", "a": []}}"#)
  }

  @Test func numbersOfAllWidthsAreExact() throws {
    #expect(try JSONValue(encoding: [Int.min, .max]) == [.integer(.min), .integer(.max)])
    #expect(try JSONValue(encoding: UInt64.max) == JSONValue(integer: "18446744073709551615"))
    #expect(try JSONValue(encoding: [UInt.max]) == [JSONValue(integer: "18446744073709551615")!])
    #expect(try JSONValue(encoding: Int128.min) == JSONValue(integer: "-170141183460469231731687303715884105728"))
    #expect(try JSONValue(encoding: ["k": UInt128.max]) == ["k": JSONValue(integer: "340282366920938463463374607431768211455")!])
    #expect(try JSONValue(encoding: [Int8(-1)]) == [-1])
    #expect(try JSONValue(encoding: [UInt16(1)]) == [1])
    #expect(try JSONValue(encoding: [1.0, -0.0, .infinity]) == [1.0, -0.0, .double(.infinity)])
    #expect(try JSONValue(encoding: [Float(0.1)]) == [0.10000000149011612])
    #expect(jsonText(try JSONValue(encoding: [Double.nan])) == "[NaN]")
  }

  @Test func singleValuesStandAlone() throws {
    #expect(try JSONValue(encoding: "x") == "x")
    #expect(try JSONValue(encoding: false) == false)
    #expect(try JSONValue(encoding: Int?.none) == nil)
    #expect(try JSONValue(encoding: Int??.some(.some(3))) == 3)
    #expect(try JSONValue(encoding: [String]()) == [])
  }

  @Test func dictionariesAreSortedByCodePointAtEveryLevel() throws {
    let nested = ["b": ["z": 1, "é": 2, "y": 3], "a": ["\u{1F600}": 1, "\u{FF5E}": 2]]
    #expect(
      jsonText(try JSONValue(encoding: nested)) == #"{"a": {"\uff5e": 2, "\ud83d\ude00": 1}, "b": {"y": 3, "z": 1, "\u00e9": 2}}"#
    )
    let numbered = Dictionary(uniqueKeysWithValues: (1...12).map { ($0, [$0]) })
    guard case .object(let members) = try JSONValue(encoding: numbered) else { return #expect(Bool(false)) }
    #expect(members.map(\.key) == (1...12).map { JSONString("\($0)") }.sorted())
  }

  @Test func modelValuesNestWithoutLoss() throws {
    struct Carrier: Encodable {
      var value: JSONValue
      var object: JSONObject
      var text: JSONString
      var number: LargeInteger
    }
    let lone = JSONString(utf16: [0xDC00, 0x61])
    let object: JSONObject = [lone: .string(lone), "b": 1, "a": [nil, 1.0]]
    let digits = "-1" + String(repeating: "0", count: 4000)
    let carrier = Carrier(value: ["z": nil, "a": .string(lone)], object: object, text: lone, number: LargeInteger(digits)!)
    let json = try JSONValue(encoding: [carrier])
    #expect(
      json == [
        [
          "value": ["z": nil, "a": .string(lone)], "object": .object(object), "text": .string(lone),
          "number": JSONValue(integer: digits)!,
        ]
      ])
    #expect(try JSONValue(encoding: JSONValue.object(object)) == .object(object))
    #expect(try JSONValue(encoding: ["d": object]) == ["d": .object(object)])
  }

  @Test func modelValuesFitOtherEncodersOrAreRefused() throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let value: JSONValue = ["b": [nil, true, 1, 0.5, "x"], "a": ["k": JSONValue(UInt64.max)]]
    #expect(
      String(decoding: try encoder.encode(value), as: UTF8.self) == #"{"a":{"k":18446744073709551615},"b":[null,true,1,0.5,"x"]}"#
    )
    let lone = JSONString(utf16: [0xDC00])
    #expect(throws: EncodingError.self) { try encoder.encode(JSONValue.string(lone)) }
    #expect(throws: EncodingError.self) { try encoder.encode([lone: 1] as JSONObject) }
    #expect(throws: EncodingError.self) { try encoder.encode([LargeInteger("1" + String(repeating: "0", count: 60))!]) }
  }

  private struct Custom: Encodable {
    enum Key: String, CodingKey { case a, b, c, d }
    let body: @Sendable (any Encoder) throws -> Void
    func encode(to encoder: any Encoder) throws { try body(encoder) }
  }

  @Test func aKeyThatRepeatsReplacesInPlace() throws {
    let value = Custom { encoder in
      var container = encoder.container(keyedBy: Custom.Key.self)
      try container.encode(1, forKey: .b)
      try container.encode("x", forKey: .a)
      try container.encode([2], forKey: .b)
      var again = encoder.container(keyedBy: Custom.Key.self)
      try again.encodeNil(forKey: .c)
    }
    #expect(jsonText(try JSONValue(encoding: value)) == #"{"b": [2], "a": "x", "c": null}"#)
  }

  @Test func containersNestInEachOther() throws {
    let value = Custom { encoder in
      var outer = encoder.container(keyedBy: Custom.Key.self)
      var list = outer.nestedUnkeyedContainer(forKey: .d)
      var object = outer.nestedContainer(keyedBy: Custom.Key.self, forKey: .a)
      try outer.encode(1, forKey: .b)
      try list.encode(1)
      var inner = list.nestedContainer(keyedBy: Custom.Key.self)
      try inner.encode("deep", forKey: .c)
      var innerList = list.nestedUnkeyedContainer()
      try innerList.encodeNil()
      #expect(list.count == 3)
      #expect(innerList.codingPath.map(\.intValue) == [nil, 2])
      try object.encode(2.5, forKey: .a)
      try list.encode(UInt8(9))
    }
    #expect(jsonText(try JSONValue(encoding: value)) == #"{"d": [1, {"c": "deep"}, [null], 9], "a": {"a": 2.5}, "b": 1}"#)
  }

  private class Base: Encodable {
    let name = "base"
  }

  private final class Derived: Base {
    enum Key: String, CodingKey { case own, parent }
    override func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      try super.encode(to: container.superEncoder())
      try container.encode(1, forKey: .own)
      try super.encode(to: container.superEncoder(forKey: .parent))
    }
  }

  @Test func superEncodersFillTheirPlaceLater() throws {
    #expect(jsonText(try JSONValue(encoding: Derived())) == #"{"super": {"name": "base"}, "own": 1, "parent": {"name": "base"}}"#)
    let list = Custom { encoder in
      var container = encoder.unkeyedContainer()
      let later = container.superEncoder()
      _ = container.superEncoder()
      try container.encode(2)
      try 1.encode(to: later)
    }
    #expect(jsonText(try JSONValue(encoding: list)) == "[1, {}, 2]")
  }

  @Test func whatEncodesNothingIsAnEmptyObjectInsideAndRefusedAlone() throws {
    let nothing = Custom { _ in }
    #expect(try JSONValue(encoding: [nothing]) == [[:]])
    #expect(throws: LogError.self) { try JSONValue(encoding: nothing) }
  }

  @Test(arguments: ["Refusal()", "no use", "no place"])
  func errorsNameTheCodingPath(reason: String) throws {
    struct Refusal: Error {}
    let bad = Custom { encoder in
      if reason == "Refusal()" { throw Refusal() }
      let path = reason == "no place" ? [] : encoder.codingPath
      throw EncodingError.invalidValue(0, EncodingError.Context(codingPath: path, debugDescription: reason))
    }
    let error = #expect(throws: LogError.self) { try JSONValue(encoding: ["steps": [Custom { _ in }, bad]]) }
    #expect(error?.code == .invalidInput)
    #expect(error?.message == "cannot encode steps[1]: \(reason)")
  }

  @Test func aValueThatEncodesAsTwoThingsIsRefused() throws {
    let both = Custom { encoder in
      _ = encoder.unkeyedContainer()
      _ = encoder.container(keyedBy: Custom.Key.self)
    }
    let twice = Custom { encoder in
      var container = encoder.singleValueContainer()
      try container.encode(1)
      try container.encode(2)
    }
    for value in [both, twice] {
      let error = #expect(throws: LogError.self) { try JSONValue(encoding: ["k": value]) }
      #expect(error?.code == .invalidInput)
      #expect(error?.message == "cannot encode k: it encodes as two things at a time")
    }
  }

  private final class Link: Encodable {
    var next: Link?
    init(next: Link? = nil) { self.next = next }
  }

  @Test func aCycleEndsAt512Levels() throws {
    let link = Link()
    link.next = link
    let error = #expect(throws: LogError.self) { try JSONValue(encoding: link) }
    #expect(error?.code == .tooLarge)
    link.next = nil
    var chain = link
    for _ in 1..<512 { chain = Link(next: chain) }
    #expect(throws: Never.self) { try JSONValue(encoding: chain) }
    #expect(throws: LogError.self) { try JSONValue(encoding: Link(next: chain)) }
  }

  @Test func typesOfFoundationEncodeAsTheyDoByThemselves() throws {
    #expect(try JSONValue(encoding: Date(timeIntervalSinceReferenceDate: 1.5)) == 1.5)
    #expect(try JSONValue(encoding: Data([1, 2])) == [1, 2])
  }
}
