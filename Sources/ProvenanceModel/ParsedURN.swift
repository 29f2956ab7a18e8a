/// A URN taken apart, as the reference's `parse_urn` does it. What the entity type does not have is `nil`.
public struct ParsedURN: Sendable, Equatable {
  public enum Category: String, Sendable {
    case continuant, occurrent, unknown
  }

  /// The parts by which one entity type differs from another.
  struct Details: Sendable, Equatable {
    var kernelName: JSONString?
    var prefix: JSONString?
    var processType: JSONString?
    var timestamp: JSONValue?
    var hash: JSONString?
    var taskID: JSONString?
    var goalID: JSONString?
    var instanceID: JSONString?
    var source: JSONString?
    var target: JSONString?
    var predicate: JSONString?
    var actionName: JSONString?
    var actionPath: JSONString?
  }

  public let urn: JSONString
  /// Why it is no URN; then all parts are `nil`.
  public let error: JSONString?
  public let entityType: JSONString?
  public let identifier: JSONString?
  /// With its `v`.
  public let version: JSONString?
  let details: Details

  public var isValid: Bool { error == nil }

  public var category: Category? {
    entityType.map { type in
      if URN.continuantTypes.contains(where: { JSONString($0) == type }) { return .continuant }
      return URN.occurrentTypes.contains(where: { JSONString($0) == type }) ? .occurrent : .unknown
    }
  }

  /// The class of the Basic Formal Ontology, unless the category is unknown.
  public var bfoClass: JSONString? {
    switch category {
    case .continuant: "BFO:0000002"
    case .occurrent: "BFO:0000003"
    case .unknown, nil: nil
    }
  }

  /// Of a kernel, and of an action in slash form (`KERNEL/ACTION`).
  public var kernelName: JSONString? { details.kernelName }
  /// What stands before the first dot of a kernel's name.
  public var prefix: JSONString? { details.prefix }
  /// Of a process, deployment, transfer or check, with `timestampMS` and `hash`, if it is `TYPE-MILLISECONDS-HASH`.
  public var processType: JSONString? { details.processType }
  /// Also `nil` if it is beyond 64 bits; `object` has it in full.
  public var timestampMS: Int64? {
    if case .integer(let value) = details.timestamp { value } else { nil }
  }
  public var hash: JSONString? { details.hash }
  public var taskID: JSONString? { details.taskID }
  public var goalID: JSONString? { details.goalID }
  public var instanceID: JSONString? { details.instanceID }
  /// Of an edge that is `Connection-SOURCE-to-TARGET-PREDICATE`.
  public var source: JSONString? { details.source }
  public var target: JSONString? { details.target }
  public var predicate: JSONString? { details.predicate }
  public var actionName: JSONString? { details.actionName }
  /// The identifier of an action without its timestamp.
  public var actionPath: JSONString? { details.actionPath }

  /// The dict that `parse_urn` returns: its keys in its order.
  public var object: JSONObject {
    if let error { return ["valid": false, "error": .string(error), "urn": .string(urn)] }
    var members: [JSONObject.Member] = [("valid", true)]
    func add(_ key: JSONString, _ value: JSONString?) {
      if let value { members.append((key, .string(value))) }
    }
    add("urn", urn)
    add("entity_type", entityType)
    add("identifier", identifier)
    members.append(("version", version.map(JSONValue.string) ?? .null))
    add("category", category.map { JSONString($0.rawValue) })
    add("bfo_class", bfoClass)
    add("process_type", details.processType)
    if let timestamp = details.timestamp { members.append(("timestamp_ms", timestamp)) }
    add("hash", details.hash)
    add("kernel_name", details.kernelName)
    add("prefix", details.prefix)
    add("task_id", details.taskID)
    add("goal_id", details.goalID)
    add("instance_id", details.instanceID)
    add("source", details.source)
    add("target", details.target)
    add("predicate", details.predicate)
    add("action_name", details.actionName)
    add("action_path", details.actionPath)
    return JSONObject(members)
  }
}

extension URN {
  /// Takes a URN apart; of what is none, `isValid` is false and `error` says why.
  ///
  /// The reference raises `ValueError` where an action's timestamp is of digits that `int()` does not read (`a/b-²`), or of more
  /// than 4,300; here that is an `error` too.
  public static func parse(_ urn: JSONString) -> ParsedURN {
    guard let parts = URNPattern.base(CodePoints(urn)) else { return ParsedURN(urn: urn, error: "Does not match URN pattern") }
    let type = JSONString(parts.entityType)
    do {
      return ParsedURN(
        urn: urn, error: nil, entityType: type, identifier: JSONString(parts.identifier),
        version: parts.version.map { .joined("v", JSONString($0)) }, details: try details(ofType: type, parts.identifier))
    } catch {
      return ParsedURN(urn: urn, error: JSONString(error.message))
    }
  }

  private static func details(ofType type: JSONString, _ identifier: CodePoints) throws(LogError) -> ParsedURN.Details {
    switch type {
    case "Kernel":
      let prefix = identifier.firstIndex(of: ".").map { JSONString(identifier[..<$0]) }
      return ParsedURN.Details(kernelName: JSONString(identifier), prefix: prefix)
    case "Process", "Deployment", "Transfer", "Check":
      guard let parts = URNPattern.timestamped(identifier) else { return ParsedURN.Details() }
      return ParsedURN.Details(
        processType: JSONString(parts.type), timestamp: try integer(parts.timestamp), hash: JSONString(parts.hash))
    case "Task": return ParsedURN.Details(taskID: JSONString(identifier))
    case "Goal": return ParsedURN.Details(goalID: JSONString(identifier))
    case "Instance": return ParsedURN.Details(instanceID: JSONString(identifier))
    case "Edge": return edgeDetails(identifier)
    case "Action": return try actionDetails(identifier)
    default: return ParsedURN.Details()
    }
  }

  private static func edgeDetails(_ identifier: CodePoints) -> ParsedURN.Details {
    guard identifier.starts(withASCII: "Connection-") else { return ParsedURN.Details(predicate: JSONString(identifier)) }
    guard let parts = URNPattern.connection(identifier) else { return ParsedURN.Details() }
    return ParsedURN.Details(
      source: JSONString(parts.source), target: JSONString(parts.target), predicate: JSONString(parts.predicate))
  }

  /// `KERNEL/ACTION[-TIMESTAMP]`; without a slash it is the older form with a dot, which cannot be told apart.
  private static func actionDetails(_ identifier: CodePoints) throws(LogError) -> ParsedURN.Details {
    var details = ParsedURN.Details()
    var path = identifier
    if let dash = identifier.lastIndex(of: "-"), case let suffix = identifier[(dash + 1)...], !suffix.isEmpty,
      suffix.allSatisfy(\.isDigit)
    {
      details.timestamp = try integer(suffix)
      path = identifier[..<dash]
    }
    details.actionPath = JSONString(path)
    if let slash = path.firstIndex(of: "/") {
      details.kernelName = JSONString(path[..<slash])
      details.actionName = JSONString(path[(slash + 1)...])
    }
    return details
  }

  /// Python's `int()` of digits.
  private static func integer(_ digits: CodePoints) throws(LogError) -> JSONValue {
    guard digits.count <= LargeInteger.digitsMax else {
      throw LogError(.invalidInput, "Timestamp has more than \(LargeInteger.digitsMax) digits")
    }
    let values = digits.compactMap(\.decimalDigit)
    let figures = values.drop { $0 == 0 }.map { 0x30 + $0 }
    guard values.count == digits.count,
      let value = JSONValue(integer: figures.isEmpty ? "0" : String(decoding: figures, as: UTF8.self))
    else { throw LogError(.invalidInput, "Timestamp is no decimal number: \(JSONString(digits))") }
    return value
  }
}

extension ParsedURN {
  fileprivate init(urn: JSONString, error: JSONString) {
    self.init(urn: urn, error: error, entityType: nil, identifier: nil, version: nil, details: Details())
  }
}
