#include "unireplk/train/averages.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/where.h>
#include <torch/nn/module.h>

#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/train/fused.h"

namespace unireplk::train {

Averages::Averages(torch::nn::Module& network) : values_(models::state_dict(network)) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, value] : values_) {
    const at::Tensor own = value.detach();
    const at::Tensor average = own.clone();
    averages_.emplace_back(name, average);
    Entries& entries = entries_for(average, own);
    entries.averages.push_back(average);
    entries.values.push_back(own);
  }
}

// On a CUDA device each tensor by itself would be a launch, of hundreds. A CPU reads less memory one by one.
Averages::Entries& Averages::entries_for(const at::Tensor& average, const at::Tensor& value) {
  if (!value.is_floating_point()) return integers_;
  const bool has_one_order = value.strides() == average.strides();
  return value.is_cuda() && value.scalar_type() == at::kFloat && has_one_order ? together_ : floating_;
}

void Averages::mix_in(const at::Tensor& exact) {
  UNIREPLK_CHECK(!exchanged_, "the averages are in the network");
  const at::NoGradGuard no_grad;
  move_floating(exact);
  if (!integers_.averages.empty()) at::_foreach_copy_(integers_.averages, integers_.values);
}

void Averages::take_over() {
  for (const Entries* entries : {&together_, &floating_}) {
    if (!entries->averages.empty()) at::_foreach_copy_(entries->averages, entries->values);
  }
}

// That share 0 moves nothing is not left to arithmetic, where 0 times infinity would.
void Averages::move_floating(const at::Tensor& exact) {
  const bool is_known = exact.is_cpu();  // asking another device would wait for it
  if (is_known && exact.item<double>() == 0) return;
  if (is_known && exact.item<double>() == 1) return take_over();
  move_together(together_.averages, together_.values, exact);
  at::Tensor share = exact;
  for (size_t i = 0; i < floating_.averages.size(); ++i) {
    const at::Tensor &average = floating_.averages[i], &value = floating_.values[i];
    if (share.scalar_type() != average.scalar_type()) share = exact.to(average.options());
    if (is_known) {
      average.lerp_(value, share);
    } else {
      average.copy_(at::where(share.eq(0), average, at::lerp(average, value, share)));
    }
  }
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
