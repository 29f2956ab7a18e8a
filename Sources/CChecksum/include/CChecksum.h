#ifndef CCHECKSUM_H
#define CCHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// CRC-32C (Castagnoli, RFC 3720) of `size` bytes, continued from `seed`: crc(crc(0, a), b) == crc(0, a followed by b).
/// Uses SSE4.2 with PCLMULQDQ, or ARMv8 instructions, where the processor has them; any thread, any alignment.
uint32_t ckprov_crc32c(uint32_t seed, const void *bytes, size_t size);

/// The portable form of the same function, for machines without such instructions and for tests of the other.
uint32_t ckprov_crc32c_portable(uint32_t seed, const void *bytes, size_t size);

#endif
