internal import LogFormat
internal import ProvenanceLog

/// JSON-LD 1.1 with the terms of PROV-O: a node for each statement; those of one name are one.
struct JSONLD: StatementPrinter {
  let session: Session
  var statements = Statements()
  private var isFirst = true

  init(_ session: Session) {
    self.session = session
  }

  func begin(_ out: inout ByteBuffer) {
    out.append("{\"@context\":{")
    for prefix in Name.Prefix.allCases { out.append("\"\(prefix.rawValue)\":\"\(prefix.namespace(of: session))\",") }
    let typed: [(String, [String])] = [
      ("@id", ["used", "wasGeneratedBy", "wasAssociatedWith", "wasInformedBy"]),
      ("xsd:dateTime", ["startedAtTime", "endedAtTime", "generatedAtTime"]),
    ]
    let terms = typed.flatMap { type, names in names.map { "\"prov:\($0)\":{\"@type\":\"\(type)\"}" } }
    out.append(terms.joined(separator: ","))
    out.append("},\n\"@graph\":[")
  }

  func end(_ out: inout ByteBuffer) {
    out.append("\n]}\n")
  }

  mutating func print(_ statement: Statement, to out: inout ByteBuffer) throws(LogError) {
    out.append(isFirst ? "\n" : ",\n")
    isFirst = false
    switch statement {
    case .activity(let name, let type, let from, let to, let attributes):
      out.append("{\"@id\":\"\(name.text)\",\"@type\":[\"prov:Activity\",\"\(type.text)\"]")
      if let from { out.append(",\"prov:startedAtTime\":\"\(from)\"") }
      if let to { out.append(",\"prov:endedAtTime\":\"\(to)\"") }
      try print(attributes, to: &out)
    case .agent(let name, let type, let attributes):
      out.append("{\"@id\":\"\(name.text)\",\"@type\":[\"prov:Agent\",\"\(type.text)\"]")
      try print(attributes, to: &out)
    case .entity(let name, let type, let generated, let attributes):
      out.append("{\"@id\":\"\(name.text)\",\"@type\":[\"prov:Entity\",\"\(type.text)\"]")
      if let generated { out.append(",\"prov:generatedAtTime\":\"\(generated)\"") }
      try print(attributes, to: &out)
    case .used(let subject, let object), .wasGeneratedBy(let subject, let object, _), .wasAssociatedWith(let subject, let object),
      .wasInformedBy(let subject, let object):
      out.append("{\"@id\":\"\(subject.text)\",\"prov:\(statement.kind.rawValue)\":\"\(object.text)\"}")
    }
  }

  private func print(_ attributes: [Attribute], to out: inout ByteBuffer) throws(LogError) {
    for attribute in attributes {
      out.append(",\"\(attribute.name.inRDF.text)\":")
      switch attribute.value {
      case .long(let value): out.append("{\"@type\":\"xsd:long\",\"@value\":\"\(value)\"}")
      default: try out.append(json: attribute.value.text!)
      }
    }
    out.append("}")
  }
}
