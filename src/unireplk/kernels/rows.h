#pragma once

#include <cstdint>

/// Maps as rows of channels: what passes over them share that look at every pixel by itself.
namespace unireplk::kernels {

/// A map [images, pixels, channels], dense.
struct RowsShape {
  int64_t images = 0;
  int64_t pixels = 0;
  int64_t channels = 0;
};

/// Floats of workspace that a pass needs which makes `sums` sums for each channel.
int64_t row_sums_workspace(const RowsShape& shape, int64_t sums);

}  // namespace unireplk::kernels
