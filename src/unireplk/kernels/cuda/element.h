#pragma once

struct CUstream_st;

/// What all functions of this folder have in common. They queue work on a stream and return: no allocation, no wait for
/// the device, nothing read back, so that a graph may record them. Pointers are the device's; maps are dense
/// [images, height, width, channels] in one element type, parameters and gradients of parameters float32. The caller
/// asks the CUDA runtime afterwards whether the launches went well. The same bits from the same input, always.
namespace unireplk::kernels::cuda {

enum class Element { kFloat, kBFloat16, kHalf };

using Stream = CUstream_st*;

}  // namespace unireplk::kernels::cuda
