#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data::audio {

/// `name: audioset`: what there is of the sounds that AudioSet's segment lists name.
struct AudioSetConfig {
  std::vector<std::filesystem::path> segments;
  std::filesystem::path classes;
  std::filesystem::path root = {};
  std::string files = "{ytid}_{start}.flac";

  static void fields(auto& self, auto&& visit) {
    visit("segments", self.segments, config::required & config::non_empty, "Segment lists, CSV as published.");
    visit("classes", self.classes, config::required, "class_labels_indices.csv: index, mid, display_name.");
    visit("root", self.root, "Folder of the sounds; left out, the working directory.");
    visit("files", self.files, config::non_empty,
          "Path of a sound below root, with {ytid}, {start} (seconds, three decimals) and {split} (name of its list up "
          "to _segments).");
  }
  void validate(config::Problems& problems) const;
};

/// In the order of the lists; rows whose file is not there are left out, and the log tells how many. Target: `target`
/// (tagged_files.h). Source: spec/audio.md section 2.2.
/// \throws UserError naming every row that cannot be understood, and when no file is there at all.
std::unique_ptr<Source> make_audioset(const AudioSetConfig& config);

}  // namespace unireplk::data::audio
