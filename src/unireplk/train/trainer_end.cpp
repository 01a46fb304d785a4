#include <torch/nn/module.h>

#include <ATen/core/grad_mode.h>

#include "unireplk/core/log.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/trainer.h"

/// What a trainer does once, when training is over and saved: it measures the best weights on the test data.
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
  ValidationRecord test{.step = best_.step() < 0 ? clock_.step() : best_.step(), .epoch = 0, .results = {}};
  test.epoch = clock_.epoch_of(test.step);
  if (!test_best(test)) return stop();
  for (Observer* observer : observers_) observer->on_test(test);
  test_ = std::move(test.results);
  ending_.is_done = true;
  write_checkpoint();
  writer_.finish();
  return RunEnd::kFinished;
}

/// The best weights are those of the best validation; without one, the last.
bool Trainer::test_best(ValidationRecord& test) {
  const char* weights = ema_ ? "ema" : "model";
  const KeptWeights kept(parts_.task.network());
  const auto best = checkpoints_.pointed("best");
  const std::optional<Checkpoint> checkpoint = best ? std::optional(Checkpoint::read(*best)) : checkpoints_.newest();
  checkpoint->restore({{weights, &network_}});
  return measure(weights, parts_.test_data, test);
}

}  // namespace unireplk::train
