#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/kernels/rows.h"

namespace unireplk::ops {

/// The shape of a map [N, H, W, C] as passes over rows have it.
kernels::RowsShape rows_of(const at::Tensor& x);

/// That of a map [N, C, H, W], channels_last.
kernels::RowsShape map_rows(const at::Tensor& x);

/// A table [images, channels] in float32 on the device of a map, its values unset.
at::Tensor empty_table(const kernels::RowsShape& shape, const at::Tensor& map);

/// The same for the channels of a vector, on its device.
at::Tensor empty_table(int64_t images, const at::Tensor& vector);

}  // namespace unireplk::ops
