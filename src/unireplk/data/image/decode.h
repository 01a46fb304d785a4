#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "unireplk/core/result.h"
#include "unireplk/data/image/image.h"

namespace unireplk::data::image {

/// Decode a JPEG or PNG file, told apart by content, to 8 bits. Orientation tags and colour profiles are ignored.
///
/// JPEG: accurate integer DCT and smooth chroma upsampling, as Pillow decodes; CMYK by spec/image.md section 2.
/// PNG: 16 bits keep the upper 8, palettes are resolved, transparency is dropped.
///
/// \param channels  1 or 3. Colour becomes luma, grey becomes equal channels.
/// \param place     the file, named in problems.
/// \return a problem when the file is neither, is truncated or corrupt, or has more than kMaxSide rows or columns or
///         more than kMaxPixels pixels.
Result<Image> decode(std::span<const std::byte> file, int64_t channels, const std::string& place);

}  // namespace unireplk::data::image
