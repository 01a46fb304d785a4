#pragma once

#include <cstddef>
#include <vector>

#include "unireplk/data/image/image.h"

namespace unireplk::data::image {

/// A PNG file of an image, grey or RGB, 8 bits a channel.
std::vector<std::byte> encode_png(const Image& image);

}  // namespace unireplk::data::image
