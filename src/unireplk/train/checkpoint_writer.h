#pragma once

#include <future>

#include "unireplk/train/checkpoint_store.h"

namespace unireplk::train {

/// Writes checkpoints while the training goes on: the state is copied at once, the disk is left to a thread. At most
/// one checkpoint is under way.
class CheckpointWriter {
 public:
  /// `store` must outlive the writer and be used by nobody else while a checkpoint is under way.
  explicit CheckpointWriter(CheckpointStore& store) : store_(store) {}

  /// Copy the state and begin to write it, once the checkpoint before is on disk.
  /// \throws UserError when the checkpoint before could not be written.
  void save(int64_t step, const std::vector<Section>& sections, bool is_best);

  /// \throws UserError when the checkpoint under way has failed already. Does not wait.
  void check();

  /// Wait until everything is on disk. \throws UserError when it could not be written.
  void finish();

  /// Wait as finish() does, when something else has gone wrong already: a problem is logged.
  void settle() noexcept;

 private:
  CheckpointStore& store_;
  std::future<void> writing_;  ///< waits for its thread when it goes
};

}  // namespace unireplk::train
