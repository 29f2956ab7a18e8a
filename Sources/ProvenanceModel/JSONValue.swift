/// A JSON value as Python holds it: members keep their order, integers have any size, a number keeps its kind (`1.0` is not `1`).
///
///     let intent: JSONValue = ["target": "prod", "replicas": 3, "ratio": 0.5, "previous": nil]
public enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// An integer beyond 64 bits, up to 4,300 digits.
  case largeInteger(LargeInteger)
  /// A float; NaN and infinities are legal.
  case double(Double)
  case string(JSONString)
  case array([JSONValue])
  case object(JSONObject)
}

/// An integer that does not fit `Int64`, as its decimal digits.
public struct LargeInteger: Sendable, Hashable {
  /// Python refuses to read or print more (`sys.int_info.default_max_str_digits`).
  public static let digitsMax = 4300

  /// An optional `-`, then digits without leading zeros.
  public let digits: String

  /// `nil` unless `digits` is an optional `-` and 1 to 4,300 decimal digits, without leading zeros, beyond the range of `Int64`.
  public init?(_ digits: String) {
    let figures = digits.utf8.first == UInt8(ascii: "-") ? digits.utf8.dropFirst() : digits.utf8[...]
    guard 1...Self.digitsMax ~= figures.count, figures.allSatisfy({ 0x30...0x39 ~= $0 }), figures.first != 0x30, Int64(digits) == nil
    else { return nil }
    self.digits = digits
  }
}

/// The members of a JSON object in their order; each key once. Of two equal keys the last value wins, in the place of the first.
public struct JSONObject: Sendable, Equatable {
  public typealias Member = (key: JSONString, value: JSONValue)

  package private(set) var keys: [JSONString] = []
  package private(set) var values: [JSONValue] = []

  public init() {}

  public init(_ members: some Sequence<Member>) {
    for member in members {
      keys.append(member.key)
      values.append(member.value)
    }
    dropEarlierDuplicates()
  }

  /// `keys` and `values` in the order of the text; equal keys are joined.
  package init(keys: [JSONString], values: [JSONValue]) {
    self.keys = keys
    self.values = values
    dropEarlierDuplicates()
  }

  public var count: Int { keys.count }
  public var isEmpty: Bool { keys.isEmpty }

  /// Looks through all members: meant for objects of a person's size.
  public subscript(key: JSONString) -> JSONValue? {
    get { keys.firstIndex(of: key).map { values[$0] } }
    set {
      switch (keys.firstIndex(of: key), newValue) {
      case (let index?, let value?): values[index] = value
      case (let index?, nil):
        keys.remove(at: index)
        values.remove(at: index)
      case (nil, let value?):
        keys.append(key)
        values.append(value)
      case (nil, nil): break
      }
    }
  }

  private mutating func dropEarlierDuplicates() {
    if keys.count <= 8 {
      // Few keys: comparing all of them costs less than a table.
      var index = 1
      while index < keys.count {
        if let first = keys[..<index].firstIndex(of: keys[index]) {
          values[first] = values.remove(at: index)
          keys.remove(at: index)
        } else {
          index += 1
        }
      }
      return
    }
    var firsts: [JSONString: Int] = Dictionary(minimumCapacity: keys.count)
    var count = 0
    for index in keys.indices {
      if let first = firsts[keys[index]] {
        values[first] = values[index]
      } else {
        firsts[keys[index]] = count
        if count != index {
          keys[count] = keys[index]
          values[count] = values[index]
        }
        count += 1
      }
    }
    keys.removeSubrange(count...)
    values.removeSubrange(count...)
  }
}

extension JSONObject: Sequence {
  public func makeIterator() -> some IteratorProtocol<Member> {
    zip(keys, values).lazy.map { (key: $0, value: $1) }.makeIterator()
  }
}

extension JSONObject: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (JSONString, JSONValue)...) {
    self.init(keys: elements.map(\.0), values: elements.map(\.1))
  }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringInterpolation, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .double(value) }
  public init(stringLiteral value: String) { self = .string(JSONString(value)) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (JSONString, JSONValue)...) {
    self = .object(JSONObject(keys: elements.map(\.0), values: elements.map(\.1)))
  }
}

extension JSONValue {
  /// From the decimal text of an integer of any size: an optional `-` and digits. `nil` for other text and above 4,300 digits.
  public init?(integer text: String) {
    if let small = Int64(text), text.utf8.first != UInt8(ascii: "+") {
      self = .integer(small)
    } else if let large = LargeInteger(text) {
      self = .largeInteger(large)
    } else {
      return nil
    }
  }

  public init(_ value: Bool) { self = .bool(value) }
  public init(_ value: some FixedWidthInteger) {
    self = Int64(exactly: value).map(JSONValue.integer) ?? .largeInteger(LargeInteger(String(value))!)
  }
  public init(_ value: Double) { self = .double(value) }
  public init(_ value: String) { self = .string(JSONString(value)) }
  public init(_ value: [JSONValue]) { self = .array(value) }
  public init(_ value: JSONObject) { self = .object(value) }

  /// Whether an object in it, outside of all arrays, has a member that is null: what is recorded has none (Format/record.md).
  package var hasNullMember: Bool {
    guard case .object(let object) = self else { return false }
    return object.values.contains { $0 == .null || $0.hasNullMember }
  }

  /// "an object", "a string", … for messages.
  package var kindName: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .integer, .largeInteger: "an integer"
    case .double: "a float"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}
