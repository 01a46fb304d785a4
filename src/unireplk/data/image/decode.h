#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "unireplk/core/result.h"
#include "unireplk/data/image/image.h"

namespace unireplk::data::image {

/// Decode a JPEG or PNG file, or in builds with OpenCV's imgcodecs a BMP, PPM, PGM, TIFF or WebP file, told apart by
/// content, to 8 bits. Orientation tags and colour profiles are ignored.
///
/// JPEG: accurate integer DCT and smooth chroma upsampling, as Pillow decodes; CMYK by spec/image.md section 2.
/// PNG and the others: 16 bits keep the upper 8, palettes are resolved, transparency is dropped.
///
/// \param channels  1 or 3. Colour becomes luma, grey becomes equal channels.
/// \param place     the file, named in problems.
/// \return a problem when the file is none of these, is truncated or corrupt, or has more than kMaxSide rows or columns
///         or more than kMaxPixels pixels.
Result<Image> decode(std::span<const std::byte> file, int64_t channels, const std::string& place);

/// The part of an image of this size that is wanted; it must lie inside.
using ChoosePart = std::function<Rectangle(int64_t width, int64_t height)>;

/// The same pixels as crop() of decode(), with less work: of a JPEG of one scan only what the part needs is decoded.
/// Then damage to data below the part is not seen, but a missing end is.
///
/// \param choose  called once, unless the file's header is a problem.
/// \param where   of a JPEG's pixels.
Result<Image> decode_part(std::span<const std::byte> file, int64_t channels, const std::string& place,
                          const ChoosePart& choose, PixelAllocator where = {});

}  // namespace unireplk::data::image
