#include "unireplk/tasks/multi_label.h"

#include <ATen/ATen.h>

#include <cmath>

#include "support/catch.h"
#include "tasks/echo.h"
#include "tasks/value_of.h"
#include "unireplk/core/error.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tasks/ranking.h"

namespace unireplk::tasks {
namespace {

using test::value_of;

/// spec/audio.md section 7.
const at::Tensor kTargets = at::tensor({1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0}, at::kFloat).view({6, 3});
const at::Tensor kScores =
    at::tensor({.9, .2, .3, .4, .6, .3, .4, .1, .8, .7, .5, .3, .2, .6, .1, .4, .3, .6}, at::kFloat).view({6, 3});

DataInfo score_info(int64_t classes, bool has_labels = false) {
  DataInfo info{.fields = {{.name = "image", .dtype = at::kFloat, .shape = {1, 1, classes}, .meaning = ""}},
                .classes = {},
                .constants = {}};
  for (int64_t i = 0; i < classes; ++i) info.classes.push_back(format("class {}", i));
  if (has_labels) info.fields.push_back({.name = "label", .dtype = at::kLong, .shape = {}, .meaning = ""});
  return info;
}

/// Echo takes maps [B, 1, 1, classes] for logits.
Batch score_batch(const at::Tensor& scores, const at::Tensor& targets) {
  Batch batch{.fields = {{"image", at::logit(scores).view({scores.size(0), 1, 1, -1})}, {"target", targets}},
              .keys = std::vector<SampleKey>(static_cast<size_t>(scores.size(0))),
              .sources = {}};
  return batch;
}

struct MultiLabelBench {
  explicit MultiLabelBench(const DataInfo& info, MultiLabelConfig config = {})
      : task(config, network_of(std::make_shared<test::EchoImpl>()), info) {}
  MultiLabel task;
};

TEST_CASE("ranking: the check values of the specification") {
  const std::vector<double> ap{0.866667, 1.0, 0.666667}, auc{0.888889, 1.0, 0.5};
  for (int64_t c = 0; c < 3; ++c) {
    const auto scores = kScores.select(1, c).contiguous();
    const auto positive = kTargets.select(1, c).to(at::kByte).contiguous();
    const auto ranking = rank({scores.const_data_ptr<float>(), 6}, {positive.const_data_ptr<uint8_t>(), 6});
    REQUIRE(ranking);
    CHECK(ranking->average_precision == Approx(ap[static_cast<size_t>(c)]).margin(1e-6));
    CHECK(ranking->auc == Approx(auc[static_cast<size_t>(c)]).margin(1e-6));
  }
  CHECK(d_prime(0.5) == Approx(0).margin(1e-9));
  CHECK(d_prime(0.975) == Approx(2.771808).margin(1e-6));
  CHECK((std::isfinite(d_prime(1)) && std::isfinite(d_prime(0))));
}

TEST_CASE("ranking: a class that all samples have, or none, cannot be ranked") {
  const std::vector<float> scores{0.1F, 0.2F};
  const std::vector<uint8_t> none{0, 0}, all{1, 1};
  CHECK_FALSE(rank(scores, none));
  CHECK_FALSE(rank(scores, all));
}

TEST_CASE("multi_label: an evaluation in parts, with padding, equals the specification") {
  MultiLabelBench bench(score_info(3));
  const auto first = bench.task.start_evaluation(), second = bench.task.start_evaluation();
  first->add(score_batch(kScores.slice(0, 0, 2), kTargets.slice(0, 0, 2)));
  first->add(score_batch(kScores.slice(0, 2, 3), kTargets.slice(0, 2, 3)));
  auto last = score_batch(at::cat({kScores.slice(0, 3), kScores.slice(0, 0, 1)}),
                          at::cat({kTargets.slice(0, 3), kTargets.slice(0, 5)}));
  last.keys.back().padding = true;
  second->add(last);
  first->merge(*second);
  const auto metrics = first->result();
  CHECK(value_of(metrics, "mAP") == Approx(84.4444).margin(1e-3));
  CHECK(value_of(metrics, "auc") == Approx(79.6296).margin(1e-3));
  CHECK(value_of(metrics, "d_prime") == Approx(1.171626).margin(1e-5));
  CHECK(value_of(metrics, "accuracy") == Approx(83.3333).margin(1e-3));
  CHECK(value_of(metrics, "classes") == 3);
  CHECK(metrics.front().primary);
}

TEST_CASE("multi_label: classes without samples are left out of the means, and nothing at all is no number") {
  MultiLabelBench bench(score_info(4), {.metric = MultiLabelMetric::kAccuracy});
  const auto evaluation = bench.task.start_evaluation();
  CHECK(std::isnan(value_of(evaluation->result(), "mAP")));
  evaluation->add(
      score_batch(at::cat({kScores, at::full({6, 1}, 0.01F)}, 1), at::cat({kTargets, at::zeros({6, 1})}, 1)));
  const auto metrics = evaluation->result();
  CHECK(value_of(metrics, "mAP") == Approx(84.4444).margin(1e-3));
  CHECK(value_of(metrics, "classes") == 3);
  CHECK_FALSE(metrics.front().primary);
}

TEST_CASE("multi_label: the loss is the mean over samples and classes") {
  const auto z = at::tensor({1.0, -2.0, 0.5}).view({1, 3}), t = at::tensor({0.7, 0.3, 0.0}).view({1, 3});
  CHECK(tasks::binary_cross_entropy(z, t, std::nullopt).item<double>() == Approx(0.771422).margin(1e-6));
  MultiLabelBench bench(score_info(3));
  auto batch = score_batch(at::sigmoid(z), t);
  bench.task.prepare(batch, {}, true);
  CHECK(bench.task.losses(batch, {}).total.item<double>() == Approx(0.771422).margin(1e-5));
}

TEST_CASE("multi_label: takes single labels too") {
  MultiLabelBench bench(score_info(3, /*has_labels=*/true));
  CHECK(bench.task.needs()[1].name == "label");
  CHECK(MultiLabelBench(score_info(3)).task.needs()[1].shape == std::vector<int64_t>{3});
  auto batch = score_batch(kScores, kTargets);
  batch.fields.erase("target");
  batch.fields["label"] = at::tensor({0, 1, 2, 0, 1, 0}, at::kLong);
  const auto evaluation = bench.task.start_evaluation();
  evaluation->add(batch);
  CHECK(value_of(evaluation->result(), "accuracy") == Approx(83.3333).margin(1e-3));
}

TEST_CASE("multi_label: predicts each class by itself, best first") {
  MultiLabelBench bench(score_info(3));
  auto batch = score_batch(kScores.slice(0, 3, 4), kTargets.slice(0, 3, 4));
  bench.task.prepare(batch, {}, false);
  const auto items = bench.task.predict(batch).front().items;
  CHECK(items.front().label == "class 0");
  CHECK(items.front().score == Approx(0.7).margin(1e-5));
  CHECK(items.back().score == Approx(0.3).margin(1e-5));
}

}  // namespace
}  // namespace unireplk::tasks
