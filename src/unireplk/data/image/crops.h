#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "unireplk/config/fields.h"
#include "unireplk/data/image/interpolation.h"
#include "unireplk/data/image/transform.h"

/// Transforms that cut: each a config and the function that makes it.
namespace unireplk::data::image {

/// Cut a rectangle of random area and shape and resize it. Source: spec/image.md section 3.1.
struct RandomResizedCropConfig {
  int64_t size = 224;
  std::array<double, 2> scale{0.08, 1.0};
  std::array<double, 2> ratio{3.0 / 4.0, 4.0 / 3.0};
  InterpolationChoice interpolation = InterpolationChoice::kBicubic;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Rows and columns of the result.");
    visit("scale", self.scale, config::Range{.low = 0, .high = 1, .open_low = true},
          "Smallest and largest share of the area.");
    visit("ratio", self.ratio, config::positive, "Smallest and largest width : height.");
    visit("interpolation", self.interpolation, "Filter of the resize.");
  }
  void validate(config::Problems& problems) const;
};
std::unique_ptr<Transform> make_random_resized_crop(const RandomResizedCropConfig& config);

/// Cut at a random place, after zero padding on every side.
struct RandomCropConfig {
  int64_t size = 32;
  int64_t padding = 0;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Rows and columns of the result.");
    visit("padding", self.padding, config::between(0, 16384), "Black pixels added on every side first.");
  }
};
std::unique_ptr<Transform> make_random_crop(const RandomCropConfig& config);

/// Cut the middle; what is missing of a smaller image is black. Source: spec/image.md section 4.
struct CenterCropConfig {
  int64_t size = 224;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Rows and columns of the result.");
  }
};
std::unique_ptr<Transform> make_center_crop(const CenterCropConfig& config);

}  // namespace unireplk::data::image
