/// A moment in UTC, in whole microseconds; years 1000 to 9999, as the reference writes them.
public struct Timestamp: Sendable, Hashable, Comparable {
  /// Microseconds since 1970-01-01T00:00:00Z.
  public let microseconds: Int64

  static let earliest: Int64 = -30_610_224_000_000_000
  static let latest: Int64 = 253_402_300_799_999_999

  /// `nil` outside the years 1000 to 9999.
  public init?(microseconds: Int64) {
    guard Self.earliest...Self.latest ~= microseconds else { return nil }
    self.microseconds = microseconds
  }

  /// Reads exactly `YYYY-MM-DDTHH:MM:SS.ffffffZ`; `nil` for anything else and for days that no calendar has.
  public init?(_ text: some StringProtocol) {
    self.init(ascii: Array(text.utf8))
  }

  package init?(ascii bytes: [UInt8]) {
    guard let timestamp = bytes.withUnsafeBytes({ Timestamp(ascii: $0) }) else { return nil }
    self = timestamp
  }

  package init?(ascii bytes: UnsafeRawBufferPointer) {
    let form: StaticString = "0000-00-00T00:00:00.000000Z"
    guard bytes.count == form.utf8CodeUnitCount else { return nil }
    for index in 0..<bytes.count {
      let (byte, expected) = (bytes[index], form.utf8Start[index])
      guard expected == 0x30 ? 0x30...0x39 ~= byte : byte == expected else { return nil }
    }
    func number(_ range: Range<Int>) -> Int64 { range.reduce(0) { $0 * 10 + Int64(bytes[$1] - 0x30) } }
    let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
    let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
    guard year >= 1000, 1...12 ~= month, 1...Self.days(inMonth: month, of: year) ~= day, hour < 24, minute < 60, second < 60 else {
      return nil
    }
    let days = Self.daysSinceEpoch(year: year, month: month, day: day)
    microseconds = ((days * 24 + hour) * 60 + minute) * 60_000_000 + second * 1_000_000 + number(20..<26)
  }

  public static func < (a: Timestamp, b: Timestamp) -> Bool { a.microseconds < b.microseconds }

  /// `int(seconds * 1000)` where `seconds` is Python's double: what URNs carry.
  public var milliseconds: Int64 { Self.milliseconds(ofMicroseconds: microseconds) }

  /// `int((self - earlier).total_seconds() * 1000)`, towards zero.
  public func milliseconds(since earlier: Timestamp) -> Int64 {
    Self.milliseconds(ofMicroseconds: microseconds - earlier.microseconds)
  }

  /// Python divides integers to the nearest double, whatever their size; then the product is rounded, and cut towards zero.
  private static func milliseconds(ofMicroseconds microseconds: Int64) -> Int64 {
    let magnitude = microseconds.magnitude
    let seconds: Double
    if magnitude <= 1 << 53 {
      seconds = Double(magnitude) / 1e6
    } else {
      // 40 more bits of quotient, and one that says whether there is a rest: enough for the one rounding that follows.
      let (quotient, rest) = (UInt128(magnitude) << 40).quotientAndRemainder(dividingBy: 1_000_000)
      seconds = Double(quotient | (rest == 0 ? 0 : 1)) * 0x1p-40
    }
    let milliseconds = Int64(seconds * 1000)
    return microseconds < 0 ? -milliseconds : milliseconds
  }
}

extension Timestamp: CustomStringConvertible {
  /// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
  public var description: String {
    String(unsafeUninitializedCapacity: 27) { buffer in
      write(to: buffer.baseAddress!)
      return 27
    }
  }

  /// Writes the 27 bytes of `description`.
  package func write(to out: UnsafeMutablePointer<UInt8>) {
    let (second, fraction) = microseconds.flooredQuotientAndRemainder(1_000_000)
    let (days, secondOfDay) = second.flooredQuotientAndRemainder(86_400)
    let (year, month, day) = Self.civil(daysSinceEpoch: days)
    func twoDigits(_ value: UInt32, at offset: Int) {
      out[offset] = UInt8(truncatingIfNeeded: 0x30 + value / 10)
      out[offset + 1] = UInt8(truncatingIfNeeded: 0x30 + value % 10)
    }
    let clock = UInt32(truncatingIfNeeded: secondOfDay)
    let (years, micros) = (UInt32(truncatingIfNeeded: year), UInt32(truncatingIfNeeded: fraction))
    twoDigits(years / 100, at: 0)
    twoDigits(years % 100, at: 2)
    twoDigits(UInt32(truncatingIfNeeded: month), at: 5)
    twoDigits(UInt32(truncatingIfNeeded: day), at: 8)
    twoDigits(clock / 3600, at: 11)
    twoDigits(clock / 60 % 60, at: 14)
    twoDigits(clock % 60, at: 17)
    twoDigits(micros / 10_000, at: 20)
    twoDigits(micros / 100 % 100, at: 22)
    twoDigits(micros % 100, at: 24)
    out[4] = UInt8(ascii: "-")
    out[7] = UInt8(ascii: "-")
    out[10] = UInt8(ascii: "T")
    out[13] = UInt8(ascii: ":")
    out[16] = UInt8(ascii: ":")
    out[19] = UInt8(ascii: ".")
    out[26] = UInt8(ascii: "Z")
  }

  // The proleptic Gregorian calendar, counted in years that begin in March (Hinnant, "chrono-compatible low-level date algorithms").

  private static func daysSinceEpoch(year: Int64, month: Int64, day: Int64) -> Int64 {
    let shifted = month <= 2 ? year - 1 : year
    let (era, yearOfEra) = shifted.flooredQuotientAndRemainder(400)
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
  }

  private static func civil(daysSinceEpoch: Int64) -> (year: Int64, month: Int64, day: Int64) {
    let (era, dayOfEra) = (daysSinceEpoch + 719_468).flooredQuotientAndRemainder(146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let marchMonth = (5 * dayOfYear + 2) / 153
    let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
    return (era * 400 + yearOfEra + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
  }

  private static func days(inMonth month: Int64, of year: Int64) -> Int64 {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}

extension Int64 {
  fileprivate func flooredQuotientAndRemainder(_ divisor: Int64) -> (Int64, Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
