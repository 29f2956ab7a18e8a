internal import CText
package import ProvenanceModel

// JSON text straight into the form that is stored, in one pass: no value is built. Only what is rare, such as equal keys, takes the way through values.

extension JSONParser {
  /// Reads the next value and appends its canonical bytes; members that are null are kept, and `metNullMember` tells of them.
  ///
  /// - Throws: `LogError` `invalidInput` or `tooLarge` with offset and reason; nothing is appended then.
  package mutating func transcode(to buffer: inout ByteBuffer) throws(LogError) {
    // The longest that a byte can become is six (DEL), but for short floats such as 1e15.
    let start = buffer.room(for: (remaining + 4) * 6 + slack)
    var out: OutPointer? = start
    var metNull: UInt8 = 0
    let from = base(at: position).assumingMemoryBound(to: UInt8.self)
    if let behind = ckprov_transcode(from, from + remaining, &out, Int32(Self.depthMax - depth), writeFloat, &metNull), let out {
      advance(by: behind - from)
      if metNull != 0 { noteNullMember() }
      buffer.commit(upTo: out)
    } else {
      try buffer.append(try value())
    }
  }
}

private func writeFloat(_ text: UnsafePointer<UInt8>?, _ size: Int, _ out: OutPointer?) -> OutPointer? {
  guard let out, let value = Double(String(decoding: UnsafeBufferPointer(start: text, count: size), as: UTF8.self)) else { return nil }
  return write(value, to: out)
}
