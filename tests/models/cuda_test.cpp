#include <ATen/ATen.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"
#include "support/tolerances.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/nn/layers.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::models {
namespace {

/// No GPU: says so, and the test is over.
bool is_skipped() {
  if (at::hasCUDA()) return false;
  WARN("SKIPPED: no CUDA device");
  return true;
}

/// Convolutions in float32 as written, while it lives; cuDNN rounds to TF32 otherwise.
class ExactFloat32 {
 public:
  ExactFloat32() : before_(at::globalContext().allowTF32CuDNN()) { at::globalContext().setAllowTF32CuDNN(false); }
  ~ExactFloat32() { at::globalContext().setAllowTF32CuDNN(before_); }
  ExactFloat32(const ExactFloat32&) = delete;
  ExactFloat32& operator=(const ExactFloat32&) = delete;

 private:
  bool before_;
};

TEST_CASE("UniRepLKNet: logits on a GPU equal the reference, in both forms", "[cuda]") {
  if (is_skipped()) return;
  const ExactFloat32 exact;
  const auto variant = GENERATE(as<std::string>(), "a", "t", "s");
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kFloat, test::kOutputF32}, {at::kDouble, test::kOutputF64}}));
  CAPTURE(variant, dtype);
  const auto golden = *test::golden_tensors("logits").find(variant + ".f64");
  auto network = filled(variant_options("unireplknet_" + variant), dtype);
  network->to(at::kCUDA);
  network->eval();
  const auto x = test::formula_input({2, 3, 64, 64}).to(at::kCUDA, dtype);
  CHECK(test::relative_difference(network->forward(x).cpu(), golden) <= tolerance);
  const at::NoGradGuard no_graph;
  CHECK(test::relative_difference(network->forward(x).cpu(), golden) <= tolerance);
  network->merge();
  CHECK(test::relative_difference(network->forward(x).cpu(), golden) <= tolerance);
}

TEST_CASE("UniRepLKNet: gradients on a GPU equal those of the CPU in float64", "[cuda]") {
  if (is_skipped()) return;
  const auto gradients = [](at::Device device) {
    auto network = filled(variant_options("unireplknet_a"), at::kDouble);
    network->to(device);
    network->train();
    const auto logits = network->forward(test::formula_input({2, 3, 64, 64}).to(device, at::kDouble));
    at::cross_entropy_loss(logits, at::arange(2, at::kLong).to(device)).backward();
    std::vector<std::pair<std::string, at::Tensor>> result;
    for (const auto& [name, tensor] : state_dict(*network)) {
      if (tensor.requires_grad() && !test::has_zero_gradient(name)) result.emplace_back(name, tensor.grad().cpu());
    }
    return result;
  };
  const auto expected = gradients(at::kCPU), actual = gradients(at::kCUDA);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(expected[i].first);
    CHECK(test::relative_difference(actual[i].second, expected[i].second) <= 1e-8);
  }
}

TEST_CASE("Conv2d: on a GPU, few channels and a bias under autocast, with gradients", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kFloat, at::kBFloat16, at::kHalf);
  const int64_t in = GENERATE(1, 3, 8, 40);
  CAPTURE(dtype, in);
  const ExactFloat32 exact;
  nn::Conv2d conv(nn::Conv2dOptions{.in_channels = in, .out_channels = 24, .kernel_size = 3, .stride = 2});
  test::fill({{"conv.weight", conv->weight}, {"conv.bias", conv->bias}});
  conv->to(at::kCUDA);
  const auto values = test::formula_input({2, in, 17, 20}).to(at::kCUDA).contiguous(at::MemoryFormat::ChannelsLast);
  const auto x = values.clone().requires_grad_(), weight = conv->weight.detach().to(at::kDouble).requires_grad_();
  const auto bias = conv->bias.detach().to(at::kDouble).requires_grad_();
  const auto judge_x = values.to(at::kDouble).requires_grad_();
  const auto judge = at::conv2d(judge_x, weight, bias, {2, 2}, {1, 1});
  const auto dy = test::formula_input(judge.sizes(), "dy").to(at::kCUDA, dtype);
  judge.backward(dy.to(at::kDouble));
  const auto y = [&] {
    const AutocastGuard guard({.device = at::kCUDA, .enabled = dtype != at::kFloat, .dtype = dtype});
    return conv->forward(x);
  }();
  CHECK(y.scalar_type() == dtype);
  CHECK(y.is_contiguous(at::MemoryFormat::ChannelsLast));
  y.backward(dy);
  const double tolerance = dtype == at::kFloat ? test::kOutputF32 : dtype == at::kHalf ? 4.0 / 2048 : 4.0 / 256;
  CHECK(test::relative_difference(y.detach(), judge.detach()) <= tolerance);
  CHECK(test::relative_difference(x.grad(), judge_x.grad()) <= tolerance);
  CHECK(test::relative_difference(conv->weight.grad(), weight.grad()) <= tolerance);
  CHECK(test::relative_difference(conv->bias.grad(), bias.grad()) <= tolerance);
}

}  // namespace
}  // namespace unireplk::models
