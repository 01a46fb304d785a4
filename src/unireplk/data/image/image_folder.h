#pragma once

#include <filesystem>
#include <memory>

#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// A folder with one sub-folder for each class.
struct ImageFolderConfig {
  std::filesystem::path root;

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds one folder of images for each class.");
  }
};

/// Items in the order of torchvision's ImageFolder (spec/image.md section 2): classes are the sub-folders, sorted;
/// below each, folders and then files are sorted; links are followed, but not in circles. Payload: EncodedBytes.
///
/// \throws UserError when the root is missing or holds no class, and for every class without an image.
std::unique_ptr<Source> make_image_folder(const ImageFolderConfig& config);

}  // namespace unireplk::data::image
