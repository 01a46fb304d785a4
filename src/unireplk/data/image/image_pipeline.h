#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/registry.h"
#include "unireplk/data/image/interpolation.h"
#include "unireplk/data/image/transform.h"
#include "unireplk/data/pipeline.h"

namespace unireplk::data::image {

/// From an image file, or its pixels, to a square of bytes.
struct ImagePipelineConfig {
  int64_t size = 224;
  std::optional<int64_t> channels;
  double crop_pct = 0.875;
  InterpolationChoice train_interpolation = InterpolationChoice::kBicubic;
  std::string auto_augment = "none";
  double color_jitter = 0;
  std::optional<std::vector<config::Choice<TransformSignature>>> train;
  std::optional<std::vector<config::Choice<TransformSignature>>> evaluation;
  std::optional<std::vector<double>> mean;
  std::optional<std::vector<double>> std;

  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, config::between(1, 16384), "Rows and columns that the network sees.");
    visit("channels", self.channels, config::between(1, 3), "1 (grey) or 3 (RGB); left out, what the data has.");
    visit("crop_pct", self.crop_pct, config::Range{.low = 0, .high = 1, .open_low = true},
          "Share of the shorter side that the centre crop of the usual evaluation keeps; of no effect from 384 pixels "
          "on.");
    visit("train_interpolation", self.train_interpolation, "Of the usual transforms in training.");
    visit("auto_augment", self.auto_augment,
          "none, or what the usual transforms in training add, as in timm: rand-m9-mstd0.5-inc1.");
    visit("color_jitter", self.color_jitter, config::fraction,
          "Furthest change of brightness, contrast and saturation that the usual transforms in training make; only "
          "without auto_augment.");
    visit("train", self.train, "Transforms in training; left out, the published ones for this size.");
    visit("evaluation", self.evaluation, "Transforms in evaluation; left out, the published ones for this size.");
    visit("mean", self.mean, config::fraction,
          "Mean of each channel, of values in [0, 1]; left out, ImageNet's, or 0.5 for grey.");
    visit("std", self.std, config::positive,
          "Standard deviation of each channel; left out, ImageNet's, or 0.5 for grey.");
  }
  void validate(config::Problems& problems) const;

  /// False when training makes the same of an image every time.
  bool draws_in_training() const;
};

/// Takes EncodedBytes, the path of an image file, or uint8 [H, W] or [H, W, C] pixels. Gives one sample with `image`,
/// uint8 [size, size, C], and the record's targets as they are. Constants `mean` and `std`, float32 [C], are for the
/// task, which normalises on the device. Source: spec/image.md sections 3 and 4.
///
/// Transform number n of its kind in the list draws from a stream of its own, so that adding one of another kind
/// changes no other.
///
/// \throws UserError when mean or std do not fit the channels; from apply() when the transforms leave another size:
/// that is the config's fault, not the photo's.
std::unique_ptr<Pipeline> make_image_pipeline(const ImagePipelineConfig& config, const DataInfo& source, Mode mode);

}  // namespace unireplk::data::image
