import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct DumpCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dump",
    abstract: "Prints every frame of a log: where it is, its checksums, what it says of itself.",
    discussion: """
      Goes on behind damage, which stands in its place between the frames. Offsets and lengths are bytes, of a sealed file those of its raw form. Checksums are as \
      they stand and, where they differ, as they should be. --json prints one object a line (Format/reports.md).

      Example: ckprov-log dump --json @ | jq 'select(.frame)'
      Exit codes: 0; 65 something is damaged.
      """)

  @OptionGroup var storage: StorageOptions
  @OptionGroup var argument: SessionArgument
  @Flag(help: "For programs: one JSON object a line.") var json = false

  func run() throws {
    try reporting { () throws(LogError) in
      let id = try storage.store.locateLog(argument.session)
      var out = Output()
      var reader = try LogReader.open(storage.store.directory.log(of: id), of: id, goesBehindTail: true)
      var segment: UInt32?
      var firstDamage: Damage?
      while out.isOpen, let item = try reader.nextItem() {
        if segment != reader.currentSegment.header.salt, case .frame = item {
          segment = reader.currentSegment.header.salt
          try print(reader.currentSegment, reader.fileName, to: &out)
        }
        switch item {
        case .frame(let frame): try print(frame, &reader, to: &out)
        case .damage(let damage):
          try print(damage, to: &out)
          if !damage.isTail { firstDamage = firstDamage ?? damage }
        }
      }
      if case .tornTail(let damage)? = reader.ending { try print(damage, to: &out) }
      try out.flush()
      if let firstDamage { throw LogError(firstDamage, in: storage.store.directory.logPath(id)) }
    }
  }

  private func print(_ segment: (header: SegmentHeader, offset: UInt64), _ file: SegmentFileName, to out: inout Output) throws(LogError) {
    let header = segment.header
    if json {
      return try out.json([
        "segment": .string(JSONString(file.description)), "offset": JSONValue(segment.offset), "salt": JSONValue(UInt64(header.salt)),
        "first_sequence": JSONValue(header.firstSequence), "first_seq": .integer(header.firstSeq),
        "predecessor_size": header.predecessor.map { JSONValue($0.size) } ?? .null,
        "predecessor_last_sequence": header.predecessor.map { JSONValue($0.lastSequence) } ?? .null,
      ])
    }
    let before = header.predecessor.map { "follows sequence \($0.lastSequence) at \($0.size) bytes" } ?? "begins the session"
    try out.line("\(file)  offset \(segment.offset)  salt \(hex(header.salt))  sequence \(header.firstSequence) on  \(before)")
  }

  private func print(_ frame: FrameHeader, _ reader: inout LogReader, to out: inout Output) throws(LogError) {
    let offset = reader.place.offset
    let salt = reader.currentSegment.header.salt
    let bytes = try reader.frameBytes
    let headerCRC = FrameHeader.crc(of: bytes, salt: salt)
    let payloadCRC = crc32c(salt, UnsafeRawBufferPointer(rebasing: bytes[FrameHeader.size...]))
    if json {
      return try out.json([
        "frame": JSONValue(frame.sequence), "kind": .string(JSONString(frame.kind.name)), "offset": JSONValue(offset),
        "length": JSONValue(UInt64(frame.payloadSize)), "unsynced": JSONValue(UInt64(frame.unsynced)),
        "header_crc": JSONValue(UInt64(frame.headerCRC)), "computed_header_crc": JSONValue(UInt64(headerCRC)),
        "payload_crc": JSONValue(UInt64(frame.payloadCRC)), "computed_payload_crc": JSONValue(UInt64(payloadCRC)),
      ])
    }
    func checksum(_ stored: UInt32, _ computed: UInt32) -> String { stored == computed ? hex(stored) : "\(hex(stored))≠\(hex(computed))" }
    let columns = [
      "sequence \(frame.sequence)", "offset \(offset)", "length \(frame.payloadSize)", "unsynced \(frame.unsynced)",
      "header \(checksum(frame.headerCRC, headerCRC))", "payload \(checksum(frame.payloadCRC, payloadCRC))", frame.kind.name,
    ]
    try out.line("  " + columns.joined(separator: "  "))
  }

  private func print(_ damage: Damage, to out: inout Output) throws(LogError) {
    if json { return try out.json(["damage": .object(damage.json)]) }
    let checksums = damage.storedCRC.map { ", checksum \(hex($0)), computed \(hex(damage.computedCRC ?? 0))" } ?? ""
    try out.line("! \(damage)\(checksums)")
  }
}

private func hex(_ value: UInt32) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 8 - digits.count) + digits
}
