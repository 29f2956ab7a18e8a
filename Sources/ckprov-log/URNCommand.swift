import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

/// What `python -m cklib.urn` does, in its words.
struct URNCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "urn", abstract: "Checks, takes apart and makes CKP URNs, as cklib.urn does.",
    discussion: """
      Example: ckprov-log urn validate ckp://Kernel#CK.Task:v1.0
      Exit codes: 0 done; 65 the URN is not valid.
      """, subcommands: [Validate.self, Parse.self, Build.self, Types.self])

  struct Validate: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Checks a URN against the rules of its entity type.", discussion: "Example: ckprov-log urn validate ckp://Kernel#CK.Task:v1.0")

    @Argument var urn: String

    func run() throws {
      let result = URN.validate(JSONString(urn))
      try printing { out throws(LogError) in
        try out.line("[\(result.isValid ? "PASS" : "FAIL")] \(escapedForTerminal(urn))")
        try out.lines("  ERROR: ", result.errors)
        try out.lines("  WARN:  ", result.warnings)
      }
      if !result.isValid { throw ExitCode(65) }
    }
  }

  struct Parse: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Prints the parts of a URN as JSON.", discussion: "Example: ckprov-log urn parse ckp://Kernel#CK.Task:v1.0")

    @Argument var urn: String

    func run() throws {
      let parsed = URN.parse(JSONString(urn))
      try printing { out throws(LogError) in
        var json = ByteBuffer()
        try json.appendIndented(.object(parsed.object))
        try out.write(json.bytes)
        try out.line("")
      }
      if !parsed.isValid { throw ExitCode(65) }
    }
  }

  struct Build: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a URN, and says what is wrong with it.",
      discussion: "Example: ckprov-log urn build --type Kernel --name CK.Task --version v1.0")

    @Option(parsing: .unconditional, help: "Entity type; 'ckprov-log urn types' lists them.") var type: String
    @Option(parsing: .unconditional, help: "Identifier.") var name: String
    @Option(parsing: .unconditional, help: "Version, such as v1.0.") var version: String?

    func run() throws {
      var isValid = false
      try printing { out throws(LogError) in
        let urn: JSONString
        do throws(LogError) {
          urn = try URN.build(entityType: JSONString(type), identifier: JSONString(name), version: version.map { JSONString($0) })
        } catch {
          throw error.adding(" (valid: \(URN.allTypes.joined(separator: ", ")))")
        }
        let result = URN.validate(urn)
        isValid = result.isValid
        try out.writeShown(urn.description)
        try out.lines("  ERROR: ", result.errors)
      }
      if !isValid { throw ExitCode(65) }
    }
  }

  struct Types: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists all entity types.", discussion: "Example: ckprov-log urn types")

    func run() throws {
      try printing { out throws(LogError) in
        try out.line("Continuants (persist through time — BFO:0000002):")
        for type in URN.continuantTypes { try out.line("  ckp://\(type)#...") }
        try out.line("")
        try out.line("Occurrents (unfold over time — BFO:0000003):")
        for type in URN.occurrentTypes { try out.line("  ckp://\(type)#...") }
      }
    }
  }
}

extension Output {
  /// For a program as it is.
  fileprivate mutating func writeShown(_ text: String) throws(LogError) {
    try line(standardOutputIsTerminal() ? escapedForTerminal(text) : text)
  }

  fileprivate mutating func lines(_ title: String, _ messages: [JSONString]) throws(LogError) {
    for message in messages { try line(title + escapedForTerminal(message.description)) }
  }
}

private func printing(_ body: (inout Output) throws(LogError) -> Void) throws {
  try reporting { () throws(LogError) in
    var out = Output()
    try body(&out)
    try out.flush()
  }
}
