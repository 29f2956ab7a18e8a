import CChecksum
import LogFormat
import TestSupport
import Testing

/// Vectors of RFC 3720, B.4.
struct ChecksumTests {
  @Test(arguments: knownValues)
  func knownValue(_ bytes: [UInt8], _ crc: UInt32) {
    bytes.withUnsafeBytes {
      #expect(crc32c(0, $0) == crc)
      #expect(ckprov_crc32c_portable(0, $0.baseAddress, $0.count) == crc)
    }
  }

  /// From 96 bytes on there are three streams, of a length that depends on the size, up to 1 KiB each; and every alignment.
  @Test func fastAndPortableFormsAgree() {
    var random = SeededGenerator(seed: 7)
    let bytes = (0..<20_000).map { _ in UInt8.random(in: .min ... .max, using: &random) }
    bytes.withUnsafeBytes { bytes in
      for size in Array(0...3200) + [6143, 6144, 6151, 9999] {
        for start in size < 200 || size % 100 == 0 ? 0..<9 : 0..<1 {
          let part = UnsafeRawBufferPointer(rebasing: bytes[start..<start + size])
          #expect(crc32c(0xDEAD_BEEF, part) == ckprov_crc32c_portable(0xDEAD_BEEF, part.baseAddress, part.count), "\(size) bytes at \(start)")
        }
      }
    }
  }

  @Test func aChecksumGoesOnWhereAnotherEnded() {
    let bytes = Array("provenance".utf8)
    bytes.withUnsafeBytes { bytes in
      for cut in 0...bytes.count {
        let first = crc32c(0, UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
        #expect(crc32c(first, UnsafeRawBufferPointer(rebasing: bytes[cut...])) == crc32c(0, bytes))
      }
    }
  }
}

private let knownValues: [([UInt8], UInt32)] = [
  ([UInt8](repeating: 0, count: 32), 0x8A91_36AA),
  ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
  ([UInt8](0..<32), 0x46DD_794E),
  ([UInt8]((0..<32).reversed()), 0x113F_DB5C),
  (Array("123456789".utf8), 0xE306_9283),
  ([], 0),
]
