internal import CText
package import ProvenanceModel

/// Prints compact JSON as Python's `json.dumps(value, indent=2)` prints the same value: only white space is added.
///
/// It works piecewise: `write` fills what room it is given and goes on where it stopped, so that the output of one record, which may be a thousand
/// times its size, never has to be in memory.
package struct Reindenter {
  /// Room that every call must offer: the longest thing that is written in one go.
  package static let roomMin = ckprov_reindent_room(Int32(JSONParser.depthMax))

  private var state: ckprov_reindenter

  /// `level`: how many levels deep the value stands in what is being printed.
  package init(level: Int) {
    state = ckprov_reindenter(position: 0, level: Int32(level), base_level: Int32(level), in_string: 0)
  }

  /// Writes as much as fits.
  /// - Parameter json: the same bytes at every call: compact JSON, without white space.
  /// - Returns: the bytes written, and whether the value is finished.
  /// - Throws: `LogError` `corrupt` if brackets do not match or go deeper than any record may, or for a byte that no record may hold.
  package mutating func write(
    _ json: UnsafeRawBufferPointer, into room: UnsafeMutableRawBufferPointer
  ) throws(LogError) -> (count: Int, isFinished: Bool) {
    precondition(room.count >= Self.roomMin)
    var count = 0
    let result = ckprov_reindent(&state, json.baseAddress, json.count, room.baseAddress, room.count, Int32(JSONParser.depthMax), &count)
    switch result {
    case CKPROV_REINDENT_MORE: return (count, false)
    case CKPROV_REINDENT_DONE: return (count, true)
    case CKPROV_REINDENT_BRACKETS: throw LogError(.corrupt, "a record's brackets do not match")
    case CKPROV_REINDENT_DEPTH: throw LogError(.corrupt, "a record is nested deeper than it may be")
    default: throw LogError(.corrupt, "a record holds a byte that no record may hold")
    }
  }
}
