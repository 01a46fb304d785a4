#include "unireplk/runner/looks.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "unireplk/core/log.h"
#include "unireplk/data/subset.h"
#include "unireplk/runner/experiment.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

constexpr double kHoldOut = 0.2;  // share of the items, where nothing else is there to validate with

struct SplitFolders {
  fs::path train;
  fs::path validation;  ///< empty: to be held out
};

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

SplitFolders split_folders(const fs::path& folder) {
  const fs::path train = first_folder(folder, {"train", "training"});
  if (train.empty()) return {.train = folder, .validation = {}};
  return {.train = train, .validation = first_folder(folder, {"validation", "val", "valid", "test"})};
}

/// `train` and `validation` lines; `source` is a name in configs.
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

ClassDraft draft_classes(const fs::path& folder, const ClassFolders& source) {
  const auto folders = split_folders(folder);
  const std::shared_ptr<const data::Source> items = source.open(folders.train);
  Draft draft{.data = set_lines(source.name, folders)};
  if (folders.validation.empty()) {
    count_of(items, data::Part::kHeldOut);
    draft.items = count_of(items, data::Part::kRest);
    draft.validation = format("{:.0f}% held out for validation", 100 * kHoldOut);
  } else {
    check_same_classes(items->info(), source.open(folders.validation)->info(), key_of(Split::kValidation));
    draft.items = items->size();
    draft.validation = "validation in " + folders.validation.string();
  }
  const auto classes = std::ssize(items->info().classes);
  draft.counts = {{source.items, draft.items}, {"classes", classes}};
  draft.found = format("{} {} of {} classes to train with", draft.items, source.items, classes);
  return {.draft = std::move(draft), .items = items};
}

void look_at_some(const data::Source& items, const std::string& what,
                  const std::function<std::optional<Problem>(data::Record record, const std::string& file)>& look) {
  constexpr int64_t kMost = 31;
  const int64_t count = std::min(kMost, items.size());
  int64_t good = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = i * items.size() / count;
    auto record = items.read(index);
    const auto problem =
        record ? look(std::move(record).value(), items.where(index).file) : std::optional(record.problem());
    if (problem) {
      log_warning("{}", problem->text());
    } else {
      ++good;
    }
  }
  if (good > 0) return;
  throw UserError({items.where(0).file, format("expected {}, got {} files that are none", what, count), ""});
}

std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

}  // namespace unireplk::runner
