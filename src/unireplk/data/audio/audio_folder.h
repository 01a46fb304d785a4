#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "unireplk/config/fields.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/source.h"

namespace unireplk::data::audio {

/// `name: audio_folder`: a folder with one sub-folder of sounds for each class.
struct AudioFolderConfig {
  std::filesystem::path root;
  std::optional<std::filesystem::path> class_map = {};

  static void fields(auto& self, auto&& visit) {
    visit("root", self.root, config::required, "Folder that holds one folder of sounds for each class.");
    visit("class_map", self.class_map, kClassMapHelp);
  }
};

/// As data/class_folders.h says. \throws UserError as class_folders() does.
std::unique_ptr<Source> make_audio_folder(const AudioFolderConfig& config);

}  // namespace unireplk::data::audio
