#include "unireplk/train/guard.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <torch/nn/module.h>

#include <cmath>

#include "unireplk/core/log.h"

namespace unireplk::train {

Guard::Guard(const GuardConfig& config, torch::nn::Module& network) : config_(config), buffers_(network.buffers()) {
  for (const auto& buffer : buffers_) kept_.push_back(buffer.clone());
}

void Guard::begin_step() {
  const at::NoGradGuard no_grad;
  if (!buffers_.empty()) at::_foreach_copy_(kept_, buffers_);
}

void Guard::undo_step() {
  const at::NoGradGuard no_grad;
  if (!buffers_.empty()) at::_foreach_copy_(buffers_, kept_);
}

at::Tensor Guard::is_unsound(const at::Tensor& loss, const at::Tensor& grad_norm) {
  return at::isfinite(loss).logical_and(at::isfinite(grad_norm)).logical_not().to(at::kFloat);
}

void Guard::end_step(const at::Tensor& skip) {
  const at::NoGradGuard no_grad;
  const at::Tensor is_skipped = skip.to(at::kBool);
  for (size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(at::where(is_skipped, kept_[i], buffers_[i]));
}

size_t Guard::consider(std::span<const StepRecord> records) {
  int64_t skipped = 0;
  const StepRecord* first = nullptr;
  size_t taken = 0;
  while (taken < records.size() && !has_diverged()) {
    const StepRecord& record = records[taken++];
    if (record.is_sound()) skipped_in_a_row_ = 0;
    if (record.is_overflow()) {
      log_info("step {}: a gradient overflowed fp16: skipped, the loss scale falls from {}", record.step,
               *record.loss_scale);
    }
    if (record.is_sound() || record.is_overflow()) continue;
    ++skipped_in_a_row_;
    if (skipped++ == 0) first = &record;
  }
  if (first) {
    log_warning("step {}: the loss is {}, the gradient norm {}: skipped{}", first->step, first->loss, first->grad_norm,
                skipped > 1 ? format(", and {} more up to step {}", skipped - 1, records[taken - 1].step) : "");
  }
  return taken;
}

void Guard::count_roll_back(int64_t before) {
  roll_backs_ = before + 1;
  skipped_in_a_row_ = 0;
}

double Guard::lr_factor() const { return std::pow(config_.lr_factor, static_cast<double>(roll_backs_)); }

void Guard::save(StateWriter& writer) const {
  writer.integer("skipped_in_a_row", skipped_in_a_row_);
  writer.integer("roll_backs", roll_backs_);
}

void Guard::load(const StateReader& reader) {
  skipped_in_a_row_ = reader.integer("skipped_in_a_row");
  roll_backs_ = reader.integer("roll_backs");
}

}  // namespace unireplk::train
