#pragma once

#include <filesystem>
#include <memory>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data::audio {

/// `name: audio_manifest`: a JSON file that names sounds and their classes, as AST and PSLA have it.
struct AudioManifestConfig {
  std::filesystem::path file;
  std::filesystem::path classes;
  std::filesystem::path root = {};
  bool single_label = false;

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required,
          "JSON file: {\"data\": [{\"wav\": path, \"labels\": \"mid,mid\"}, ...]}.");
    visit("classes", self.classes, config::required, "CSV file of the classes: index, mid, display_name.");
    visit("root", self.root, "Folder that relative paths start at; left out, the working directory.");
    visit("single_label", self.single_label, "Each sound has one label; for the task classification.");
  }
};

/// In the order of the file: spec/audio.md section 2.1. With one label the target is `label`, else `target`
/// (tagged_files.h).
/// \throws UserError when a file cannot be understood, and naming every entry that lacks a key or has labels that are
///         no classes.
std::unique_ptr<Source> make_audio_manifest(const AudioManifestConfig& config);

}  // namespace unireplk::data::audio
