#include "unireplk/train/loss_scale.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace unireplk::train {

LossScale::LossScale(at::Device device, const LossScaleOptions& options)
    : options_(options),
      scale_(at::full({}, options.initial, at::TensorOptions(device).dtype(at::kFloat))),
      growth_(at::zeros({}, at::TensorOptions(device).dtype(at::kInt))) {}

void LossScale::unscale(const std::vector<at::Tensor>& gradients) const {
  const at::NoGradGuard no_grad;
  at::_foreach_mul_(gradients, scale_.reciprocal());
}

void LossScale::update(const at::Tensor& skipped) {
  const at::NoGradGuard no_grad;
  at::_amp_update_scale_(scale_, growth_, skipped, options_.growth, options_.backoff, options_.growth_interval);
}

void LossScale::save(StateWriter& writer) const {
  writer.number("scale", scale_.item().toDouble());
  writer.integer("growth", growth_.item().toLong());
}

void LossScale::load(const StateReader& reader) {
  const at::NoGradGuard no_grad;
  scale_.fill_(reader.number("scale"));
  growth_.fill_(reader.integer("growth"));
}

}  // namespace unireplk::train
