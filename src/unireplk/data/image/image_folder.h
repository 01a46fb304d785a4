#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "unireplk/config/fields.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// A folder with one sub-folder for each class.
struct ImageFolderConfig {
  std::filesystem::path root;
  std::optional<std::filesystem::path> class_map = {};

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds one folder of images for each class.");
    visit("class_map", self.class_map, kClassMapHelp);
  }
};

/// As class_folders.h says. \throws UserError as class_folders() does.
std::unique_ptr<Source> make_image_folder(const ImageFolderConfig& config);

}  // namespace unireplk::data::image
