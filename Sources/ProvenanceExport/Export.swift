internal import LogFormat
public import ProvenanceLog

/// A session in another form, made block by block while its log is read: Format/export.md says what stands in it.
///
///     var export = try Export(store.getSession("@"), as: .turtle)
///     while let block = try export.next() { … }
///
/// What is recorded meanwhile is not in it. Memory: one block, and the names of the kernels; of a legacy session, its file. Not to be shared between threads.
public struct Export: ~Copyable {
  public enum Format: String, CaseIterable, Sendable {
    case provJSON = "prov-json"
    case provN = "prov-n"
    case turtle, jsonld, csv, jsonl, html
  }

  private let session: Session
  private let seqs: ClosedRange<Int64>
  private var printer: any Printer
  private var passes: Range<Int>
  /// Actions, in all passes.
  private var printed: UInt64 = 0
  /// Of the pass that is under way.
  private var actions: ActionReader?
  private var buffer = ByteBuffer(capacity: blockSize * 2)

  private static let blockSize = 1 << 16

  public init(_ session: Session, as format: Format) {
    self.session = session
    seqs = .min...(session.isLegacy ? .max : session.summary.nextSeq - 1)
    printer =
      switch format {
      case .provJSON: PROVJSON(session)
      case .provN: PROVN(session: session)
      case .turtle: Turtle(session: session)
      case .jsonld: JSONLD(session)
      case .csv: CSV(session)
      case .jsonl: JSONLines()
      case .html: Page(session)
      }
    passes = 0..<printer.passCount
  }

  /// How many of the session's actions that is: in a form of several passes each counts for a part of them.
  package var done: UInt64 { printed / UInt64(printer.passCount) }
  package var total: UInt64 { session.actionCount }

  /// The next block, which is there until the next call; `nil` at the end.
  /// - Throws: `LogError` `corrupt` where the session is damaged: what came before is no whole document; `notFound` if it was removed meanwhile; `io`.
  public mutating func next() throws(LogError) -> UnsafeRawBufferPointer? {
    buffer.removeAll()
    while buffer.count < Self.blockSize {
      if actions != nil {
        if try actions!.nextPayload() {
          try printer.print(try actions!.payload, to: &buffer)
          printed += 1
        } else {
          actions = nil
          try printer.endPass(to: &buffer)
        }
      } else if let pass = passes.popFirst() {
        actions = try session.actions(seqs: seqs)
        try printer.beginPass(pass, to: &buffer)
      } else {
        break
      }
    }
    return buffer.count > 0 ? buffer.bytes : nil
  }
}

/// One form: prints what it is given, and keeps no more than it must.
protocol Printer {
  /// How often the actions are read.
  var passCount: Int { get }

  mutating func beginPass(_ pass: Int, to out: inout ByteBuffer) throws(LogError)
  mutating func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) throws(LogError)
  mutating func endPass(to out: inout ByteBuffer) throws(LogError)
}

/// A form that prints PROV statements in the order of the log.
protocol StatementPrinter: Printer {
  var statements: Statements { get set }
  var session: Session { get }

  func begin(_ out: inout ByteBuffer) throws(LogError)
  mutating func print(_ statement: Statement, to out: inout ByteBuffer) throws(LogError)
  func end(_ out: inout ByteBuffer)
}

extension StatementPrinter {
  var passCount: Int { 1 }

  mutating func beginPass(_ pass: Int, to out: inout ByteBuffer) throws(LogError) {
    try begin(&out)
    for statement in statements.of(session) { try print(statement, to: &out) }
  }

  mutating func print(_ action: UnsafeRawBufferPointer, to out: inout ByteBuffer) throws(LogError) {
    for statement in try statements.of(try ActionRecord(payload: action)) { try print(statement, to: &out) }
  }

  mutating func endPass(to out: inout ByteBuffer) throws(LogError) {
    end(&out)
  }
}

extension Name.Prefix {
  /// What it stands for in the document of this session (Format/export.md).
  func namespace(of session: Session) -> String {
    switch self {
    case .prov: "http://www.w3.org/ns/prov#"
    case .xsd: "http://www.w3.org/2001/XMLSchema#"
    case .rdfs: "http://www.w3.org/2000/01/rdf-schema#"
    case .ckprov: "urn:ckprov-log:"
    case .kernel: "ckp://Kernel#"
    case .s: "urn:ckprov-log:session:\(session.sessionID):\(session.startedAt.milliseconds):"
    }
  }
}

extension ByteBuffer {
  mutating func append(_ text: String) {
    append(Array(text.utf8))
  }

  /// A string as Turtle and PROV-N have them.
  mutating func append(quoted text: JSONString) {
    var escaped: [UInt8] = [UInt8(ascii: "\"")]
    for scalar in text.description.unicodeScalars {
      switch scalar {
      case "\"", "\\": escaped += "\\\(scalar)".utf8
      case "\n": escaped += "\\n".utf8
      case "\r": escaped += "\\r".utf8
      case "\t": escaped += "\\t".utf8
      case _ where steersTerminal(scalar):
        let hex = String(scalar.value, radix: 16, uppercase: true)
        escaped += "\\u\(String(repeating: "0", count: 4 - hex.count))\(hex)".utf8
      default: escaped += UTF8.encode(scalar)!
      }
    }
    escaped.append(UInt8(ascii: "\""))
    append(escaped)
  }

  mutating func append(json text: JSONString) throws(LogError) {
    try append(JSONValue.string(JSONString(text.description)))
  }
}

extension Attribute.Value {
  /// `nil` for a number.
  var text: JSONString? {
    switch self {
    case .text(let text): text
    case .json(let bytes): JSONString(String(decoding: bytes, as: UTF8.self))
    case .long: nil
    }
  }
}
