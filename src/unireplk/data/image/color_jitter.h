#pragma once

#include <cstdint>
#include <memory>

#include "unireplk/config/fields.h"
#include "unireplk/data/image/transform.h"

namespace unireplk::data::image {

/// Brightness, contrast and saturation, each by a factor drawn from 1 - x to 1 + x, in drawn order.
/// Source: spec/image.md section 3.
struct ColorJitterConfig {
  double brightness = 0.4;
  double contrast = 0.4;
  double saturation = 0.4;

  static void fields(auto& self, auto&& visit) {
    visit("brightness", self.brightness, config::fraction, "Furthest from 1 that the factor of brightness lies.");
    visit("contrast", self.contrast, config::fraction, "The same of contrast.");
    visit("saturation", self.saturation, config::fraction, "The same of saturation.");
  }
};
std::unique_ptr<Transform> make_color_jitter(const ColorJitterConfig& config);

}  // namespace unireplk::data::image
