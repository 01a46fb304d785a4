#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "unireplk/core/result.h"
#include "unireplk/data/image/image.h"

/// Formats of photos beside JPEG and PNG, behind decode(). OpenCV's imgcodecs reads them, in builds that found it.
namespace unireplk::data::image {

enum class RareFormat { kBmp, kPnm, kTiff, kWebp };

/// By content; nothing for any other file.
std::optional<RareFormat> rare_format_of(std::span<const std::byte> file);

/// The first image in the file: grey for a grey file, RGB for any other. A problem in a build without imgcodecs.
Result<Image> decode_rare(RareFormat kind, std::span<const std::byte> file, const std::string& place);

/// Names of all formats that decode() reads in this build.
std::vector<std::string> readable_formats();

}  // namespace unireplk::data::image
