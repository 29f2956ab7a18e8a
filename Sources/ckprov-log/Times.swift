import ArgumentParser
import LogStorage
import ProvenanceLog

// Times as people write them, all in UTC like those in the log: `2026-03-14`, `2026-03-14T20:00:02.5Z`, `today`, `yesterday`, `now`, `-2h`.

/// The first moment that is meant.
@Sendable func beginOfTime(_ text: String) throws -> Timestamp { try time(text, filledWith: "0001-01-01T00:00:00.000000Z") }

/// The last one.
@Sendable func endOfTime(_ text: String) throws -> Timestamp { try time(text, filledWith: "9999-12-31T23:59:59.999999Z") }

let timeHelp = """
  Times are in UTC: YYYY-MM-DDTHH:MM:SS.ffffffZ, or its first parts, such as a day, or with a space for the T; today, yesterday, now; or how long ago, as in -90s, -15m, -2h, -3d, -1w.
  """

private func time(_ text: String, filledWith rest: String) throws -> Timestamp {
  let now = currentTime()
  switch text {
  case "now": return now
  case "today": return try time(String(now.description.prefix(10)), filledWith: rest)
  case "yesterday":
    guard let before = Timestamp(microseconds: now.microseconds - 86_400_000_000) else { break }
    return try time(String(before.description.prefix(10)), filledWith: rest)
  default: break
  }
  if text.hasPrefix("-"), let timestamp = moment(ago: text.dropFirst(), now) { return timestamp }
  var start = text.hasSuffix("Z") && text.utf8.count < rest.utf8.count ? String(text.dropLast()) : text
  // As `list` prints it.
  if start.utf8.count > 10, Array(start.utf8)[10] == UInt8(ascii: " ") { start = "\(start.prefix(10))T\(start.dropFirst(11))" }
  // Years, months, days, hours, minutes, seconds, and any digits of a fraction. A month may be shorter than the rest has it.
  let isWhole = [4, 7, 10, 13, 16, 19].contains(start.utf8.count) || 21...rest.utf8.count ~= start.utf8.count
  for day in ["\(rest.dropFirst(8).prefix(2))", "30", "29", "28"] where isWhole {
    let filled = "\(rest.prefix(8))\(day)\(rest.dropFirst(10))"
    if let timestamp = Timestamp(start + filled.dropFirst(start.count)) { return timestamp }
  }
  throw ValidationError("give a time as YYYY-MM-DDTHH:MM:SS.ffffffZ or its first parts, today, yesterday, now, or how long ago, as in -2h")
}

private func moment(ago text: Substring, _ now: Timestamp) -> Timestamp? {
  let seconds = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
  let digits = text.dropLast()
  guard let unit = text.last.flatMap({ seconds[String($0)] }), digits.utf8.allSatisfy({ 0x30...0x39 ~= $0 || $0 == UInt8(ascii: ".") }),
    let count = Double(digits), count * Double(unit) < 1e12
  else { return nil }
  return Timestamp(microseconds: now.microseconds - Int64(count * Double(unit) * 1e6))
}
