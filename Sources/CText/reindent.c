#include "CText.h"

// A new line and its indent; stores up to 16 bytes more.
static inline uint8_t *new_line(uint8_t *out, int32_t level) {
  static const char *const spaces = "                ";
  *out++ = '\n';
  for (int32_t count = 2 * level; count > 0; count -= 16) {
    memcpy(out, spaces, 16);
    out += count < 16 ? count : 16;
  }
  return out;
}

#if defined(__x86_64__)
#include <immintrin.h>

// Where printing stands.
typedef struct {
  const uint8_t *in;
  uint8_t *out;
  int32_t level;
  uint8_t in_string;
} place;

enum { BLOCK = 64, BLOCK_ROOM = 3 * BLOCK };  // bytes that are looked at together, and room that they and what is stored behind them may take

__attribute__((target("avx2"))) static inline uint64_t bits(__m256i low, __m256i high) {
  return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

// What is in a block of 64 bytes: a bit for each byte that is a quote; that is a bracket, comma or colon; that is none of printable ASCII, or a backslash;
// that is a space.
typedef struct {
  uint64_t quotes, marks, special, spaces;
} findings;

__attribute__((target("avx2"))) static inline __m256i is(__m256i bytes, char value) { return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(value)); }

__attribute__((target("avx2"))) static inline __m256i is_special(__m256i bytes) {
  // As signed numbers, bytes beyond ASCII are below 0x20.
  __m256i is_low = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
  return _mm256_or_si256(is_low, _mm256_or_si256(is(bytes, 0x7F), is(bytes, '\\')));
}

__attribute__((target("avx2"))) static inline __m256i is_mark(__m256i bytes) {
  // A square bracket and this bit are a brace.
  __m256i as_brace = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
  return _mm256_or_si256(_mm256_or_si256(is(bytes, ','), is(bytes, ':')), _mm256_or_si256(is(as_brace, '{'), is(as_brace, '}')));
}

__attribute__((target("avx2"))) static inline findings look_at(const uint8_t *block) {
  __m256i low = _mm256_loadu_si256((const __m256i *)block), high = _mm256_loadu_si256((const __m256i *)(block + 32));
  findings found;
  found.quotes = bits(is(low, '"'), is(high, '"'));
  found.spaces = bits(is(low, ' '), is(high, ' '));
  found.special = bits(is_special(low), is_special(high));
  found.marks = bits(is_mark(low), is_mark(high));
  return found;
}

// Copies up to 64 bytes; what is copied behind them is written over.
__attribute__((target("avx2"))) static inline uint8_t *copy_span(uint8_t *out, const uint8_t *from, size_t size) {
  _mm256_storeu_si256((__m256i *)out, _mm256_loadu_si256((const __m256i *)from));
  if (size > 32) _mm256_storeu_si256((__m256i *)(out + 32), _mm256_loadu_si256((const __m256i *)(from + 32)));
  return out + size;
}

__attribute__((target("avx2"))) static inline uint8_t *new_line_wide(uint8_t *out, int32_t level) {
  if (level > 15) return new_line(out, level);
  _mm256_storeu_si256((__m256i *)out, _mm256_loadu_si256((const __m256i *)"\n                               "));
  return out + 1 + 2 * level;
}

// Behind a mark of the block, which stands outside of strings, or at its start.
static inline place left_at(place at, size_t from) {
  at.in += from;
  if (from) at.in_string = 0;
  return at;
}

// Goes on block by block, up to a byte that is not plain, which is left where it stands, the end, or where there is no more room. Brackets that do not match,
// or go too deep, are left, too.
__attribute__((target("avx2,pclmul"))) static place reindent_blocks(
    place at, const uint8_t *end, uint8_t *last, int32_t base_level, int32_t depth_max) {
  // A span may be read a block behind its own one.
  uint8_t rest[3 * BLOCK];
  while (at.in < end && at.out <= last) {
    const uint8_t *block = at.in;
    size_t left = (size_t)(end - at.in), size = left < BLOCK ? left : BLOCK;
    if (left < 2 * BLOCK) {
      memset(rest + left, 'a', BLOCK);
      memcpy(rest, at.in, left);
      block = rest;
    }
    findings found = look_at(block);
    // Each bit says whether there is an odd number of quotes up to it.
    uint64_t inside = (uint64_t)_mm_cvtsi128_si64(_mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)found.quotes), _mm_set1_epi8(-1), 0));
    if (at.in_string) inside = ~inside;
    uint64_t stops = found.special | (found.spaces & ~inside);
    if (stops) {
      size_t plain = (size_t)__builtin_ctzll(stops);
      if (plain < size) size = plain;
      if (size == 0) return at;
    }
    uint64_t here = size < 64 ? ((uint64_t)1 << size) - 1 : ~(uint64_t)0;
    size_t from = 0;
    // An empty object or list may end in the next block.
    size_t taken = size;
    for (uint64_t marks = found.marks & ~inside & here; marks; marks &= marks - 1) {
      size_t mark = (size_t)__builtin_ctzll(marks);
      if (mark < from) continue;
      uint8_t byte = block[mark];
      if (at.out > last) {
        return left_at(at, from);
      }
      if (byte == ',' || byte == ':') {
        at.out = copy_span(at.out, block + from, mark + 1 - from);
        if (byte == ',') at.out = new_line_wide(at.out, at.level);
        else *at.out++ = ' ';
        from = mark + 1;
        continue;
      }
      if (byte == '}' || byte == ']') {
        if (at.level <= base_level) {
          return left_at(at, from);
        }
        at.out = copy_span(at.out, block + from, mark - from);
        at.out = new_line_wide(at.out, --at.level);
        *at.out++ = byte;
        from = mark + 1;
        continue;
      }
      // In ASCII the closing bracket is the opening one plus two.
      if (mark + 1 < left && block[mark + 1] == byte + 2) {
        at.out = copy_span(at.out, block + from, mark + 1 - from);
        *at.out++ = byte + 2;
        from = mark + 2;
        if (from > taken) taken = from;
      } else if (at.level - base_level >= depth_max) {
        return left_at(at, from);
      } else {
        at.out = copy_span(at.out, block + from, mark + 1 - from);
        at.out = new_line_wide(at.out, ++at.level);
        from = mark + 1;
      }
    }
    if (from < size) at.out = copy_span(at.out, block + from, size - from);
    at.in += taken;
    at.in_string = inside >> (size - 1) & 1;
  }
  return at;
}
#endif

static ckprov_reindent_result reindent(
    ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *start, size_t room, int32_t depth_max, size_t *written,
    int is_wide) {
  const uint8_t *in = json + state->position, *end = json + size;
  uint8_t *out = start, *last = start + room - ckprov_reindent_room(depth_max);
  int32_t level = state->level;
  uint8_t in_string = state->in_string;
  ckprov_reindent_result result = CKPROV_REINDENT_DONE;
#if defined(__x86_64__)
  uint8_t *wide_last = is_wide && last - start >= BLOCK_ROOM ? last - BLOCK_ROOM : NULL;
#else
  (void)is_wide;
#endif
  while (in < end) {
#if defined(__x86_64__)
    if (wide_last && out <= wide_last) {
      place at = reindent_blocks((place){in, out, level, in_string}, end, wide_last, state->base_level, depth_max);
      in = at.in;
      out = at.out;
      level = at.level;
      in_string = at.in_string;
      if (in == end) break;
    }
#endif
    if (out > last) {
      result = CKPROV_REINDENT_MORE;
      break;
    }
    if (in_string) {
      size_t count = (size_t)(end - in), free = (size_t)(last - out) + 1;
      size_t copied = ckprov_copy_plain(out, in, count < free ? count : free);
      in += copied;
      out += copied;
      if (in == end || copied == free) continue;
      if (*in == '"') {
        in_string = 0;
      } else if (*in == '\\' && end - in >= 2 && in[1] >= 0x20 && in[1] < 0x7F) {
        *out++ = *in++;
      } else {
        result = CKPROV_REINDENT_BAD_BYTE;
        break;
      }
      *out++ = *in++;
      continue;
    }
    uint8_t byte = *in++;
    switch (byte) {
      case '"':
        *out++ = byte;
        in_string = 1;
        // As a rule it is short: what is copied behind its end is written over. There is room for a block wherever anything may be written.
        if (end - in >= 16) {
          size_t copied = ckprov_copy_plain(out, in, 16);
          in += copied;
          out += copied;
          if (copied < 16 && *in == '"') {
            *out++ = *in++;
            in_string = 0;
          }
        }
        break;
      case '{':
      case '[':
        *out++ = byte;
        // In ASCII the closing bracket is the opening one plus two.
        if (in < end && *in == byte + 2) {
          *out++ = *in++;
        } else if (++level - state->base_level > depth_max) {
          result = CKPROV_REINDENT_DEPTH;
        } else {
          out = new_line(out, level);
        }
        break;
      case '}':
      case ']':
        if (--level < state->base_level) {
          result = CKPROV_REINDENT_BRACKETS;
        } else {
          out = new_line(out, level);
          *out++ = byte;
        }
        break;
      case ',':
        *out++ = byte;
        out = new_line(out, level);
        break;
      case ':':
        *out++ = byte;
        *out++ = ' ';
        break;
      default:
        if (byte <= 0x20 || byte > 0x7E) {
          result = CKPROV_REINDENT_BAD_BYTE;
        } else {
          *out++ = byte;
        }
    }
    if (result != CKPROV_REINDENT_DONE) break;
  }
  if (result == CKPROV_REINDENT_DONE && (level != state->base_level || in_string)) result = CKPROV_REINDENT_BRACKETS;
  state->position = (size_t)(in - json);
  state->level = level;
  state->in_string = in_string;
  *written = (size_t)(out - start);
  return result;
}

ckprov_reindent_result ckprov_reindent(
    ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *out, size_t room, int32_t depth_max, size_t *written) {
#if defined(__x86_64__)
  int is_wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("pclmul");
#else
  int is_wide = 0;
#endif
  return reindent(state, json, size, out, room, depth_max, written, is_wide);
}

ckprov_reindent_result ckprov_reindent_portable(
    ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *out, size_t room, int32_t depth_max, size_t *written) {
  return reindent(state, json, size, out, room, depth_max, written, 0);
}
