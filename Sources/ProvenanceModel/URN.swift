/// Concept Kernel URNs, `ckp://{EntityType}#{Identifier}[:{Version}][?{Query}]`: built, parsed and validated as by `cklib.urn`.
///
///     let urn = URN.buildKernel("TG.Cymatics")            // ckp://Kernel#TG.Cymatics:v1.0
///     URN.parse(urn).kernelName                           // TG.Cymatics
///     URN.validate("ckp://Process#deploy").warnings       // Occurrent identifier should contain timestamp-hash: deploy
public enum URN {
  /// What persists through time (BFO:0000002), sorted.
  public static let continuantTypes = ["Actor", "Domain", "Edge", "Goal", "Grant", "Kernel", "Project", "Role"]

  /// What unfolds over time (BFO:0000003), sorted.
  public static let occurrentTypes = [
    "Action", "Check", "Deployment", "Event", "Instance", "Message", "Mutation", "Process", "Task", "Transaction", "Transfer",
  ]

  /// `continuantTypes` and `occurrentTypes`, sorted together.
  public static let allTypes = (continuantTypes + occurrentTypes).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }

  /// `ckp://TYPE#IDENTIFIER[:VERSION]`; an empty version is none, and one without a `v` gets it. Only the type is checked.
  /// - Throws: `invalidInput` if `entityType` is none of `allTypes`.
  public static func build(
    entityType: JSONString, identifier: JSONString, version: JSONString? = nil
  ) throws(LogError) -> JSONString {
    guard allTypes.contains(where: { JSONString($0) == entityType }) else {
      throw LogError(.invalidInput, "Unknown entity type: \(entityType)")
    }
    return assemble(entityType, identifier, version)
  }

  /// `ckp://Kernel#NAME:VERSION`.
  public static func buildKernel(_ name: JSONString, version: JSONString? = "v1.0") -> JSONString {
    assemble("Kernel", name, version)
  }

  /// `ckp://Process#TYPE-MILLISECONDS-HASH`.
  public static func buildProcess(_ processType: JSONString, timestampMS: Int64, hash: JSONString) -> JSONString {
    assemble("Process", .joined(processType, "-\(timestampMS)-", hash), nil)
  }

  /// `ckp://Instance#i-TRACE-TIMESTAMP`.
  public static func buildInstance(traceID: JSONString, timestamp: Int64) -> JSONString {
    assemble("Instance", .joined("i-", traceID, "-\(timestamp)"), nil)
  }

  /// `ckp://Edge#Connection-SOURCE-to-TARGET-PREDICATE[:VERSION]`.
  public static func buildEdge(
    source: JSONString, target: JSONString, predicate: JSONString, version: JSONString? = nil
  ) -> JSONString {
    assemble("Edge", .joined("Connection-", source, "-to-", target, "-", predicate), version)
  }

  /// `ckp://Action#KERNEL/NAME[-MILLISECONDS]`; without the milliseconds if they are 0.
  public static func buildAction(kernel: JSONString, actionName: JSONString, timestampMS: Int64 = 0) -> JSONString {
    assemble("Action", .joined(kernel, "/", actionName, timestampMS == 0 ? "" : "-\(timestampMS)"), nil)
  }

  /// The short name in a kernel's URN: what follows the first `Kernel#`, up to the next `Kernel#` and the first `:`.
  /// A text without `Kernel#` is its own name.
  package static func kernelName(ofURN urn: JSONString) -> JSONString {
    let bytes = urn.bytes
    guard let start = end(ofFirst: "Kernel#", in: bytes[...]) else { return urn }
    var name = bytes[start...]
    if let next = end(ofFirst: "Kernel#", in: name) { name = name[..<(next - "Kernel#".utf8.count)] }
    return JSONString(wtf8: Array(name.prefix { $0 != UInt8(ascii: ":") }))
  }

  /// A `ckp://` URN as it is, any other name as `ckp://Kernel#NAME:v1.0`.
  package static func kernelURN(for kernel: JSONString) -> JSONString {
    kernel.bytes.starts(with: "ckp://".utf8) ? kernel : buildKernel(kernel)
  }

  private static func assemble(_ entityType: JSONString, _ identifier: JSONString, _ version: JSONString?) -> JSONString {
    let urn = JSONString.joined("ckp://", entityType, "#", identifier)
    guard let version, !version.isEmpty else { return urn }
    return .joined(urn, version.bytes.first == UInt8(ascii: "v") ? ":" : ":v", version)
  }

  private static func end(ofFirst pattern: String, in bytes: ArraySlice<UInt8>) -> Int? {
    let length = pattern.utf8.count
    guard bytes.count >= length else { return nil }
    return (bytes.startIndex...(bytes.endIndex - length)).first { bytes[$0...].starts(with: pattern.utf8) }.map { $0 + length }
  }
}

extension JSONString {
  /// One after the other. Between two that may be anything there has to be ASCII, so that no two halves of a surrogate pair meet.
  static func joined(_ parts: JSONString...) -> JSONString {
    var text = ""
    for part in parts {
      guard case .text(let more) = part.storage else { return JSONString(wtf8: parts.flatMap(\.bytes)) }
      text += more
    }
    return JSONString(text)
  }
}
