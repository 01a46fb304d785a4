#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/train/observer.h"

namespace unireplk::train {

/// `profile:` of a config.
struct ProfileConfig {
  int64_t start = 10;
  int64_t steps = 3;

  static void fields(auto& self, auto&& visit) {
    visit("start", self.start, config::at_least(1), "First step that is traced, as metrics.jsonl counts them.");
    visit("steps", self.steps, config::between(1, 1000), "How many steps are traced.");
  }

  int64_t last() const { return start + steps - 1; }
};

/// Traces some steps with LibTorch's profiler: every operator with its shapes and threads, on a GPU every kernel and
/// copy too. Each step is marked as "ProfilerStep#10", as PyTorch does. What is computed stays the same.
///
/// Writes FOLDER/step_000000010.json, named by the first step, in Chrome's trace format, once the last step is done. A
/// trace that is interrupted is dropped; a run that goes on in the midst of the steps traces those that are left.
class ProfileObserver : public Observer {
 public:
  /// \param device  of the training; with a GPU, tracing waits for it before the first step and after the last.
  ProfileObserver(const ProfileConfig& config, std::filesystem::path folder, c10::Device device);
  ~ProfileObserver() override;

  void before_step(int64_t step) override;

  /// \throws UserError when the file cannot be written.
  void after_step(int64_t step) override;

 private:
  class Recording;

  void write(int64_t last_step);

  ProfileConfig config_;
  std::filesystem::path folder_;
  c10::Device device_;
  std::unique_ptr<Recording> recording_;  ///< while steps are traced
  int64_t first_step_ = 0;                ///< of the recording
  bool has_looked_ = false;               ///< at where the process begins
};

}  // namespace unireplk::train
