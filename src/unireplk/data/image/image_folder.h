#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// A folder with one sub-folder for each class.
struct ImageFolderConfig {
  std::filesystem::path root;
  std::optional<std::filesystem::path> class_map = {};

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds one folder of images for each class.");
    visit("class_map", self.class_map,
          "Other classes: a text file with one a line, in the order of their labels, or a CSV file that says which "
          "`class` each `name` becomes.");
  }
};

/// Items in the order of torchvision's ImageFolder (spec/image.md section 2): classes are the sub-folders, sorted;
/// below each, folders and then files are sorted; links are followed, but not in circles. `class_map` (class_map.h)
/// changes the classes, not the order of the items. Payload: EncodedBytes.
///
/// \throws UserError when the root is missing or holds no class, for every class without an image, and when
/// read_class_map
///         does.
std::unique_ptr<Source> make_image_folder(const ImageFolderConfig& config);

}  // namespace unireplk::data::image
