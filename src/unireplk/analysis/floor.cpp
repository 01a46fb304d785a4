#include "unireplk/analysis/floor.h"

#include <algorithm>
#include <cstdlib>

#include "unireplk/nn/block.h"

namespace unireplk::analysis {
namespace {

double square(int64_t value) { return static_cast<double>(value) * static_cast<double>(value); }

/// 3 x 3 with stride 2; `side` is that of the input.
double strided_conv(int64_t in, int64_t out, int64_t side) {
  const int64_t outside = side % 2 == 0 ? 1 : 2, taps_of_row = 3 * ((side + 1) / 2) - outside;
  return 2.0 * static_cast<double>(in * out) * square(taps_of_row);
}

double block(const nn::BlockOptions& options, int64_t side) {
  const auto channels = static_cast<double>(options.channels);
  double taps = options.kernel_size == 0 ? 0 : useful_taps(side, options.kernel_size, 1);
  for (const auto& branch : nn::dilated_branches(options)) taps += useful_taps(side, branch.kernel, branch.dilation);
  const double feed_forward = 8 * channels * channels * square(side);
  const double squeeze_excite = 2 * channels * static_cast<double>(options.channels / 4);
  return 2 * (channels * taps + feed_forward + squeeze_excite);
}

struct Work {
  double first = 0;  ///< the convolution whose input needs no gradient
  double rest = 0;
};

Work work_of(const models::UniRepLKNetOptions& given, int64_t side) {
  const auto options = models::resolved(given);
  const int64_t half = options.dims[0] / 2;
  Work work{.first = strided_conv(options.in_channels, half, side)};
  const auto halve = [&] { side = (side + 1) / 2; };
  halve();
  for (size_t stage = 0; stage < options.num_stages(); ++stage) {
    work.rest += strided_conv(stage == 0 ? half : options.dims[stage - 1], options.dims[stage], side);
    halve();
    for (size_t b = 0; b < options.kernel_sizes[stage].size(); ++b) {
      work.rest += block(models::block_options(options, stage, b), side);
    }
  }
  if (options.mode == models::Mode::kClassifier) {
    work.rest += 2.0 * static_cast<double>(options.dims.back() * options.num_classes);
  }
  return work;
}

}  // namespace

double useful_taps(int64_t side, int64_t kernel, int64_t dilation) {
  double in_row = 0;
  for (int64_t i = -(kernel / 2); i <= kernel / 2; ++i) {
    in_row += static_cast<double>(std::max<int64_t>(0, side - std::abs(i) * dilation));
  }
  return in_row * in_row;
}

double forward_flops(const models::UniRepLKNetOptions& options, int64_t side) {
  const auto work = work_of(options, side);
  return work.first + work.rest;
}

double training_flops(const models::UniRepLKNetOptions& options, int64_t side) {
  const auto work = work_of(options, side);
  return 2 * work.first + 3 * work.rest;
}

}  // namespace unireplk::analysis
