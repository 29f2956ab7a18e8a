import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

/// Standard output, written in blocks. A reader that goes away ends it quietly, and so does a signal that comes while the reader lets it wait.
struct Output: ~Copyable {
  private let signals: StopSignals?
  private var buffer = ByteBuffer(capacity: 1 << 16)
  private let mayBeMissing: Bool
  private var ending = OutputEnding.written

  /// - Parameter mayBeMissing: the command has more to do than to print.
  init(unless signals: StopSignals? = nil, mayBeMissing: Bool = false) {
    self.signals = signals
    self.mayBeMissing = mayBeMissing
  }

  var isOpen: Bool { if case .written = ending { true } else { false } }
  /// The signal that ended it.
  var stop: StopSignal? { if case .stopped(let signal) = ending { signal } else { nil } }

  mutating func write(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    if bytes.count >= 1 << 16 {
      try flush()
      try print(bytes)
      return
    }
    buffer.append(bytes)
    if buffer.count >= 1 << 16 { try flush() }
  }

  mutating func write(_ text: String) throws(LogError) {
    try Array(text.utf8).withRawBytes { bytes throws(LogError) in buffer.append(bytes) }
    if buffer.count >= 1 << 16 { try flush() }
  }

  mutating func line(_ text: String) throws(LogError) {
    try write(text + "\n")
  }

  /// What may hold anything, for a terminal if standard output is one: whole lines, with nothing in them that steers it.
  mutating func writeShown(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    guard standardOutputIsTerminal() else { return try write(bytes) }
    for line in bytes.split(separator: 0x0A) {
      try self.line(escapedForTerminal(String(decoding: line.last == 0x0D ? line.dropLast() : line, as: UTF8.self)))
    }
  }

  /// One compact object, on a line.
  mutating func json(_ object: JSONObject) throws(LogError) {
    try line(String(decoding: try JSONValue.object(object).compactJSON(), as: UTF8.self))
  }

  mutating func flush() throws(LogError) {
    if buffer.count > 0 { try print(buffer.bytes) }
    buffer.removeAll()
  }

  private mutating func print(_ bytes: UnsafeRawBufferPointer) throws(LogError) {
    guard isOpen else { return }
    do throws(LogError) {
      ending = try writeStandardOutput(bytes, unless: signals)
    } catch {
      ending = .closed
      throw error
    }
    if case .missing = ending, !mayBeMissing { throw LogError(.io, "standard output is closed, so nothing can be printed; open it, or name a file") }
  }
}

struct OutputOption: ParsableArguments {
  @Option(
    name: [.customShort("o", allowingJoined: true), .customLong("output")],
    help: ArgumentHelp("Writes to this file, at once or not at all; - is standard output.", valueName: "file"), completion: .file())
  var path: String?

  /// `nil`: standard output.
  var file: String? { path == "-" ? nil : path }
}

/// The path of a file that is to be written, or replaced.
func checked(_ output: String) throws(LogError) -> String {
  if let status = try DiskFileSystem().status(of: output), status.kind != .file {
    throw LogError(.io, "this is no regular file, which could be replaced; name another", path: output)
  }
  return output
}

/// Columns that are as wide as their widest cell; numbers stand to the right.
func table(_ rows: [[String]], rightAligned: Set<Int>) -> [String] {
  guard let first = rows.first else { return [] }
  let widths = first.indices.map { column in rows.map { columns(of: $0[column]) }.max() ?? 0 }
  return rows.map { row in
    let cells = row.indices.map { padded(row[$0], to: widths[$0], isRight: rightAligned.contains($0)) }
    let line = cells.joined(separator: "  ")
    return String(line[..<(line.lastIndex { $0 != " " }.map { line.index(after: $0) } ?? line.startIndex)])
  }
}

/// Names and what belongs to them, the latter on as many lines as a terminal of so many columns needs.
func list(_ rows: [(name: String, text: String)], width: Int?) -> [String] {
  let indent = (rows.map { columns(of: $0.name) }.max() ?? 0) + 2
  return rows.flatMap { row in
    var rest = row.text[...]
    var lines: [String] = []
    repeat {
      let part = wrapped(&rest, to: max(20, (width ?? .max) - indent))
      lines.append(padded(lines.isEmpty ? row.name : "", to: indent) + part)
    } while !rest.isEmpty
    return lines
  }
}

/// `1.2 MiB`.
func sizeText(_ bytes: UInt64) -> String {
  var (value, unit) = (Double(bytes), 0)
  let units = ["B", "KiB", "MiB", "GiB", "TiB"]
  while value >= 1024, unit + 1 < units.count {
    value /= 1024
    unit += 1
  }
  let tenths = Int((value * 10).rounded())
  return unit == 0 ? "\(bytes) B" : "\(tenths / 10).\(tenths % 10) \(units[unit])"
}

/// `2026-03-14 20:00:00`.
func timeText(_ timestamp: Timestamp) -> String {
  let text = timestamp.description
  return "\(text.prefix(10)) \(text.dropFirst(11).prefix(8))"
}

/// `1.500 s`, `2 min 05 s`, `3 h 20 min`.
func durationText(milliseconds: Int64) -> String {
  let sign = milliseconds < 0 ? "-" : ""
  let magnitude = Int64(clamping: milliseconds.magnitude)
  func padded(_ value: Int64, _ width: Int) -> String { String(repeating: "0", count: max(0, width - String(value).count)) + String(value) }
  switch magnitude {
  case ..<60_000: return "\(sign)\(magnitude / 1000).\(padded(magnitude % 1000, 3)) s"
  case ..<3_600_000: return "\(sign)\(magnitude / 60_000) min \(padded(magnitude / 1000 % 60, 2)) s"
  default: return "\(sign)\(magnitude / 3_600_000) h \(padded(magnitude / 60_000 % 60, 2)) min"
  }
}

/// The name in a kernel's URN, whole, whatever it holds; any other text as it is.
func kernelText(_ urn: JSONString) -> String {
  let (text, prefix) = (urn.description, "ckp://Kernel#")
  guard text.hasPrefix(prefix) else { return text }
  let name = text.dropFirst(prefix.count)
  guard let colon = name.lastIndex(of: ":"), colon > name.startIndex, name[colon...].hasPrefix(":v") else { return String(name) }
  return String(name[..<colon])
}

/// Up to `width` columns, cut with an ellipsis, nothing in it that steers a terminal.
func shortened(_ text: JSONString, to width: Int) -> String { cut(escapedForTerminal(text.description), to: width) }
