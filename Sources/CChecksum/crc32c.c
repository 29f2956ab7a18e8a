#include "CChecksum.h"

#include <stdbool.h>
#include <string.h>

// Slicing by eight: table[k][b] is the CRC of byte b followed by k zero bytes.
static uint32_t table[8][256];

__attribute__((constructor)) static void fill_table(void) {
  for (uint32_t b = 0; b < 256; b++) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    table[0][b] = crc;
  }
  for (int k = 1; k < 8; k++)
    for (uint32_t b = 0; b < 256; b++) table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 0xFF];
}

uint32_t ckprov_crc32c_portable(uint32_t seed, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  uint32_t crc = ~seed;
  while (size >= 8) {
    uint32_t low = crc ^ ((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
    crc = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^ table[4][low >> 24] ^
          table[3][p[4]] ^ table[2][p[5]] ^ table[1][p[6]] ^ table[0][p[7]];
    p += 8;
    size -= 8;
  }
  while (size--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xFF];
  return ~crc;
}

#if defined(__x86_64__)

#include <immintrin.h>

// Three streams hide the latency of the crc32 instruction. Their results are joined by shifting a CRC over the zero bytes that stand for the streams behind it:
// a multiplication by a power of x, whose product the crc32 instruction reduces again, which shifts it by 33 bits more.
#define STREAM_MAX 1024
// Bytes, from which on that pays.
#define STREAMS_MIN 96
// shift[i] = x^(64 i - 33), which shifts over 8 i bytes.
static uint32_t shift[2 * STREAM_MAX / 8 + 1];

__attribute__((constructor)) static void fill_shift(void) {
  uint32_t power = 0x80000000u;
  for (int exponent = 0, i = 1; i <= 2 * STREAM_MAX / 8; exponent++) {
    if (exponent == 64 * i - 33) shift[i++] = power;
    power = (power >> 1) ^ (0x82F63B78u & (0u - (power & 1)));
  }
}

static inline uint64_t load(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

#define TARGET __attribute__((target("sse4.2,pclmul")))

TARGET static inline __m128i shifted(uint64_t crc, size_t words) {
  return _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi32_si128((int32_t)shift[words]), 0);
}

TARGET static inline uint64_t three_streams(uint64_t a, const uint8_t *p, size_t stream) {
  uint64_t b = 0, c = 0;
  for (const uint8_t *end = p + stream; p < end; p += 8) {
    a = _mm_crc32_u64(a, load(p));
    b = _mm_crc32_u64(b, load(p + stream));
    c = _mm_crc32_u64(c, load(p + 2 * stream));
  }
  __m128i product = _mm_xor_si128(shifted(a, stream / 4), shifted(b, stream / 8));
  return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product)) ^ c;
}

TARGET static uint32_t crc32c_x86(uint32_t seed, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  uint64_t a = ~seed;
  while (size >= STREAMS_MIN) {
    size_t stream = size >= 3 * STREAM_MAX ? STREAM_MAX : size / 24 * 8;
    a = three_streams(a, p, stream);
    p += 3 * stream;
    size -= 3 * stream;
  }
  for (; size >= 8; p += 8, size -= 8) a = _mm_crc32_u64(a, load(p));
  uint32_t crc = (uint32_t)a;
  while (size--) crc = _mm_crc32_u8(crc, *p++);
  return ~crc;
}

uint32_t ckprov_crc32c(uint32_t seed, const void *bytes, size_t size) {
  bool is_there = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
  return is_there ? crc32c_x86(seed, bytes, size) : ckprov_crc32c_portable(seed, bytes, size);
}

#elif defined(__aarch64__)

#include <arm_acle.h>
#include <sys/auxv.h>

#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif

__attribute__((target("crc"))) static uint32_t crc32c_armv8(uint32_t seed, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  uint32_t crc = ~seed;
  while (size >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = __crc32cd(crc, word);
    p += 8;
    size -= 8;
  }
  while (size--) crc = __crc32cb(crc, *p++);
  return ~crc;
}

uint32_t ckprov_crc32c(uint32_t seed, const void *bytes, size_t size) {
  return getauxval(AT_HWCAP) & HWCAP_CRC32 ? crc32c_armv8(seed, bytes, size) : ckprov_crc32c_portable(seed, bytes, size);
}

#else

uint32_t ckprov_crc32c(uint32_t seed, const void *bytes, size_t size) { return ckprov_crc32c_portable(seed, bytes, size); }

#endif
