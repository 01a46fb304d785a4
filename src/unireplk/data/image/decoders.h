#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "unireplk/core/result.h"
#include "unireplk/data/image/image.h"

/// The decoders behind decode(). Each yields grey for a grey file and RGB for any other.
namespace unireplk::data::image {

Result<Image> decode_jpeg(std::span<const std::byte> file, const std::string& place);
Result<Image> decode_png(std::span<const std::byte> file, const std::string& place);

/// The problem with these dimensions, if there is one.
std::optional<Problem> check_dimensions(int64_t width, int64_t height, const std::string& place);

}  // namespace unireplk::data::image
