#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "unireplk/config/fields.h"
#include "unireplk/data/image/interpolation.h"
#include "unireplk/data/image/transform.h"

namespace unireplk::data::image {

/// Some of 15 operations, drawn for each image; their size is drawn too. Source: spec/image.md section 3.2 (timm).
struct RandAugmentConfig {
  double magnitude = 9;
  double magnitude_std = 0.5;
  double magnitude_max = 10;
  int64_t layers = 2;
  double probability = 0.5;
  bool increasing = true;
  InterpolationChoice interpolation = InterpolationChoice::kBicubic;
  std::array<int64_t, 3> fill{124, 116, 104};

  static void fields(auto& self, auto&& visit) {
    visit("magnitude", self.magnitude, config::between(0, 10), "How far the operations go, 0 to 10.");
    visit("magnitude_std", self.magnitude_std, config::non_negative,
          "Standard deviation of the magnitude, drawn for each operation; above 100: uniform from 0 to magnitude.");
    visit("magnitude_max", self.magnitude_max, config::between(0, 10), "Drawn magnitudes are clipped to this.");
    visit("layers", self.layers, config::between(1, 15), "Operations drawn for each image, with replacement.");
    visit("probability", self.probability, config::fraction, "With which a drawn operation is applied.");
    visit("increasing", self.increasing,
          "Whether every operation does more at a higher magnitude; false: the list of the paper.");
    visit("interpolation", self.interpolation, "Of rotations, shears and translations.");
    visit("fill", self.fill, config::between(0, 255),
          "Channels of what comes into sight; grey takes the first. Usually 255 x mean.");
  }
};
std::unique_ptr<Transform> make_rand_augment(const RandAugmentConfig& config);

/// The config that a text of timm stands for, as `rand-m9-mstd0.5-inc1`: `rand`, then in any order m (magnitude),
/// n (layers), mstd, mmax, p (probability) and inc (1 or 0), each with its number. Without `inc` the list of the paper,
/// without `m` 10, and other keys left out as in timm: n 2, mstd 0, mmax 10, p 0.5.
///
/// \return a problem, without place, for another policy, an unknown or repeated section or a number out of range.
Result<RandAugmentConfig> parse_rand_augment(std::string_view text);

}  // namespace unireplk::data::image
