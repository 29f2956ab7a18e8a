/// Actions of a kernel that deploys services, as JSON Lines: always the same for the same seed, and of `size` bytes each on the average.
package func sampleLines(size: Int, count: Int, seed: UInt64) -> [[UInt8]] {
  var random = SplitMix(state: seed)
  return (0..<count).map { sampleLine(size: max(120, size), number: $0, &random) }
}

private let types = ["deploy.plan", "deploy.apply", "traffic.switch", "image.pull", "config.render", "health.check", "task.create", "grant.revoke"]
private let outcomes = ["verified", "verified", "verified", "verified", "retry", "skipped", "failed", "verified"]
private let words = [
  "container", "healthy", "rollout", "replica", "gateway", "upstream", "certificate", "digest", "namespace", "scheduled", "warm", "probe", "answered",
  "after", "with", "status", "ready", "node", "volume", "attached", "bytes", "cache", "miss", "hit", "queue", "drained", "restarted",
  "by", "operator", "policy",
]

private func sampleLine(size: Int, number: Int, _ random: inout SplitMix) -> [UInt8] {
  func word() -> String { words[random.below(words.count)] }
  func hex(_ count: Int) -> String { (0..<count).map { _ in String(random.below(16), radix: 16) }.joined() }
  var line = #"{"action_type":"\#(types[random.below(types.count)])","outcome":"\#(outcomes[random.below(outcomes.count)])","#
  line += #""intent":{"target":"prod-\#(random.below(9))","replicas":\#(random.below(12)),"service":"\#(word())-\#(word())"}"#
  if size >= 600 {
    line += #","evidence":{"status":"\#(word())","duration_ms":\#(random.below(90_000)),"ratio":0.\#(1 + random.below(998)),"#
    line += #""host":"node-\#(hex(6))","image":"registry/\#(word())@sha256:\#(hex(40))","ready":\#(random.below(2) == 0),"#
    line += #""ports":[80,443,\#(8000 + random.below(999))],"labels":{"app":"\#(word())","tier":"\#(word())","owner":"team-\#(word())"},"#
    line += #""previous":{"revision":"\#(hex(12))","age_s":\#(random.below(86_400))},"log":["#
    var entry = ""
    while line.utf8.count + entry.utf8.count + 13 + random.below(9) < size {
      entry += (entry.isEmpty ? "" : " ") + word()
      if entry.utf8.count > 60, random.below(4) == 0 {
        line += "\"\(entry)\","
        entry = ""
      }
    }
    line += "\"\(entry)\"]}}"
  } else {
    line += #","note":""#
    while line.utf8.count + 9 + random.below(9) < size { line += (line.hasSuffix("\"") ? "" : " ") + word() }
    line += "\"}"
  }
  return Array(line.utf8)
}

/// SplitMix64 (Steele, Lea, Flood 2014).
private struct SplitMix {
  var state: UInt64

  mutating func below(_ bound: Int) -> Int {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return Int((z ^ z >> 31) % UInt64(bound))
  }
}
