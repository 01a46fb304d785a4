#include "unireplk/runner/looks.h"

#include <nlohmann/json.hpp>

#include "unireplk/data/subset.h"
#include "unireplk/runner/experiment.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

fs::path first_folder(const fs::path& parent, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (fs::is_directory(parent / name)) return parent / name;
  }
  return {};
}

/// Items on one side of the split. \throws UserError when a class has too few for it.
int64_t count_of(const std::shared_ptr<const data::Source>& items, data::Part part) {
  return data::subset_of(items, {.source = {}, .hold_out = kHoldOut, .part = part})->size();
}

}  // namespace

std::vector<Look> looks() { return {look_at_images(), look_at_audio(), look_at_time_series()}; }

bool holds_file(const fs::path& folder, bool (*is_good)(const std::string& name)) {
  constexpr int kMost = 10000;
  if (!fs::is_directory(folder)) return false;
  int seen = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end && seen < kMost;
       it.increment(error)) {
    ++seen;
    if (is_good(it->path().filename().string()) && it->is_regular_file(error)) return true;
  }
  return false;
}

SplitFolders split_folders(const fs::path& folder) {
  const fs::path train = first_folder(folder, {"train", "training"});
  if (train.empty()) return {.train = folder, .validation = {}};
  return {.train = train, .validation = first_folder(folder, {"validation", "val", "valid", "test"})};
}

ClassSets class_sets(const SplitFolders& folders,
                     const std::function<std::unique_ptr<data::Source>(const fs::path& root)>& open) {
  ClassSets sets{.train = open(folders.train), .items = 0, .classes = 0, .validation = {}};
  if (folders.validation.empty()) {
    count_of(sets.train, data::Part::kHeldOut);
    sets.items = count_of(sets.train, data::Part::kRest);
    sets.validation = format("{:.0f}% held out for validation", 100 * kHoldOut);
  } else {
    check_same_classes(sets.train->info(), open(folders.validation)->info(), key_of(Split::kValidation));
    sets.items = sets.train->size();
    sets.validation = "validation in " + folders.validation.string();
  }
  sets.classes = std::ssize(sets.train->info().classes);
  return sets;
}

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

std::string set_lines(const std::string& source, const SplitFolders& folders) {
  const auto folder = [&](const fs::path& root) {
    return format("{{name: {}, root: {}}}", source, quoted(root.string()));
  };
  if (!folders.validation.empty()) {
    return format("  train: {}\n  validation: {}\n", folder(folders.train), folder(folders.validation));
  }
  const auto part = [&](const char* name) {
    return format("{{name: subset, source: {}, hold_out: {}, part: {}}}", folder(folders.train), kHoldOut, name);
  };
  return format("  train: {}\n  validation: {}\n", part("rest"), part("held_out"));
}

}  // namespace unireplk::runner
