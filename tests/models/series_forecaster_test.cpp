#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <map>

#include "models/forecasters.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"

namespace unireplk::models {
namespace {

at::Tensor evaluated(const ForecastCase& the) {
  const at::NoGradGuard no_graph;
  the.network->eval();
  return the.forecaster().forward(the.input);
}

/// A small forecaster with drawn weights.
SeriesForecaster small_series_forecaster(SeriesForecasterOptions options) {
  options.backbone = {.depths = {1, 1, 1, 1},
                      .dims = {8, 8, 8, 16},
                      .kernel_sizes = {{3}, {3}, {7}, {3}},
                      .mode = Mode::kTrunk,
                      .stages = options.backbone.stages};
  SeriesForecaster network(options);
  network->initialise(at::detail::createCPUGenerator(1));
  network->eval();
  return network;
}

constexpr int64_t kLength = 32, kHorizon = 8;

SeriesForecasterOptions three_channels() {
  return {.channels = 3, .length = kLength, .horizon = kHorizon, .width = 32, .dropout = 0};
}

ForecastInput input_of(int64_t windows, int64_t channels) {
  return {.window = scaled_input({windows, kLength, channels}, "window", 1).to(at::kFloat),
          .marks = scaled_input({windows, kLength + kHorizon, 4}, "marks", 0.5).to(at::kFloat)};
}

}  // namespace

TEST_CASE("SeriesForecaster: forecasts equal the reference", "[golden]") {
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kDouble, test::kOutputF64}, {at::kFloat, test::kOutputF32}}));
  const auto expected = *test::golden_tensors("time_series").find("output.f64");
  CHECK(test::relative_difference(evaluated(time_series_case(dtype)), expected) <= tolerance);
}

TEST_CASE("SeriesForecaster: the merged form forecasts as the reference", "[golden]") {
  const auto the = time_series_case(at::kFloat);
  the.network.backbone().ptr()->merge();
  const auto expected = *test::golden_tensors("time_series").find("output.f64");
  CHECK(test::relative_difference(evaluated(the), expected) <= test::kOutputF32);
}

TEST_CASE("SeriesForecaster: gradients and names equal the reference", "[golden]") {
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kDouble, test::kGradientF64}, {at::kFloat, test::kGradientF32}}));
  const auto golden = test::golden_json("time_series")["gradients"];
  const auto the = time_series_case(dtype);
  the.network->train();
  const auto loss = at::mse_loss(the.forecaster().forward(the.input), the.target);
  loss.backward();
  CHECK(loss.item<double>() == Approx(golden["loss"].get<double>()).epsilon(tolerance));
  size_t parameters = 0;
  for (const auto& [name, value] : state_dict(*the.network)) {
    if (!value.requires_grad()) continue;
    CAPTURE(name);
    ++parameters;
    REQUIRE(golden["parameters"].contains(name));
    const auto& row = golden["parameters"][name];
    CHECK(row["shape"].get<std::vector<int64_t>>() == value.sizes().vec());
    if (test::has_zero_gradient(name)) {
      CHECK(test::probe(value.grad())[0] <= test::kZeroGradient * golden["gradient_norm"].get<double>());
    } else {
      CHECK(test::probe_difference(value.grad(), row["gradient"]) <= tolerance);
    }
  }
  CHECK(parameters == golden["parameters"].size());
}

TEST_CASE("SeriesForecaster: the map is a view of the embedded rows") {
  auto options = three_channels();
  options.rows = 4;
  auto network = small_series_forecaster(options);
  const auto input = input_of(1, 3);
  const at::NoGradGuard no_graph;
  at::Tensor map;
  network->forecast(
      input,
      [&](const at::Tensor& given) {
        map = given;
        return network->backbone->forward(given);
      },
      std::nullopt);
  REQUIRE(map.sizes() == at::IntArrayRef({3, 1, 4 * kLength, 8}));
  auto& norm = network->window_norm;
  const auto x = norm->forward(input.window, norm->measure(input.window));
  const auto rows = network->embedding->forward(x.transpose(1, 2).reshape({3, kLength, 1}),
                                                input.marks.narrow(1, 0, kLength));  // [3, L, 32]
  for (const int64_t row : {0, 1, 5, 127}) {
    for (const int64_t column : {0, 7}) {
      CHECK(map[1][0][row][column].item<float>() == rows[1][row / 4][8 * (row % 4) + column].item<float>());
    }
  }
}

TEST_CASE("SeriesForecaster: a window of another scale and level is forecast so", "[numeric]") {
  auto network = small_series_forecaster(three_channels());
  const at::NoGradGuard no_graph;
  auto input = input_of(2, 3);
  input.window = input.window * 10;  // far above the deviation's epsilon
  const auto forecast = network->forward(input);
  auto moved = input;
  moved.window = input.window * 3 + 100;
  const auto expected = forecast * 3 + 100;
  CHECK((network->forward(moved) - expected).abs().max().item<double>() < 1e-3);
}

TEST_CASE("SeriesForecaster: a window that does not change has a finite forecast and gradients", "[numeric]") {
  auto network = small_series_forecaster(three_channels());
  auto input = input_of(2, 3);
  input.window = at::full_like(input.window, 7);
  network->train();
  const auto forecast = network->forward(input);
  CHECK(at::isfinite(forecast).all().item<bool>());
  forecast.square().mean().backward();
  for (const auto& parameter : network->named_parameters()) {
    INFO(parameter.key());
    CHECK(at::isfinite(parameter.value().grad()).all().item<bool>());
  }
}

TEST_CASE("SeriesForecaster: what a window is normalised by", "[numeric]") {
  auto options = three_channels();
  const auto kind =
      GENERATE(WindowNormKind::kOff, WindowNormKind::kMean, WindowNormKind::kMeanStd, WindowNormKind::kLast);
  options.window_norm = kind;
  options.affine = GENERATE(true, false);
  auto network = small_series_forecaster(options);
  const at::NoGradGuard no_graph;
  const auto input = input_of(2, 3);
  auto& norm = network->window_norm;
  CHECK(norm->weight.defined() == (options.affine && kind != WindowNormKind::kOff));
  const auto statistics = norm->measure(input.window);
  const auto x = norm->forward(input.window, statistics);
  CHECK((norm->inverse(x, statistics) - input.window).abs().max().item<double>() < 1e-5);
  if (kind == WindowNormKind::kMeanStd) CHECK(x.var(1, false).sub(1).abs().max().item<double>() < 1e-3);
  if (kind == WindowNormKind::kLast) CHECK(x.select(1, kLength - 1).abs().max().item<double>() == 0);
}

TEST_CASE("SeriesForecaster: channels that do not fill a group are forecast all the same") {
  auto options = three_channels();
  options.group = 2;
  auto network = small_series_forecaster(options);
  const at::NoGradGuard no_graph;
  CHECK(network->options().nodes() == 2);
  CHECK(network->forward(input_of(2, 3)).sizes() == at::IntArrayRef({2, kHorizon, 3}));
}

TEST_CASE("SeriesForecaster: marks of the rows to forecast change nothing") {
  auto network = small_series_forecaster(three_channels());
  const at::NoGradGuard no_graph;
  auto input = input_of(2, 3);
  const auto forecast = network->forward(input);
  input.marks = input.marks.clone();
  input.marks.narrow(1, kLength, kHorizon).fill_(0.5);
  CHECK(at::equal(network->forward(input), forecast));
}

TEST_CASE("SeriesForecaster: dropout follows from the generator alone") {
  auto options = three_channels();
  options.dropout = 0.5;
  auto network = small_series_forecaster(options);
  const at::NoGradGuard no_graph;
  const auto input = input_of(2, 3);
  network->train();
  const auto run = [&](uint64_t seed) { return network->forward(input, at::detail::createCPUGenerator(seed)); };
  CHECK(at::equal(run(1), run(1)));
  CHECK_FALSE(at::equal(run(1), run(2)));
  network->eval();
  CHECK(at::equal(run(1), run(2)));
}

TEST_CASE("SeriesForecaster: the map of an earlier stage is the last, and those behind it are not built") {
  auto options = three_channels();
  options.backbone.stages = 3;
  auto network = small_series_forecaster(options);
  for (const auto& [name, value] : state_dict(*network)) {
    INFO(name);
    CHECK(name.find("stages.3.") == std::string::npos);
    CHECK(name.find("downsample_layers.3.") == std::string::npos);
  }
  CHECK(network->backbone->blocks().size() == 3);
  CHECK(network->head->weight.size(1) == 8 * 2);  // 8 channels, two rows of 16 of the window each
  const at::NoGradGuard no_graph;
  const auto input = input_of(2, 3);
  const auto map = network->map_of(input, std::nullopt);
  CHECK(network->backbone->forward(map).sizes() == at::IntArrayRef({6, 8, 2, 2}));
  CHECK(network->forward(input).sizes() == at::IntArrayRef({2, kHorizon, 3}));
}

TEST_CASE("SeriesForecaster: shuffled rows are those of the map in an order that the weights hold", "[numeric]") {
  auto options = three_channels();
  auto plain = small_series_forecaster(options);
  options.shuffled = true;
  auto shuffled = small_series_forecaster(options);
  const at::NoGradGuard no_graph;
  const auto input = input_of(1, 3);
  const auto order = shuffled->order;
  CHECK(at::equal(std::get<0>(order.sort()), at::arange(kLength, at::kLong)));
  CHECK_FALSE(at::equal(order, at::arange(kLength, at::kLong)));
  shuffled->embedding = plain->embedding;
  CHECK(at::equal(shuffled->map_of(input, std::nullopt), plain->map_of(input, std::nullopt).index_select(2, order)));
  CHECK_FALSE(at::equal(small_series_forecaster(options)->order, [&] {
    SeriesForecaster other(shuffled->options());
    other->initialise(at::detail::createCPUGenerator(2));
    return other->order;
  }()));
}

TEST_CASE("SeriesForecaster: with the window before the last layer nothing of the backbone reaches the forecast",
          "[numeric]") {
  auto options = three_channels();
  options.group = 2;
  options.seen = SeenByHead::kWindow;
  auto network = small_series_forecaster(options);
  CHECK(network->head->weight.size(1) == kLength * 2);
  const auto input = input_of(2, 3);
  network->train();
  network->forward(input).square().mean().backward();
  CHECK(network->head->weight.grad().abs().sum().item<double>() > 0);
  for (const auto& parameter : network->backbone->parameters()) CHECK_FALSE(parameter.grad().defined());
}

TEST_CASE("SeriesForecaster: options that do not fit are refused") {
  auto options = three_channels();
  options.backbone = golden_trunk();
  using Catch::Matchers::Contains;
  SECTION("width") {
    options.rows = 5;
    CHECK_THROWS_WITH(resolved(options), Contains("width: expected a multiple of rows = 5, got 32"));
  }
  SECTION("group") {
    options.group = 4;
    CHECK_THROWS_WITH(resolved(options), Contains("group: expected at most the 3 channels of the data, got 4"));
  }
  SECTION("stages") {
    options.backbone.stages = 5;
    CHECK_THROWS_WITH(resolved(options), Contains("stages: expected 1 to 4, got 5"));
  }
  SECTION("horizon") {
    options.horizon = 0;
    CHECK_THROWS_WITH(resolved(options), Contains("horizon: expected 1 to"));
  }
}

}  // namespace unireplk::models
