extension JSONValue {
  /// The JSON that `value` encodes as.
  ///
  /// - Keys keep the order in which they are encoded; one that repeats replaces the earlier in its place. A `Dictionary` has no
  ///   order: where it becomes an object, its keys are sorted by code point. A `Set`, or a `Dictionary` that becomes an array,
  ///   comes as it iterates.
  /// - Integers of all widths are exact, NaN and infinities are kept, and a `Float` is the `Double` of exactly its value
  ///   (`Float(0.1)` is `0.10000000149011612`).
  /// - `nil` is null where it is encoded; properties that are `nil` leave no key, as `encodeIfPresent` has it.
  /// - `JSONValue`, `JSONObject`, `JSONString` and `LargeInteger` are taken as they are. `Date`, `Data`, `URL` and other types of
  ///   Foundation encode as they do by themselves: a `Date` is seconds since 2001, `Data` an array of numbers.
  /// - Throws: `invalidInput` for whatever error a value throws while it encodes, or if it encodes nothing or as two things at a
  ///   time; `tooLarge` for more than 512 containers inside each other. Both name the path of keys, as in `steps[2].name`.
  public init(encoding value: some Encodable) throws(LogError) {
    guard let json = try encodedTree(value, at: .root, depth: 0) else {
      throw LogError(.invalidInput, "\(type(of: value)) does not encode any value")
    }
    self = json
  }
}

/// Objects and arrays around a value, at most.
private let depthMax = 512

/// Where a value stands, linked to what it stands in.
private indirect enum Place {
  case root
  case inside(Place, any CodingKey)

  var codingPath: [any CodingKey] {
    var keys: [any CodingKey] = []
    var place = self
    while case .inside(let outer, let key) = place {
      keys.append(key)
      place = outer
    }
    return keys.reversed()
  }
}

private struct IndexKey: CodingKey {
  let index: Int
  var stringValue: String { "Index \(index)" }
  var intValue: Int? { index }

  init(_ index: Int) { self.index = index }
  init?(stringValue: String) { nil }
  init?(intValue: Int) { index = intValue }
}

/// `LogError`s as they are; of any other error, what it says and where.
private func asLogError(_ error: any Error, at place: Place) -> LogError {
  switch error {
  case let error as LogError: error
  case EncodingError.invalidValue(_, let context):
    invalid(context.debugDescription, at: context.codingPath.isEmpty ? place.codingPath : context.codingPath)
  default: invalid("\(error)", at: place.codingPath)
  }
}

private func invalid(_ reason: String, at path: [any CodingKey], code: LogError.Code = .invalidInput) -> LogError {
  let text = path.reduce(into: "") { text, key in
    if let index = key as? IndexKey { text += "[\(index.index)]" } else { text += (text.isEmpty ? "" : ".") + key.stringValue }
  }
  return LogError(code, "cannot encode \(text.isEmpty ? "the value" : escapedForTerminal(text)): \(reason)")
}

/// Hands `value` over as a whole, if `encoder` is that of `JSONValue(encoding:)`; false if it is any other.
func handOver(_ value: JSONValue, to encoder: any Encoder) throws(LogError) -> Bool {
  guard let tree = encoder as? TreeEncoder else { return false }
  try tree.node.set(value)
  return true
}

/// What `value` encodes as; `nil` if that is nothing at all.
private func encodedTree(_ value: some Encodable, at place: Place, depth: Int) throws(LogError) -> JSONValue? {
  let node = Node(place, depth)
  do {
    try value.encode(to: TreeEncoder(node: node))
  } catch {
    throw asLogError(error, at: place)
  }
  guard let json = try node.finished() else { return nil }
  if value is any OrderedByHash, case .object(let members) = json {
    return .object(JSONObject(members.sorted { $0.key < $1.key }))
  }
  return json
}

/// What has no order of its own, so that sorting its keys loses nothing.
private protocol OrderedByHash {}
extension Dictionary: OrderedByHash where Key: Encodable, Value: Encodable {}

/// A value that is being encoded: nothing yet, one value, or a container that grows as long as someone holds it.
private final class Node {
  enum Kind { case nothing, value, array, object }
  enum Part {
    case value(JSONValue)
    case node(Node)
  }

  let place: Place
  /// How many objects and arrays are around it.
  let depth: Int
  private(set) var kind = Kind.nothing
  private var value = JSONValue.null
  private var keys: [JSONString] = []
  private var parts: [Part] = []
  private var failure: LogError?

  init(_ place: Place, _ depth: Int) {
    self.place = place
    self.depth = depth
  }

  var count: Int { parts.count }

  /// Sets a single value.
  func set(_ value: JSONValue) throws(LogError) {
    begin(.value)
    try check()
    self.value = value
    kind = .value
  }

  /// Becomes a container, or goes on being one of the same kind. What is wrong with that is thrown by what is encoded next.
  func begin(_ kind: Kind) {
    if self.kind != .nothing, self.kind != kind || kind == .value {
      failure = failure ?? invalid("it encodes as two things at a time", at: place.codingPath)
    } else if kind != .value, depth >= depthMax {
      failure = failure ?? invalid("nested deeper than \(depthMax) levels", at: place.codingPath, code: .tooLarge)
    } else if kind != .value {
      self.kind = kind
    }
  }

  func append(_ part: Part) {
    parts.append(part)
  }

  func append(_ part: Part, forKey key: any CodingKey) {
    keys.append(JSONString(key.stringValue))
    parts.append(part)
  }

  func check() throws(LogError) {
    if let failure { throw failure }
  }

  /// What `value` encodes as one level down; an empty object if that is nothing.
  func encoded(_ value: some Encodable, forKey key: any CodingKey) throws(LogError) -> Part {
    try check()
    return .value(try encodedTree(value, at: .inside(place, key), depth: depth + 1) ?? [:])
  }

  /// One level down, to be filled later.
  func child(forKey key: any CodingKey, _ kind: Kind = .nothing) -> Node {
    let node = Node(.inside(place, key), depth + 1)
    if kind != .nothing { node.begin(kind) }
    return node
  }

  /// `nil` if nothing was encoded.
  func finished() throws(LogError) -> JSONValue? {
    try check()
    switch kind {
    case .nothing: return nil
    case .value: return value
    case .array: return .array(try finishedParts())
    case .object: return .object(JSONObject(keys: keys, values: try finishedParts()))
    }
  }

  private func finishedParts() throws(LogError) -> [JSONValue] {
    var values: [JSONValue] = []
    values.reserveCapacity(parts.count)
    for part in parts {
      switch part {
      case .value(let value): values.append(value)
      case .node(let node): values.append(try node.finished() ?? [:])
      }
    }
    return values
  }
}

private struct TreeEncoder: Encoder {
  let node: Node
  var codingPath: [any CodingKey] { node.place.codingPath }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    node.begin(.object)
    return KeyedEncodingContainer(KeyedContainer(node: node))
  }

  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    node.begin(.array)
    return UnkeyedContainer(node: node)
  }

  func singleValueContainer() -> any SingleValueEncodingContainer { SingleContainer(node: node) }
}

private struct KeyedContainer<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let node: Node
  var codingPath: [any CodingKey] { node.place.codingPath }

  private func put(_ value: JSONValue, _ key: Key) throws {
    try node.check()
    node.append(.value(value), forKey: key)
  }

  func encodeNil(forKey key: Key) throws { try put(.null, key) }
  func encode(_ value: Bool, forKey key: Key) throws { try put(.bool(value), key) }
  func encode(_ value: String, forKey key: Key) throws { try put(JSONValue(value), key) }
  func encode(_ value: Double, forKey key: Key) throws { try put(.double(value), key) }
  func encode(_ value: Float, forKey key: Key) throws { try put(.double(Double(value)), key) }
  func encode(_ value: some Encodable & FixedWidthInteger, forKey key: Key) throws { try put(JSONValue(value), key) }
  // For these two the protocol has defaults that refuse, and that the method above does not replace.
  func encode(_ value: Int128, forKey key: Key) throws { try put(JSONValue(value), key) }
  func encode(_ value: UInt128, forKey key: Key) throws { try put(JSONValue(value), key) }

  func encode(_ value: some Encodable, forKey key: Key) throws {
    node.append(try node.encoded(value, forKey: key), forKey: key)
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
    KeyedEncodingContainer(KeyedContainer<Nested>(node: added(forKey: key, .object)))
  }

  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer {
    UnkeyedContainer(node: added(forKey: key, .array))
  }

  func superEncoder() -> any Encoder { TreeEncoder(node: added(forKey: MemberKey("super"), .nothing)) }
  func superEncoder(forKey key: Key) -> any Encoder { TreeEncoder(node: added(forKey: key, .nothing)) }

  private func added(forKey key: any CodingKey, _ kind: Node.Kind) -> Node {
    let child = node.child(forKey: key, kind)
    node.append(.node(child), forKey: key)
    return child
  }
}

private struct UnkeyedContainer: UnkeyedEncodingContainer {
  let node: Node
  var codingPath: [any CodingKey] { node.place.codingPath }
  var count: Int { node.count }

  private func put(_ value: JSONValue) throws {
    try node.check()
    node.append(.value(value))
  }

  func encodeNil() throws { try put(.null) }
  func encode(_ value: Bool) throws { try put(.bool(value)) }
  func encode(_ value: String) throws { try put(JSONValue(value)) }
  func encode(_ value: Double) throws { try put(.double(value)) }
  func encode(_ value: Float) throws { try put(.double(Double(value))) }
  func encode(_ value: some Encodable & FixedWidthInteger) throws { try put(JSONValue(value)) }
  // For these two the protocol has defaults that refuse, and that the method above does not replace.
  func encode(_ value: Int128) throws { try put(JSONValue(value)) }
  func encode(_ value: UInt128) throws { try put(JSONValue(value)) }

  func encode(_ value: some Encodable) throws {
    node.append(try node.encoded(value, forKey: IndexKey(count)))
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    KeyedEncodingContainer(KeyedContainer<Nested>(node: added(.object)))
  }

  func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { UnkeyedContainer(node: added(.array)) }

  func superEncoder() -> any Encoder { TreeEncoder(node: added(.nothing)) }

  private func added(_ kind: Node.Kind) -> Node {
    let child = node.child(forKey: IndexKey(count), kind)
    node.append(.node(child))
    return child
  }
}

private struct SingleContainer: SingleValueEncodingContainer {
  let node: Node
  var codingPath: [any CodingKey] { node.place.codingPath }

  func encodeNil() throws { try node.set(.null) }
  func encode(_ value: Bool) throws { try node.set(.bool(value)) }
  func encode(_ value: String) throws { try node.set(JSONValue(value)) }
  func encode(_ value: Double) throws { try node.set(.double(value)) }
  func encode(_ value: Float) throws { try node.set(.double(Double(value))) }
  func encode(_ value: some Encodable & FixedWidthInteger) throws { try node.set(JSONValue(value)) }
  // For these two the protocol has defaults that refuse, and that the method above does not replace.
  func encode(_ value: Int128) throws { try node.set(JSONValue(value)) }
  func encode(_ value: UInt128) throws { try node.set(JSONValue(value)) }

  func encode(_ value: some Encodable) throws {
    try node.set(try encodedTree(value, at: node.place, depth: node.depth) ?? [:])
  }
}
