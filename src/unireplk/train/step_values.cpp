#include "unireplk/train/step_values.h"

#include <algorithm>

namespace unireplk::train {
namespace {

void add_share(at::Tensor& sum, const at::Tensor& share) { sum = sum.defined() ? sum.add(share) : share; }

}  // namespace

void StepValues::add(const StepValues& micro_batch) {
  add_share(loss, micro_batch.loss);
  for (const auto& [name, share] : micro_batch.parts) {
    auto found = std::ranges::find(parts, name, &std::pair<std::string, at::Tensor>::first);
    if (found == parts.end()) found = parts.insert(parts.end(), {name, at::Tensor()});
    add_share(found->second, share);
  }
}

StepValues StepValues::with_each(const std::function<at::Tensor(const at::Tensor&)>& change) const {
  const auto changed = [&](const at::Tensor& value) { return value.defined() ? change(value) : value; };
  StepValues values{.loss = changed(loss), .grad_norm = changed(grad_norm), .loss_scale = changed(loss_scale)};
  for (const auto& [name, value] : parts) values.parts.emplace_back(name, changed(value));
  return values;
}

std::vector<at::Tensor> StepValues::tensors() const {
  std::vector<at::Tensor> all{loss, grad_norm, loss_scale};
  for (const auto& [name, value] : parts) all.push_back(value);
  std::erase_if(all, [](const at::Tensor& value) { return !value.defined(); });
  return all;
}

}  // namespace unireplk::train
