#include "unireplk/core/utf8.h"

namespace unireplk {
namespace {

/// Bytes of the character that `text` begins with; 0 when it is none.
size_t character_size(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (size == 0 || text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool is_overlong = (first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90);
  const bool is_surrogate = first == 0xED && byte(1) >= 0xA0;
  const bool is_beyond = first == 0xF4 && byte(1) >= 0x90;
  return is_overlong || is_surrogate || is_beyond ? 0 : size;
}

}  // namespace

size_t valid_utf8_prefix(std::string_view text) {
  size_t good = 0;
  while (good < text.size()) {
    const size_t size = character_size(text.substr(good));
    if (size == 0) break;
    good += size;
  }
  return good;
}

bool append_utf8(std::string& text, uint32_t code) {
  if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return false;
  const auto put = [&](uint32_t bits) { text += static_cast<char>(bits); };
  const auto put_rest = [&](int shift) { put(0x80 | (code >> shift & 0x3F)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put_rest(0);
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put_rest(6), put_rest(0);
  } else {
    put(0xF0 | code >> 18), put_rest(12), put_rest(6), put_rest(0);
  }
  return true;
}

}  // namespace unireplk
