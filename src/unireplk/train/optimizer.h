#pragma once

#include <memory>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/tensor/state.h"
#include "unireplk/train/group_rates.h"
#include "unireplk/train/parameter_groups.h"

namespace unireplk::train {

/// Changes parameters by their gradients.
class Optimizer : public Stateful {
 public:
  /// One update. A parameter without a gradient is left alone. Gradients are of no use afterwards.
  /// \param rates  of groups().
  /// \param skip   float scalar on the parameters' device: 1 leaves everything as it is. Undefined: 0.
  virtual void step(const GroupRates& rates, const at::Tensor& skip) = 0;

  /// The same, by itself. Group learning rate = settings.lr x lr_scale; groups that decay use settings.weight_decay.
  void step(const StepSettings& settings, const at::Tensor& skip);

  /// What keeps step() from being recorded on a device and replayed in later steps; empty: nothing does. That is so
  /// when it decides nothing on the host by what changes from step to step, takes learning rates from the scalars,
  /// changes its state in place, and never waits for the device.
  virtual std::string unrecordable() const { return "the optimizer does not say that its update can be recorded"; }

  virtual const std::vector<ParameterGroup>& groups() const = 0;

  /// Values the schedule starts from.
  virtual StepSettings base() const = 0;

  /// Forget all gradients.
  void zero_grad();

  /// All parameters that have a gradient, group by group.
  std::vector<at::Tensor> gradients() const;
};

using MakeOptimizer = std::unique_ptr<Optimizer>(const torch::nn::Module& network);

/// Keys that every optimizer has. \param weight_decay_help  what is particular to its decay.
void visit_common(auto& self, auto&& visit, const char* weight_decay_help) {
  visit("lr", self.lr, config::positive, "Peak learning rate, used as it is: scale it with the total batch yourself.");
  visit("weight_decay", self.weight_decay, config::non_negative, weight_decay_help);
  visit("decay_all", self.decay_all, "Vectors and biases decay too, as in torch.optim with one list of parameters.");
  visit("layer_decay", self.layer_decay, config::Range{.low = 0, .high = 1, .open_low = true},
        "Factor on the learning rate for each of 13 depths from the head to the stem; 1 switches it off.");
}

/// Keys of the moments of Adam.
void visit_moments(auto& self, auto&& visit) {
  visit("beta1", self.beta1, config::below_one, "Decay of the mean of the gradients.");
  visit("beta2", self.beta2, config::below_one, "Decay of the mean of their squares.");
  visit("eps", self.eps, config::positive, "Added to the root of the second moment.");
}

/// `name: adamw`.
struct AdamWConfig {
  double lr = 4e-3;
  double weight_decay = 0.05;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double layer_decay = 1.0;
  bool decay_all = false;

  static void fields(auto& self, auto&& visit) {
    visit_common(self, visit, "Decoupled; not for vectors and biases.");
    visit_moments(self, visit);
  }
};

/// AdamW with decoupled decay, eps outside the root (spec/image.md section 8), fused over the tensors of a group.
/// State keys: NAME.exp_avg and NAME.exp_avg_sq for every parameter, and one count `step`.
std::unique_ptr<Optimizer> make_adamw(const AdamWConfig& config, const torch::nn::Module& network);

/// `name: adam`.
struct AdamConfig {
  double lr = 1e-3;
  double weight_decay = 0;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double layer_decay = 1.0;
  bool decay_all = false;

  static void fields(auto& self, auto&& visit) {
    visit_common(self, visit, "Times the weight, it is added to the gradient (L2); not for vectors and biases.");
    visit_moments(self, visit);
  }
};

/// Adam with decay as a part of the gradient, as torch.optim.Adam; else as make_adamw().
std::unique_ptr<Optimizer> make_adam(const AdamConfig& config, const torch::nn::Module& network);

/// `name: sgd`.
struct SgdConfig {
  double lr = 0.1;
  double weight_decay = 1e-4;
  double momentum = 0.9;
  bool nesterov = false;
  double layer_decay = 1.0;
  bool decay_all = false;

  static void fields(auto& self, auto&& visit) {
    visit_common(self, visit, "Times the weight, it is added to the gradient (L2); not for vectors and biases.");
    visit("momentum", self.momentum, config::below_one, "Share of its last step that each step keeps; 0: none.");
    visit("nesterov", self.nesterov, "Look ahead by the momentum.");
  }
  void validate(config::Problems& problems) const {
    if (nesterov && momentum == 0) problems.add("nesterov", "has no meaning without momentum", "Give momentum too.");
  }
};

/// Gradient descent with momentum, as torch.optim.SGD without dampening. State keys: NAME.momentum_buffer for every
/// parameter, when there is momentum.
std::unique_ptr<Optimizer> make_sgd(const SgdConfig& config, const torch::nn::Module& network);

}  // namespace unireplk::train
