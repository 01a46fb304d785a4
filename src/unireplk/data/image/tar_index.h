#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/io/files.h"

namespace unireplk::data::image {

/// A tar file as it was when its headers were read.
struct TarFile {
  std::filesystem::path path;
  int64_t bytes = 0;
  int64_t modified_ns = 0;

  /// Whether it still is.
  bool is(const io::InputFile& file) const { return file.size() == bytes && file.modified_ns() == modified_ns; }
};

/// An image within a tar file.
struct TarImage {
  std::string name;  ///< its path in the unpacked tree: "n01440764/n01440764_18.JPEG"
  size_t file = 0;   ///< index of the tar file
  int64_t offset = 0;
  int64_t bytes = 0;
};

struct TarIndex {
  std::vector<TarFile> files;
  std::vector<TarImage> images;  ///< in the order of the files
};

/// Every image of one tar file, or of all files NAME.tar in a folder. A tar file within the one, and each in the
/// folder, is taken for a folder of its name. Only headers are read. Names that do not end as an image's
/// (image_suffixes.h) are skipped.
///
/// \param cache  a file that keeps the index: taken when the tar files are as they were, made (anew) otherwise.
/// \throws UserError when a file is no tar archive or holds no image, for links and names that lead out of the archive,
///         and when `cache` is a file of another kind.
TarIndex index_tar(const std::filesystem::path& path, const std::optional<std::filesystem::path>& cache);

}  // namespace unireplk::data::image
