#include "unireplk/export/proof.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/nn/evaluation_mode.h"

namespace unireplk::exporting {
namespace {

/// A copy of a train-form block in float64.
nn::Block widened(const nn::BlockImpl& block) {
  auto options = block.options();
  options.tensor = options.tensor.dtype(at::kDouble);
  nn::Block copy(options);
  models::load_state_dict(*copy, models::state_dict(block), {.place = "proof"});
  copy->eval();
  return copy;
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  const auto wide = b.to(at::kDouble);
  const double peak = wide.abs().max().item<double>();
  const double difference = (a.to(at::kDouble) - wide).abs().max().item<double>();
  return difference == 0 ? 0 : difference / peak;
}

/// The merge of one block in float64, on a widened copy of what it gets.
double difference_in_float64(const nn::BlockImpl& block, const at::Tensor& x) {
  const auto train = widened(block);
  const auto deploy = widened(block);
  deploy.ptr()->merge();
  return branch_difference(*train.ptr(), *deploy.ptr(), x.to(at::kDouble));
}

std::vector<std::string> block_names(const models::UniRepLKNetOptions& options) {
  std::vector<std::string> names;
  for (size_t s = 0; s < options.num_stages(); ++s) {
    for (size_t b = 0; b < options.kernel_sizes[s].size(); ++b) names.push_back(models::block_name(s, b));
  }
  return names;
}

at::Tensor output_of(models::UniRepLKNetImpl& network, const std::vector<at::Tensor>& maps) {
  return network.options().mode == models::Mode::kClassifier ? network.classify(maps.back()) : maps.back();
}

void check_pair(const models::UniRepLKNetImpl& train, const models::UniRepLKNetImpl& deploy) {
  auto expected = train.options();
  UNIREPLK_CHECK(!expected.deploy, "verify: the first network must be in train form");
  UNIREPLK_CHECK(deploy.options().deploy, "verify: the second network must be in deploy form");
  UNIREPLK_CHECK(expected.depths == deploy.options().depths && expected.dims == deploy.options().dims &&
                     expected.kernel_sizes == deploy.options().kernel_sizes && expected.mode == deploy.options().mode,
                 "verify: the networks differ in depths, dims, kernel sizes or mode");
}

/// The raw maps of the branch graph, each block judged on its own input; both networks in eval mode.
std::vector<at::Tensor> judge(models::UniRepLKNetImpl& train, models::UniRepLKNetImpl& deploy, const at::Tensor& input,
                              Proof& proof) {
  check_pair(train, deploy);
  const auto names = block_names(train.options());
  return train.stage_maps(input, [&](size_t number, nn::BlockImpl& block, const at::Tensor& x) {
    const auto& other = deploy.blocks()[number];
    proof.blocks.push_back({.block = names[number],
                            .difference_f64 = difference_in_float64(block, x),
                            .difference_f32 = branch_difference(block, *other.ptr(), x)});
    const auto y = block.unfused(x);
    return block.gamma.defined() ? x + y * block.gamma.view({1, -1, 1, 1}) : x + y;
  });
}

std::vector<at::Tensor> run_blocks(models::UniRepLKNetImpl& network, const at::Tensor& input) {
  return network.stage_maps(input, [](size_t, nn::BlockImpl& block, const at::Tensor& x) { return block.forward(x); });
}

}  // namespace

double Proof::worst_f64() const {
  double worst = 0;
  for (const auto& row : blocks) worst = std::max(worst, row.difference_f64);
  return worst;
}

double Proof::worst_f32() const {
  double worst = 0;
  for (const auto& row : blocks) worst = std::max(worst, row.difference_f32);
  return worst;
}

std::vector<std::string> Proof::failures() const {
  std::vector<std::string> result;
  for (const auto& row : blocks) {
    if (!(row.difference_f64 <= kProofLimitF64)) {
      result.push_back(format("{}: {:.2g} in float64, limit {}", row.block, row.difference_f64, kProofLimitF64));
    }
    if (!(row.difference_f32 <= kProofLimitF32)) {
      result.push_back(format("{}: {:.2g} in float32, limit {}", row.block, row.difference_f32, kProofLimitF32));
    }
  }
  return result;
}

double branch_difference(nn::BlockImpl& train, nn::BlockImpl& deploy, const at::Tensor& x) {
  UNIREPLK_CHECK(!train.is_merged() && deploy.is_merged(), "branch_difference: expected a train and a deploy block");
  const at::NoGradGuard no_graph;
  const auto judge = train.unfused(x);
  auto merged = deploy.unfused(x);
  if (!train.gamma.defined()) return relative(merged, judge);
  const auto scale = train.gamma.view({1, -1, 1, 1});
  const auto silent = scale == 0;
  const bool leaks = merged.masked_select(silent).ne(0).any().item<bool>();
  if (leaks) return std::numeric_limits<double>::infinity();
  return relative(at::where(silent, judge, merged / scale), judge);
}

Proof verify(models::UniRepLKNetImpl& train, models::UniRepLKNetImpl& deploy, const at::Tensor& input) {
  const nn::EvaluationMode train_mode(train), deploy_mode(deploy);
  Proof proof;
  const auto judged = judge(train, deploy, input, proof);
  const auto merged = run_blocks(deploy, input);
  proof.logits_difference = relative(output_of(deploy, merged), output_of(train, judged));
  return proof;
}

Proof verify(models::ForecasterImpl& train, models::ForecasterImpl& deploy, const models::ForecastInput& input) {
  const nn::EvaluationMode train_mode(train), deploy_mode(deploy);
  Proof proof;
  const auto judged = train.forecast(
      input,
      [&](const at::Tensor& map) { return judge(*train.backbone.ptr(), *deploy.backbone.ptr(), map, proof).back(); },
      std::nullopt);
  if (proof.blocks.empty()) judge(*train.backbone.ptr(), *deploy.backbone.ptr(), train.map_of(input), proof);
  const auto merged = deploy.forecast(
      input, [&](const at::Tensor& map) { return run_blocks(*deploy.backbone.ptr(), map).back(); }, std::nullopt);
  proof.logits_difference = relative(merged, judged);
  return proof;
}

void require(const Proof& proof) {
  const auto failures = proof.failures();
  if (failures.empty()) return;
  std::string list;
  for (const auto& line : failures) list += "\n  " + line;
  throw ContractError("the deploy form is not equal to the train form:" + list);
}

}  // namespace unireplk::exporting
