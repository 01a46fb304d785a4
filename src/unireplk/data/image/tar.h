#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/source.h"

namespace unireplk::data::image {

/// `name: tar`: images within tar files, as ImageNet comes.
struct TarConfig {
  std::filesystem::path file;
  std::optional<std::filesystem::path> folder = {};
  std::optional<std::filesystem::path> labels = {};
  std::string path = "path";
  std::string label = "label";
  std::optional<std::filesystem::path> class_map = {};
  std::optional<std::filesystem::path> index = {};

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required,
          "Tar file, or a folder of them; a tar file in it is a class, and so is a folder in the tar file.");
    visit("folder", self.folder, "Folder in the tar file that holds the classes; left out, its top.");
    visit(
        "labels", self.labels,
        "File with the class of each image: CSV, or a line each in the order of the sorted names; left out, the class "
        "is the folder.");
    visit("path", self.path, config::non_empty, "Column of a CSV file with the name of each image in the tar file.");
    visit("label", self.label, config::non_empty, "Column of a CSV file with the name of its class.");
    visit("class_map", self.class_map, kClassMapHelp);
    visit("index", self.index,
          "File that keeps where the images lie, made when it is missing or the tar files have changed; left out, all "
          "headers are read at each start.");
  }
};

/// Images of tar files as if they were unpacked, each tar file in a tar file or in the folder into a folder of its
/// name: the same classes and items in the same order as image_folder gives then. With `labels`, items in the order of
/// their names; classes sorted as image_list sorts them. Payload: EncodedBytes.
///
/// \throws UserError when index_tar (tar_index.h) does, two images have the same name, an image has no class, `folder`
///         holds none, `labels` speaks of other images, or read_class_map (class_map.h) does.
std::unique_ptr<Source> make_tar(const TarConfig& config);

}  // namespace unireplk::data::image
