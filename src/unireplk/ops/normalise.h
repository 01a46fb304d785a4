#pragma once

#include <ATen/core/Tensor.h>

namespace unireplk::ops {

/// What a network sees of bytes: (image / 255 - mean) / deviation, in float32.
///
/// \param image            uint8 [B, H, W, C].
/// \param mean, deviation  float32, C values of any shape, on the image's device.
/// \return                 [B, C, H, W], channels last.
/// \throws ContractError when types or the number of channels do not fit.
at::Tensor normalise(const at::Tensor& image, const at::Tensor& mean, const at::Tensor& deviation);

}  // namespace unireplk::ops
