#pragma once

#include <cstdint>
#include <optional>
#include <span>

/// How well scores rank the samples of one class before the others: spec/audio.md section 7.
namespace unireplk::tasks {

/// Of one class.
struct Ranking {
  double average_precision = 0;  ///< sum of precision times growth of recall over the distinct scores, not interpolated
  double auc = 0;                ///< area under the ROC curve by the trapezoid rule
};

/// \param positive  whether each sample is of the class.
/// \return nothing when all samples are, or none.
std::optional<Ranking> rank(std::span<const float> scores, std::span<const uint8_t> positive);

/// sqrt(2) times the standard normal quantile of an area in [0, 1]; at the ends a large finite number.
double d_prime(double auc);

}  // namespace unireplk::tasks
