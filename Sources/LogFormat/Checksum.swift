internal import CChecksum

/// CRC-32C of `bytes`, continued from `seed` (Format/README.md).
@inline(__always)
package func crc32c(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
  ckprov_crc32c(seed, bytes.baseAddress, bytes.count)
}

/// The seed from which `bytes` give `crc`: the checksum, run backwards.
func crc32cSeed(giving crc: UInt32, over bytes: [UInt8]) -> UInt32 {
  let table = (0..<256).map { (index: UInt32) in
    (0..<8).reduce(index) { value, _ in value & 1 == 1 ? value >> 1 ^ 0x82F6_3B78 : value >> 1 }
  }
  // The top bytes of the table's entries are all different, so that each step can be undone.
  var state = ~crc
  for byte in bytes.reversed() {
    let index = table.firstIndex { $0 >> 24 == state >> 24 }!
    state = (state ^ table[index]) << 8 | UInt32(index) ^ UInt32(byte)
  }
  return ~state
}
