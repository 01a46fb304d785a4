#include "unireplk/train/averages.h"

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"

namespace unireplk::train {

Averages::Averages(torch::nn::Module& network) : values_(models::state_dict(network)) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : values_) {
    const at::Tensor own = value.detach();
    const at::Tensor average = own.clone();
    averages_.emplace_back(name, average);
    (own.is_floating_point() ? floating_averages_ : integer_averages_).push_back(average);
    (own.is_floating_point() ? floating_values_ : integer_values_).push_back(own);
  }
}

void Averages::mix_in(const at::Tensor& exact) {
  UNIREPLK_CHECK(!exchanged_, "the averages are in the network");
  const at::NoGradGuard no_grad;
  at::Tensor share = exact;
  for (size_t i = 0; i < floating_averages_.size(); ++i) {
    if (share.scalar_type() != floating_averages_[i].scalar_type()) share = exact.to(floating_averages_[i].options());
    floating_averages_[i].lerp_(floating_values_[i], share);
  }
  for (size_t i = 0; i < integer_averages_.size(); ++i) integer_averages_[i].copy_(integer_values_[i]);
}

// Values move by in-place copies: that raises the version of each tensor, by which caches of merged weights notice.
void Averages::exchange() {
  const at::NoGradGuard no_grad;
  for (size_t i = 0; i < values_.size(); ++i) {
    at::Tensor value = values_[i].second;
    const at::Tensor kept = value.detach().clone();
    value.copy_(averages_[i].second);
    averages_[i].second.copy_(kept);
  }
  exchanged_ = !exchanged_;
}

void Averages::save(StateWriter& writer) const {
  UNIREPLK_CHECK(!exchanged_, "the averages are in the network");
  save_entries(averages_, writer);
}

void Averages::load(const StateReader& reader) { load_entries(averages_, reader); }

}  // namespace unireplk::train
