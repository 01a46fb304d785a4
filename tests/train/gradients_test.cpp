#include "unireplk/train/gradients.h"

#include <ATen/ATen.h>
#include <torch/nn/utils/clip_grad.h>

#include <cmath>
#include <limits>

#include "support/catch.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

std::vector<at::Tensor> some_gradients(at::ScalarType dtype, double scale) {
  std::vector<at::Tensor> gradients;
  for (const int64_t size : {7, 1, 30}) gradients.push_back((at::arange(size, at::kDouble).cos() * scale).to(dtype));
  gradients.push_back(gradients.back().view({5, 6}).t());  // shares no element order with its memory
  gradients.back() = gradients.back().clone(at::MemoryFormat::Preserve);
  return gradients;
}

std::vector<at::Tensor> copies_of(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> copies;
  copies.reserve(tensors.size());
  for (const auto& tensor : tensors) copies.push_back(tensor.clone());
  return copies;
}

double norm_of(const std::vector<at::Tensor>& gradients) {
  double sum = 0;
  for (const auto& gradient : gradients) sum += gradient.to(at::kDouble).square().sum().item<double>();
  return std::sqrt(sum);
}

TEST_CASE("clip_gradients: equals PyTorch's rule", "[numeric]") {
  const auto dtype = GENERATE(at::kDouble, at::kFloat);
  const double scale = GENERATE(1e-7, 0.3, 50.0), max_norm = GENERATE(1e-6, 1.0, 20.0);
  CAPTURE(scale, max_norm);
  const double tolerance = dtype == at::kDouble ? 1e-13 : 1.3e-6;
  const auto gradients = some_gradients(dtype, scale);
  std::vector<at::Tensor> leaves;
  for (const auto& gradient : gradients) {
    leaves.push_back(at::zeros_like(gradient).requires_grad_());
    leaves.back().mutable_grad() = gradient.clone();
  }
  const double expected_norm = torch::nn::utils::clip_grad_norm_(leaves, max_norm);
  CHECK(clip_gradients(gradients, max_norm).item<double>() == Approx(expected_norm).epsilon(tolerance));
  for (size_t i = 0; i < gradients.size(); ++i) CHECK(at::allclose(gradients[i], leaves[i].grad(), tolerance, 0));
}

TEST_CASE("clip_gradients: scales by max_norm / (norm + 1e-6)", "[numeric]") {
  const std::vector<at::Tensor> gradients{at::tensor({0.0, 3e-6}, at::kDouble)};
  CHECK(clip_gradients(gradients, 1e-6).item<double>() == Approx(3e-6).epsilon(1e-14));
  CHECK(gradients[0][1].item<double>() == Approx(3e-6 * 0.25).epsilon(1e-14));
}

TEST_CASE("clip_gradients: changes no bit below max_norm, or without one", "[numeric]") {
  const auto max_norm = GENERATE(std::optional<double>(), std::optional<double>(1e3));
  const auto gradients = some_gradients(at::kFloat, 2.0);
  const auto before = copies_of(gradients);
  CHECK(clip_gradients(gradients, max_norm).item<double>() == Approx(norm_of(before)).epsilon(1e-6));
  for (size_t i = 0; i < gradients.size(); ++i) CHECK(gradients[i].equal(before[i]));
}

TEST_CASE("clip_gradients: zeros stay zeros", "[numeric]") {
  const std::vector<at::Tensor> gradients{at::zeros({3}), at::zeros({2, 2})};
  CHECK(clip_gradients(gradients, 0.5).item<double>() == 0.0);
  CHECK(gradients[0].equal(at::zeros({3})));
}

TEST_CASE("clip_gradients: the norm tells what is not finite", "[numeric]") {
  const float bad = GENERATE(std::numeric_limits<float>::infinity(), std::nanf(""));
  const std::vector<at::Tensor> gradients{at::ones({3}), at::full({1}, bad)};
  CHECK_FALSE(std::isfinite(clip_gradients(gradients, 1.0).item<double>()));
}

TEST_CASE("clip_gradients: refuses a network without gradients") {
  CHECK_THROWS_AS(clip_gradients({}, 1.0), ContractError);
}

}  // namespace
}  // namespace unireplk::train
