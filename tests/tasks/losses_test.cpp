#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "support/catch.h"
#include "unireplk/tasks/classification.h"

namespace unireplk::tasks {
namespace {

constexpr double kF64 = 1e-12;  // a few roundings of exp and log

at::Tensor some_logits(int64_t batch, int64_t classes) {
  return (at::arange(batch * classes, at::kDouble) * 0.7).sin().mul(4).view({batch, classes});
}

at::Tensor some_labels(int64_t batch, int64_t classes) {
  return at::arange(batch, at::kLong).mul(3).remainder(classes);
}

/// -log p of every class of one row, by definition.
std::vector<double> surprises(const at::Tensor& row) {
  double sum = 0;
  for (int64_t c = 0; c < row.size(0); ++c) sum += std::exp(row[c].item<double>());
  std::vector<double> out;
  for (int64_t c = 0; c < row.size(0); ++c) out.push_back(std::log(sum) - row[c].item<double>());
  return out;
}

/// Rows of 1 - s + s / classes at the label and s / classes elsewhere.
at::Tensor smoothed_one_hot(const at::Tensor& labels, int64_t classes, double smoothing) {
  const auto off = smoothing / static_cast<double>(classes);
  at::Tensor targets = at::full({labels.size(0), classes}, off, at::kDouble);
  return targets.scatter_(1, labels.unsqueeze(1), 1 - smoothing + off);
}

TEST_CASE("label_cross_entropy: equals the recipe's formula", "[numeric]") {
  const double smoothing = GENERATE(0.0, 0.1, 0.3, 0.9);
  const int64_t batch = GENERATE(1, 6), classes = GENERATE(2, 7);
  CAPTURE(smoothing, batch, classes);
  const auto logits = some_logits(batch, classes);
  const auto labels = some_labels(batch, classes);
  double expected = 0;
  for (int64_t i = 0; i < batch; ++i) {
    const auto row = surprises(logits[i]);
    double mean = 0;
    for (const double value : row) mean += value / static_cast<double>(classes);
    const double of_target = row[static_cast<size_t>(labels[i].item<int64_t>())];
    expected += ((1 - smoothing) * of_target + smoothing * mean) / static_cast<double>(batch);
  }
  CHECK(label_cross_entropy(logits, labels, smoothing).item<double>() == Approx(expected).epsilon(kF64));
  const auto soft = soft_cross_entropy(logits, smoothed_one_hot(labels, classes, smoothing));
  CHECK(soft.item<double>() == Approx(expected).epsilon(kF64));
}

TEST_CASE("soft_cross_entropy: equals its definition for mixed targets", "[numeric]") {
  const auto logits = some_logits(4, 5);
  const auto labels = some_labels(4, 5);
  const auto one_hot = smoothed_one_hot(labels, 5, 0.1);
  const auto targets = one_hot * 0.3 + one_hot.flip(0) * 0.7;
  double expected = 0;
  for (int64_t i = 0; i < 4; ++i) {
    const auto row = surprises(logits[i]);
    for (int64_t c = 0; c < 5; ++c) expected += targets[i][c].item<double>() * row[static_cast<size_t>(c)] / 4;
  }
  CHECK(soft_cross_entropy(logits, targets).item<double>() == Approx(expected).epsilon(kF64));
}

TEST_CASE("binary_cross_entropy: equals its definition, with and without a threshold", "[numeric]") {
  const auto logits = some_logits(4, 5);
  const auto one_hot = smoothed_one_hot(some_labels(4, 5), 5, 0.1);
  const auto targets = one_hot * 0.3 + one_hot.flip(0) * 0.7;
  for (const std::optional<double> threshold : {std::optional<double>(), std::optional<double>(0.2)}) {
    double expected = 0;
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t c = 0; c < 5; ++c) {
        const double z = logits[i][c].item<double>(), y = targets[i][c].item<double>();
        const double wanted = threshold ? (y > *threshold ? 1.0 : 0.0) : y;
        expected += (wanted * std::log1p(std::exp(-z)) + (1 - wanted) * std::log1p(std::exp(z))) / 20;
      }
    }
    CHECK(binary_cross_entropy(logits, targets, threshold).item<double>() == Approx(expected).epsilon(kF64));
  }
}

TEST_CASE("losses: the gradient is (softmax - target) / batch", "[numeric]") {
  const double smoothing = GENERATE(0.0, 0.1);
  const auto labels = some_labels(6, 5);
  const auto targets = smoothed_one_hot(labels, 5, smoothing);
  const auto expected = (at::softmax(some_logits(6, 5), 1) - targets) / 6;
  auto hard = some_logits(6, 5).requires_grad_(), soft = some_logits(6, 5).requires_grad_();
  label_cross_entropy(hard, labels, smoothing).backward();
  soft_cross_entropy(soft, targets).backward();
  CHECK(at::allclose(hard.grad(), expected, 0, kF64));
  CHECK(at::allclose(soft.grad(), expected, 0, kF64));
}

TEST_CASE("soft_cross_entropy: takes targets of any floating type, and keeps the type of the logits", "[numeric]") {
  const auto logits = some_logits(2, 4);
  const auto targets = at::tensor({0.25, 0.75, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5}).view({2, 4});  // exact in any type
  const auto expected = soft_cross_entropy(logits, targets.to(at::kDouble));
  REQUIRE(expected.scalar_type() == at::kDouble);
  for (const auto dtype : {at::kHalf, at::kBFloat16, at::kFloat}) {
    CHECK(soft_cross_entropy(logits, targets.to(dtype)).equal(expected));
  }
}

TEST_CASE("losses: logits far apart do not overflow", "[numeric]") {
  const auto logits = at::tensor({1e4, -1e4}).view({1, 2}).to(at::kFloat);
  const auto wrong = at::ones({1}, at::kLong);
  CHECK(label_cross_entropy(logits, wrong, 0.0).item<float>() == 2e4f);
  CHECK(label_cross_entropy(logits, wrong, 0.5).item<float>() == 1.5e4f);
  CHECK(soft_cross_entropy(logits, at::tensor({0.5, 0.5}).view({1, 2})).item<float>() == 1e4f);
}

}  // namespace
}  // namespace unireplk::tasks
