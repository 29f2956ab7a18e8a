import LogFormat
import LogStorage
import ProvenanceLog

/// How far each session was printed: a JSON object with the last seq of each, `{"1e192fa4": 17}`.
struct CursorFile {
  private let path: String
  private var seqs: JSONObject
  private var isWritten = true

  /// - Throws: `LogError` `invalidInput` if what is there is no cursor.
  init(_ path: String) throws(LogError) {
    self.path = try checked(path)
    guard try DiskFileSystem().status(of: path) != nil else {
      seqs = JSONObject()
      return
    }
    let bytes = try readBytes(of: try DiskFileSystem().open(path, for: .reading), at: 0)
    guard case .object(let object)? = try? bytes.withRawBytes({ bytes throws(LogError) in try JSONValue(json: bytes) }),
      object.allSatisfy({ if case .integer = $0.value { true } else { false } })
    else {
      throw LogError(.invalidInput, #"this is no cursor file, which is as in {"1e192fa4": 17}; name another, or remove it"#, path: path)
    }
    seqs = object
  }

  /// The last seq of a session that was printed.
  func seq(of session: String) -> Int64? {
    if case .integer(let seq)? = seqs[JSONString(session)] { seq } else { nil }
  }

  mutating func advance(_ session: String, to seq: Int64) {
    seqs[JSONString(session)] = .integer(seq)
    isWritten = false
  }

  /// Once what it stands for is out.
  mutating func write() throws(LogError) {
    guard !isWritten else { return }
    var buffer = ByteBuffer()
    try buffer.append(.object(seqs))
    buffer.append("\n")
    var file = try OutputFile.create(path, in: DiskFileSystem())
    try file.write(buffer.bytes)
    try file.finish()
    isWritten = true
  }
}
