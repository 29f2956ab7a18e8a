internal import LogFormat
internal import ProvenanceLog

/// RDF 1.1 Turtle with the terms of PROV-O.
struct Turtle: StatementPrinter {
  let session: Session
  var statements = Statements()

  func begin(_ out: inout ByteBuffer) {
    for prefix in Name.Prefix.allCases { out.append("@prefix \(prefix.rawValue): <\(prefix.namespace(of: session))> .\n") }
  }

  func end(_ out: inout ByteBuffer) {}

  func print(_ statement: Statement, to out: inout ByteBuffer) {
    switch statement {
    case .activity(let name, let type, let from, let to, let attributes):
      out.append("\n\(name.text) a prov:Activity, \(type.text)")
      if let from { out.append(" ;\n  prov:startedAtTime \"\(from)\"^^xsd:dateTime") }
      if let to { out.append(" ;\n  prov:endedAtTime \"\(to)\"^^xsd:dateTime") }
      print(attributes, to: &out)
    case .agent(let name, let type, let attributes):
      out.append("\(name.text) a prov:Agent, \(type.text)")
      print(attributes, to: &out)
    case .entity(let name, let type, let generated, let attributes):
      out.append("\(name.text) a prov:Entity, \(type.text)")
      if let generated { out.append(" ;\n  prov:generatedAtTime \"\(generated)\"^^xsd:dateTime") }
      print(attributes, to: &out)
    case .used(let subject, let object), .wasGeneratedBy(let subject, let object, _), .wasAssociatedWith(let subject, let object),
      .wasInformedBy(let subject, let object):
      out.append("\(subject.text) prov:\(statement.kind.rawValue) \(object.text) .\n")
    }
  }

  private func print(_ attributes: [Attribute], to out: inout ByteBuffer) {
    for attribute in attributes {
      out.append(" ;\n  \(attribute.name.inRDF.text) ")
      switch attribute.value {
      case .long(let value): out.append("\"\(value)\"^^xsd:long")
      default: out.append(quoted: attribute.value.text!)
      }
    }
    out.append(" .\n")
  }
}

extension Name {
  /// Of an attribute's name: the property that it is.
  var inRDF: Name { self == Name(.prov, "label") ? Name(.rdfs, "label") : self }
}
