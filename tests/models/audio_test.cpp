#include <ATen/ATen.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/models/describe.h"

/// The network on spectrograms: one channel, maps that are wider than high.
namespace unireplk::models {
namespace {

UniRepLKNetOptions options() {
  auto options = variant_options("unireplknet_a");
  options.in_channels = 1;
  options.num_classes = 35;
  return options;
}

at::Tensor spectrograms(at::ScalarType dtype) {
  return test::formula_input({2, 64, 128}, "spectrogram").to(dtype).transpose(1, 2).unsqueeze(1);  // [2, 1, 128, 64]
}

TEST_CASE("UniRepLKNet: logits of spectrograms equal the reference", "[golden]") {
  const auto golden = test::golden_tensors("audio");
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  auto network = filled(options(), dtype);
  network->eval();
  const at::NoGradGuard no_graph;
  const auto logits = network->forward(spectrograms(dtype));
  for (const auto& [name, expected] : golden.tensors) {
    if (name != "output.f64") continue;
    CHECK(test::relative_difference(logits, expected) < (dtype == at::kFloat ? test::kOutputF32 : test::kOutputF64));
  }
}

TEST_CASE("UniRepLKNet: gradients of spectrograms with soft targets equal the reference", "[golden]") {
  const auto golden = test::golden_json("audio")["gradients"];
  auto network = filled(options(), at::kDouble);
  network->train();
  auto targets = at::zeros({2, 35}, at::kDouble);
  targets[0][3] = 0.7;
  targets[0][8] = 0.3;
  targets[1][20] = 1;
  const auto loss = at::binary_cross_entropy_with_logits(network->forward(spectrograms(at::kDouble)), targets);
  loss.backward();
  CHECK(loss.item<double>() == Approx(golden["loss"].get<double>()).epsilon(test::kGradientF64));
  const double norm = golden["gradient_norm"];
  for (const auto& [name, tensor] : state_dict(*network)) {
    if (!tensor.requires_grad()) continue;
    CAPTURE(name);
    if (test::has_zero_gradient(name)) {
      CHECK(test::probe(tensor.grad())[0] <= test::kGradientF64 * norm);
    } else {
      CHECK(test::probe_difference(tensor.grad(), golden["parameters"][name]["gradient"]) <= test::kGradientF64);
    }
  }
}

TEST_CASE("UniRepLKNet: stages of spectrograms are as large as the specification says") {
  const at::NoGradGuard no_graph;
  auto small = options();
  small.depths = {1, 1, 1, 1};
  small.dims = {4, 8, 12, 16};
  small.kernel_sizes = {{0}, {3}, {13}, {13}};
  auto network = UniRepLKNet(resolved(small));
  network->eval();
  const int64_t frames = GENERATE(1, 128, 512, 1024);
  const auto features = network->features(at::zeros({1, 1, 128, frames}));
  for (size_t i = 0; i < 4; ++i) {
    int64_t width = frames;
    for (size_t halvings = 0; halvings < i + 2; ++halvings) width = (width + 1) / 2;
    CHECK(features[i].size(2) == 128 >> (i + 2));
    CHECK(features[i].size(3) == width);
  }
}

TEST_CASE("UniRepLKNet: S on one channel has the published number of parameters") {
  auto s = variant_options("unireplknet_s");
  s.in_channels = 1;
  s.num_classes = 35;
  CHECK(count_parameters(*UniRepLKNet(s, at::TensorOptions(at::kMeta))) == 55713755);
}

}  // namespace
}  // namespace unireplk::models
