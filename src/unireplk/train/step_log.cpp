#include "unireplk/train/step_log.h"

#include <ATen/ops/isnan.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <limits>

namespace unireplk::train {

void StepLog::Pending::add_part(const std::string& name, const at::Tensor& share) {
  auto found = std::find_if(parts.begin(), parts.end(), [&](const auto& part) { return part.first == name; });
  if (found == parts.end()) found = parts.insert(parts.end(), {name, at::Tensor()});
  add(found->second, share);
}

std::vector<StepRecord> StepLog::take() {
  std::vector<at::Tensor> scalars;
  for (const auto& pending : pending_) {
    scalars.push_back(pending.loss.to(at::kDouble));
    scalars.push_back(pending.grad_norm.to(at::kDouble));
    if (pending.loss_scale.defined()) scalars.push_back(pending.loss_scale.to(at::kDouble));
    for (const auto& [name, value] : pending.parts) scalars.push_back(value.to(at::kDouble));
  }
  std::vector<StepRecord> records;
  if (scalars.empty()) return records;
  const at::Tensor values = at::stack(scalars).cpu();
  values.masked_fill_(values.isnan(), std::numeric_limits<double>::quiet_NaN());  // whatever its sign was
  const double* next = values.const_data_ptr<double>();
  for (auto& pending : pending_) {
    StepRecord& record = records.emplace_back(std::move(pending.record));
    record.loss = *next++;
    record.grad_norm = *next++;
    if (pending.loss_scale.defined()) record.loss_scale = *next++;
    for (auto& [name, value] : pending.parts) record.parts.emplace_back(std::move(name), *next++);
  }
  pending_.clear();
  return records;
}

}  // namespace unireplk::train
