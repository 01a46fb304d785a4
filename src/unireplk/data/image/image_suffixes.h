#pragma once

#include "unireplk/data/class_folders.h"

namespace unireplk::data::image {

/// The files that are taken for images, as torchvision's ImageFolder does (spec/image.md section 2).
FileKind image_files();

}  // namespace unireplk::data::image
