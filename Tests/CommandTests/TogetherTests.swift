import LogFormat
import LogStorage
import ProvenanceLog
import Synchronization
import TestSupport
import Testing

/// A session is recorded while other processes project, compact and verify it, and this one follows it.
///
/// CKPROV_ACTIONS is the number of actions: 20,000, or a million in the long form.
@Suite(.timeLimit(.minutes(30)))
struct TogetherTests {
  private let bench: Bench

  init() throws { bench = try Bench() }

  @Test func viewsAgreeAtEqualPositions() async throws {
    let count = setting("CKPROV_ACTIONS").flatMap { Int($0) } ?? 20_000
    try writeLines(count)
    let isOver = Atomic(false)
    let storage = bench.storage.path
    async let followed = follow(storage, until: { isOver.load(ordering: .relaxed) })
    // Of a view the actions count: from its array on, without its end.
    let script = """
      start() { echo $(( $(grep -abo -m1 '"actions": \\[' "$1" | cut -d: -f1) + 12 )); }
      "$C" record --label l --kernel-urn u --session-id s1 --view never --segment-size \(max(count * 10, 100_000)) lines > ids & writer=$!
      until [ -s ids ]; do sleep 0.01; done
      views=0
      while kill -0 $writer 2> /dev/null; do
        # The recorder's own sealing may have the lock.
        "$C" compact s1 >> compacted 2> message || [ $? = 75 ] || cat message >&2
        "$C" project s1 -o view.$views; views=$((views + 1))
        [ $((views % 4)) != 0 ] || "$C" verify s1 > /dev/null
      done
      wait $writer
      "$C" compact s1 >> compacted
      "$C" project s1 -o final
      for view in view.*; do
        from=$(start $view); size=$(( $(stat -c %s $view) - from - 6 ))
        [ $size -le 0 ] || cmp -i $from:$(start final) -n $size $view final
        rm $view
      done
      echo $views $(wc -l < compacted) $(stat -c %s storage/sessions/s1.log/*.lz4 | awk '{ sum += $1 } END { print sum }')
      """
    _ = try bench.file("script", "set -e -o pipefail\n" + script)
    let result = try await bench.shell("bash script")
    isOver.store(true, ordering: .relaxed)
    let seqs = try await followed
    #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    #expect(seqs == count)
    let figures = result.text.split(separator: " ").compactMap { Int($0.filter(\.isNumber)) }
    try #require(figures.count == 3, "\(result.text)")
    let raw = try LogDirectory(path: bench.logPath("s1"), fileSystem: DiskFileSystem()).rawSize()
    print(
      "RESULT: recorded, projected, followed and compacted together: \(count) actions, \(figures[0]) views, all equal at equal positions; "
        + "\(figures[1]) lines of compact; sealed \(figures[2]) of \(raw) bytes, \(UInt64(figures[2]) * 1000 / raw) per mille")
    #expect(figures[0] > 0 && UInt64(figures[2]) * 100 / raw < 27)
    #expect(try await bench.run("verify", "s1").status == 0)
  }

  @Test func manyRecordersOneMaintainerManyReaders() async throws {
    _ = try bench.file("lines", (1...2000).map { action("\($0) " + String(repeating: "x", count: 100)) + "\n" }.joined())
    let script = """
      mkdir -p storage/sessions
      for id in 1 2 3 4 5 6 7 8; do
        "$C" record --label l --kernel-urn u --session-id s$id --segment-size 40K --retention-hours 48 lines > /dev/null & writers+=($!)
      done
      maintain() { while [ ! -e over ]; do "$C" compact > /dev/null 2> message || [ $? = 75 ] || cat message >&2; "$C" retain --keep 100 > /dev/null; done; }
      read() { while [ ! -e over ]; do "$C" list --json > /dev/null; "$C" list > /dev/null; "$C" verify > /dev/null || echo "verify: $?" >&2; done; }
      maintain & others+=($!); read & others+=($!); read & others+=($!)
      for writer in "${writers[@]}"; do wait $writer || echo "record: $?" >&2; done
      touch over; wait "${others[@]}"
      "$C" compact > /dev/null
      """
    let result = try await bench.shell(script)
    #expect(result.status == 0 && result.errors == "", "\(result.errors)")
    for id in 1...8 {
      #expect(try await bench.notes("s\(id)").count == 2000)
      #expect(try DiskFileSystem().names(in: bench.logPath("s\(id)")).sorted() == ["00000000000000000000.seg.lz4", "lock"])
      #expect(try await bench.run("project", "s\(id)").output == bench.bytes(bench.viewPath("s\(id)")))
    }
  }

  /// Actions of about 900 bytes as they are kept: what a deployment says of itself, whose states before and after differ in little.
  private func writeLines(_ count: Int) throws {
    var random = SeededGenerator(seed: 7)
    let words = """
      applied build cache changed check clean cluster complete config configured connect container cpu created deploy deployment done edge endpoint error event \
      exit failed file found gateway health host image in index ingress is job kernel label latency limit load log memory message ms namespace network node not of \
      ok path pending pod policy port probe process queue ready region release replica request resource response restart retry rollout route rule running scale \
      schema secret server service session size status step stopped storage sync target task time timeout to token update user version volume waiting widget zone
      """.split(separator: " ")
    func text(_ count: Int) -> String { (0..<count).map { _ in words[Int.random(in: 0..<words.count, using: &random)] }.joined(separator: " ") }
    func digits() -> Int { Int.random(in: 0..<1_000_000, using: &random) }
    let path = try bench.file("lines", "")
    let file = try DiskFileSystem().open(path, for: .readingAndWriting)
    var (offset, block) = (UInt64(0), "")
    for number in 1...count {
      let state =
        #""image":"registry.local/widgets:\#(digits())","ready":true,"zone":"eu-\#(number % 4)","node":"node-\#(digits() % 40)","port":8080"#
      block += #"{"action_type":"deploy.\#(text(1))","outcome":"verified","intent":{"target":"prod","reason":"\#(text(8))","ticket":\#(digits())},"#
      block += #""evidence":{"command":"apply -f \#(text(1)).yaml","exit_code":0,"output":"\#(text(20))","duration_ms":\#(digits())},"#
      block +=
        #""before_state":{"replicas":\#(number % 9),\#(state)},"after_state":{"replicas":\#(number % 7),\#(state)},"note":"\#(text(5))"}"# + "\n"
      guard block.utf8.count > 1 << 20 || number == count else { continue }
      try Array(block.utf8).withRawBytes { bytes throws(LogError) in try file.writeAll(bytes, at: offset) }
      offset += UInt64(block.utf8.count)
      block = ""
    }
  }

  /// - Returns: how many actions came, whose seqs must count from 1.
  private func follow(_ storage: String, until isOver: @Sendable () -> Bool) async throws -> Int {
    let store = SessionStore(storageDirectory: storage)
    var session = try? store.getSession("s1")
    while session == nil, !isOver() {
      try await Task.sleep(for: .milliseconds(5))
      session = try? store.getSession("s1")
    }
    var reader = try #require(session).actions()
    var count = 0
    while true {
      let wasOver = isOver()
      while let action = try reader.next() {
        count += 1
        guard action.seq == count else { throw LogError(.corrupt, "seq \(action.seq) comes as number \(count)") }
      }
      if wasOver { return count }
      try await Task.sleep(for: .milliseconds(20))
    }
  }
}
