#include "unireplk/train/guard.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/isfinite.h>
#include <torch/nn/module.h>

#include <cmath>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"

namespace unireplk::train {
namespace {

at::ScalarType word_of(const at::Tensor& tensor) {
  switch (tensor.element_size()) {
    case 1:
      return at::kByte;
    case 2:
      return at::kShort;
    case 4:
      return at::kInt;
    case 8:
      return at::kLong;
    default:
      UNIREPLK_CHECK(false, "guard: a buffer of {}", at::toString(tensor.scalar_type()));
      return at::kByte;
  }
}

}  // namespace

Guard::Guard(const GuardConfig& config, torch::nn::Module& network) : config_(config) {
  const at::NoGradGuard no_grad;
  for (const auto& buffer : network.buffers()) {
    Words& words = words_[word_of(buffer)];
    words.buffers.push_back(buffer.view(word_of(buffer)));
    words.kept.push_back(words.buffers.back().clone());
  }
}

void Guard::begin_step() {
  const at::NoGradGuard no_grad;
  for (auto& [type, words] : words_) at::_foreach_copy_(words.kept, words.buffers);
}

void Guard::undo_step() {
  const at::NoGradGuard no_grad;
  for (auto& [type, words] : words_) at::_foreach_copy_(words.buffers, words.kept);
}

at::Tensor Guard::is_unsound(const at::Tensor& loss, const at::Tensor& grad_norm) {
  return at::isfinite(loss).logical_and(at::isfinite(grad_norm)).logical_not().to(at::kFloat);
}

void Guard::end_step(const at::Tensor& skip) {
  const at::NoGradGuard no_grad;
  // What is no number is 0 as well once it is multiplied.
  for (auto& [type, words] : words_) {
    const at::Tensor takes_kept = skip.to(type);
    at::_foreach_mul_(words.kept, takes_kept);
    at::_foreach_mul_(words.buffers, 1 - takes_kept);
    at::_foreach_add_(words.buffers, words.kept);
  }
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
