#pragma once

#include <optional>

#include "unireplk/data/image/decode.h"

/// The decoders behind decode(). Each yields grey for a grey file and RGB for any other.
namespace unireplk::data::image {

/// \param choose  empty: all of the image.
Result<Image> decode_jpeg(std::span<const std::byte> file, const std::string& place, const ChoosePart& choose,
                          PixelAllocator where);
Result<Image> decode_png(std::span<const std::byte> file, const std::string& place);

/// The problem with these dimensions, if there is one.
std::optional<Problem> check_dimensions(int64_t width, int64_t height, const std::string& place);

}  // namespace unireplk::data::image
