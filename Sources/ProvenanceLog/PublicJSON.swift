internal import LogFormat

extension JSONValue {
  /// The value of a JSON text, as Python's `json.loads` reads it.
  /// - Throws: `LogError` `invalidInput` or `tooLarge`, with the byte offset and the reason.
  public init(json text: String) throws(LogError) {
    self = try Array(text.utf8).withRawBytes { bytes throws(LogError) in try JSONValue(json: bytes) }
  }
}

extension RawJSON {
  /// Checks JSON text whose value is an object, and brings it into the form that is stored.
  /// - Throws: `LogError` `invalidInput` or `tooLarge`, with the byte offset and the reason.
  public init(_ text: String) throws(LogError) {
    try self.init(utf8: Array(text.utf8))
  }

  /// The same for UTF-8 bytes.
  public init(utf8 bytes: [UInt8]) throws(LogError) {
    self = try bytes.withRawBytes { bytes throws(LogError) in try RawJSON(json: bytes) }
  }
}
