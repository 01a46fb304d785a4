#pragma once

#include <cstdint>
#include <memory>

#include "unireplk/config/fields.h"
#include "unireplk/data/image/resize.h"
#include "unireplk/data/image/transform.h"

/// Transforms that resize, frame or mirror the whole image: each a config and the function that makes it.
namespace unireplk::data::image {

/// Resize so that the shorter side has `size` pixels; the longer is rounded down. Source: spec/image.md section 4.
struct ResizeConfig {
  int64_t size = 256;
  Interpolation interpolation = Interpolation::kBicubic;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Pixels of the shorter side.");
    visit("interpolation", self.interpolation, "Filter of the resize.");
  }
};
std::unique_ptr<Transform> make_resize(const ResizeConfig& config);

/// Resize both sides to `size`, whatever the shape was.
struct WarpConfig {
  int64_t size = 384;
  Interpolation interpolation = Interpolation::kBicubic;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Rows and columns of the result.");
    visit("interpolation", self.interpolation, "Filter of the resize.");
  }
};
std::unique_ptr<Transform> make_warp(const WarpConfig& config);

/// A frame of one grey level.
struct PadConfig {
  int64_t padding = 0;
  int64_t value = 0;

  static void fields(auto& self, auto&& visit) {
    visit("padding", self.padding, config::between(0, 16384), "Pixels added on every side.");
    visit("value", self.value, config::between(0, 255), "Their grey level.");
  }
};
std::unique_ptr<Transform> make_pad(const PadConfig& config);

/// Exchange left and right of some images.
struct HorizontalFlipConfig {
  double p = 0.5;

  static void fields(auto& self, auto&& visit) { visit("p", self.p, config::fraction, "Probability."); }
};
std::unique_ptr<Transform> make_horizontal_flip(const HorizontalFlipConfig& config);

}  // namespace unireplk::data::image
