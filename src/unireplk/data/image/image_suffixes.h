#pragma once

#include <string>
#include <string_view>

namespace unireplk::data::image {

/// Whether a file of this name is taken for an image, as torchvision's ImageFolder does (spec/image.md section 2);
/// upper case or lower.
bool has_image_suffix(std::string_view name);

/// All of them, for messages: ".jpg .jpeg ...".
std::string image_suffixes();

}  // namespace unireplk::data::image
