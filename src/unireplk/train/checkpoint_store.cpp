#include "unireplk/train/checkpoint_store.h"

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/core/whole_number.h"
#include "unireplk/io/files.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step_";
constexpr std::string_view kTemporary = ".tmp_";  ///< being written
constexpr std::string_view kReplaced = ".old_";   ///< about to be replaced by one of the same step

/// The step of a checkpoint folder's name.
std::optional<int64_t> step_of(const std::string& name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  return whole_number(std::string_view(name).substr(kPrefix.size()));
}

fs::path beside(const fs::path& path, std::string_view prefix) {
  return path.parent_path() / (std::string(prefix) + path.filename().string());
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error)
    throw UserError({folder_.string(), "cannot be made: " + error.message(), "Check `output` and its rights."});
  clear_leftovers();
}

fs::path CheckpointStore::folder_of(int64_t step) const { return folder_ / format("{}{:09}", kPrefix, step); }

void CheckpointStore::clear_leftovers() const {
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder_)) entries.push_back(entry.path());
  for (const auto& path : entries) {
    const std::string name = path.filename().string();
    if (name.starts_with(kReplaced)) {
      const fs::path original = folder_ / name.substr(kReplaced.size());
      if (!fs::exists(original)) {
        fs::rename(path, original);
        continue;
      }
    } else if (!name.starts_with(kTemporary)) {
      continue;
    }
    fs::remove_all(path);
  }
}

void CheckpointStore::save(int64_t step, const std::vector<Section>& sections, bool is_best) {
  const fs::path target = folder_of(step);
  const io::ScratchFolder temporary(beside(target, kTemporary));
  Checkpoint::write(temporary.path(), step, sections);
  publish(temporary.path(), target);
  point("latest", step);
  if (is_best) point("best", step);
  remove_old(step);
}

void CheckpointStore::go_back_to(int64_t step, int64_t best_step) const {
  point("latest", step);
  if (fs::exists(folder_of(best_step))) {
    point("best", best_step);
  } else {
    fs::remove(folder_ / "best");
  }
  for (const int64_t other : steps()) {
    if (other > step) fs::remove_all(folder_of(other));
  }
}

void CheckpointStore::mark_latest(int64_t step) const {
  if (readable_pointer("latest") != folder_of(step)) point("latest", step);
}

void CheckpointStore::point(const std::string& pointer, int64_t step) const {
  io::write_file_atomically(folder_ / pointer, folder_of(step).filename().string() + '\n');
}

void CheckpointStore::publish(const fs::path& temporary, const fs::path& target) const {
  const fs::path replaced = beside(target, kReplaced);
  if (fs::exists(target)) fs::rename(target, replaced);
  io::publish_folder(temporary, target);
  fs::remove_all(replaced);
}

void CheckpointStore::remove_old(int64_t newest_step) const {
  // Newer ones than the one just written belong to a future that was given up; they do not count.
  std::vector<int64_t> all = steps();
  std::erase_if(all, [&](int64_t step) { return step > newest_step; });
  const auto kept = std::min(static_cast<size_t>(keep_), all.size());
  const auto best = readable_pointer("best"), latest = readable_pointer("latest");
  for (size_t i = 0; i + kept < all.size(); ++i) {
    const fs::path folder = folder_of(all[i]);
    if (folder != best && folder != latest) fs::remove_all(folder);
  }
}

std::optional<Checkpoint> CheckpointStore::newest(int64_t at_most) const {
  std::vector<int64_t> all = steps();
  std::erase_if(all, [&](int64_t step) { return step > at_most; });
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    try {
      return Checkpoint::read(folder_of(*step));
    } catch (const UserError& error) {
      log_warning("skipped a checkpoint: {}", error.what());
    }
  }
  if (all.empty()) return std::nullopt;
  throw UserError({folder_.string(), format("none of {} checkpoints is sound", all.size()),
                   "Remove the folder of the run to start it anew."});
}

std::optional<fs::path> CheckpointStore::pointed(const std::string& pointer) const {
  const fs::path file = folder_ / pointer;
  if (!fs::exists(file)) return std::nullopt;
  std::string name = io::read_file(file, 4096);
  while (!name.empty() && std::isspace(static_cast<unsigned char>(name.back()))) name.pop_back();
  if (!step_of(name)) {
    throw UserError({file.string(), "expected the name of a checkpoint folder, got \"" + name + '"',
                     "Write the name of one of the folders beside it."});
  }
  return folder_ / name;
}

std::optional<fs::path> CheckpointStore::readable_pointer(const std::string& pointer) const {
  try {
    return pointed(pointer);
  } catch (const UserError& error) {
    log_warning("{}", error.what());
    return std::nullopt;
  }
}

std::vector<int64_t> CheckpointStore::steps_in(const fs::path& folder) {
  std::vector<int64_t> steps;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return steps;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (const auto step = step_of(entry.path().filename().string())) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

bool CheckpointStore::has_leftovers(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return false;
  return std::any_of(fs::directory_iterator(folder), {}, [](const auto& entry) {
    const std::string name = entry.path().filename().string();
    return name.starts_with(kTemporary) || name.starts_with(kReplaced);
  });
}

}  // namespace unireplk::train
