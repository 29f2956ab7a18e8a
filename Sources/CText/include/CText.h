#ifndef CTEXT_H
#define CTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Loops over the bytes of JSON strings. In the header, so that they become part of the loops that call them.

#if defined(__SSE2__)
#include <emmintrin.h>

/// A bit for each of 16 bytes that is below 0x20 or above 0x7E, a quote or a backslash.
static inline uint32_t ckprov_special16(__m128i block) {
  // As signed numbers, bytes beyond ASCII are below 0x20.
  __m128i special = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), block);
  special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7F)));
  special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
  special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
  return (uint32_t)_mm_movemask_epi8(special);
}
#endif

/// The top bit of each of 8 bytes that is special in that sense; those above the lowest one may be set by a borrow.
static inline uint64_t ckprov_special8(uint64_t word) {
  const uint64_t ones = 0x0101010101010101u;
  return (word | (word + ones) | (word - ones * 0x20) | ((word ^ ones * '"') - ones) | ((word ^ ones * '\\') - ones)) & ones * 0x80;
}

/// Copies bytes up to the first that cannot stand as it is inside of a canonical JSON string (Format/record.md), or all `size`.
/// `out` must have room for 16 bytes more than that.
/// Returns how many were copied.
static inline size_t ckprov_copy_plain(uint8_t *out, const uint8_t *from, size_t size) {
  size_t at = 0;
  // What does not fill a block is looked at with the block that ends with it.
#if defined(__SSE2__)
  if (size >= 16) {
    for (;;) {
      __m128i block = _mm_loadu_si128((const __m128i *)(from + at));
      _mm_storeu_si128((__m128i *)(out + at), block);
      uint32_t special = ckprov_special16(block);
      if (special) return at + (size_t)__builtin_ctz(special);
      at += 16;
      if (at == size) return size;
      if (size - at < 16) at = size - 16;
    }
  }
  if (size >= 8) {
    __m128i first = _mm_loadl_epi64((const __m128i *)from), last = _mm_loadl_epi64((const __m128i *)(from + size - 8));
    _mm_storel_epi64((__m128i *)out, first);
    _mm_storel_epi64((__m128i *)(out + size - 8), last);
    uint32_t special = ckprov_special16(_mm_unpacklo_epi64(first, last));
    if (!special) return size;
    size_t place = (size_t)__builtin_ctz(special);
    return place < 8 ? place : size - 16 + place;
  }
#else
  while (size - at >= 8) {
    uint64_t word;
    memcpy(&word, from + at, 8);
    memcpy(out + at, &word, 8);
    if (ckprov_special8(word)) break;
    at += 8;
  }
#endif
  if (size - at >= 4 && size - at < 8) {
    uint32_t first, last;
    memcpy(&first, from + at, 4);
    memcpy(&last, from + size - 4, 4);
    memcpy(out + at, &first, 4);
    memcpy(out + size - 4, &last, 4);
    if (!ckprov_special8(first | (uint64_t)last << 32)) return size;
  }
  for (; at < size; at++) {
    uint8_t byte = from[at];
    if (byte < 0x20 || byte > 0x7E || byte == '"' || byte == '\\') break;
    out[at] = byte;
  }
  return at;
}

/// Where the JSON string ends whose opening quote stands before `p`: its closing quote, or NULL if there is none before `end`.
static inline const uint8_t *ckprov_string_end(const uint8_t *p, const uint8_t *end) {
  while (p < end) {
#if defined(__SSE2__)
    if (end - p >= 16) {
      __m128i block = _mm_loadu_si128((const __m128i *)p);
      __m128i found = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')), _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
      uint32_t mask = (uint32_t)_mm_movemask_epi8(found);
      if (!mask) {
        p += 16;
        continue;
      }
      p += __builtin_ctz(mask);
    }
#endif
    if (*p == '"') return p;
    p += *p == '\\' ? 2 : 1;
  }
  return NULL;
}

/// Where the compact JSON value at `p` ends: the comma or bracket behind it, or NULL if there is none before `end`.
static inline const uint8_t *ckprov_value_end(const uint8_t *p, const uint8_t *end) {
  size_t depth = 0;
  for (; p < end; p++) {
    switch (*p) {
    case '"':
      p = ckprov_string_end(p + 1, end);
      if (!p) return NULL;
      break;
    case '{':
    case '[': depth++; break;
    case '}':
    case ']':
      if (depth-- == 0) return p;
      break;
    case ',':
      if (depth == 0) return p;
      break;
    }
  }
  return NULL;
}

/// Where a value stands that is being printed with an indent of two; zeroed but for the levels before it begins.
typedef struct {
  size_t position;
  int32_t level, base_level;
  uint8_t in_string;
} ckprov_reindenter;

typedef enum { CKPROV_REINDENT_MORE, CKPROV_REINDENT_DONE, CKPROV_REINDENT_BAD_BYTE, CKPROV_REINDENT_BRACKETS, CKPROV_REINDENT_DEPTH } ckprov_reindent_result;

/// Prints compact JSON as Python's `json.dumps(value, indent=2)` does: only white space is added. Fills the room that it is given, which must be
/// `ckprov_reindent_room(depth_max)` or more, and goes on where it stopped when it is called again with the same bytes.
/// `written` gets the count of bytes. Returns MORE until all of the value is printed.
ckprov_reindent_result ckprov_reindent(ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *out, size_t room, int32_t depth_max, size_t *written);

/// The same, byte by byte, as it is done where the processor has no AVX2 and PCLMULQDQ.
ckprov_reindent_result ckprov_reindent_portable(
    ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *out, size_t room, int32_t depth_max, size_t *written);

/// The longest thing that is written in one go, and what may be stored behind it.
static inline size_t ckprov_reindent_room(int32_t depth_max) { return 2 * (size_t)(depth_max + 8) + 64; }

/// Writes the canonical form of a float, given as JSON has it. Returns the place behind what it wrote, or NULL.
typedef uint8_t *(*ckprov_float_writer)(const uint8_t *text, size_t size, uint8_t *out);

/// Brings the JSON value at `from`, valid UTF-8, into the form in which it is stored (Format/record.md), members that are null included; `met_null` is set if
/// there are any. `out` must have room for six times the input and 64 bytes more; it is moved behind what was written.
/// Returns the place behind the value; or NULL, with nothing said of the output, for what is wrong or rare: equal keys, NaN, more than 512 keys, more than
/// `depth_max` levels.
const uint8_t *ckprov_transcode(
    const uint8_t *from, const uint8_t *end, uint8_t **out, int32_t depth_max, ckprov_float_writer write_float, uint8_t *met_null);

#endif
