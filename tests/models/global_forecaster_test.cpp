#include "unireplk/models/global_forecaster.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "models/forecasters.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/models/describe.h"

namespace unireplk::models {
namespace {

using Catch::Matchers::Contains;

/// The published setting, without its weights.
GlobalForecaster published(GlobalForecasterOptions options = {}) {
  std::vector<int64_t> third;
  for (int i = 0; i < 9; ++i) third.insert(third.end(), {13, 3, 3});
  options.backbone = {.depths = {3, 3, 27, 3},
                      .dims = {96, 192, 384, 768},
                      .kernel_sizes = {{3, 3, 3}, {13, 13, 13}, third, {11, 11, 11}}};  // 11, not 13, in the last stage
  return GlobalForecaster(options, at::TensorOptions(at::kMeta));
}

/// Seven regions of two groups of three stations, with drawn weights.
GlobalForecaster small_global_forecaster(GlobalForecasterOptions options) {
  options.backbone = {.depths = {1, 1, 1, 1}, .dims = {8, 8, 8, 16}, .kernel_sizes = {{3}, {3}, {7}, {3}}};
  options.channels = 42;
  options.length = 16;
  options.label = 4;
  options.horizon = 8;
  options.tree = {7, 2};
  options.width = 16;
  options.heads = 2;
  options.hidden = 32;
  GlobalForecaster network(options);
  network->initialise(at::detail::createCPUGenerator(3));
  const at::NoGradGuard no_graph;
  network->set_places(scaled_input({42, 3}, "places", 90));
  return network;
}

ForecastInput small_input(int64_t windows) {
  return {.window = scaled_input({windows, 16, 42}, "window", 50, 100).to(at::kFloat),
          .marks = scaled_input({windows, 24, 4}, "marks", 0.5).to(at::kFloat)};
}

}  // namespace

TEST_CASE("GlobalForecaster: forecasts equal the reference, train and merged form", "[golden]") {
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kDouble, test::kOutputF64}, {at::kFloat, test::kOutputF32}}));
  const at::NoGradGuard no_graph;
  auto the = global_weather_case(dtype);
  the.network->eval();
  const auto expected = *test::golden_tensors("global_weather").find("output.f64");
  CHECK(test::relative_difference(the.forecast(), expected) <= tolerance);
  the.network->backbone.ptr()->merge();
  CHECK(test::relative_difference(the.forecast(), expected) <= tolerance);
}

TEST_CASE("GlobalForecaster: gradients and names equal the reference", "[golden]") {
  const auto [dtype, tolerance] =
      GENERATE(table<at::ScalarType, double>({{at::kDouble, test::kGradientF64}, {at::kFloat, test::kGradientF32}}));
  const auto golden = test::golden_json("global_weather")["gradients"];
  auto the = global_weather_case(dtype);
  the.network->train();
  const auto loss = at::mse_loss(the.forecast(), the.target);
  loss.backward();
  CHECK(loss.item<double>() == Approx(golden["loss"].get<double>()).epsilon(tolerance));
  const double norm = golden["gradient_norm"];
  size_t parameters = 0;
  for (const auto& [name, value] : state_dict(*the.network)) {
    if (!value.requires_grad()) continue;
    CAPTURE(name);
    ++parameters;
    REQUIRE(golden["parameters"].contains(name));
    const auto& row = golden["parameters"][name];
    CHECK(row["shape"].get<std::vector<int64_t>>() == value.sizes().vec());
    // Some are zero but for rounding: a bias of keys adds the same to every delay's strength.
    if (row["gradient"][0].get<double>() <= test::kZeroGradient * norm) {
      CHECK(test::probe(value.grad())[0] <= 2 * test::kZeroGradient * norm);
    } else {
      CHECK(test::probe_difference(value.grad(), row["gradient"]) <= tolerance);
    }
  }
  CHECK(parameters == golden["parameters"].size());
}

TEST_CASE("GlobalForecaster: parameters of the published setting") {
  const auto network = published();
  CHECK(count_parameters(*network->enc_embedding) == 54528);
  CHECK(count_parameters(*network->dec_embedding) == 54528);
  constexpr int64_t kUnusedHead = 770536;  // the published count has the classifier's norm and head in it
  CHECK(count_parameters(*network->backbone) == 56289952 - kUnusedHead);
  CHECK(count_parameters(*network->decoder) + count_parameters(*network->norm) + count_parameters(*network->head) ==
        76349963);
  CHECK(count_parameters(*network->decoder->self_corr->autocorrelation) == 2362368);
  CHECK(count_parameters(*network->decoder->self_corr->cross) == 2362368 + 31859712);
  CHECK(count_parameters(*network) == 132748993 - kUnusedHead);
}

TEST_CASE("GlobalForecaster: the last map as rows, read as it lies or pixel by pixel") {
  auto options = golden_stations();
  options.width = 320;  // the channels of the last map
  options.rows = 8;     // 192 x 40
  const auto map =
      at::arange(2 * 320 * 6 * 2, at::kFloat).view({2, 320, 6, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  SECTION("reinterpret") {
    const auto tokens = GlobalForecaster(options, at::TensorOptions(at::kFloat))->tokens(map);
    REQUIRE(tokens.sizes() == at::IntArrayRef({2, 12, 320}));
    for (const int64_t j : {0, 5, 11}) {
      for (const int64_t f : {0, 319}) {
        const int64_t place = 320 * j + f;
        CHECK(tokens[1][j][f].item<float>() == map[1][place / 12][place % 12 / 2][place % 2].item<float>());
      }
    }
  }
  SECTION("spatial") {
    options.token_order = TokenOrder::kSpatial;
    const auto tokens = GlobalForecaster(options)->tokens(map);
    CHECK(tokens[1][5][7].item<float>() == map[1][7][2][1].item<float>());
  }
  SECTION("pooled") {
    options.memory = EncoderMemory::kPooled;
    const auto tokens = GlobalForecaster(options)->tokens(map);
    REQUIRE(tokens.sizes() == at::IntArrayRef({2, 1, 320}));
    CHECK(tokens[0][0][3].item<float>() == Approx(map[0][3].mean().item<float>()));
  }
  SECTION("zero") {
    options.memory = EncoderMemory::kZero;
    CHECK(GlobalForecaster(options)->tokens(map).abs().max().item<float>() == 0);
  }
}

TEST_CASE("GlobalForecaster: windows of a batch do not meet", "[numeric]") {
  auto network = small_global_forecaster({});
  network->eval();
  const at::NoGradGuard no_graph;
  const auto input = small_input(3);
  const auto together = network->forward(input);
  REQUIRE(together.sizes() == at::IntArrayRef({3, 8, 42}));
  for (int64_t i = 0; i < 3; ++i) {
    const auto alone = network->forward({input.window.narrow(0, i, 1), input.marks.narrow(0, i, 1)});
    CHECK(test::relative_difference(alone, together.narrow(0, i, 1)) < 1e-4);
  }
}

TEST_CASE("GlobalForecaster: without the encoder nothing of it reaches the forecast", "[numeric]") {
  GlobalForecasterOptions options;
  options.memory = GENERATE(EncoderMemory::kMap, EncoderMemory::kZero);
  auto network = small_global_forecaster(options);
  network->eval();
  const at::NoGradGuard no_graph;
  const auto input = small_input(1);
  const auto before = network->forward(input);
  network->enc_embedding->place->bias.add_(1);
  CHECK(at::equal(network->forward(input), before) == (options.memory == EncoderMemory::kZero));
}

TEST_CASE("correlation: rolls, and delays of what was delayed", "[numeric]") {
  const auto x = at::arange(6, at::kDouble);
  CHECK(at::equal(roll_last(x.unsqueeze(0), at::tensor({2}, at::kLong)), x.roll(2).unsqueeze(0)));
  const auto q = at::cat({at::ones({1}, at::kDouble), at::zeros({5}, at::kDouble)});
  CHECK(circular_correlation(q.roll(4), q.roll(1)).argmax().item<int64_t>() == 3);
  const auto [rest, trend] = decompose(x.view({1, 6, 1}));
  CHECK(at::allclose(rest + trend, x.view({1, 6, 1})));
  CHECK(trend[0][0][0].item<double>() == Approx((5.0 * 7 + 1 + 2 + 3 + 4 + 5 + 0) / 25));  // 12 rows before, 7 behind
}

TEST_CASE("GlobalForecaster: options that do not fit are refused") {
  auto options = golden_stations();
  SECTION("tree") {
    options.tree = {5, 2};
    CHECK_THROWS_WITH(resolved(options), Contains("share the 12 stations evenly, got 10 nodes"));
  }
  SECTION("tree of more nodes than an integer counts") {
    options.tree = {65536, 65536, 65536, 65536};  // 2^64
    CHECK_THROWS_WITH(resolved(options), Contains("tree: expected at most as many nodes as the 12 stations"));
  }
  SECTION("spatial") {
    options.token_order = TokenOrder::kSpatial;
    CHECK_THROWS_WITH(resolved(options),
                      Contains("token_order: expected width = 320, the channels of the last map, got 96"));
  }
  SECTION("width") {
    options.width = 92;
    CHECK_THROWS_WITH(resolved(options), Contains("expected a divisor of the 960 numbers"));
  }
  SECTION("label") {
    options.label = 25;
    CHECK_THROWS_WITH(resolved(options), Contains("label: expected 0 to 24, got 25"));
  }
}

}  // namespace unireplk::models
