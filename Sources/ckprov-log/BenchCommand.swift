import ArgumentParser
import LogFormat
import LogStorage
import ProvenanceLog

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures how fast this machine and this disk record.",
    discussion: """
      Records sample actions for a few seconds into new sessions in a temporary directory under DIR, and removes it. Says how many actions a second were kept, how \
      long a call took, and how long a sync of the disk takes by itself. Of one run believe the order of magnitude only; compare runs that were made in turn.

      --form: raw (payloads that were encoded before), values (Swift values, as programs hand them over), lines (JSON Lines, as 'record' reads them).

      Examples:
        ckprov-log bench
        ckprov-log bench --durability power --threads 8 --json
      """)

  @OptionGroup var storage: StorageOptions
  @Option(help: ArgumentHelp("Of an action: small (236), typical (911), large (16384), or bytes.", valueName: "size")) var size = ActionSize.typical
  @Option(help: ArgumentHelp("Records the actions of this file (JSON Lines) instead.", valueName: "file"), completion: .file()) var input: String?
  @Option(help: "raw, values or lines.") var form = Bench.Form.values
  @Option(parsing: .unconditional, help: ArgumentHelp("Actions a call.", valueName: "n")) var batch = 1
  @Option(help: "process or power.") var durability = ProvChain.Durability.process
  @Option(parsing: .unconditional, help: ArgumentHelp("Callers at once.", valueName: "n")) var threads = 1
  @Option(parsing: .unconditional, help: ArgumentHelp("Sessions that the callers share.", valueName: "n")) var sessions = 1
  @Option(parsing: .unconditional, help: ArgumentHelp("How long.", valueName: "seconds")) var duration = 5.0
  @Option(parsing: .unconditional, help: ArgumentHelp("Ends after so many actions.", valueName: "n")) var count: Int?
  @Option(help: ArgumentHelp("As of 'record'.", valueName: "size")) var segmentSize: Size?
  @Flag(help: "Leaves full files uncompressed while it runs.") var noSeal = false
  @Flag(help: "Leaves the temporary directory, and says where it is.") var keep = false
  @Flag(help: "For programs: a JSON object.") var json = false

  func validate() throws {
    for (name, value) in [("batch", batch), ("threads", threads), ("sessions", sessions), ("count", count ?? 1)] where value < 1 {
      throw ValidationError("--\(name) must be 1 or more.")
    }
    guard threads >= sessions else { throw ValidationError("--threads must be as many as --sessions, or more.") }
    guard threads <= 1024 else { throw ValidationError("--threads must be 1024 or less.") }
    guard duration > 0, duration <= 86_400 else { throw ValidationError("--duration must be above 0, and a day at most.") }
  }

  func run() throws {
    try reporting { () throws(LogError) in
      var bench = Bench(lines: try lines())
      bench.form = form
      bench.durability = durability
      (bench.threads, bench.sessions, bench.batch) = (threads, sessions, batch)
      bench.duration = .seconds(duration)
      if let count { bench.count = count }
      if let segmentSize { bench.segmentSizeMax = segmentSize.bytes }
      bench.seals = !noSeal
      let directory = path(storage.storageDir, "ckprov-bench-\(String(UInt32.random(in: .min ... .max), radix: 16))")
      _ = try DiskFileSystem().makeDirectory(directory)
      defer { if !keep { removeTree(directory) } }
      let syncs = try measureSyncs(in: directory, count: 200)
      let result = try bench.run(in: directory)
      var out = Output()
      if json { try out.json(object(result, syncs)) } else { for line in report(result, syncs) { try out.line(line) } }
      if keep { note("left for you: \(directory)") }
      try out.flush()
    }
  }

  private func lines() throws(LogError) -> [[UInt8]] {
    guard let input else { return sampleLines(size: size.bytes, count: 256, seed: 1) }
    let file = try DiskFileSystem().open(input, for: .reading)
    let lines = try readBytes(of: file, at: 0).split(separator: 0x0A).map(Array.init)
    guard !lines.isEmpty else { throw LogError(.invalidInput, "there is no line in it", path: input) }
    return lines
  }

  // MARK: What came out

  private static let quantiles: [(name: String, share: Double)] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)]

  private func microseconds(_ duration: Duration) -> Double { ((duration / .microseconds(1)) * 1000).rounded() / 1000 }

  private func report(_ result: Bench.Result, _ syncs: Histogram) -> [String] {
    let perSecond = Double(result.actions) / result.seconds
    func text(_ duration: Duration) -> String { "\((microseconds(duration) * 10).rounded() / 10) us" }
    var rows = [
      ["actions", "\(result.actions) in \((result.seconds * 1000).rounded() / 1000) s"],
      ["a second", "\(Int(perSecond))"],
      ["bytes a second", "\(sizeText(UInt64(perSecond * result.lineSize))) of JSON, \(Int(result.lineSize)) bytes an action"],
    ]
    rows += Self.quantiles.map { ["call, \($0.name)", text(result.latency.quantile($0.share))] }
    rows += [["call, longest", text(result.latency.longest)]]
    rows += [["fdatasync, p50", text(syncs.quantile(0.5))], ["fdatasync, p99", text(syncs.quantile(0.99))]]
    let most = result.latency.octaves.map(\.count).max() ?? 1
    let bars = result.latency.octaves.map { from, count in
      ["from \(text(from))", "\(count)", String(repeating: "#", count: Int((Double(count) / Double(most) * 50).rounded(.up)))]
    }
    return table(rows, rightAligned: []) + [""] + table(bars, rightAligned: [0, 1])
  }

  /// Format/reports.md.
  private func object(_ result: Bench.Result, _ syncs: Histogram) -> JSONObject {
    func micros(_ duration: Duration) -> JSONValue { .double(microseconds(duration)) }
    let perSecond = Double(result.actions) / result.seconds
    var latency = JSONObject(Self.quantiles.map { (key: JSONString($0.name), value: micros(result.latency.quantile($0.share))) })
    latency["max"] = micros(result.latency.longest)
    return [
      "form": .string(JSONString(form.rawValue)), "durability": .string(JSONString(durability.rawValue)), "threads": .integer(Int64(threads)),
      "sessions": .integer(Int64(sessions)), "batch": .integer(Int64(batch)), "payload_bytes": .double(result.lineSize),
      "actions": .integer(Int64(result.actions)), "seconds": .double(result.seconds), "actions_per_second": .double(perSecond),
      "bytes_per_second": .double(perSecond * result.lineSize), "latency_us": .object(latency),
      "fdatasync_us": ["p50": micros(syncs.quantile(0.5)), "p99": micros(syncs.quantile(0.99))],
    ]
  }
}

extension Bench.Form: ExpressibleByArgument {}

struct ActionSize: ExpressibleByArgument {
  let bytes: Int

  static let typical = ActionSize(bytes: 911)

  init(bytes: Int) { self.bytes = bytes }

  var defaultValueDescription: String { String(bytes) }

  init?(argument: String) {
    switch argument {
    case "small": bytes = 236
    case "typical": bytes = 911
    case "large": bytes = 16_384
    default:
      guard let bytes = Int(argument), 1...(16 << 20) ~= bytes else { return nil }
      self.bytes = bytes
    }
  }
}
