package import ProvenanceModel

/// Bytes that are being put together: one owner, grows on demand, keeps its memory when emptied.
///
/// Writers of bytes ask for room once, write through the pointer, and say how far they came; so the hot loops hold a pointer in a register and
/// no capacity is looked at per byte.
///
/// Unchecked: nobody else has a pointer to its memory.
package struct ByteBuffer: ~Copyable, @unchecked Sendable {
  private var base: UnsafeMutableRawPointer
  private var capacity: Int
  package private(set) var count = 0

  package init(capacity: Int = 4096) {
    self.capacity = capacity
    base = .allocate(byteCount: capacity, alignment: 16)
  }

  deinit {
    base.deallocate()
  }

  package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

  /// Room for `size` more bytes; valid until the next call.
  package mutating func room(for size: Int) -> UnsafeMutablePointer<UInt8> {
    if capacity - count < size { grow(toHold: count + size) }
    return (base + count).assumingMemoryBound(to: UInt8.self)
  }

  /// The same behind `out`, up to which something was written since: `out` itself while there is room.
  @inline(__always)
  mutating func room(for size: Int, behind out: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
    if (base + capacity) - UnsafeMutableRawPointer(out) >= size { return out }
    commit(upTo: out)
    return room(for: size)
  }

  /// All room that is there, at least `size`: for reads into the buffer.
  package mutating func freeRoom(atLeast size: Int) -> UnsafeMutableRawBufferPointer {
    if capacity - count < size { grow(toHold: count + size) }
    return UnsafeMutableRawBufferPointer(start: base + count, count: capacity - count)
  }

  /// What was written since `room` ends before `end`.
  package mutating func commit(upTo end: UnsafeMutablePointer<UInt8>) {
    count = UnsafeRawPointer(end) - UnsafeRawPointer(base)
    precondition(count <= capacity, "more was written than there was room for")
  }

  package mutating func commit(_ size: Int) {
    count += size
    precondition(count <= capacity, "more was written than there was room for")
  }

  package mutating func append(_ bytes: UnsafeRawBufferPointer) {
    guard let start = bytes.baseAddress else { return }
    UnsafeMutableRawPointer(room(for: bytes.count)).copyMemory(from: start, byteCount: bytes.count)
    count += bytes.count
  }

  package mutating func append(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { append($0) }
  }

  package mutating func append(_ text: StaticString) {
    append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  package mutating func appendZeros(_ size: Int) {
    room(for: size).update(repeating: 0, count: size)
    count += size
  }

  /// Offset of the first `byte` at or behind `start`.
  package func firstIndex(of byte: UInt8, from start: Int) -> Int? {
    let ones: UInt64 = 0x0101_0101_0101_0101
    var at = start
    while count - at >= 8 {
      let word = UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self)) ^ ones &* UInt64(byte)
      let flags = (word &- ones) & ~word & (ones &* 0x80)
      if flags != 0 { return at + flags.trailingZeroBitCount / 8 }
      at += 8
    }
    while at < count {
      if bytes[at] == byte { return at }
      at += 1
    }
    return nil
  }

  /// Puts other bytes in the place of those that were written at `offset`.
  package mutating func replace(at offset: Int, with bytes: UnsafeRawBufferPointer) {
    precondition(offset >= 0 && bytes.count <= count - offset)
    if let start = bytes.baseAddress { (base + offset).copyMemory(from: start, byteCount: bytes.count) }
  }

  /// Drops what stands behind the first `size` bytes.
  package mutating func truncate(to size: Int) {
    precondition(size <= count)
    count = size
  }

  /// Drops the first `size` bytes.
  package mutating func removeFirst(_ size: Int) {
    precondition(size <= count)
    if size < count { base.copyMemory(from: base + size, byteCount: count - size) }
    count -= size
  }

  package mutating func removeAll() {
    count = 0
  }

  /// Gives memory back beyond `capacity` bytes, if the buffer is empty.
  package mutating func shrink(to size: Int) {
    guard count == 0, capacity > size else { return }
    base.deallocate()
    capacity = size
    base = .allocate(byteCount: size, alignment: 16)
  }

  /// A pointer to written bytes, to patch them.
  func written(at offset: Int) -> UnsafeMutableRawPointer {
    precondition(offset <= count)
    return base + offset
  }

  private mutating func grow(toHold size: Int) {
    let larger = max(size, capacity * 2)
    let moved = UnsafeMutableRawPointer.allocate(byteCount: larger, alignment: 16)
    moved.copyMemory(from: base, byteCount: count)
    base.deallocate()
    base = moved
    capacity = larger
  }
}

/// Whether the same bytes stand in both.
@inline(__always)
func isEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
  guard a.count == b.count else { return false }
  var at = 0
  while a.count - at >= 8 {
    if a.loadUnaligned(fromByteOffset: at, as: UInt64.self) != b.loadUnaligned(fromByteOffset: at, as: UInt64.self) { return false }
    at += 8
  }
  while at < a.count {
    if a[at] != b[at] { return false }
    at += 1
  }
  return true
}

/// Whether `bytes` are those of `text`.
@inline(__always)
func isEqual(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
  isEqual(bytes, UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
}

extension UnsafeRawBufferPointer {
  func u16(at offset: Int) -> UInt16 { UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)) }
  func u32(at offset: Int) -> UInt32 { UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
  func u64(at offset: Int) -> UInt64 { UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
}

extension UnsafeMutableRawPointer {
  func store(_ value: some FixedWidthInteger, at offset: Int) {
    storeBytes(of: value.littleEndian, toByteOffset: offset, as: type(of: value))
  }
}

extension [UInt8] {
  /// `withUnsafeBytes` for a body that throws `LogError`.
  package func withRawBytes<Result>(_ body: (UnsafeRawBufferPointer) throws(LogError) -> Result) throws(LogError) -> Result {
    try withUnsafeBufferPointer { bytes throws(LogError) in try body(UnsafeRawBufferPointer(bytes)) }
  }
}
