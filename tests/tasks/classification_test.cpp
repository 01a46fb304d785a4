#include "unireplk/tasks/classification.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <numeric>

#include "support/catch.h"
#include "tasks/echo.h"
#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"

namespace unireplk::tasks {
namespace {

using Catch::Matchers::Contains;
using test::batch_of;

DataInfo image_info(int64_t classes, const std::vector<float>& mean = {0.485f, 0.456f, 0.406f},
                    const std::vector<float>& std = {0.229f, 0.224f, 0.225f}) {
  DataInfo info{.fields = {}, .classes = {}, .constants = {{"mean", at::tensor(mean)}, {"std", at::tensor(std)}}};
  for (int64_t i = 0; i < classes; ++i) info.classes.push_back(format("class {}", i));
  return info;
}

class ClassificationBench {
 public:
  explicit ClassificationBench(const DataInfo& info, ClassificationConfig config = {})
      : task(config, network_of(net), info) {}

  std::shared_ptr<test::EchoImpl> net = std::make_shared<test::EchoImpl>();
  Classification task;
};

at::Tensor some_bytes(at::IntArrayRef shape) {
  const int64_t count = std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  return at::arange(count, at::kLong).mul(37).remainder(256).to(at::kByte).view(shape);
}

TEST_CASE("classification: asks for an image of the data's channels and a label") {
  CHECK_NOTHROW(check_fields(ClassificationBench(image_info(2)).task.needs(),
                             {.fields = {{.name = "image", .dtype = at::kByte, .shape = {32, 32, 3}, .meaning = ""},
                                         {.name = "label", .dtype = at::kLong, .shape = {}, .meaning = ""}},
                              .classes = {},
                              .constants = {}}));
  const auto grey = ClassificationBench(image_info(2, {0.5f}, {0.25f})).task.needs();
  REQUIRE(grey.size() == 2);
  CHECK(grey[0].shape == std::vector<int64_t>{-1, -1, 1});
}

TEST_CASE("classification: takes maps that the pipeline has made ready") {
  DataInfo info{.fields = {{.name = "image", .dtype = at::kFloat, .shape = {1, 4, 5}, .meaning = ""}},
                .classes = {"yes", "no"},
                .constants = {}};
  ClassificationBench bench(info);
  const auto needs = bench.task.needs();
  CHECK((needs[0].dtype == at::kFloat && needs[0].shape == std::vector<int64_t>{-1, -1, -1}));
  const auto maps = at::arange(2 * GENERATE(1, 3) * 20, at::kFloat).view({2, -1, 4, 5});
  auto batch = batch_of(maps, at::zeros({2}, at::kLong));
  bench.task.prepare(batch, {}, true);
  CHECK(at::equal(batch.tensor("image"), maps));
  CHECK(batch.tensor("image").suggest_memory_format() == at::MemoryFormat::ChannelsLast);
}

TEST_CASE("classification: refuses data without classes or constants") {
  auto info = image_info(2);
  info.constants.erase("std");
  CHECK_THROWS_WITH(ClassificationBench(info), Contains("needs the constant \"std\""));
  CHECK_THROWS_WITH(ClassificationBench(image_info(0)), Contains("task.name: classification needs data with classes"));
}

TEST_CASE("classification: data of another kind are refused by the check of fields") {
  const DataInfo series{.fields = {{.name = "past", .dtype = at::kFloat, .shape = {96, 7}, .meaning = ""}},
                        .classes = {"calm", "storm"},
                        .constants = {}};
  CHECK_THROWS_WITH(check_fields(ClassificationBench(series).task.needs(), series),
                    Contains("data field \"image\": the task expects Float [any, any, any]") &&
                        Contains("got nothing; the data have past Float [96, 7]") && Contains("data field \"label\""));
}

TEST_CASE("classification: prepare makes a normalised channels_last map, to the bit", "[numeric]") {
  const bool training = GENERATE(true, false);
  const std::vector<float> mean{0.485f, 0.456f, 0.406f}, std{0.229f, 0.224f, 0.225f};
  ClassificationBench bench(image_info(2, mean, std));
  const auto bytes = some_bytes({2, 4, 5, 3});
  const auto labels = at::zeros({2}, at::kLong);
  auto batch = batch_of(bytes, labels);
  bench.task.prepare(batch, {}, training);
  const auto& map = batch.tensor("image");
  REQUIRE(map.sizes() == at::IntArrayRef({2, 3, 4, 5}));
  REQUIRE(map.scalar_type() == at::kFloat);
  CHECK(map.is_contiguous(at::MemoryFormat::ChannelsLast));
  for (int64_t n = 0; n < 2; ++n) {
    for (int64_t y = 0; y < 4; ++y) {
      for (int64_t x = 0; x < 5; ++x) {
        for (int64_t c = 0; c < 3; ++c) {
          const auto channel = static_cast<size_t>(c);
          const float value = static_cast<float>(bytes[n][y][x][c].item<uint8_t>()) / 255.0f;
          CHECK(map[n][c][y][x].item<float>() == (value - mean[channel]) / std[channel]);
        }
      }
    }
  }
  CHECK(batch.tensor("label").is_same(labels));
  CHECK(bytes.equal(some_bytes({2, 4, 5, 3})));
}

TEST_CASE("classification: prepare refuses what is no image of bytes") {
  ClassificationBench bench(image_info(2));
  const auto prepared = [&](const at::Tensor& image) {
    auto batch = batch_of(image, at::zeros({image.size(0)}, at::kLong));
    bench.task.prepare(batch, {}, true);
  };
  CHECK_THROWS_WITH(prepared(at::zeros({1, 4, 4, 3})), Contains("expected a uint8 image [B, H, W, 3], got Float"));
  CHECK_THROWS_AS(prepared(some_bytes({1, 4, 4, 1})), ContractError);
  CHECK_THROWS_AS(prepared(some_bytes({4, 4, 3})), ContractError);
}

TEST_CASE("classification: the loss takes labels smoothed, or soft targets instead", "[numeric]") {
  ClassificationBench bench(image_info(4), {.label_smoothing = 0.2});
  const auto logits = at::arange(8, at::kDouble).cos().view({2, 4}).requires_grad_();
  const auto labels = at::tensor({3, 1}, at::kLong);
  auto batch = batch_of(logits, labels);
  const auto hard = bench.task.losses(batch, {});
  CHECK(hard.total.equal(label_cross_entropy(logits, labels, 0.2)));
  CHECK(hard.total.requires_grad());
  CHECK(bench.net->ran_with_gradients);
  CHECK_FALSE(bench.net->last_generator.has_value());

  const auto targets = at::softmax(at::arange(8, at::kDouble).sin().view({2, 4}), 1);
  batch.fields["target"] = targets;
  CHECK(bench.task.losses(batch, {}).total.equal(soft_cross_entropy(logits, targets)));
}

TEST_CASE("classification: training hands the step's generator to the network") {
  ClassificationBench bench(image_info(2));
  Step step{.step = 0, .epoch = 0, .micro_step = 0, .generator = at::make_generator<at::CPUGeneratorImpl>(7)};
  bench.task.losses(batch_of(at::zeros({1, 2}), at::zeros({1}, at::kLong)), step);
  REQUIRE(bench.net->last_generator.has_value());
  CHECK(*bench.net->last_generator == step.generator);
}

TEST_CASE("classification: predicts the first five classes, best first, under the sample's key", "[numeric]") {
  ClassificationBench bench(image_info(7));
  const bool training = GENERATE(true, false);
  bench.net->train(training);
  const auto logits =
      at::tensor({0.1, 2.0, -1.0, 3.0, 0.5, 1.0, -2.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0, -1.0}).view({2, 7});
  auto batch = batch_of(logits.to(at::kFloat), at::zeros({2}, at::kLong));
  batch.keys = {{.item = 40, .view = 2, .padding = false}, {.item = 41, .view = 0, .padding = true}};
  const auto predictions = bench.task.predict(batch);
  REQUIRE(predictions.size() == 2);
  CHECK((predictions[0].key.item == 40 && predictions[0].key.view == 2 && !predictions[0].key.padding));
  CHECK((predictions[1].key.item == 41 && predictions[1].key.padding));
  const std::vector<std::vector<int>> order{{3, 1, 5, 4, 0}, {0, 1, 2, 3, 4}};
  for (size_t i = 0; i < 2; ++i) {
    REQUIRE(predictions[i].items.size() >= 5);
    const auto row = logits[static_cast<int64_t>(i)].to(at::kFloat).to(at::kDouble);
    const double total = row.exp().sum().item<double>();
    for (size_t j = 0; j < 5; ++j) {
      CHECK(predictions[i].items[j].label == format("class {}", order[i][j]));
      const double expected = std::exp(row[order[i][j]].item<double>()) / total;
      CHECK(predictions[i].items[j].score == Approx(expected).epsilon(1e-12));
    }
  }
  CHECK_FALSE(bench.net->ran_in_training);
  CHECK_FALSE(bench.net->ran_with_gradients);
  CHECK(bench.net->is_training() == training);
}

TEST_CASE("classification: with fewer than five classes a prediction names them all", "[numeric]") {
  ClassificationBench bench(image_info(3));
  const auto predictions =
      bench.task.predict(batch_of(at::tensor({1.0, 3.0, 2.0}).view({1, 3}), at::zeros({1}, at::kLong)));
  REQUIRE(predictions.size() == 1);
  REQUIRE(predictions[0].items.size() == 3);
  double total = 0;
  for (const auto& item : predictions[0].items) total += item.score;
  CHECK(total == Approx(1.0).epsilon(1e-12));
  CHECK(predictions[0].items[0].label == "class 1");
  CHECK(predictions[0].items[2].label == "class 0");
}

TEST_CASE("classification: its evaluation measures its network without smoothing", "[numeric]") {
  ClassificationBench bench(image_info(3), {.label_smoothing = 0.5});
  const auto logits = at::tensor({1.0, 3.0, 2.0}, at::kDouble).view({1, 3});
  const auto evaluation = bench.task.start_evaluation();
  evaluation->add(batch_of(logits, at::tensor({1}, at::kLong)));
  const double expected = std::log(std::exp(1.0) + std::exp(3.0) + std::exp(2.0)) - 3.0;
  CHECK(evaluation->result().at(2).value == Approx(expected).epsilon(1e-12));
}

TEST_CASE("classification config: what is dumped is read again") {
  const auto read = [](const std::string& yaml) {
    return config::parse<ClassificationConfig>(config::load_text(yaml, "task.yaml"), {});
  };
  CHECK(read("{}").label_smoothing == 0.1);
  CHECK(read(config::dump(ClassificationConfig{.label_smoothing = 0.0})).label_smoothing == 0.0);
  CHECK_THROWS_WITH(read("label_smoothing: 1.0"), Catch::Contains("label_smoothing: "));
}

}  // namespace
}  // namespace unireplk::tasks
