#include "unireplk/ops/batch_moments.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/triu_indices.h>
#include <ATen/ops/var_mean.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <torch/custom_class.h>

#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/ops/passes.h"
#include "unireplk/ops/rows.h"

namespace unireplk::ops {
namespace {

struct HeldCollective : torch::CustomClassHolder {
  explicit HeldCollective(std::shared_ptr<Collective> held) : collective(std::move(held)) {}
  std::shared_ptr<Collective> collective;
};

BatchMoments own_moments(const at::Tensor& x) {
  const double pixels = static_cast<double>(x.size(0) * x.size(2) * x.size(3));
  const auto options = x.options().memory_format(std::nullopt).dtype(at::promote_types(x.scalar_type(), at::kFloat));
  if (pixels == 0) return {at::zeros({x.size(1)}, options), at::zeros({x.size(1)}, options), 0};
  if (!has_passes(x) || !x.is_contiguous(at::MemoryFormat::ChannelsLast)) {
    const auto [variance, mean] = at::var_mean(x.to(options.dtype()), at::IntArrayRef{0, 2, 3}, /*correction=*/0);
    return {mean, variance, pixels};
  }
  const auto [mean, variance] = passes_for(x)->row_moments(map_rows(x), x);
  return {mean, variance, pixels};
}

}  // namespace

void check_has_variance(double pixels) {
  if (pixels > 1) return;
  throw UserError({"", format("a batch norm in training: expected at least 2 values for each channel, got {}", pixels),
                   "Take larger batches or larger maps."});
}

at::Tensor merge_over_ranks(const at::Tensor& mine, int64_t maps, Collective& collective) {
  const auto all = collective.all_gather(mine);
  const auto pairs = at::triu_indices(maps, maps, 0, mine.options().dtype(at::kLong));
  auto pixels = at::zeros_like(mine[0]);
  auto means = at::zeros_like(mine.slice(0, 1, 1 + maps)), sums = at::zeros_like(mine.slice(0, 1 + maps));
  for (int64_t rank = 0; rank < all.size(0); ++rank) {
    const auto rows = all[rank], more = rows[0], total = pixels + more;
    const auto share = more / total.clamp_min(1);
    const auto delta = rows.slice(0, 1, 1 + maps) - means;
    const auto products = delta.index_select(0, pairs[0]) * delta.index_select(0, pairs[1]);
    sums = sums + rows.slice(0, 1 + maps) * more + products * (pixels * share);
    means = means + delta * share;
    pixels = total;
  }
  if (pixels.numel() > 0) check_has_variance(pixels[0].item<double>());
  return at::cat({pixels.unsqueeze(0), means, sums / pixels});
}

BatchMoments batch_moments(const at::Tensor& x, Collective* collective) {
  auto moments = own_moments(x);
  if (!collective) {
    check_has_variance(moments.pixels);
    return moments;
  }
  const auto dtype = moments.mean.scalar_type();
  const auto mean = moments.mean.to(at::kDouble), variance = moments.variance.to(at::kDouble);
  const auto all = merge_over_ranks(at::stack({at::full_like(mean, moments.pixels), mean, variance}), 1, *collective);
  return {all[1].to(dtype), all[2].to(dtype), all.size(1) == 0 ? 0 : all[0][0].item<double>()};
}

bool can_count(const NormTensors& norm, const at::Device& device) {
  const auto& batches = norm.batches;
  return !batches.defined() ||
         (batches.device() == device && batches.scalar_type() == at::kLong && batches.numel() == 1);
}

kernels::RunningNorm running_norm(const char* name, const NormTensors& norm) {
  UNIREPLK_CHECK(norm.running_mean.defined() && norm.running_var.defined(), "{}: no running statistics to move", name);
  return {.mean = norm.running_mean.data_ptr<float>(),
          .variance = norm.running_var.data_ptr<float>(),
          .batches = norm.batches.defined() ? norm.batches.data_ptr<int64_t>() : nullptr};
}

void bump_versions(const NormTensors& norm) {
  for (const auto& moved : {norm.running_mean, norm.running_var, norm.batches}) {
    if (moved.defined()) moved.unsafeGetTensorImpl()->bump_version();
  }
}

void move_running_statistics(const NormTensors& norm, const BatchMoments& batch, double momentum) {
  const double unbiased = batch.pixels / (batch.pixels - 1);
  at::Tensor mean = norm.running_mean, variance = norm.running_var;
  mean.mul_(1 - momentum).add_(batch.mean, momentum);
  variance.mul_(1 - momentum).add_(batch.variance, momentum * unbiased);
  if (norm.batches.defined()) at::Tensor(norm.batches).add_(1);
}

c10::IValue capsule_of(std::shared_ptr<Collective> collective) {
  return c10::IValue::make_capsule(c10::make_intrusive<HeldCollective>(std::move(collective)));
}

std::shared_ptr<Collective> collective_of(const c10::IValue& capsule) {
  return static_cast<const HeldCollective&>(*capsule.toCapsule()).collective;
}

}  // namespace unireplk::ops
