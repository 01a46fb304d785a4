#include "unireplk/nn/merge.h"

#include <ATen/TensorIndexing.h>

namespace unireplk::nn {
namespace {

/// [C] -> [C, 1, 1, ...] with as many dimensions as `like`.
at::Tensor per_output(const at::Tensor& values, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = values.size(0);
  return values.view(shape);
}

}  // namespace

Affine fold_norm(const Affine& linear, const BatchNormImpl& norm) {
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kDouble); };
  const auto scale = wide(norm.weight) / (wide(norm.running_var) + BatchNormImpl::kEps).sqrt();
  const auto mean = wide(norm.running_mean);
  const auto shift = linear.bias.defined() ? linear.bias - mean : -mean;
  return {.weight = wide(linear.weight) * per_output(scale, linear.weight), .bias = wide(norm.bias) + shift * scale};
}

void add_centred(Affine& large, const Affine& small, int64_t dilation) {
  using at::indexing::Slice;
  const int64_t size = large.weight.size(-1);
  const int64_t start = size / 2 - dilation * (small.weight.size(-1) / 2);
  const Slice taps(start, size - start, dilation);
  large.weight.index({Slice(), Slice(), taps, taps}).add_(small.weight);
  large.bias.add_(small.bias);
}

Affine scale_outputs(const Affine& linear, const at::Tensor& scale) {
  const auto wide = scale.detach().to(at::kDouble);
  return {.weight = linear.weight * per_output(wide, linear.weight), .bias = linear.bias * wide};
}

}  // namespace unireplk::nn
