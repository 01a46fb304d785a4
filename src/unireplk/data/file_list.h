#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/source.h"

namespace unireplk::data {

/// `name: image_list` and `audio_list`: a CSV file that names files and their classes.
struct FileListConfig {
  std::filesystem::path file;
  std::optional<std::filesystem::path> root = {};
  std::string path = "path";
  std::string label = "label";
  std::vector<std::string> classes = {};
  std::optional<std::filesystem::path> class_map = {};

  void validate(config::Problems& problems) const {
    if (classes.empty() || !class_map) return;
    problems.add("class_map", "`classes` says the classes already", "Leave out one of them.");
  }

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required, "CSV file whose first row names the columns.");
    visit("root", self.root, "Folder that relative paths start at; left out, the one the file is in.");
    visit("path", self.path, config::non_empty, "Column with the path of each file.");
    visit("label", self.label, config::non_empty, "Column with the name of its class.");
    visit("classes", self.classes, "Names of the classes, in the order of their labels; left out, sorted as found.");
    visit("class_map", self.class_map, kClassMapHelp);
  }
};

/// Files in the order of the list. Without `classes` the names are sorted by their bytes, or by value when all are
/// whole numbers. Whether the files are there shows when they are read.
///
/// \throws UserError when the file cannot be read or lists nothing, for every row that names no file or no class, and
///         when read_class_map (class_map.h) does.
std::unique_ptr<Source> make_file_list(const FileListConfig& config);

}  // namespace unireplk::data
