#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/train/checkpoint.h"

namespace unireplk::train {

/// The folder `checkpoints` of a run: one folder for each checkpoint, and the files `latest` and `best`, which name
/// one.
///
/// A checkpoint appears as a whole or not at all: it is written to a temporary folder, made durable and renamed.
class CheckpointStore {
 public:
  /// Make the folder if need be and clear away what a killed process left half done.
  /// \param keep  how many of the newest checkpoints stay; `best` and `latest` stay besides.
  CheckpointStore(std::filesystem::path folder, int64_t keep);

  /// Write a checkpoint, point `latest` (and `best`) to it, and remove what is too old.
  void save(int64_t step, const std::vector<Section>& sections, bool is_best);

  /// Give up the future behind a checkpoint: later ones go, `latest` names it, and `best` the one of `best_step` if it
  /// is there, or nothing.
  void go_back_to(int64_t step, int64_t best_step) const;

  /// Let `latest` name the checkpoint of this step, whatever became of the pointer.
  void mark_latest(int64_t step) const;

  /// The newest checkpoint that is sound; those skipped are logged with the reason. Nothing when there is none at all.
  /// \throws UserError when there are some and none is sound.
  /// \param at_most  later steps are left out of account.
  std::optional<Checkpoint> newest(int64_t at_most = std::numeric_limits<int64_t>::max()) const;

  /// The folder that `latest` or `best` names; nothing when there is no such pointer.
  std::optional<std::filesystem::path> pointed(const std::string& pointer) const;

  /// Steps of all checkpoints, rising.
  std::vector<int64_t> steps() const { return steps_in(folder_); }

  /// The same of a folder that need not be there.
  static std::vector<int64_t> steps_in(const std::filesystem::path& folder);

  /// Whether a process has ended there while it wrote a checkpoint, and no store has cleared that away.
  static bool has_leftovers(const std::filesystem::path& folder);

 private:
  std::filesystem::path folder_of(int64_t step) const;
  std::optional<std::filesystem::path> readable_pointer(const std::string& pointer) const;
  void point(const std::string& pointer, int64_t step) const;
  void clear_leftovers() const;
  void publish(const std::filesystem::path& temporary, const std::filesystem::path& target) const;
  void remove_old(int64_t newest_step) const;

  std::filesystem::path folder_;
  int64_t keep_;
};

}  // namespace unireplk::train
