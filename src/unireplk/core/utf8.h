#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace unireplk {

/// Bytes at the beginning of `text` that are well-formed UTF-8 (RFC 3629: no surrogates, no longer form than needed,
/// nothing beyond U+10FFFF); text.size() when all of it is.
size_t valid_utf8_prefix(std::string_view text);

inline bool is_utf8(std::string_view text) { return valid_utf8_prefix(text) == text.size(); }

/// Add the character of this number to UTF-8 text. \return false, and nothing is added, when there is none: surrogates,
/// and beyond U+10FFFF.
bool append_utf8(std::string& text, uint32_t code);

}  // namespace unireplk
