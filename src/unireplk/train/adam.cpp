#include <ATen/core/grad_mode.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include "unireplk/core/error.h"
#include "unireplk/train/fused.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {
namespace {

struct Moments {
  at::Tensor exp_avg;
  at::Tensor exp_avg_sq;
};

/// The tensors of one group in the parallel lists that the fused update takes.
struct FusedLists {
  std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs, steps;
};

/// How the weights decay.
enum class Decay {
  kDecoupled,  ///< by themselves, as in AdamW
  kCoupled,    ///< as a part of the gradient: L2, as in Adam
};

class Adam : public Optimizer {
 public:
  Adam(Decay decay, const AdamWConfig& config, const torch::nn::Module& network)
      : decay_(decay), config_(config), groups_(parameter_groups(network, config.layer_decay, config.decay_all)) {
    for (const auto& group : groups_) {
      auto& moments = moments_.emplace_back();
      for (const auto& parameter : group.parameters) {
        const at::Tensor value = parameter.value.detach();
        moments.push_back({at::zeros_like(value), at::zeros_like(value)});
        if (!steps_.defined()) steps_ = at::zeros({}, value.options().dtype(at::kFloat));
      }
    }
    UNIREPLK_CHECK(steps_.defined(), "adam: the network has no parameter to train");
  }

  const std::vector<ParameterGroup>& groups() const override { return groups_; }
  StepSettings base() const override { return {.lr = config_.lr, .weight_decay = config_.weight_decay}; }

  std::string unrecordable() const override { return ""; }

  void step(const GroupRates& rates, const at::Tensor& skip) override {
    const at::NoGradGuard no_grad;
    steps_.add_(1);
    for (size_t i = 0; i < groups_.size(); ++i) update(groups_[i], moments_[i], rates[i], skip);
    if (skip.defined()) steps_.sub_(skip);
  }

  void save(StateWriter& writer) const override {
    writer.integer("step", steps_.item().toLong());
    for_each([&](const std::string& name, const Moments& moments) {
      writer.tensor(name + ".exp_avg", moments.exp_avg);
      writer.tensor(name + ".exp_avg_sq", moments.exp_avg_sq);
    });
  }

  void load(const StateReader& reader) override {
    steps_.fill_(reader.integer("step"));
    for_each([&](const std::string& name, const Moments& moments) {
      restore_entry(moments.exp_avg, reader, name + ".exp_avg");
      restore_entry(moments.exp_avg_sq, reader, name + ".exp_avg_sq");
    });
  }

 private:
  template <class Visit>
  void for_each(Visit visit) const {
    for (size_t i = 0; i < groups_.size(); ++i) {
      for (size_t j = 0; j < moments_[i].size(); ++j) visit(groups_[i].parameters[j].name, moments_[i][j]);
    }
  }

  FusedLists lists_of(const ParameterGroup& group, const std::vector<Moments>& moments) const {
    FusedLists lists;
    for (size_t j = 0; j < moments.size(); ++j) {
      const at::Tensor& parameter = group.parameters[j].value;
      if (!parameter.grad().defined()) continue;
      lists.parameters.push_back(parameter);
      lists.gradients.push_back(aligned_gradient(parameter));
      lists.exp_avgs.push_back(moments[j].exp_avg);
      lists.exp_avg_sqs.push_back(moments[j].exp_avg_sq);
      lists.steps.push_back(steps_);
    }
    return lists;
  }

  void update(const ParameterGroup& group, const std::vector<Moments>& moments, const GroupRate& rate,
              const at::Tensor& skip) const {
    FusedLists lists = lists_of(group, moments);
    if (lists.parameters.empty()) return;
    const auto fused = [&](auto&& update) {
      update(lists.parameters, lists.gradients, lists.exp_avgs, lists.exp_avg_sqs, /*max_exp_avg_sqs=*/at::TensorList{},
             lists.steps, rate.lr, config_.beta1, config_.beta2, rate.weight_decay, config_.eps, /*amsgrad=*/false,
             /*maximize=*/false, /*grad_scale=*/std::nullopt, found_inf(skip));
    };
    if (decay_ == Decay::kDecoupled) {
      subtract_together(lists.parameters, lists.parameters, rate.shrinkage, skip);
      fused([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
    } else {
      subtract_together(lists.gradients, lists.parameters, rate.minus_decay, skip);
      fused([](auto&&... arguments) { at::_fused_adam_(arguments...); });
    }
  }

  Decay decay_;
  AdamWConfig config_;
  std::vector<ParameterGroup> groups_;
  std::vector<std::vector<Moments>> moments_;  ///< parallel to groups_ and their parameters
  at::Tensor steps_;                           ///< float scalar on the parameters' device, so that no step waits for it
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config, const torch::nn::Module& network) {
  return std::make_unique<Adam>(Decay::kDecoupled, config, network);
}

std::unique_ptr<Optimizer> make_adam(const AdamConfig& config, const torch::nn::Module& network) {
  const AdamWConfig common{.lr = config.lr,
                           .weight_decay = config.weight_decay,
                           .beta1 = config.beta1,
                           .beta2 = config.beta2,
                           .eps = config.eps,
                           .layer_decay = config.layer_decay,
                           .decay_all = config.decay_all};
  return std::make_unique<Adam>(Decay::kCoupled, common, network);
}

}  // namespace unireplk::train
