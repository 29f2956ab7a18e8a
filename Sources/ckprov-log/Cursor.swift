import LogFormat
import LogStorage
import ProvenanceLog

/// How far each session was printed. Its file, if it has one, holds the last seq of each: `{"1e192fa4": 17}`.
struct Cursor {
  private let path: String?
  private var seqs: [String: Int64] = [:]
  private var isWritten = false

  /// - Throws: `LogError` `invalidInput` if what is there is no cursor.
  init(_ path: String?) throws(LogError) {
    self.path = path
    guard let path = try path.map({ path throws(LogError) in try checked(path) }), try DiskFileSystem().status(of: path) != nil else { return }
    let bytes = try readBytes(of: try DiskFileSystem().open(path, for: .reading), at: 0)
    let wrong = LogError(.invalidInput, #"this is no cursor file, which is as in {"1e192fa4": 17}; name another, or remove it"#, path: path)
    guard case .object(let object)? = try? bytes.withRawBytes({ bytes throws(LogError) in try JSONValue(json: bytes) }) else { throw wrong }
    for (name, value) in object {
      guard case .integer(let seq) = value else { throw wrong }
      seqs[name.description] = seq
    }
  }

  /// The last seq of a session that was printed.
  func seq(of session: String) -> Int64? { seqs[session] }

  mutating func advance(_ session: String, to seq: Int64) {
    seqs[session] = seq
    isWritten = false
  }

  mutating func forget(_ session: String) {
    seqs[session] = nil
    isWritten = false
  }

  /// Once what it stands for is out.
  mutating func write() throws(LogError) {
    guard let path, !isWritten else { return }
    var buffer = ByteBuffer()
    try buffer.append(.object(JSONObject(seqs.sorted { $0.key < $1.key }.map { (JSONString($0.key), .integer($0.value)) })))
    buffer.append("\n")
    var file = try OutputFile.create(path, in: DiskFileSystem())
    try file.write(buffer.bytes)
    try file.finish()
    isWritten = true
  }
}
