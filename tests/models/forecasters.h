#pragma once

#include "support/golden.h"
#include "unireplk/models/any_network.h"
#include "unireplk/models/state_dict.h"

/// The forecasters of the goldens: tools/reference/README.md, modalities.
namespace unireplk::models {

/// Variant A on maps of one channel.
inline UniRepLKNetOptions golden_trunk() {
  return {.kernel_sizes = {}, .branches = {}, .in_channels = 1, .mode = Mode::kTrunk};
}

/// A forecaster of the goldens with its input and the rows it should forecast.
struct ForecastCase {
  std::string name;  ///< of the golden
  AnyNetwork network;
  ForecastInput input;
  at::Tensor target;

  ForecasterImpl& forecaster() const { return *network.forecaster(); }
};

inline at::Tensor scaled_input(at::IntArrayRef shape, const std::string& name, double scale, double offset = 0) {
  return test::formula_input(shape, name).to(at::kDouble) * scale + offset;
}

inline ForecastCase time_series_case(at::ScalarType dtype) {
  const SeriesForecasterOptions options{.backbone = golden_trunk(),
                                        .channels = 6,
                                        .length = 48,
                                        .horizon = 12,
                                        .marks = 4,
                                        .group = 2,
                                        .width = 96,
                                        .rows = 2,
                                        .dropout = 0};
  ForecastCase out{.name = "time_series",
                   .network = AnyNetwork(options, at::TensorOptions(dtype)),
                   .input = {.window = (test::formula_input({2, 48, 6}, "window") * 3 + 5).to(dtype),
                             .marks = (test::formula_input({2, 48, 4}, "marks") / 2).to(dtype)},
                   .target = (test::formula_input({2, 12, 6}, "target") * 3 + 5).to(dtype)};
  test::fill(state_dict(*out.network));
  return out;
}

/// The calendars of the golden's label rows differ from those of its window, so it is run with the two apart.
struct GlobalCase {
  GlobalForecaster network{nullptr};
  at::Tensor window, marks, ahead, target;

  at::Tensor forecast(const DrawFrom& generator = std::nullopt) {
    const auto run = [&](const at::Tensor& map) { return network->backbone->forward(map); };
    return network->forecast(window, marks, ahead, run, generator);
  }
};

inline GlobalForecasterOptions golden_stations() {
  return {.backbone = golden_trunk(),
          .channels = 12,
          .length = 24,
          .label = 12,
          .horizon = 12,
          .tree = {3, 2},
          .width = 96,
          .heads = 4,
          .hidden = 192,
          .rows = 4,
          .dropout = 0,
          .causal_dropout = 0};
}

inline GlobalCase global_weather_case(at::ScalarType dtype) {
  const auto input = [&](at::IntArrayRef shape, const std::string& name, double scale, double offset) {
    return (test::formula_input(shape, name) * scale + offset).to(dtype);
  };
  GlobalCase out{.network = GlobalForecaster(golden_stations(), at::TensorOptions(dtype)),
                 .window = input({1, 24, 12}, "window", 50, 100),
                 .marks = input({1, 24, 4}, "marks", 0.5, 0),
                 .ahead = input({1, 24, 4}, "future_marks", 0.5, 0),
                 .target = input({1, 12, 12}, "target", 50, 100)};
  auto weights = state_dict(*out.network);
  std::erase_if(weights, [](const auto& entry) { return entry.first == "places"; });
  test::fill(weights);
  const at::NoGradGuard no_graph;
  out.network->set_places(*test::golden_tensors("global_weather").find("places"));
  out.network->places.copy_(out.network->places.to(at::kFloat));  // the reference keeps them in float32
  return out;
}

}  // namespace unireplk::models
