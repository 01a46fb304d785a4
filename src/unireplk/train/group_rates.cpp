#include "unireplk/train/group_rates.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace unireplk::train {
namespace {

constexpr int64_t kScalars = 3;  // lr, minus_decay, shrinkage

at::Device device_of(const std::vector<ParameterGroup>& groups) {
  const auto filled = std::ranges::find_if(groups, [](const auto& group) { return !group.parameters.empty(); });
  return filled == groups.end() ? at::Device(at::kCPU) : filled->parameters.front().value.device();
}

template <class T>
void write_as(const std::vector<double>& values, at::Tensor& target) {
  std::ranges::transform(values, target.mutable_data_ptr<T>(), [](double value) { return static_cast<T>(value); });
}

}  // namespace

GroupRates::GroupRates(const std::vector<ParameterGroup>& groups, bool decay_on_device)
    : decay_on_device_(decay_on_device) {
  const at::Device device = device_of(groups);
  scalars_ = at::zeros({static_cast<int64_t>(groups.size()), kScalars},
                       at::TensorOptions(device).dtype(device.is_cpu() ? at::kDouble : at::kFloat));
  for (size_t i = 0; i < groups.size(); ++i) {
    factors_.push_back({.lr = groups[i].lr_scale, .decays = groups[i].decays});
    const at::Tensor row = scalars_[static_cast<int64_t>(i)];
    GroupRate& rate = rates_.emplace_back(GroupRate{.lr = row[0]});
    if (!decay_on_device || !groups[i].decays) continue;
    rate.minus_decay = row[1];
    rate.shrinkage = row[2];
  }
}

// Page-locked memory is not used again before its copy has ended, so that no step waits for the one before it.
void GroupRates::set(const StepSettings& settings) {
  settings_ = settings;
  std::vector<double> values;
  for (size_t i = 0; i < rates_.size(); ++i) {
    const double lr = settings.lr * factors_[i].lr, decay = factors_[i].decays ? settings.weight_decay : 0.0;
    values.insert(values.end(), {lr, -decay, lr * decay});
    if (!decay_on_device_) rates_[i].weight_decay = decay;
  }
  if (scalars_.is_cpu()) return write_as<double>(values, scalars_);
  const auto pinned = scalars_.options().device(at::kCPU).pinned_memory(true);
  at::Tensor host = at::empty(scalars_.sizes(), pinned);
  write_as<float>(values, host);
  scalars_.copy_(host, /*non_blocking=*/true);
}

}  // namespace unireplk::train
