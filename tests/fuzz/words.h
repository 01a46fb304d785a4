#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz/target.h"

namespace unireplk::test {

/// Begin and length of each run of letters and digits.
inline std::vector<std::pair<size_t, size_t>> words_of(std::string_view text) {
  const auto in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::vector<std::pair<size_t, size_t>> words;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!in_word(text[i])) continue;
    if (i == 0 || !in_word(text[i - 1])) words.emplace_back(i, 0);
    ++words.back().second;
  }
  return words;
}

/// Put another word of a text, or a telling number, in the place of some, so that the punctuation, and what JSON or
/// YAML makes of it, stays.
inline void swap_words(std::string& text, std::mt19937& random) {
  constexpr std::array<std::string_view, 8> kNumbers{"0",          "1",  "2",    "-1",
                                                     "4294967296", "7e", "null", "9223372036854775807"};
  for (size_t left = 1 + random() % 3; left > 0; --left) {
    const auto words = words_of(text);
    if (words.empty()) return;
    const auto [at, size] = words[random() % words.size()];
    const auto [from, from_size] = words[random() % words.size()];
    const std::string other(random() % 3 == 0 ? kNumbers[random() % kNumbers.size()]
                                              : std::string_view(text).substr(from, from_size));
    text.replace(at, size, other);
  }
}

}  // namespace unireplk::test
