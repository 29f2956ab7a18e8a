internal import LogFormat
internal import ProvenanceModel

// What a session means in PROV (Format/export.md), the same for each form.

/// A name in one of the document's namespaces. Its local part needs no escape in Turtle, JSON-LD and PROV-JSON.
struct Name: Equatable {
  enum Prefix: String, CaseIterable {
    case prov, xsd, rdfs, ckprov, kernel, s
  }

  let prefix: Prefix
  let local: String

  init(_ prefix: Prefix, _ local: String) {
    self.prefix = prefix
    self.local = local
  }

  var text: String { "\(prefix.rawValue):\(local)" }

  /// Of the kernel that has this URN.
  init(kernel urn: JSONString) {
    let (text, namespace) = (urn.bytes, "ckp://Kernel#")
    let local = text.dropFirst(namespace.utf8.count)
    func isOfWord(_ byte: UInt8) -> Bool {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
      default: byte == UInt8(ascii: "_")
      }
    }
    let marks: [UInt8] = [UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "-")]
    if text.starts(with: namespace.utf8), let first = local.first, let last = local.last, isOfWord(first), isOfWord(last),
      local.allSatisfy({ isOfWord($0) || marks.contains($0) })
    {
      self.init(.kernel, String(decoding: local, as: UTF8.self))
      return
    }
    let hex = Array("0123456789ABCDEF".utf8)
    var encoded = Array("kernel-".utf8)
    for byte in text {
      encoded += isOfWord(byte) ? [byte] : [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
    }
    self.init(.ckprov, String(decoding: encoded, as: UTF8.self))
  }
}

struct Attribute {
  enum Value {
    case text(JSONString)
    /// The inside of a JSON text, which is pure ASCII.
    case json([UInt8])
    case long(Int64)
  }

  let name: Name
  let value: Value

  init(_ prefix: Name.Prefix, _ local: String, _ value: Value) {
    name = Name(prefix, local)
    self.value = value
  }
}

enum Statement {
  enum Kind: String, CaseIterable {
    case activity, agent, entity, used, wasGeneratedBy, wasAssociatedWith, wasInformedBy
  }

  case activity(Name, type: Name, from: Timestamp?, to: Timestamp?, [Attribute])
  case agent(Name, type: Name, [Attribute])
  /// - Parameter generated: when, of one that an activity made.
  case entity(Name, type: Name, generated: Timestamp?, [Attribute])
  case used(activity: Name, entity: Name)
  case wasGeneratedBy(entity: Name, activity: Name, Timestamp)
  case wasAssociatedWith(activity: Name, agent: Name)
  case wasInformedBy(informed: Name, informant: Name)

  var kind: Kind {
    switch self {
    case .activity: .activity
    case .agent: .agent
    case .entity: .entity
    case .used: .used
    case .wasGeneratedBy: .wasGeneratedBy
    case .wasAssociatedWith: .wasAssociatedWith
    case .wasInformedBy: .wasInformedBy
    }
  }
}

/// Makes the statements of a session, in the order of its log.
struct Statements {
  private static let session = Name(.s, "session")
  private var kernels: Set<JSONString> = []

  mutating func of(_ session: Session) -> [Statement] {
    var attributes = [
      Attribute(.prov, "label", .text(session.label)), Attribute(.ckprov, "urn", .text(session.urn)),
      Attribute(.ckprov, "sessionId", .text(JSONString(session.sessionID.description))),
      Attribute(.ckprov, "kernelAction", .text(session.kernelAction)), Attribute(.ckprov, "outcome", .text(session.outcome)),
    ]
    if let duration = session.durationMS { attributes.append(Attribute(.ckprov, "durationMs", .long(duration))) }
    let activity = Statement.activity(
      Self.session, type: Name(.ckprov, "Session"), from: session.startedAt, to: session.endedAt, attributes)
    return [activity] + association(of: Self.session, with: session.wasAssociatedWith)
  }

  mutating func of(_ action: ActionRecord) throws(LogError) -> [Statement] {
    let name = Name(.s, "action-\(action.seq)")
    var attributes = [
      Attribute(.prov, "label", .text(action.actionType)), Attribute(.ckprov, "urn", .text(action.urn)), Attribute(.ckprov, "seq", .long(action.seq)),
      Attribute(.ckprov, "outcome", .text(action.outcome)), Attribute(.ckprov, "attempt", .long(action.attempt)),
    ]
    if let edge = action.viaEdge { attributes.append(Attribute(.ckprov, "viaEdge", .text(edge))) }
    if let intent = action.intent { attributes.append(Attribute(.ckprov, "intent", .json(try json(intent)))) }
    if let evidence = action.evidence { attributes.append(Attribute(.ckprov, "evidence", .json(try json(evidence)))) }
    if let diffSummary = action.diffSummary { attributes.append(Attribute(.ckprov, "diffSummary", .text(diffSummary))) }
    if !action.note.isEmpty { attributes.append(Attribute(.ckprov, "note", .text(action.note))) }

    var statements = [Statement.activity(name, type: Name(.ckprov, "Action"), from: nil, to: action.generatedAt, attributes)]
    statements += association(of: name, with: action.kernel)
    statements.append(.wasInformedBy(informed: name, informant: Self.session))
    if let state = action.beforeState {
      let before = Name(.s, "before-\(action.seq)")
      statements.append(.entity(before, type: Name(.ckprov, "State"), generated: nil, [Attribute(.prov, "value", .json(try json(state)))]))
      statements.append(.used(activity: name, entity: before))
    }
    if let state = action.afterState {
      let after = Name(.s, "after-\(action.seq)")
      let value = Attribute(.prov, "value", .json(try json(state)))
      statements.append(.entity(after, type: Name(.ckprov, "State"), generated: action.generatedAt, [value]))
      statements.append(.wasGeneratedBy(entity: after, activity: name, action.generatedAt))
    }
    return statements
  }

  /// With the kernel itself, where it comes first.
  private mutating func association(of activity: Name, with kernel: JSONString) -> [Statement] {
    let agent = Name(kernel: kernel)
    let association = Statement.wasAssociatedWith(activity: activity, agent: agent)
    guard kernels.insert(kernel).inserted else { return [association] }
    return [.agent(agent, type: Name(.prov, "SoftwareAgent"), [Attribute(.ckprov, "urn", .text(kernel))]), association]
  }
}

private func json(_ payload: Payload) throws(LogError) -> [UInt8] { try JSONValue.object(payload.object()).compactJSON() }
