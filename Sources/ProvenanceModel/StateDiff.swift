/// What differs between two states, as the reference's `_compute_state_diff` words it; `nil` if either is empty.
///
/// `key: OLD -> NEW` if a side is a number, string or boolean, otherwise `key: changed`; keys by code point, joined by ` | `;
/// `no change` when equal. A member that is missing is `None`, like one that is null: so this comes before null members are
/// dropped.
package func diffSummary(before: JSONObject, after: JSONObject) -> JSONString? {
  var bytes: [UInt8] = []
  return appendDiffSummary(before: before, after: after, to: &bytes) ? JSONString(wtf8: bytes) : nil
}

/// Appends the same as WTF-8. - Returns: false if there is none.
package func appendDiffSummary(before: JSONObject, after: JSONObject, to bytes: inout [UInt8]) -> Bool {
  guard !before.isEmpty, !after.isEmpty else { return false }
  let start = bytes.count
  if before.keys == after.keys {
    // As a rule: the same members in the same order, of which a few differ.
    withUnsafeTemporaryAllocation(of: Int.self, capacity: before.count) { different in
      var count = 0
      for index in 0..<before.count where !isEqual(before.values[index], after.values[index]) {
        different[count] = index
        count += 1
      }
      var different = UnsafeMutableBufferPointer(rebasing: different[..<count])
      different.sort { before.keys[$0] < before.keys[$1] }
      for index in different {
        appendDifference(before.keys[index], before.values[index], after.values[index], to: &bytes, behind: start)
      }
    }
  } else {
    forEachKey(before, after) { key, old, new in
      if !isEqual(old, new) { appendDifference(key, old, new, to: &bytes, behind: start) }
    }
  }
  if bytes.count == start { bytes += "no change".utf8 }
  return true
}

/// Appends what a state's member was and is, if that is not the same. - Parameter start: where the summary begins.
package func appendDifference(_ key: JSONString, from old: JSONValue, to new: JSONValue, to bytes: inout [UInt8], behind start: Int) {
  if !isEqual(old, new) { appendDifference(key, old, new, to: &bytes, behind: start) }
}

private func appendDifference(_ key: JSONString, _ old: JSONValue, _ new: JSONValue, to bytes: inout [UInt8], behind start: Int) {
  if bytes.count > start { bytes += " | ".utf8 }
  key.append(to: &bytes)
  if isScalar(old) || isScalar(new) {
    bytes += ": ".utf8
    old.appendPythonText(to: &bytes)
    bytes += " -> ".utf8
    new.appendPythonText(to: &bytes)
  } else {
    bytes += ": changed".utf8
  }
}

/// Every key of both, by code point, with its two values; a missing one is null.
private func forEachKey(_ a: JSONObject, _ b: JSONObject, _ body: (JSONString, JSONValue, JSONValue) -> Void) {
  let (left, right) = (a.sorted { $0.key < $1.key }, b.sorted { $0.key < $1.key })
  var (i, j) = (0, 0)
  while i < left.count || j < right.count {
    let hasOld = j == right.count || i < left.count && left[i].key <= right[j].key
    let hasNew = i == left.count || j < right.count && right[j].key <= left[i].key
    body(hasOld ? left[i].key : right[j].key, hasOld ? left[i].value : .null, hasNew ? right[j].value : .null)
    i += hasOld ? 1 : 0
    j += hasNew ? 1 : 0
  }
}

private func isScalar(_ value: JSONValue) -> Bool {
  switch value {
  case .bool, .integer, .largeInteger, .double, .string: true
  case .null, .array, .object: false
  }
}

/// Python's `==`: `1 == 1.0 == True`, and the order of keys does not matter.
private func isEqual(_ a: JSONValue, _ b: JSONValue) -> Bool {
  switch (a, b) {
  case (.null, .null): true
  case (.string(let x), .string(let y)): x == y
  case (.array(let x), .array(let y)): x.count == y.count && zip(x, y).allSatisfy { isSameOrEqual($0, $1) }
  case (.object(let x), .object(let y)): isEqual(x, y)
  default: isEqualNumber(a, b)
  }
}

/// What containers ask of their elements: the same object, or `==`. NaN is the same, since `json.loads` has one for all.
private func isSameOrEqual(_ a: JSONValue, _ b: JSONValue) -> Bool {
  if case .double(let x) = a, case .double(let y) = b, x.isNaN, y.isNaN { return true }
  return isEqual(a, b)
}

private func isEqual(_ a: JSONObject, _ b: JSONObject) -> Bool {
  guard a.count == b.count else { return false }
  // Mostly in the same order; a table only once they are not, and only if there are many.
  var places: [JSONString: Int]?
  for (index, member) in a.enumerated() {
    var place: Int? = index
    if b.keys[index] != member.key {
      if b.count > 8, places == nil { places = Dictionary(uniqueKeysWithValues: zip(b.keys, b.keys.indices)) }
      place = places.map { $0[member.key] } ?? b.keys.firstIndex(of: member.key)
    }
    guard let place, isSameOrEqual(member.value, b.values[place]) else { return false }
  }
  return true
}

/// False also if either is no number.
private func isEqualNumber(_ a: JSONValue, _ b: JSONValue) -> Bool {
  switch (a, b) {
  case (.bool(let x), _): isEqualNumber(.integer(x ? 1 : 0), b)
  case (_, .bool): isEqualNumber(b, a)
  case (.integer(let x), .integer(let y)): x == y
  case (.largeInteger(let x), .largeInteger(let y)): x == y
  case (.double(let x), .double(let y)): x == y
  case (.integer(let x), .double(let y)), (.double(let y), .integer(let x)): isEqual(x, y)
  case (.largeInteger(let x), .double(let y)), (.double(let y), .largeInteger(let x)): isEqual(x, y)
  default: false
  }
}

private func isEqual(_ a: Int64, _ b: Double) -> Bool {
  // Not `Int64(exactly:)`, which would want libm linked.
  -0x1p63..<0x1p63 ~= b && Int64(b) == a && Double(Int64(b)) == b
}

private func isEqual(_ a: LargeInteger, _ b: Double) -> Bool {
  // Rounding first: only what reads as the very float is worth its digits.
  guard b.isFinite, Double(a.digits) == b else { return false }
  return a.digits == exactDigits(of: b)
}

/// All decimal digits of a float of at least 2^53, which is an integer.
private func exactDigits(of value: Double) -> String {
  precondition(value.isFinite && value.magnitude >= 0x1p53)
  let base: UInt64 = 1_000_000_000
  var limbs = [value.significandBitPattern | 1 << 52]
  var shift = Int(value.exponent) - 52
  limbs = [limbs[0] % base, limbs[0] / base]
  while shift > 0 {
    let step = min(shift, 29)
    var carry: UInt64 = 0
    for index in limbs.indices {
      let product = limbs[index] << UInt64(step) + carry
      limbs[index] = product % base
      carry = product / base
    }
    if carry > 0 { limbs.append(carry) }
    shift -= step
  }
  let head = limbs.lastIndex { $0 != 0 }!
  let digits = limbs[..<head].reversed().reduce(into: String(limbs[head])) { text, limb in
    let figures = String(limb)
    text += String(repeating: "0", count: 9 - figures.count) + figures
  }
  return (value < 0 ? "-" : "") + digits
}
