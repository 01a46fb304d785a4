#include "unireplk/nn/block.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/full.h>
#include <ATen/ops/gelu.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/forked_map.h"
#include "unireplk/ops/grn.h"
#include "unireplk/ops/normed_branch.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::nn {
namespace {

constexpr int64_t kExpansion = 4;
constexpr int64_t kSmallestDilated = 7;

at::Tensor to_nhwc(const at::Tensor& x) { return x.permute({0, 2, 3, 1}); }
at::Tensor to_nchw(const at::Tensor& x) { return x.permute({0, 3, 1, 2}); }

void check_options(const BlockOptions& o) {
  if (o.channels < 4) throw UserError({"", format("a block needs at least 4 channels, got {}", o.channels), ""});
  if (o.kernel_size == 0 || (o.kernel_size >= 3 && o.kernel_size % 2 == 1)) return;
  throw UserError({"", format("kernel size {}: expected 0 (no token mixer) or an odd number >= 3", o.kernel_size), ""});
}

}  // namespace

std::vector<Branch> dilated_branches(const BlockOptions& options) {
  if (options.deploy || options.kernel_size < kSmallestDilated) return {};
  return options.branches ? *options.branches : default_branches(options.kernel_size);
}

BlockImpl::BlockImpl(const BlockOptions& options) : options_(options) {
  check_options(options);
  const auto& [channels, kernel_size, layer_scale_init, branches, deploy, tensor, keep_branches] = options_;
  const int64_t width = kExpansion * channels;
  if (layer_scale_init > 0 && !deploy) {
    gamma = register_parameter("gamma", at::full({channels}, layer_scale_init, tensor));
  }
  if (kernel_size >= kSmallestDilated) {
    dwconv_dilated = register_module(
        "dwconv", DilatedReparamBlock(channels, kernel_size, dilated_branches(options), deploy, tensor));
    dwconv_dilated->keep_branches = keep_branches;
  } else if (kernel_size > 0) {
    dwconv = register_module("dwconv", Conv2d(depthwise(channels, kernel_size, 1, deploy, tensor)));
  }
  if (kernel_size > 0 && !deploy) norm = register_module("norm", BatchNorm(channels, tensor));
  se = register_module("se", SqueezeExcite(channels, tensor));

  const auto group = [this](const char* name) { return register_module(name, std::make_shared<torch::nn::Module>()); };
  pwconv1 = group("pwconv1")->register_module("1", Linear(channels, width, true, tensor));
  grn = group("act")->register_module("1", Grn(width, !deploy, tensor));
  pwconv2_group_ = group("pwconv2");
  pwconv2 = pwconv2_group_->register_module("0", Linear(width, channels, deploy, tensor));
  if (!deploy) pwconv2_norm = pwconv2_group_->register_module("2", BatchNorm(channels, tensor));
}

at::Tensor BlockImpl::forward(const at::Tensor& x, const at::Tensor& drop_mask, const Pass& pass) {
  UNIREPLK_CHECK(x.dim() == 4 && x.size(1) == options_.channels, "Block: expected x [N, {}, H, W], got {}",
                 options_.channels, ops::shape_text(x));
  if (runs_merged(pass)) return run_merged(x, drop_mask);
  if (pass.observer) return ops::add_branch(x, unfused(x, pass), gamma, drop_mask);
  const auto [whole, narrow] = options_.kernel_size > 0 ? ops::fork_map(x) : ops::ForkedMap{.whole = x, .narrow = x};
  const auto fused = fused_hidden(mix(narrow, pass), grn->beta);
  return add_output(whole, to_nchw(pwconv2->forward(fused)), drop_mask, pass);
}

at::Tensor BlockImpl::run_merged(const at::Tensor& x, const at::Tensor& drop_mask) {
  const auto weights = merged_weights(x);
  auto mixed = x;
  if (weights.mixer_weight.defined()) {
    const auto& conv = dwconv_dilated.is_empty() ? *dwconv : *dwconv_dilated->lk_origin;
    mixed = conv.apply(x, weights.mixer_weight, weights.mixer_bias);
  }
  auto hidden = weights.input.apply_with_gelu(to_nhwc(se->forward(mixed)));
  hidden = ops::grn_in_place(std::move(hidden), grn->gamma);
  return ops::add_branch(x, to_nchw(weights.output.apply(hidden)), {}, drop_mask);
}

at::Tensor BlockImpl::mix(const at::Tensor& x, const Pass& pass) {
  if (!dwconv_dilated.is_empty() && !norm.is_empty()) return dwconv_dilated->forward_with_norm(x, *norm, pass);
  auto y = x;
  if (!dwconv_dilated.is_empty()) y = dwconv_dilated->forward(x, pass);
  if (!dwconv.is_empty()) y = dwconv->forward(x);
  return norm.is_empty() ? y : norm->forward(y, pass);
}

at::Tensor BlockImpl::fused_hidden(const at::Tensor& mixed, const at::Tensor& beta) {
  return ops::linear_gelu_grn(to_nhwc(se->forward(mixed)), pwconv1->weight, pwconv1->bias, grn->gamma, beta);
}

at::Tensor BlockImpl::add_output(const at::Tensor& x, const at::Tensor& y, const at::Tensor& drop_mask,
                                 const Pass& pass) {
  if (pwconv2_norm.is_empty()) return ops::add_branch(x, y, gamma, drop_mask);
  const ops::NormedBranch branch{.y = y,
                                 .norm = pwconv2_norm->tensors(),
                                 .eps = BatchNormImpl::kEps,
                                 .momentum = BatchNormImpl::kMomentum,
                                 .layer_scale = gamma,
                                 .mask = drop_mask,
                                 .collective = pwconv2_norm->collective};
  if (!pwconv2_norm->is_training() || !ops::can_fuse(branch, x)) {
    return ops::add_branch(x, pwconv2_norm->forward(y, pass), gamma, drop_mask);
  }
  return ops::add_normed_branch(x, branch, pass.update_statistics);
}

at::Tensor BlockImpl::unfused(const at::Tensor& x, const Pass& pass) {
  auto y = x;
  if (!dwconv_dilated.is_empty()) y = dwconv_dilated->forward(x, pass);
  if (!dwconv.is_empty()) y = dwconv->forward(x);
  pass.report("dwconv", y);
  if (!norm.is_empty()) y = norm->forward(y, pass);
  pass.report("norm", y);
  y = se->forward(y);
  pass.report("se", y);
  y = pwconv1->forward(to_nhwc(y));
  pass.report("pwconv1", y);
  y = at::gelu(y);
  pass.report("act.0", y);
  y = ops::grn(y, grn->gamma, grn->beta);
  pass.report("act", y);
  y = to_nchw(pwconv2->forward(y));
  if (!pwconv2_norm.is_empty()) y = pwconv2_norm->forward(y, pass);
  pass.report("pwconv2", y);
  return y;
}

bool BlockImpl::runs_merged(const Pass& pass) const {
  if (is_training() || at::GradMode::is_enabled() || pass.observer) return false;
  if (is_merged()) return true;
  if (pwconv2_norm->is_training() || (!norm.is_empty() && norm->is_training())) return false;
  if (dwconv_dilated.is_empty()) return true;
  for (const auto& bn : dwconv_dilated->dil_bns) {
    if (bn->is_training()) return false;
  }
  return !dwconv_dilated->origin_bn->is_training();
}

MergedBlock BlockImpl::merged() const {
  UNIREPLK_CHECK(!is_merged(), "Block::merged: already in deploy form");
  const at::NoGradGuard no_graph;
  MergedBlock result;
  if (!dwconv_dilated.is_empty()) result.mixer = fold_norm(dwconv_dilated->merged(), *norm);
  if (!dwconv.is_empty()) result.mixer = fold_norm({dwconv->weight, {}}, *norm);
  const auto weight = pwconv2->weight.to(at::kDouble);
  const auto shift = weight.mv(grn->beta.flatten().to(at::kDouble));  // what beta adds behind the Linear
  result.output = fold_norm({weight, shift}, *pwconv2_norm);
  if (gamma.defined()) result.output = scale_outputs(result.output, gamma);
  return result;
}

void BlockImpl::merge() {
  if (is_merged()) return;
  const auto [mixer, output] = merged();
  if (!dwconv_dilated.is_empty()) dwconv_dilated->become(mixer);
  if (!dwconv.is_empty()) dwconv->assign(mixer.weight, mixer.bias);
  if (!norm.is_empty()) unregister_module("norm");
  norm = nullptr;
  pwconv2->assign(output.weight, output.bias);
  pwconv2_group_->unregister_module("2");
  pwconv2_norm = nullptr;
  grn->drop_beta();
  if (gamma.defined()) parameters_.erase("gamma");
  gamma.reset();
  options_.deploy = true;
  cache_.clear();
}

void BlockImpl::train(bool on) {
  Module::train(on);
  cache_.clear();
}

MergedWeights BlockImpl::merged_weights(const at::Tensor& x) {
  const int64_t rows = x.size(0) * x.size(2) * x.size(3);
  return cache_.get(merge_sources(), [&] { return compute_merged_weights(rows); });
}

MergedWeights BlockImpl::compute_merged_weights(int64_t rows) const {
  const auto [mixer, output] = is_merged() ? own_maps() : merged();
  const auto dtype = pwconv2->weight.scalar_type();
  const auto rounded = [&](const at::Tensor& tensor) { return tensor.defined() ? tensor.to(dtype) : tensor; };
  return {.mixer_weight = rounded(mixer.weight),
          .mixer_bias = rounded(mixer.bias),
          .input = {pwconv1->weight, pwconv1->bias, rows},
          .output = {rounded(output.weight), rounded(output.bias), rows}};
}

MergedBlock BlockImpl::own_maps() const {
  MergedBlock maps{.mixer = {}, .output = {pwconv2->weight, pwconv2->bias}};
  if (!dwconv.is_empty()) maps.mixer = {dwconv->weight, dwconv->bias};
  if (!dwconv_dilated.is_empty()) maps.mixer = {dwconv_dilated->lk_origin->weight, dwconv_dilated->lk_origin->bias};
  return maps;
}

std::vector<at::Tensor> BlockImpl::merge_sources() const {
  std::vector<at::Tensor> sources{pwconv1->weight, pwconv1->bias, pwconv2->weight};
  const auto add = [&](const at::Tensor& tensor) {
    if (tensor.defined()) sources.push_back(tensor);
  };
  const auto add_conv = [&](const Conv2d& conv) {
    add(conv->weight);
    add(conv->bias);
  };
  const auto add_norm = [&](const BatchNorm& bn) {
    if (!bn.is_empty()) sources.insert(sources.end(), {bn->weight, bn->bias, bn->running_mean, bn->running_var});
  };
  add(pwconv2->bias);
  add(grn->beta);
  add(gamma);
  add_norm(pwconv2_norm);
  add_norm(norm);
  if (!dwconv.is_empty()) add_conv(dwconv);
  if (dwconv_dilated.is_empty()) return sources;
  add_conv(dwconv_dilated->lk_origin);
  add_norm(dwconv_dilated->origin_bn);
  for (const auto& conv : dwconv_dilated->dil_convs) add_conv(conv);
  for (const auto& bn : dwconv_dilated->dil_bns) add_norm(bn);
  return sources;
}

}  // namespace unireplk::nn
