#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/zeros_like.h>

#include "unireplk/train/fused.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {
namespace {

class Sgd : public Optimizer {
 public:
  Sgd(const SgdConfig& config, const torch::nn::Module& network)
      : config_(config), groups_(parameter_groups(network, config.layer_decay, config.decay_all)) {
    for (const auto& group : groups_) {
      auto& buffers = buffers_.emplace_back();
      if (!has_momentum()) continue;
      for (const auto& parameter : group.parameters) buffers.push_back(at::zeros_like(parameter.value.detach()));
    }
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  StepSettings base() const override { return {.lr = config_.lr, .weight_decay = config_.weight_decay}; }

  std::string unrecordable() const override { return ""; }

  void step(const GroupRates& rates, const at::Tensor& skip) override {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < groups_.size(); ++i) update(groups_[i], buffers_[i], rates[i], skip);
  }

  void save(StateWriter& writer) const override {
    for_each([&](const std::string& key, const at::Tensor& buffer) { writer.tensor(key, buffer); });
  }

  void load(const StateReader& reader) override {
    for_each([&](const std::string& key, const at::Tensor& buffer) { restore_entry(buffer, reader, key); });
  }

 private:
  bool has_momentum() const { return config_.momentum > 0; }

  template <class Visit>
  void for_each(Visit visit) const {
    for (size_t i = 0; i < groups_.size(); ++i) {
      for (size_t j = 0; j < buffers_[i].size(); ++j) {
        visit(groups_[i].parameters[j].name + ".momentum_buffer", buffers_[i][j]);
      }
    }
  }

  void update(const ParameterGroup& group, const std::vector<at::Tensor>& buffers, const GroupRate& rate,
              const at::Tensor& skip) const {
    std::vector<at::Tensor> parameters, gradients, moving;
    for (size_t j = 0; j < group.parameters.size(); ++j) {
      const at::Tensor& parameter = group.parameters[j].value;
      if (!parameter.grad().defined()) continue;
      parameters.push_back(parameter);
      gradients.push_back(aligned_gradient(parameter));
      if (has_momentum()) moving.push_back(buffers[j]);
    }
    if (parameters.empty()) return;
    subtract_together(gradients, parameters, rate.minus_decay, skip);
    // A buffer of zeros makes the first step what torch's is_first_step would.
    at::_fused_sgd_(parameters, gradients, moving, rate.weight_decay, config_.momentum, rate.lr, /*dampening=*/0.0,
                    config_.nesterov, /*maximize=*/false, /*is_first_step=*/false, /*grad_scale=*/{}, found_inf(skip));
  }

  SgdConfig config_;
  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<at::Tensor>> buffers_;  ///< parallel to groups_ and their parameters; empty without momentum
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(const SgdConfig& config, const torch::nn::Module& network) {
  return std::make_unique<Sgd>(config, network);
}

}  // namespace unireplk::train
