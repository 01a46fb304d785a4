#include <ATen/core/Tensor.h>

#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"

namespace unireplk::models {
namespace {

/// Walks down the network and keeps where it is: size of the map, step between its pixels, what one of them
/// sees.
class Walk {
 public:
  Walk(const UniRepLKNetOptions& options, int64_t height, int64_t width)
      : options_(options), height_(height), width_(width) {}

  std::vector<LayerRow> rows() && {
    stem();
    for (size_t s = 0; s < options_.num_stages(); ++s) {
      if (s > 0) strided_conv(format("downsample_layers.{}.0", s), options_.dims[s - 1], options_.dims[s]);
      for (size_t b = 0; b < options_.kernel_sizes[s].size(); ++b) block(s, b);
      if (options_.mode == Mode::kFeatures) add(format("norm{}", s), "norm", options_.dims[s], 2 * options_.dims[s], 0);
    }
    if (options_.mode == Mode::kClassifier) classifier();
    return std::move(rows_);
  }

 private:
  void stem() {
    const int64_t half = options_.dims[0] / 2;
    strided_conv("downsample_layers.0.0", options_.in_channels, half);
    strided_conv("downsample_layers.0.3", half, options_.dims[0]);
  }

  /// A 3 x 3 convolution of stride 2 and the channel norm behind it.
  void strided_conv(const std::string& name, int64_t in, int64_t out) {
    height_ = (height_ + 1) / 2;
    width_ = (width_ + 1) / 2;
    field_ += 2 * step_;
    step_ *= 2;
    const int64_t weights = out * in * 9;
    add(name, "conv 3x3 /2, norm", out, weights + out + 2 * out, weights * height_ * width_);
  }

  void block(size_t stage, size_t index) {
    const auto options = block_options(options_, stage, index, at::TensorOptions(at::kMeta));
    const nn::Block block(options);
    const int64_t c = options.channels;
    int64_t taps = options.kernel_size * options.kernel_size;
    std::string kind = options.kernel_size == 0 ? "block" : format("block {0}x{0}", options.kernel_size);
    if (!block->dwconv_dilated.is_empty() && !options.deploy) {
      for (const auto& branch : block->dwconv_dilated->branches) taps += branch.kernel * branch.kernel;
      kind += format(" + {} branches", block->dwconv_dilated->branches.size());
    }
    const int64_t each_pixel = c * taps + 8 * c * c;  // token mixer, pwconv1 and pwconv2
    const int64_t once = 2 * c * (c / 4);             // squeeze-excitation
    field_ += std::max<int64_t>(options.kernel_size - 1, 0) * step_;
    add(block_name(stage, index), kind, c, count_parameters(*block), each_pixel * height_ * width_ + once);
  }

  void classifier() {
    const int64_t in = options_.dims.back(), out = options_.num_classes;
    height_ = width_ = 1;
    add("norm", "mean, norm", in, 2 * in, 0);
    add("head", "linear", out, in * out + out, in * out);
  }

  void add(std::string name, std::string kind, int64_t channels, int64_t parameters, int64_t macs) {
    rows_.push_back({.name = std::move(name),
                     .kind = std::move(kind),
                     .channels = channels,
                     .height = height_,
                     .width = width_,
                     .parameters = parameters,
                     .macs = macs,
                     .receptive_field = field_});
  }

  const UniRepLKNetOptions& options_;
  int64_t height_, width_;
  int64_t step_ = 1;
  int64_t field_ = 1;
  std::vector<LayerRow> rows_;
};

}  // namespace

int64_t count_parameters(const torch::nn::Module& module) {
  int64_t total = 0;
  for (const auto& parameter : module.parameters()) total += parameter.numel();
  return total;
}

std::vector<LayerRow> layer_table(const UniRepLKNetOptions& options, int64_t height, int64_t width) {
  UNIREPLK_CHECK(height >= 1 && width >= 1, "layer_table: expected a size >= 1, got {} x {}", height, width);
  const auto whole = resolved(options);
  return Walk(whole, height, width).rows();
}

std::vector<LinearLayer> linear_layers(const UniRepLKNetOptions& options, int64_t height, int64_t width) {
  std::vector<LinearLayer> layers;
  for (const auto& row : layer_table(options, height, width)) {
    if (!row.name.starts_with("stages.")) continue;
    const int64_t c = row.channels, pixels = row.height * row.width;
    layers.push_back({.name = row.name + ".pwconv1.1", .in = c, .out = 4 * c, .pixels = pixels});
    layers.push_back({.name = row.name + ".pwconv2.0", .in = 4 * c, .out = c, .pixels = pixels});
  }
  return layers;
}

Counts count(const UniRepLKNetOptions& options, int64_t height, int64_t width) {
  Counts total;
  for (const auto& row : layer_table(options, height, width)) {
    total.parameters += row.parameters;
    total.macs += row.macs;
  }
  return total;
}

}  // namespace unireplk::models
