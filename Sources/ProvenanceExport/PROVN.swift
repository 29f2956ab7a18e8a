internal import LogFormat
internal import ProvenanceLog

/// The W3C's recommendation PROV-N.
struct PROVN: StatementPrinter {
  let session: Session
  var statements = Statements()

  func begin(_ out: inout ByteBuffer) {
    out.append("document\n")
    for prefix in [Name.Prefix.ckprov, .kernel, .s] { out.append("  prefix \(prefix.rawValue) <\(prefix.namespace(of: session))>\n") }
  }

  func end(_ out: inout ByteBuffer) {
    out.append("endDocument\n")
  }

  func print(_ statement: Statement, to out: inout ByteBuffer) {
    out.append("  \(statement.kind.rawValue)(")
    switch statement {
    case .activity(let name, let type, let from, let to, let attributes):
      out.append("\(escaped(name)), \(from?.description ?? "-"), \(to?.description ?? "-")")
      print(type, attributes, to: &out)
    case .agent(let name, let type, let attributes), .entity(let name, let type, _, let attributes):
      out.append(escaped(name))
      print(type, attributes, to: &out)
    case .used(let activity, let entity): out.append("\(escaped(activity)), \(escaped(entity)), -")
    case .wasGeneratedBy(let entity, let activity, let time): out.append("\(escaped(entity)), \(escaped(activity)), \(time)")
    case .wasAssociatedWith(let activity, let agent): out.append("\(escaped(activity)), \(escaped(agent)), -")
    case .wasInformedBy(let informed, let informant): out.append("\(escaped(informed)), \(escaped(informant))")
    }
    out.append(")\n")
  }

  private func print(_ type: Name, _ attributes: [Attribute], to out: inout ByteBuffer) {
    out.append(", [prov:type='\(type.text)'")
    for attribute in attributes {
      out.append(", \(attribute.name.text)=")
      switch attribute.value {
      case .long(let value): out.append("\"\(value)\" %% xsd:long")
      default: out.append(quoted: attribute.value.text!)
      }
    }
    out.append("]")
  }

  private func escaped(_ name: Name) -> String {
    "\(name.prefix.rawValue):" + name.local.split(separator: ":", omittingEmptySubsequences: false).joined(separator: "\\:")
  }
}
