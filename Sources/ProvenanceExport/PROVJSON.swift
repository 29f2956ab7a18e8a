internal import LogFormat
internal import ProvenanceLog

/// The W3C's member submission PROV-JSON, whose document has one member for each kind of statement: so many times the log is read.
struct PROVJSON: Printer {
  private let session: Session
  private var kind = Statement.Kind.activity
  private var statements = Statements()
  private var count = 0

  init(_ session: Session) {
    self.session = session
  }

  var passCount: Int { Statement.Kind.allCases.count }

  mutating func beginPass(_ pass: Int, to out: inout ByteBuffer) throws(LogError) {
    if pass == 0 {
      out.append("{\"prefix\":{")
      for prefix in [Name.Prefix.ckprov, .kernel, .s] {
        out.append("\(prefix == .ckprov ? "" : ",")\"\(prefix.rawValue)\":\"\(prefix.namespace(of: session))\"")
      }
      out.append("}")
    }
    (kind, statements, count) = (Statement.Kind.allCases[pass], Statements(), 0)
    out.append(",\n\"\(kind.rawValue)\":{")
    try print(statements.of(session), to: &out)
  }

  mutating func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) throws(LogError) {
    try print(try statements.of(try ActionRecord(payload: action)), to: &out)
  }

  mutating func endPass(to out: inout ByteBuffer) {
    out.append("}")
    if kind == Statement.Kind.allCases.last { out.append("\n}\n") }
  }

  private mutating func print(_ all: [Statement], to out: inout ByteBuffer) throws(LogError) {
    for statement in all where statement.kind == kind {
      out.append(count == 0 ? "\n" : ",\n")
      count += 1
      try print(statement, to: &out)
    }
  }

  private func print(_ statement: Statement, to out: inout ByteBuffer) throws(LogError) {
    switch statement {
    case .activity(let name, let type, let from, let to, let attributes):
      out.append("\"\(name.text)\":{")
      if let from { out.append("\"prov:startTime\":\"\(from)\",") }
      if let to { out.append("\"prov:endTime\":\"\(to)\",") }
      try print(type, attributes, to: &out)
    case .agent(let name, let type, let attributes), .entity(let name, let type, _, let attributes):
      out.append("\"\(name.text)\":{")
      try print(type, attributes, to: &out)
    case .used(let activity, let entity): relate(("activity", activity), ("entity", entity), to: &out)
    case .wasGeneratedBy(let entity, let activity, let time): relate(("entity", entity), ("activity", activity), time, to: &out)
    case .wasAssociatedWith(let activity, let agent): relate(("activity", activity), ("agent", agent), to: &out)
    case .wasInformedBy(let informed, let informant): relate(("informed", informed), ("informant", informant), to: &out)
    }
  }

  private func print(_ type: Name, _ attributes: [Attribute], to out: inout ByteBuffer) throws(LogError) {
    out.append("\"prov:type\":{\"$\":\"\(type.text)\",\"type\":\"prov:QUALIFIED_NAME\"}")
    for attribute in attributes {
      out.append(",\"\(attribute.name.text)\":")
      switch attribute.value {
      case .long(let value): out.append("{\"$\":\"\(value)\",\"type\":\"xsd:long\"}")
      default: try out.append(json: attribute.value.text!)
      }
    }
    out.append("}")
  }

  private func relate(_ subject: (String, Name), _ object: (String, Name), _ time: Timestamp? = nil, to out: inout ByteBuffer) {
    out.append("\"_:\(kind.rawValue)\(count)\":{\"prov:\(subject.0)\":\"\(subject.1.text)\",\"prov:\(object.0)\":\"\(object.1.text)\"")
    if let time { out.append(",\"prov:time\":\"\(time)\"") }
    out.append("}")
  }
}
