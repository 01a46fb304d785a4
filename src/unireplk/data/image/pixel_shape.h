#pragma once

#include "unireplk/data/image/image.h"
#include "unireplk/kernels/pixels.h"

namespace unireplk::data::image {

/// The shape of an image as kernels have it.
inline kernels::PixelShape shape_of(const Image& image) {
  return {.width = image.width, .height = image.height, .channels = image.channels};
}

}  // namespace unireplk::data::image
