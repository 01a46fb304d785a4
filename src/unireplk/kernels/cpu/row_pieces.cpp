#include "unireplk/kernels/cpu/row_pieces.h"

#include <array>

namespace unireplk::kernels {

int64_t row_sums_workspace(const RowsShape& shape, int64_t sums) {
  return sums * line_aligned(RowPieces(shape).table_floats());
}

void RowPieces::add_up_groups(const float* table, int64_t groups, int64_t rows, float* to,
                              const Parallel& parallel) const {
  constexpr int64_t kStrip = 64;
  const int64_t strips = ceil_divide(shape.channels, kStrip);
  parallel.run(groups * strips, [&](int64_t task, int64_t) {
    const int64_t group = task / strips, channel = task % strips * kStrip;
    const int64_t channels = std::min(kStrip, shape.channels - channel);
    const float* row = table + group * rows * shape.channels + channel;
    std::array<double, kStrip> sums{};
    for (int64_t i = 0; i < rows; ++i, row += shape.channels) {
      for (int64_t c = 0; c < channels; ++c) sums[static_cast<size_t>(c)] += row[c];
    }
    float* result = to + group * shape.channels + channel;
    for (int64_t c = 0; c < channels; ++c) result[c] = static_cast<float>(sums[static_cast<size_t>(c)]);
  });
}

}  // namespace unireplk::kernels
