/// What the reference's `validate_urn` has to say about a URN.
public struct URNValidation: Sendable, Equatable {
  public let urn: JSONString
  public let errors: [JSONString]
  public let warnings: [JSONString]
  /// With `isValid` false if the URN could not be taken apart.
  public let parsed: ParsedURN

  /// True if there are no errors; there may be warnings.
  public var isValid: Bool { errors.isEmpty }

  /// The dict that `validate_urn` returns: its keys in its order.
  public var object: JSONObject {
    var object: JSONObject = [
      "valid": .bool(isValid), "errors": .array(errors.map(JSONValue.string)), "warnings": .array(warnings.map(JSONValue.string)),
      "urn": .string(urn),
    ]
    if parsed.isValid { object["parsed"] = .object(parsed.object) }
    return object
  }
}

extension URN {
  /// Prefixes of kernel names that raise no warning, sorted.
  public static let kernelPrefixes = ["CK", "CS", "LOCAL", "TG", "TechGames", "Test"]

  /// Checks a URN against the rules of its entity type, in the reference's words.
  ///
  /// The reference's checks that cannot fail once the URN is taken apart (its protocol, its `#`, its version, the length of a
  /// timestamp) are not here, nor is that of a goal's id, which it never reaches.
  public static func validate(_ urn: JSONString) -> URNValidation {
    let parsed = parse(urn)
    guard let type = parsed.entityType, let identifier = parsed.identifier else {
      return URNValidation(urn: urn, errors: parsed.error.map { [$0] } ?? [], warnings: [], parsed: parsed)
    }
    var (errors, warnings): ([JSONString], [JSONString]) = ([], [])
    if parsed.category == .unknown {
      errors.append(.joined("Unknown entity type: ", type, " (valid: \(allTypes.joined(separator: ", ")))"))
    }
    if type == "Kernel" {
      checkKernel(identifier, parsed, &errors, &warnings)
    } else if let warning = occurrentWarning(ofType: type, CodePoints(identifier)) {
      warnings.append(.joined(warning, ": ", identifier))
    }
    return URNValidation(urn: urn, errors: errors, warnings: warnings, parsed: parsed)
  }

  private static func checkKernel(
    _ name: JSONString, _ parsed: ParsedURN, _ errors: inout [JSONString], _ warnings: inout [JSONString]
  ) {
    if !URNPattern.isKernelName(CodePoints(name)) {
      errors.append(.joined("Kernel name must be PascalCase.Dot.Notation: ", name))
    } else if let prefix = parsed.prefix, !kernelPrefixes.contains(where: { JSONString($0) == prefix }) {
      warnings.append(.joined("Kernel prefix '", prefix, "' not in standard set: \(kernelPrefixes.joined(separator: ", "))"))
    }
    if parsed.version == nil { warnings.append("Kernel URN should include version (e.g. :v1.0)") }
  }

  private static func occurrentWarning(ofType type: JSONString, _ identifier: CodePoints) -> JSONString? {
    switch type {
    case "Process", "Deployment", "Transfer", "Check":
      URNPattern.timestamped(identifier) == nil ? "Occurrent identifier should contain timestamp-hash" : nil
    case "Task": URNPattern.isTaskID(identifier) ? nil : "Task identifier should match T{NNN} pattern"
    case "Instance": URNPattern.isInstanceID(identifier) ? nil : "Instance identifier should match i-{trace}-{ts} pattern"
    default: nil
    }
  }
}
