#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/norm_statistics.h"
#include "unireplk/train/trainer.h"

/// What a trainer does when training is over and saved: it finishes the average of epochs and measures the best weights
/// on the test data, once.
namespace unireplk::train {
namespace {

/// While alive the network may hold other weights; then it has its own again.
class KeptWeights {
 public:
  explicit KeptWeights(torch::nn::Module& network) : own_(models::state_dict(network)) {
    for (const auto& [name, value] : own_) kept_.push_back(value.detach().clone());
  }
  ~KeptWeights() {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < own_.size(); ++i) own_[i].second.copy_(kept_[i]);
  }
  KeptWeights(const KeptWeights&) = delete;
  KeptWeights& operator=(const KeptWeights&) = delete;

 private:
  models::NamedTensors own_;
  std::vector<at::Tensor> kept_;
};

}  // namespace

RunEnd Trainer::finish() {
  writer_.finish();
  if (!has_ending() || ending_.is_done) return RunEnd::kFinished;
  if (graphs_) graphs_->drop_recordings();  // nothing is trained any more
  ValidationRecord validation{.step = clock_.step(), .epoch = clock_.epoch_of(clock_.step()), .results = {}};
  ValidationRecord test{.step = best_.step() < 0 ? clock_.step() : best_.step(), .epoch = 0, .results = {}};
  test.epoch = clock_.epoch_of(test.step);
  if (!test_best(test) || !finish_average(validation, test)) return stop();
  for (Observer* observer : observers_) {
    if (!validation.results.empty()) observer->on_validation(validation);
    if (!test.results.empty()) observer->on_test(test);
  }
  test_ = std::move(test.results);
  ending_.is_done = true;
  write_checkpoint();
  writer_.finish();
  return RunEnd::kFinished;
}

/// The best weights are those of the best validation; without one, the last.
bool Trainer::test_best(ValidationRecord& test) {
  if (!parts_.test_data) return true;
  const char* weights = ema_ ? "ema" : "model";
  const KeptWeights kept(parts_.task.network());
  const auto best = checkpoints_.pointed("best");
  const std::optional<Checkpoint> checkpoint = best ? std::optional(Checkpoint::read(*best)) : checkpoints_.newest();
  checkpoint->restore({{weights, &network_}});
  return measure(weights, parts_.test_data, test);
}

/// Give the average its running statistics and measure it. False when asked to stop.
bool Trainer::finish_average(ValidationRecord& validation, ValidationRecord& test) {
  if (!average_) return true;
  if (average_->count() == 0) {
    log_warning("the run has ended before train.weight_average.from_epoch: there is no average");
    return true;
  }
  const Averages::Swap averages(*average_);
  if (!compute_statistics()) return false;
  if (parts_.validation_data && !measure("average", parts_.validation_data, validation)) return false;
  return !parts_.test_data || measure("average", parts_.test_data, test);
}

/// A pass over training data in training mode, which changes nothing but running statistics. False when asked to stop.
bool Trainer::compute_statistics() {
  NormStatistics statistics(parts_.task.network());
  if (statistics.empty()) return true;
  const at::NoGradGuard no_grad;
  const int64_t batches =
      std::min(config_.weight_average->statistics_batches.value_or(parts_.batches_per_epoch), parts_.batches_per_epoch);
  parts_.train_data.start(clock_.epoch());
  for (int64_t i = 0; i < batches; ++i) {
    if (stop_requested()) return false;
    std::optional<Batch> batch = parts_.train_data.next();
    UNIREPLK_CHECK(batch, "the training data ended within epoch {}", clock_.epoch());
    const tasks::Step step = step_at(clock_.step() + i, clock_.epoch(), /*micro_step=*/0);
    parts_.task.prepare(*batch, step, /*training=*/true);
    statistics.begin_batch();
    const AutocastGuard guard(autocast_);
    parts_.task.losses(*batch, step);
    statistics.end_batch();
  }
  statistics.finish();
  return true;
}

}  // namespace unireplk::train
