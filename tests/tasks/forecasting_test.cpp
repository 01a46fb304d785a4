#include "unireplk/tasks/forecasting.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "support/catch.h"
#include "tasks/value_of.h"
#include "unireplk/core/error.h"
#include "unireplk/models/any_network.h"
#include "unireplk/tasks/classification.h"

namespace unireplk::tasks {
namespace {

using Catch::Matchers::Contains;
using test::value_of;

constexpr int64_t kInput = 32, kAhead = 6, kChannels = 3;

DataInfo series_info(int64_t targets) {
  return {.fields = {{.name = "window", .shape = {kInput, kChannels}, .meaning = ""},
                     {.name = "future", .shape = {kAhead, targets}, .meaning = ""},
                     {.name = "marks", .shape = {kInput + kAhead, 4}, .meaning = ""}},
          .classes = {},
          .constants = {{"scaler_mean", at::tensor({1.0, 2.0, 3.0}, at::kDouble)},
                        {"scaler_std", at::tensor({10.0, 20.0, 30.0}, at::kDouble)}},
          .series = {"a", "b", "c"}};
}

models::AnyNetwork network() {
  models::AnyNetwork made(models::SeriesForecasterOptions{
      .backbone = {.depths = {1, 1, 1, 1}, .dims = {8, 8, 8, 8}, .kernel_sizes = {{3}, {3}, {7}, {3}}},
      .channels = kChannels,
      .length = kInput,
      .horizon = kAhead,
      .width = 16,
      .dropout = 0});
  made.forecaster()->initialise(at::detail::createCPUGenerator(1));
  return made;
}

Forecasting task_of(const models::AnyNetwork& net, ForecastingConfig config = {}, int64_t targets = kChannels) {
  return Forecasting(std::move(config), Network{.module = net.ptr(), .forward = {}}, series_info(targets));
}

/// Windows first .. first + count of a fixed set.
Batch window_batch(int64_t first, int64_t count, int64_t targets = kChannels) {
  auto generator = at::detail::createCPUGenerator(7);
  const auto window = at::randn({40, kInput, kChannels}, generator),
             future = at::randn({40, kAhead, targets}, generator);
  Batch batch{.fields = {{"window", window.narrow(0, first, count)},
                         {"future", future.narrow(0, first, count)},
                         {"marks", at::zeros({count, kInput + kAhead, 4})},
                         {"times", at::arange(kAhead, at::kLong).mul(3600).expand({count, kAhead})}},
              .keys = {},
              .sources = {}};
  for (int64_t i = 0; i < count; ++i) batch.keys.push_back({.item = first + i});
  return batch;
}

std::vector<Metric> evaluated(Forecasting& task, int64_t batch) {
  const auto evaluation = task.start_evaluation();
  for (int64_t first = 0; first < 40; first += batch) evaluation->add(window_batch(first, std::min(batch, 40 - first)));
  return evaluation->result();
}

}  // namespace

TEST_CASE("forecasting: metrics are means over all windows, whatever the batch", "[numeric]") {
  const auto net = network();
  auto task = task_of(net, {.horizons = {2}});
  const auto whole = evaluated(task, 40);
  const at::NoGradGuard no_graph;
  const auto all = window_batch(0, 40);
  net->eval();
  const auto error =
      (net.forecaster()->forward({all.tensor("window"), all.tensor("marks")}) - all.tensor("future")).to(at::kDouble);
  CHECK(value_of(whole, "mse") == Approx(error.square().mean().item<double>()).epsilon(1e-6));
  CHECK(value_of(whole, "mae") == Approx(error.abs().mean().item<double>()).epsilon(1e-6));
  CHECK(value_of(whole, "mse_2") == Approx(error.narrow(1, 0, 2).square().mean().item<double>()).epsilon(1e-6));
  CHECK(whole.front().primary);
  CHECK_FALSE(whole.front().higher_is_better);
  for (const int64_t batch : {1, 7, 32}) {
    const auto parts = evaluated(task, batch);
    for (const char* name : {"mse", "mae", "mse_2", "mae_2"}) {
      CHECK(value_of(parts, name) == Approx(value_of(whole, name)).epsilon(1e-6));
    }
  }
}

TEST_CASE("forecasting: padding is not counted, and parts merge", "[numeric]") {
  const auto net = network();
  auto task = task_of(net);
  auto batch = window_batch(0, 4);
  batch.keys[3].padding = true;
  batch.fields["window"] = batch.tensor("window").clone();
  batch.tensor("window")[3].fill_(std::numeric_limits<float>::quiet_NaN());
  const auto padded = task.start_evaluation();
  padded->add(batch);
  const auto first = task.start_evaluation(), second = task.start_evaluation();
  first->add(window_batch(0, 1));
  second->add(window_batch(1, 2));
  first->merge(*second);
  CHECK(value_of(padded->result(), "mse") == Approx(value_of(first->result(), "mse")).epsilon(1e-6));
}

TEST_CASE("forecasting: the unit scales errors", "[numeric]") {
  const auto net = network();
  auto plain = task_of(net), tenths = task_of(net, {.unit = 0.1});
  CHECK(value_of(evaluated(tenths, 40), "mse") == Approx(value_of(evaluated(plain, 40), "mse") / 100));
  CHECK(value_of(evaluated(tenths, 40), "mae") == Approx(value_of(evaluated(plain, 40), "mae") / 10));
}

TEST_CASE("forecasting: the loss is that of the values themselves", "[numeric]") {
  const auto net = network();
  auto task = task_of(net);
  net->eval();
  const auto losses = task.losses(window_batch(0, 40), Step{});
  CHECK(losses.total.item<double>() == Approx(value_of(evaluated(task, 40), "mse")).epsilon(1e-5));
}

TEST_CASE("forecasting: of all channels the last ones are the targets", "[numeric]") {
  const auto net = network();
  auto task = task_of(net, {}, 1);
  const at::NoGradGuard no_graph;
  net->eval();
  const auto batch = window_batch(0, 2, 1);
  const auto all = net.forecaster()->forward({batch.tensor("window"), batch.tensor("marks")});
  CHECK(at::equal(forecast_targets(*net.forecaster(), batch, 1, std::nullopt), all.narrow(2, 2, 1)));
}

TEST_CASE("forecasting: predictions are in the units of the table, with names and times", "[numeric]") {
  const auto net = network();
  auto task = task_of(net);
  auto batch = window_batch(0, 2);
  batch.fields.erase("future");
  const auto predictions = task.predict(batch);
  REQUIRE(predictions.size() == 2);
  const auto& rows = predictions[1].rows;
  CHECK(rows.names == std::vector<std::string>{"a", "b", "c"});
  CHECK(rows.times[2].item<int64_t>() == 7200);
  const at::NoGradGuard no_graph;
  const auto raw = net.forecaster()->forward({batch.tensor("window"), batch.tensor("marks")});
  CHECK(rows.values[0][2].item<double>() == Approx(raw[1][0][2].item<double>() * 30 + 3));
}

TEST_CASE("forecasting: rows behind the window change nothing", "[numeric]") {
  const auto net = network();
  net->eval();
  auto batch = window_batch(0, 2);
  const at::NoGradGuard no_graph;
  const auto before = forecast_targets(*net.forecaster(), batch, kChannels, std::nullopt);
  batch.fields["future"] = batch.tensor("future") + 100;
  CHECK(at::equal(forecast_targets(*net.forecaster(), batch, kChannels, std::nullopt), before));
}

TEST_CASE("forecasting: networks and horizons that do not fit are refused") {
  const auto net = network();
  CHECK_THROWS_WITH(task_of(net, {.horizons = {7}}), Contains("task.horizons: expected at most the 6 rows"));
  const models::AnyNetwork classifier(models::UniRepLKNet(models::UniRepLKNetOptions{
      .depths = {1, 1, 1, 1}, .dims = {8, 8, 8, 8}, .kernel_sizes = {{3}, {3}, {7}, {3}}, .num_classes = 2}));
  CHECK_THROWS_WITH(task_of(classifier), Contains("model.head: expected a head that forecasts"));
  const DataInfo classes{
      .fields = {}, .classes = {"x", "y"}, .constants = {{"mean", at::zeros({3})}, {"std", at::ones({3})}}};
  CHECK_THROWS_WITH(Classification({}, Network{.module = net.ptr(), .forward = {}}, classes),
                    Contains("model.head: expected a head that classifies"));
}

}  // namespace unireplk::tasks
