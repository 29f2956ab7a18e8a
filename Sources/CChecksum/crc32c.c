#include "CChecksum.h"

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

#include <nmmintrin.h>

// Three streams hide the latency of the crc32 instruction. Their results are joined by shifting a CRC over the zero bytes
// of a stream, which is a multiplication by a constant in GF(2), kept as four tables of a byte each.
#define LONG_STREAM 1024
#define SHORT_STREAM 256
static uint32_t long_shift[4][256], short_shift[4][256];

static void fill_shift(uint32_t shift[4][256], int stream) {
  uint32_t of_bit[32];
  for (int bit = 0; bit < 32; bit++) {
    uint32_t crc = 1u << bit;
    for (int i = 0; i < stream * 8; i++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    of_bit[bit] = crc;
  }
  for (int byte = 0; byte < 4; byte++)
    for (uint32_t b = 0; b < 256; b++) {
      uint32_t crc = 0;
      for (int bit = 0; bit < 8; bit++)
        if (b >> bit & 1) crc ^= of_bit[byte * 8 + bit];
      shift[byte][b] = crc;
    }
}

__attribute__((constructor)) static void fill_shifts(void) {
  fill_shift(long_shift, LONG_STREAM);
  fill_shift(short_shift, SHORT_STREAM);
}

static inline uint32_t shifted(uint32_t crc, const uint32_t shift[4][256]) {
  return shift[0][crc & 0xFF] ^ shift[1][crc >> 8 & 0xFF] ^ shift[2][crc >> 16 & 0xFF] ^ shift[3][crc >> 24];
}

static inline uint64_t load(const uint8_t *p) {
  uint64_t word;
  memcpy(&word, p, 8);
  return word;
}

__attribute__((target("sse4.2"))) static inline uint64_t three_streams(uint64_t a, const uint8_t *p, int stream, const uint32_t shift[4][256]) {
  uint64_t b = 0, c = 0;
  for (int i = 0; i < stream; i += 8) {
    a = _mm_crc32_u64(a, load(p + i));
    b = _mm_crc32_u64(b, load(p + stream + i));
    c = _mm_crc32_u64(c, load(p + 2 * stream + i));
  }
  a = shifted((uint32_t)a, shift) ^ b;
  return shifted((uint32_t)a, shift) ^ c;
}

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t seed, const void *bytes, size_t size) {
  const uint8_t *p = bytes;
  uint64_t a = ~seed;
  for (; size >= 3 * LONG_STREAM; p += 3 * LONG_STREAM, size -= 3 * LONG_STREAM) a = three_streams(a, p, LONG_STREAM, long_shift);
  for (; size >= 3 * SHORT_STREAM; p += 3 * SHORT_STREAM, size -= 3 * SHORT_STREAM) a = three_streams(a, p, SHORT_STREAM, short_shift);
  for (; size >= 8; p += 8, size -= 8) a = _mm_crc32_u64(a, load(p));
  uint32_t crc = (uint32_t)a;
  while (size--) crc = _mm_crc32_u8(crc, *p++);
  return ~crc;
}

uint32_t ckprov_crc32c(uint32_t seed, const void *bytes, size_t size) {
  return __builtin_cpu_supports("sse4.2") ? crc32c_sse42(seed, bytes, size) : ckprov_crc32c_portable(seed, bytes, size);
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
