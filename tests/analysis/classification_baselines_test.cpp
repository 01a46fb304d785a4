#include "unireplk/analysis/classification_baselines.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "support/catch.h"

namespace unireplk::analysis {
namespace {

constexpr int64_t kItems = 24, kClasses = 3;

/// Noise around a place of each class, as many numbers a row as asked for.
LabelledRows clouds(int64_t width, double noise, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto places = at::randn({kClasses, width}, generator, at::kDouble);
  generator.set_current_seed(seed);
  const auto labels = at::arange(kItems, at::kLong).remainder(kClasses);
  return {.values = places.index_select(0, labels) + at::randn({kItems, width}, generator, at::kDouble) * noise + 5,
          .labels = labels};
}

double share_of_hits(const at::Tensor& classes, const at::Tensor& labels) {
  return classes.eq(labels).to(at::kDouble).mean().item<double>();
}

}  // namespace

TEST_CASE("majority_class: what most items have, the first of several", "[numeric]") {
  CHECK(majority_class(at::tensor({2, 1, 2, 0}, at::kLong), 4) == 2);
  CHECK(majority_class(at::tensor({1, 0, 3, 0, 3}, at::kLong), 5) == 0);
}

TEST_CASE("ridge classifier: the least squares, with more and with fewer numbers than items", "[numeric]") {
  const int64_t width = GENERATE(4, 40);
  const double penalty = 3;
  const auto train = clouds(width, 0.5, 2);
  const auto ridge = fit_ridge_classifier(train, kClasses, penalty);
  const auto rows = train.values - train.values.mean(0);
  const auto targets = at::one_hot(train.labels, kClasses).to(at::kDouble);
  const auto square = rows.t().mm(rows) + at::eye(width, at::kDouble) * penalty;
  const auto expected = at::linalg_solve(square, rows.t().mm(targets - targets.mean(0)));
  CHECK(at::allclose(ridge.weight, expected, 1e-9, 1e-12));
  CHECK(share_of_hits(ridge.classes_of(clouds(width, 0.5, 3).values), train.labels) > 0.9);
}

TEST_CASE("ridge classifier: left-out errors are those of fits without each item", "[numeric]") {
  const auto train = clouds(30, 2, 2);
  const double penalty = 20;
  double sum = 0;
  for (int64_t i = 0; i < kItems; ++i) {
    const auto others = at::cat({at::arange(i, at::kLong), at::arange(i + 1, kItems, at::kLong)});
    const auto fit = fit_ridge_classifier(
        {.values = train.values.index_select(0, others), .labels = train.labels.index_select(0, others)}, kClasses,
        penalty);
    const auto answer = (train.values[i] - fit.mean).unsqueeze(0).mm(fit.weight)[0] + fit.bias;
    sum += (answer - at::one_hot(train.labels[i], kClasses)).square().mean().item<double>();
  }
  CHECK(fit_ridge_classifier(train, kClasses, penalty).left_out == Approx(sum / kItems).epsilon(1e-9));
}

TEST_CASE("ridge classifier: the penalty that leaves out best, and rows that are all alike", "[numeric]") {
  const auto train = clouds(60, 3, 2);
  const auto chosen = choose_ridge_classifier(train, kClasses);
  for (const double times : {0.1, 10.0}) {
    CHECK(chosen.left_out <= fit_ridge_classifier(train, kClasses, chosen.penalty * times).left_out);
  }
  const auto alike =
      choose_ridge_classifier({.values = at::ones({kItems, 5}), .labels = at::zeros({kItems}, at::kLong)}, kClasses);
  CHECK(share_of_hits(alike.classes_of(at::ones({2, 5})), at::zeros({2}, at::kLong)) == 1);
}

}  // namespace unireplk::analysis
