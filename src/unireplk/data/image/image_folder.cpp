#include "unireplk/data/image/image_folder.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/core/utf8.h"
#include "unireplk/data/image/class_map.h"
#include "unireplk/data/image/image_suffixes.h"
#include "unireplk/data/image/labelled_files.h"

namespace unireplk::data::image {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void throw_unreadable(const fs::path& folder, const std::error_code& error) {
  throw UserError({folder.string(), format("cannot list this folder: {}", error.message()), "Check its permissions."});
}

std::vector<fs::directory_entry> entries_of(const fs::path& folder) {
  std::vector<fs::directory_entry> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) entries.push_back(*it);
  if (error) throw_unreadable(folder, error);
  return entries;
}

/// Collects (folder, file name) of every image below a folder.
class Walk {
 public:
  using Found = std::vector<std::pair<std::string, std::string>>;

  explicit Walk(const fs::path& folder) {
    visit(folder);
    std::sort(found_.begin(), found_.end());
  }

  Found take() && { return std::move(found_); }

 private:
  void visit(const fs::path& folder) {
    std::error_code error;
    const fs::path real = fs::canonical(folder, error);
    if (error) throw_unreadable(folder, error);
    if (std::find(above_.begin(), above_.end(), real) != above_.end()) return;  // a link to a folder we are in
    above_.push_back(real);
    for (const auto& entry : entries_of(folder)) {
      if (entry.is_directory(error)) {
        visit(entry.path());
      } else if (has_image_suffix(entry.path().string())) {
        found_.emplace_back(folder.string(), entry.path().filename().string());
      }
    }
    above_.pop_back();
  }

  Found found_;
  std::vector<fs::path> above_;
};

std::vector<std::string> class_folders(const fs::path& root) {
  std::error_code error;
  if (!fs::is_directory(root, error)) {
    throw UserError({root.string(), "expected a folder with one sub-folder for each class, got no folder",
                     format("Correct `root`; a relative path starts at {}.", fs::current_path(error).string())});
  }
  std::vector<std::string> classes;
  for (const auto& entry : entries_of(root)) {
    if (entry.is_directory(error)) classes.push_back(entry.path().filename().string());
  }
  if (classes.empty()) {
    throw UserError({root.string(), "expected one sub-folder for each class, got none",
                     "Move the images of each class into a folder of its own."});
  }
  std::sort(classes.begin(), classes.end());
  for (const auto& name : classes) {
    if (!is_utf8(name)) {
      throw UserError({(root / name).string(), "expected the name of a class in UTF-8", "Rename the folder."});
    }
  }
  return classes;
}

}  // namespace

std::unique_ptr<Source> make_image_folder(const ImageFolderConfig& config) {
  auto classes = class_folders(config.root);
  std::vector<LabelledFile> files;
  std::vector<Problem> problems;
  for (size_t label = 0; label < classes.size(); ++label) {
    const fs::path folder = config.root / classes[label];
    const auto found = Walk(folder).take();
    if (found.empty()) {
      problems.push_back({folder.string(), format("expected at least one image ({}), got none", image_suffixes()),
                          "Add images or remove the folder."});
    }
    for (const auto& [parent, name] : found) {
      const std::string path = (fs::path(parent) / name).lexically_relative(config.root).string();
      files.push_back({path, static_cast<int64_t>(label)});
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  map_classes(config.class_map, config.root.string(), classes, files);
  return labelled_files(config.root, std::move(classes), std::move(files));
}

}  // namespace unireplk::data::image
