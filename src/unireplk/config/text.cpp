#include "unireplk/config/text.h"

#include <algorithm>

#include "unireplk/core/format.h"

namespace unireplk::config {
namespace {

constexpr size_t kLongestWord = 100;  // keeps the quadratic distance cheap for hostile keys

/// Optimal string alignment: insert, delete, replace, or swap two neighbours.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  if (word.size() > kLongestWord) return {};
  size_t best = (word.size() < 4 ? 1 : std::max<size_t>(2, word.size() / 3)) + 1;  // beyond the farthest slip
  std::string found;
  for (const auto& candidate : known) {
    const size_t far = distance(word, candidate);
    if (far < best) {
      best = far;
      found = candidate;
    }
  }
  return found;
}

std::string suggestion(std::string_view word, std::vector<std::string> known) {
  std::sort(known.begin(), known.end());
  const std::string near = nearest(word, known);
  const std::string hint = near.empty() ? "" : format("Did you mean \"{}\"? ", near);
  return hint + (known.empty() ? "No keys are known here." : format("Known: {}.", comma_list(known)));
}

std::string comma_list(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

std::string with_article(std::string_view noun) {
  const bool has_vowel = std::string_view("aeiou").find(noun.substr(0, 1)) != std::string_view::npos;
  return (has_vowel ? "an " : "a ") + std::string(noun);
}

}  // namespace unireplk::config
