#include "unireplk/tasks/classification_evaluation.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "support/catch.h"
#include "tasks/echo.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"

namespace unireplk::tasks {
namespace {

using test::batch_of;

struct Scores {
  double top1 = 0, top5 = 0, loss = 0;
};

Scores scores_of(const Evaluation& evaluation) {
  const auto metrics = evaluation.result();
  return {metrics.at(0).value, metrics.at(1).value, metrics.at(2).value};
}

/// Sums in another order may differ in the last bits of the loss; counts may not.
void check_equal(const Scores& actual, const Scores& expected) {
  CHECK(actual.top1 == expected.top1);
  CHECK(actual.top5 == expected.top5);
  CHECK(actual.loss == Approx(expected.loss).epsilon(1e-13).margin(1e-14));
}

/// The metrics by their definition, one sample after the other.
Scores by_definition(const at::Tensor& logits, const at::Tensor& labels) {
  Scores sum;
  for (int64_t i = 0; i < logits.size(0); ++i) {
    const double own = logits[i][labels[i].item<int64_t>()].item<double>();
    double total = 0;
    int better = 0;
    for (int64_t c = 0; c < logits.size(1); ++c) {
      const double value = logits[i][c].item<double>();
      total += std::exp(value);
      better += value > own;
    }
    sum.top1 += better < 1;
    sum.top5 += better < 5;
    sum.loss += std::log(total) - own;
  }
  const auto count = static_cast<double>(logits.size(0));
  return {100 * sum.top1 / count, 100 * sum.top5 / count, sum.loss / count};
}

struct Data {
  at::Tensor logits;  ///< float [N, C], no two equal in a row
  at::Tensor labels;
};

Data some_data(int64_t samples, int64_t classes) {
  const auto logits =
      (at::arange(samples * classes, at::kDouble).square() * 0.37).sin().mul(5).view({samples, classes});
  return {logits.to(at::kFloat), at::arange(samples, at::kLong).mul(5).remainder(classes)};
}

class EvaluationBench {
 public:
  ClassificationEvaluation evaluation() const { return ClassificationEvaluation(network_of(net)); }

  /// Everything in batches of one size.
  ClassificationEvaluation evaluated(const Data& data, int64_t batch_size) const {
    auto result = evaluation();
    for (int64_t begin = 0; begin < data.labels.size(0); begin += batch_size) {
      const int64_t count = std::min(batch_size, data.labels.size(0) - begin);
      result.add(batch_of(data.logits.narrow(0, begin, count), data.labels.narrow(0, begin, count)));
    }
    return result;
  }

  std::shared_ptr<test::EchoImpl> net = std::make_shared<test::EchoImpl>();
};

TEST_CASE("evaluation: top-1, top-5 and loss are exact for any batch size", "[numeric]") {
  const int64_t classes = GENERATE(1, 2, 5, 6, 11);
  CAPTURE(classes);
  const auto data = some_data(23, classes);
  const auto expected = by_definition(data.logits, data.labels);
  if (classes == 11) REQUIRE((expected.top1 > 0 && expected.top1 < expected.top5 && expected.top5 < 100));
  for (const int64_t batch_size : {1, 2, 5, 22, 23, 64}) {
    CAPTURE(batch_size);
    check_equal(scores_of(EvaluationBench().evaluated(data, batch_size)), expected);
  }
}

TEST_CASE("evaluation: names, units and what is better") {
  const auto metrics = EvaluationBench().evaluation().result();
  REQUIRE(metrics.size() == 3);
  CHECK((metrics[0].name == "top1" && metrics[0].unit == "%" && metrics[0].higher_is_better && metrics[0].primary));
  CHECK((metrics[1].name == "top5" && metrics[1].unit == "%" && metrics[1].higher_is_better && !metrics[1].primary));
  CHECK((metrics[2].name == "loss" && metrics[2].unit.empty() && !metrics[2].higher_is_better && !metrics[2].primary));
}

TEST_CASE("evaluation: padding is never counted, whatever the network says of it", "[numeric]") {
  const auto data = some_data(9, 7);
  const auto expected = by_definition(data.logits, data.labels);
  const float value = GENERATE(0.0f, 1e30f, std::numeric_limits<float>::infinity(), std::nanf(""));
  auto filler = at::full({2, 7}, value, at::kFloat);
  filler[0][3] = 100.0;  // right at that
  const auto logits = at::cat({data.logits.narrow(0, 0, 4), filler, data.logits.narrow(0, 4, 5)});
  const auto labels = at::cat({data.labels.narrow(0, 0, 4), at::full({2}, 3, at::kLong), data.labels.narrow(0, 4, 5)});
  auto evaluation = EvaluationBench().evaluation();
  evaluation.add(batch_of(logits, labels, {4, 5}));
  check_equal(scores_of(evaluation), expected);
  evaluation.add(batch_of(filler, at::full({2}, 3, at::kLong), {0, 1}));
  check_equal(scores_of(evaluation), expected);
}

TEST_CASE("evaluation: of nothing, all metrics are NaN") {
  auto evaluation = EvaluationBench().evaluation();
  for (const auto& metric : evaluation.result()) CHECK(std::isnan(metric.value));
  const auto data = some_data(2, 3);
  evaluation.add(batch_of(data.logits, data.labels, {0, 1}));
  for (const auto& metric : evaluation.result()) CHECK(std::isnan(metric.value));
}

TEST_CASE("evaluation: merging parts equals one evaluation of all", "[numeric]") {
  const EvaluationBench bench;
  const auto data = some_data(20, 8);
  const auto part = [&](int64_t begin, int64_t count) {
    return bench.evaluated({data.logits.narrow(0, begin, count), data.labels.narrow(0, begin, count)}, 4);
  };
  auto merged = bench.evaluation();
  merged.merge(bench.evaluation());
  CHECK(std::isnan(merged.result()[0].value));
  auto rest = part(7, 1);
  rest.merge(part(8, 12));
  merged.merge(rest);
  merged.merge(bench.evaluation());
  merged.merge(part(0, 7));  // changes `merged` alone
  check_equal(scores_of(merged), by_definition(data.logits, data.labels));
  check_equal(scores_of(rest), by_definition(data.logits.narrow(0, 7, 13), data.labels.narrow(0, 7, 13)));
}

TEST_CASE("evaluation: only one of the same task can be merged") {
  struct Other : Evaluation {
    void add(const Batch&) override {}
    void merge(const Evaluation&) override {}
    std::vector<Metric> result() const override { return {}; }
    void save(StateWriter&) const override {}
    void load(const StateReader&) override {}
  };
  CHECK_THROWS_AS(EvaluationBench().evaluation().merge(Other()), ContractError);
}

TEST_CASE("evaluation: goes on after save and load", "[numeric]") {
  const EvaluationBench bench;
  const auto data = some_data(20, 8);
  auto first = bench.evaluated({data.logits.narrow(0, 0, 9), data.labels.narrow(0, 0, 9)}, 4);
  io::StateBuffer state;
  first.save(state);
  auto second = bench.evaluated(some_data(3, 8), 3);  // forgotten by load()
  second.load(state);
  second.add(batch_of(data.logits.narrow(0, 9, 11), data.labels.narrow(0, 9, 11)));
  check_equal(scores_of(second), by_definition(data.logits, data.labels));
  check_equal(scores_of(first), by_definition(data.logits.narrow(0, 0, 9), data.labels.narrow(0, 0, 9)));

  io::StateBuffer empty;
  bench.evaluation().save(empty);
  second.load(empty);
  CHECK(std::isnan(second.result()[0].value));
}

TEST_CASE("evaluation: runs the network in eval mode without gradients, and leaves its mode alone") {
  const EvaluationBench bench;
  const bool training = GENERATE(true, false);
  bench.net->train(training);
  bench.net->ran_in_training = bench.net->ran_with_gradients = true;
  bench.evaluated(some_data(2, 3), 2);
  CHECK_FALSE(bench.net->ran_in_training);
  CHECK_FALSE(bench.net->ran_with_gradients);
  CHECK(bench.net->is_training() == training);
}

}  // namespace
}  // namespace unireplk::tasks
