#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>

#include <cmath>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/gradients.h"
#include "unireplk/train/optimizer.h"

/// Five AdamW steps of variant A against the reference: network, loss and optimizer together.
namespace unireplk::train {
namespace {

constexpr int kImageSteps = 5;
constexpr int64_t kBatch = 4;
constexpr double kSmoothing = 0.1;

using Loss = at::Tensor (*)(const at::Tensor& logits);

at::Tensor loss_by_labels(const at::Tensor& logits) {
  return tasks::label_cross_entropy(logits, at::arange(kBatch, at::kLong), kSmoothing);
}

/// The same loss with the smoothed targets written out.
at::Tensor loss_by_targets(const at::Tensor& logits) {
  const auto classes = logits.size(1);
  auto targets = at::full(logits.sizes(), kSmoothing / static_cast<double>(classes), at::kDouble);
  for (int64_t i = 0; i < kBatch; ++i) targets[i][i] += 1 - kSmoothing;
  return tasks::soft_cross_entropy(logits, targets);
}

/// What a run leaves behind.
struct Trace {
  std::vector<double> losses, gradient_norms;  ///< of each step, before its update
  models::NamedTensors parameters;             ///< afterwards
  double eval_loss = 0;
  at::Tensor eval_logits;
};

Trace run(double layer_decay, at::ScalarType dtype, Loss loss) {
  auto network = models::filled(models::variant_options("unireplknet_a"), dtype);
  const auto optimizer = make_adamw({.lr = 1e-3, .weight_decay = 0.05, .layer_decay = layer_decay}, *network);
  const auto x = test::formula_input({kBatch, 3, 64, 64}).to(dtype);
  Trace trace;
  network->train();
  for (int i = 0; i < kImageSteps; ++i) {
    optimizer->zero_grad();
    const auto value = loss(network->forward(x));
    value.backward();
    trace.losses.push_back(value.item<double>());
    trace.gradient_norms.push_back(clip_gradients(optimizer->gradients(), std::nullopt).item<double>());
    optimizer->step(optimizer->base(), {});
  }
  for (const auto& [name, tensor] : models::state_dict(*network)) {
    if (tensor.requires_grad()) trace.parameters.emplace_back(name, tensor.detach());
  }
  const at::NoGradGuard no_graph;
  network->eval();
  trace.eval_logits = network->forward(x);
  trace.eval_loss = loss(trace.eval_logits).item<double>();
  return trace;
}

/// \param first, last  relative tolerance of the first four steps, and of the fifth and what comes after it.
void check_trace(const std::string& file, const Trace& trace, double first, double last, bool with_zero_gradients) {
  const auto golden = test::golden_json(file)["float64"];
  for (size_t i = 0; i < trace.losses.size(); ++i) {
    CAPTURE(i);
    const double tolerance = i + 1 < trace.losses.size() ? first : last;
    CHECK(trace.losses[i] == Approx(golden["loss"][i].get<double>()).epsilon(tolerance));
    CHECK(trace.gradient_norms[i] == Approx(golden["gradient_norm"][i].get<double>()).epsilon(tolerance));
  }
  REQUIRE(trace.parameters.size() == golden["final_parameter_norms"].size());
  for (const auto& [name, parameter] : trace.parameters) {
    if (test::has_zero_gradient(name) && !with_zero_gradients) continue;
    CAPTURE(name);
    CHECK(test::probe(parameter)[0] == Approx(golden["final_parameter_norms"][name].get<double>()).epsilon(last));
  }
  CHECK(trace.eval_loss == Approx(golden["eval_loss_after"].get<double>()).epsilon(last));
  CHECK(test::probe_difference(trace.eval_logits, golden["eval_output_after"]) <= last);
}

TEST_CASE("training: five steps equal the reference to rounding in float64", "[golden]") {
  const auto [file, layer_decay] =
      GENERATE(table<std::string, double>({{"trace_a", 1.0}, {"trace_a_layer_decay", 0.8}}));
  CAPTURE(file);
  check_trace(file, run(layer_decay, at::kDouble, loss_by_labels), test::kTraceF64, test::kTraceF64, true);
}

/// Adam turns the rounding noise of gradients that are zero in theory into steps of its full size.
TEST_CASE("training: five steps equal the reference in float32", "[golden]") {
  const auto [file, layer_decay] =
      GENERATE(table<std::string, double>({{"trace_a", 1.0}, {"trace_a_layer_decay", 0.8}}));
  const Loss loss = GENERATE(loss_by_labels, loss_by_targets);
  CAPTURE(file);
  check_trace(file, run(layer_decay, at::kFloat, loss), test::kTraceF32, test::kTraceEndF32, false);
}

}  // namespace
}  // namespace unireplk::train
