#include <ATen/ATen.h>

#include <cmath>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/gradients.h"
#include "unireplk/train/optimizer.h"

/// Five steps of Adam on spectrograms with soft targets against the reference: the published training of sounds.
namespace unireplk::train {
namespace {

constexpr size_t kSpectrogramSteps = 5;

at::Tensor targets() {
  auto targets = at::zeros({2, 35}, at::kDouble);
  targets[0][3] = 0.7;
  targets[0][8] = 0.3;
  targets[1][20] = 1;
  return targets;
}

TEST_CASE("training: five steps on spectrograms equal the reference", "[golden]") {
  const auto golden = test::golden_json("audio")["traces"]["float64"];
  auto options = models::variant_options("unireplknet_a");
  options.in_channels = 1;
  options.num_classes = 35;
  auto network = models::filled(options, at::kDouble);
  const auto optimizer =
      make_adam({.lr = 2.5e-4, .weight_decay = 5e-7, .beta1 = 0.95, .beta2 = 0.999, .decay_all = true}, *network);
  const auto x = test::formula_input({2, 64, 128}, "spectrogram").to(at::kDouble).transpose(1, 2).unsqueeze(1);
  network->train();
  for (size_t i = 0; i < kSpectrogramSteps; ++i) {
    CAPTURE(i);
    optimizer->zero_grad();
    const auto loss = tasks::binary_cross_entropy(network->forward(x), targets(), std::nullopt);
    loss.backward();
    const double norm = clip_gradients(optimizer->gradients(), std::nullopt).item<double>();
    CHECK(loss.item<double>() == Approx(golden["loss"][i].get<double>()).epsilon(test::kTraceF64));
    CHECK(norm == Approx(golden["gradient_norm"][i].get<double>()).epsilon(test::kTraceF64));
    optimizer->step(optimizer->base(), {});
  }
  for (const auto& [name, tensor] : models::state_dict(*network)) {
    if (!tensor.requires_grad()) continue;
    CAPTURE(name);
    CHECK(tensor.detach().norm().item<double>() ==
          Approx(golden["final_parameter_norms"][name].get<double>()).epsilon(test::kTraceF64));
  }
  const at::NoGradGuard no_graph;
  network->eval();
  const auto loss = tasks::binary_cross_entropy(network->forward(x), targets(), std::nullopt);
  CHECK(loss.item<double>() == Approx(golden["eval_loss_after"].get<double>()).epsilon(test::kTraceF64));
}

}  // namespace
}  // namespace unireplk::train
