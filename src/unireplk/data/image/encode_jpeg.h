#pragma once

#include <cstddef>
#include <vector>

#include "unireplk/data/image/image.h"

namespace unireplk::data::image {

/// A baseline JPEG file of an image, with the accurate integer DCT. Colour gets half the resolution in both directions
/// (4:2:0), as in most photos. \param quality  1 to 100, libjpeg's scale.
std::vector<std::byte> encode_jpeg(const Image& image, int quality);

}  // namespace unireplk::data::image
