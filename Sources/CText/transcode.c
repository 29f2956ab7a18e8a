#include "CText.h"

#include <stdbool.h>

#define KEYS 512
#define DEPTH 512
#define DIGITS_MAX 4300

static const uint8_t *skip_space(const uint8_t *p, const uint8_t *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
  return p;
}

static uint8_t *write_unit(uint8_t *out, uint32_t unit) {
  static const char *const digits = "0123456789abcdef";
  out[0] = '\\';
  out[1] = 'u';
  for (int i = 0; i < 4; i++) out[2 + i] = (uint8_t)digits[unit >> (12 - 4 * i) & 15];
  return out + 6;
}

static uint8_t *write_ascii(uint8_t *out, uint8_t byte) {
  uint8_t letter = 0;
  switch (byte) {
    case '"': case '\\': letter = byte; break;
    case '\b': letter = 'b'; break;
    case '\t': letter = 't'; break;
    case '\n': letter = 'n'; break;
    case '\f': letter = 'f'; break;
    case '\r': letter = 'r'; break;
    default:
      if (byte < 0x20 || byte == 0x7F) return write_unit(out, byte);
      *out = byte;
      return out + 1;
  }
  out[0] = '\\';
  out[1] = letter;
  return out + 2;
}

// A code point beyond ASCII, in valid UTF-8.
static const uint8_t *transcode_scalar(const uint8_t *p, uint8_t **out) {
  uint32_t first = *p;
  if (first < 0xE0) {
    *out = write_unit(*out, (first & 0x1F) << 6 | (p[1] & 0x3F));
    return p + 2;
  }
  if (first < 0xF0) {
    *out = write_unit(*out, (first & 0x0F) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3F));
    return p + 3;
  }
  uint32_t scalar = (first & 0x07) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3F);
  *out = write_unit(*out, 0xD7C0 + (scalar >> 10));
  *out = write_unit(*out, 0xDC00 | (scalar & 0x3FF));
  return p + 4;
}

// Behind a backslash. Surrogates need no pairing: a pair is stored as the two escapes that it is.
static const uint8_t *transcode_escape(const uint8_t *p, const uint8_t *end, uint8_t **out) {
  if (p == end) return NULL;
  uint8_t byte;
  switch (*p) {
    case '"': case '\\': case '/': byte = *p; break;
    case 'b': byte = '\b'; break;
    case 'f': byte = '\f'; break;
    case 'n': byte = '\n'; break;
    case 'r': byte = '\r'; break;
    case 't': byte = '\t'; break;
    case 'u': {
      if (end - p < 5) return NULL;
      uint32_t unit = 0;
      for (int i = 1; i <= 4; i++) {
        uint8_t digit = p[i], lower = digit | 0x20;
        if (digit >= '0' && digit <= '9') unit = unit << 4 | (uint32_t)(digit - '0');
        else if (lower >= 'a' && lower <= 'f') unit = unit << 4 | (uint32_t)(lower - 'a' + 10);
        else return NULL;
      }
      *out = unit < 0x80 ? write_ascii(*out, (uint8_t)unit) : write_unit(*out, unit);
      return p + 5;
    }
    default: return NULL;
  }
  *out = write_ascii(*out, byte);
  return p + 1;
}

// From its opening quote on.
static const uint8_t *transcode_string(const uint8_t *p, const uint8_t *end, uint8_t **written) {
  uint8_t *out = *written;
  *out++ = *p++;
  while (true) {
    size_t plain = ckprov_copy_plain(out, p, (size_t)(end - p));
    p += plain;
    out += plain;
    if (p == end || *p < 0x20) return NULL;
    if (*p == '"') {
      *out++ = *p++;
      *written = out;
      return p;
    }
    if (*p == '\\') {
      if (!(p = transcode_escape(p + 1, end, &out))) return NULL;
    } else if (*p == 0x7F) {
      out = write_ascii(out, *p++);
    } else {
      p = transcode_scalar(p, &out);
    }
  }
}

static const uint8_t *digits_end(const uint8_t *p, const uint8_t *end) {
  while (p < end && *p >= '0' && *p <= '9') p++;
  return p;
}

// A decimal of up to 15 digits is the shortest one that reads as its float, if it does not end with zeros. Python prints it so from 10^-4 on.
static bool is_canonical_decimal(const uint8_t *figures, const uint8_t *point, const uint8_t *end) {
  if (end - figures > 16 || (end[-1] == '0' && end - point > 2)) return false;
  if (*figures != '0' || end - point == 2) return true;
  for (int place = 1; place <= 4 && point + place < end; place++)
    if (point[place] != '0') return true;
  return false;
}

static const uint8_t *transcode_number(const uint8_t *start, const uint8_t *end, uint8_t **out, ckprov_float_writer write_float) {
  const uint8_t *figures = start + (*start == '-');
  if (figures == end) return NULL;
  const uint8_t *point = *figures == '0' ? figures + 1 : digits_end(figures, end);
  if (point == figures || point - figures > DIGITS_MAX) return NULL;
  const uint8_t *p = point;
  if (p < end && (*p == '.' || *p == 'e' || *p == 'E')) {
    bool is_decimal = *p == '.';
    if (is_decimal) {
      p = digits_end(point + 1, end);
      if (p == point + 1) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
      is_decimal = false;
      const uint8_t *exponent = p + 1;
      if (exponent < end && (*exponent == '-' || *exponent == '+')) exponent++;
      p = digits_end(exponent, end);
      if (p == exponent) return NULL;
    }
    if (!is_decimal || !is_canonical_decimal(figures, point, p)) {
      *out = write_float(start, (size_t)(p - start), *out);
      return *out ? p : NULL;
    }
  } else if (*start == '-' && *figures == '0') {
    start = figures;  // the integer -0 is 0
  }
  memcpy(*out, start, (size_t)(p - start));
  *out += p - start;
  return p;
}

static const uint8_t *transcode_word(const uint8_t *p, const uint8_t *end, uint8_t **out) {
  size_t size = *p == 'f' ? 5 : 4;
  const char *word = *p == 't' ? "true" : *p == 'f' ? "false" : "null";
  if ((size_t)(end - p) < size || memcmp(p, word, size) != 0) return NULL;
  memcpy(*out, word, size);
  *out += size;
  return p + size;
}

typedef struct {
  const uint8_t *at;
  size_t size;
} key;

const uint8_t *ckprov_transcode(
    const uint8_t *p, const uint8_t *end, uint8_t **written, int32_t depth_max, ckprov_float_writer write_float, uint8_t *met_null) {
  uint8_t *out = *written;
  key keys[KEYS];
  int32_t first_key[DEPTH], depth = 0, key_count = 0;
  uint8_t closing[DEPTH];
  if (depth_max > DEPTH) depth_max = DEPTH;

value:
  if ((p = skip_space(p, end)) == end) return NULL;
  switch (*p) {
    case '"':
      if (!(p = transcode_string(p, end, &out))) return NULL;
      break;
    case '{':
    case '[':
      if (depth == depth_max) return NULL;
      // In ASCII the closing bracket is the opening one plus two.
      closing[depth] = *p + 2;
      first_key[depth++] = key_count;
      *out++ = *p++;
      if ((p = skip_space(p, end)) == end) return NULL;
      if (*p == closing[depth - 1]) goto close;
      if (closing[depth - 1] == '}') goto member;
      goto value;
    case 't':
    case 'f':
    case 'n':
      if (!(p = transcode_word(p, end, &out))) return NULL;
      break;
    default:
      if (*p != '-' && (*p < '0' || *p > '9')) return NULL;
      if (!(p = transcode_number(p, end, &out, write_float))) return NULL;
  }

behind_value:
  if (depth == 0) {
    *written = out;
    return p;
  }
  if ((p = skip_space(p, end)) == end) return NULL;
  if (*p == closing[depth - 1]) goto close;
  if (*p != ',') return NULL;
  *out++ = *p++;
  if (closing[depth - 1] != '}') goto value;

member:
  p = skip_space(p, end);
  if (p == end || *p != '"' || key_count == KEYS) return NULL;
  key new_key = {.at = out};
  if (!(p = transcode_string(p, end, &out))) return NULL;
  new_key.size = (size_t)(out - new_key.at);
  for (int32_t i = first_key[depth - 1]; i < key_count; i++)
    if (keys[i].size == new_key.size && memcmp(keys[i].at, new_key.at, new_key.size) == 0) return NULL;
  keys[key_count++] = new_key;
  p = skip_space(p, end);
  if (p == end || *p != ':') return NULL;
  *out++ = *p++;
  p = skip_space(p, end);
  if (p < end && *p == 'n') *met_null = 1;
  goto value;

close:
  *out++ = *p++;
  key_count = first_key[--depth];
  goto behind_value;
}
