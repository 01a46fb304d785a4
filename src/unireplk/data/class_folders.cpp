#include "unireplk/data/class_folders.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "unireplk/core/utf8.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/labelled_files.h"

namespace unireplk::data {
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

class Walk {
 public:
  using Found = std::vector<std::pair<std::string, std::string>>;

  Walk(const fs::path& folder, const FileKind& kind) : kind_(kind) {
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
      } else if (kind_.holds(entry.path())) {
        found_.emplace_back(folder.string(), entry.path().filename().string());
      }
    }
    above_.pop_back();
  }

  const FileKind& kind_;
  Found found_;
  std::vector<fs::path> above_;
};

std::vector<std::string> folders_in(const fs::path& root, const FileKind& kind) {
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
                     format("Move the {} of each class into a folder of its own.", kind.many)});
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

bool FileKind::holds(const fs::path& name) const {
  std::string suffix = name.extension().string();
  for (char& c : suffix) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return std::ranges::find(suffixes, suffix) != suffixes.end();
}

std::string FileKind::suffix_text() const { return format("{}", fmt::join(suffixes, " ")); }

std::vector<std::string> files_below(const fs::path& root, const std::string& folder, const FileKind& kind) {
  std::vector<std::string> files;
  for (const auto& [parent, name] : Walk(root / folder, kind).take()) {
    files.push_back((fs::path(parent) / name).lexically_relative(root).string());
  }
  return files;
}

std::unique_ptr<Source> class_folders(const fs::path& root, const std::optional<fs::path>& class_map,
                                      const FileKind& kind) {
  auto classes = folders_in(root, kind);
  std::vector<LabelledFile> files;
  std::vector<Problem> problems;
  for (size_t label = 0; label < classes.size(); ++label) {
    auto found = files_below(root, classes[label], kind);
    if (found.empty()) {
      problems.push_back({(root / classes[label]).string(),
                          format("expected at least one {} ({}), got none", kind.one, kind.suffix_text()),
                          format("Add {} or remove the folder.", kind.many)});
    }
    for (auto& file : found) files.push_back({std::move(file), static_cast<int64_t>(label)});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  map_classes(class_map, root.string(), classes, files);
  return labelled_files(root, std::move(classes), std::move(files));
}

}  // namespace unireplk::data
