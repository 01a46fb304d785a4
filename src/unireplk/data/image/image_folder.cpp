#include "unireplk/data/image/image_folder.h"

#include "unireplk/data/class_folders.h"
#include "unireplk/data/image/image_suffixes.h"

namespace unireplk::data::image {

std::unique_ptr<Source> make_image_folder(const ImageFolderConfig& config) {
  return class_folders(config.root, config.class_map, image_files());
}

}  // namespace unireplk::data::image
