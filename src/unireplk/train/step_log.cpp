#include "unireplk/train/step_log.h"

#include <ATen/ops/isnan.h>
#include <ATen/ops/masked_fill.h>
#include <ATen/ops/stack.h>

#include <limits>

namespace unireplk::train {

std::vector<StepRecord> StepLog::take() {
  std::vector<at::Tensor> scalars;
  for (const auto& pending : pending_) {
    for (const auto& value : pending.values.tensors()) scalars.push_back(value.to(at::kDouble));
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
    if (pending.values.loss_scale.defined()) record.loss_scale = *next++;
    for (auto& [name, value] : pending.values.parts) record.parts.emplace_back(std::move(name), *next++);
  }
  pending_.clear();
  return records;
}

}  // namespace unireplk::train
