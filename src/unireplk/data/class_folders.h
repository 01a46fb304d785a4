#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/data/source.h"

namespace unireplk::data {

/// Which files are samples, and what messages call them.
struct FileKind {
  std::string_view one;                        ///< "image"
  std::string_view many;                       ///< "images"
  std::span<const std::string_view> suffixes;  ///< in lower case, with their dots

  bool holds(const std::filesystem::path& name) const;  ///< by the suffix, upper case or lower
  std::string suffix_text() const;                      ///< all of them, for messages: ".jpg .jpeg ..."
};

/// Paths, from `root` on, of every such file below one of its folders: folders and then files sorted, links followed,
/// but not in circles. \throws UserError when a folder cannot be listed.
std::vector<std::string> files_below(const std::filesystem::path& root, const std::string& folder,
                                     const FileKind& kind);

/// A folder with one sub-folder for each class, in the order of torchvision's ImageFolder (spec/image.md section 2):
/// classes are the sub-folders, sorted; below each, the files in the order of files_below(). `class_map`
/// (class_map.h) changes the classes, not the order of the items. Payload: EncodedBytes.
///
/// \throws UserError when the root is missing or holds no class, for every class without a file, and when
///         read_class_map() does.
std::unique_ptr<Source> class_folders(const std::filesystem::path& root,
                                      const std::optional<std::filesystem::path>& class_map, const FileKind& kind);

}  // namespace unireplk::data
