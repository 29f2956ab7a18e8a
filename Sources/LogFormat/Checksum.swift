internal import CChecksum

/// CRC-32C of `bytes`, continued from `seed` (Format/README.md).
@inline(__always)
package func crc32c(_ seed: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
  ckprov_crc32c(seed, bytes.baseAddress, bytes.count)
}
