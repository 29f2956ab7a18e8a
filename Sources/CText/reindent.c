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

ckprov_reindent_result ckprov_reindent(
    ckprov_reindenter *state, const uint8_t *json, size_t size, uint8_t *start, size_t room, int32_t depth_max, size_t *written) {
  const uint8_t *in = json + state->position, *end = json + size;
  uint8_t *out = start, *last = start + room - ckprov_reindent_room(depth_max);
  int32_t level = state->level;
  uint8_t in_string = state->in_string;
  ckprov_reindent_result result = CKPROV_REINDENT_DONE;
  while (in < end) {
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
