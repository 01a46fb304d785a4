#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <span>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/tensor/state.h"
#include "unireplk/train/observer.h"

namespace torch::nn {
class Module;
}

namespace unireplk::train {

/// What happens when too many steps in a row were skipped.
enum class WhenDiverged { kStop, kRollBack };

/// `guard:` of a config.
struct GuardConfig {
  int64_t max_skipped = 10;
  WhenDiverged then = WhenDiverged::kStop;
  double lr_factor = 0.5;
  int64_t max_roll_backs = 3;

  static void fields(auto& self, auto&& visit) {
    visit("max_skipped", self.max_skipped, config::non_negative,
          "Steps in a row that may be skipped because loss or gradient is not finite; one more is a divergence.");
    visit("then", self.then, "What a divergence does: stop the run, or roll back to the newest checkpoint.");
    visit("lr_factor", self.lr_factor, config::Range{.low = 0, .high = 1, .open_low = true},
          "Factor on the learning rate for the rest of the run, for each time it has rolled back.");
    visit("max_roll_backs", self.max_roll_backs, config::at_least(1), "How often a run may roll back before it stops.");
  }
};

/// Keeps steps whose loss or gradient is not finite from changing anything, on the device and without waiting for it;
/// counts them when their values have been read.
class Guard : public Stateful {
 public:
  /// \param network  must outlive the guard, and its buffers stay where they are.
  Guard(const GuardConfig& config, torch::nn::Module& network);

  /// Keep what a forward pass changes by itself: the network's buffers.
  void begin_step();

  /// Whether the step must not change anything: a float scalar on the device of the loss, 1 or 0.
  static at::Tensor is_unsound(const at::Tensor& loss, const at::Tensor& grad_norm);

  /// Put the buffers back, for the step begins anew.
  void undo_step();

  /// Put the buffers back when `skip` is 1. Nothing can be undone after that.
  void end_step(const at::Tensor& skip);

  /// Take account of steps that have been read, and tell of those that were skipped.
  /// \return how many of them, from the first, belong to the run; less than all when it has diverged within them.
  size_t consider(std::span<const StepRecord> records);

  bool has_diverged() const { return skipped_in_a_row_ > config_.max_skipped; }

  /// Whether a divergence is to be undone, and may be once more.
  bool may_roll_back() const { return config_.then == WhenDiverged::kRollBack && roll_backs_ < config_.max_roll_backs; }

  /// After the state of the run has gone back to a checkpoint. \param before  what roll_backs() was before that.
  void count_roll_back(int64_t before);

  int64_t roll_backs() const { return roll_backs_; }
  int64_t skipped_in_a_row() const { return skipped_in_a_row_; }

  /// On the learning rate of the schedule.
  double lr_factor() const;

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  /// Buffers, in their own memory, and what is kept of them, all as whole numbers of one type: a GPU takes hundreds of
  /// small ones in a few pieces this way.
  struct Words {
    std::vector<at::Tensor> buffers, kept;
  };

  GuardConfig config_;
  std::map<at::ScalarType, Words> words_;
  int64_t skipped_in_a_row_ = 0;
  int64_t roll_backs_ = 0;
};

}  // namespace unireplk::train

namespace unireplk::config {

template <>
struct EnumNames<train::WhenDiverged> {
  static constexpr std::pair<std::string_view, train::WhenDiverged> values[] = {
      {"stop", train::WhenDiverged::kStop}, {"roll_back", train::WhenDiverged::kRollBack}};
};

}  // namespace unireplk::config
