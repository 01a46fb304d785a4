#include "unireplk/tasks/ranking.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "unireplk/core/error.h"

namespace unireplk::tasks {

std::optional<Ranking> rank(std::span<const float> scores, std::span<const uint8_t> positive) {
  UNIREPLK_CHECK(scores.size() == positive.size(), "rank: {} scores, {} labels", scores.size(), positive.size());
  const auto positives = static_cast<double>(std::ranges::count_if(positive, [](uint8_t is) { return is != 0; }));
  const double negatives = static_cast<double>(scores.size()) - positives;
  if (positives == 0 || negatives == 0) return std::nullopt;
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  Ranking ranking;
  double right = 0, wrong = 0;
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {  // equal scores together
    const double right_before = right, wrong_before = wrong;
    for (; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end) {
      (positive[order[end]] != 0 ? right : wrong) += 1;
    }
    ranking.average_precision += (right - right_before) / positives * (right / (right + wrong));
    ranking.auc += (wrong - wrong_before) * (right + right_before) / 2;
  }
  ranking.auc /= positives * negatives;
  return ranking;
}

double d_prime(double auc) {
  double low = -8, high = 8;  // beyond, double no longer tells an area from 0 or 1
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::numbers::sqrt2) / 2 < auc ? low : high) = middle;
  }
  return std::numbers::sqrt2 * low;
}

}  // namespace unireplk::tasks
