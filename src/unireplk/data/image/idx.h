#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "unireplk/config/fields.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// A pair of IDX files, as MNIST comes; plain or gzip.
struct IdxConfig {
  std::filesystem::path images;
  std::filesystem::path labels;
  std::optional<std::filesystem::path> classes;

  static void fields(auto& self, auto&& visit) {
    visit("images", self.images, config::required, "IDX file of bytes: image, row, column and perhaps channel.");
    visit("labels", self.labels, config::required, "IDX file with the class index of each image.");
    visit("classes", self.classes, "Text file with the name of each class, one a line; without it they are numbers.");
  }
};

/// Payload: uint8 [H, W], or [H, W, C] with C = 1 or 3. The images are held in memory.
///
/// \throws UserError when a file cannot be read or is no such file, the counts differ, or a label names no class.
std::unique_ptr<Source> make_idx(const IdxConfig& config);

}  // namespace unireplk::data::image
