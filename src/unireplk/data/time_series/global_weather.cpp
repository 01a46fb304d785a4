#include "unireplk/data/time_series/global_weather.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include "unireplk/core/error.h"
#include "unireplk/data/time_series/calendar.h"
#include "unireplk/formats/npy_texts.h"
#include "unireplk/formats/timestamp.h"
#include "unireplk/io/files.h"
#include "unireplk/io/npy_file.h"

namespace unireplk::data::time_series {
namespace {

namespace fs = std::filesystem;

const char* file_part(SplitPart part) {
  return part == SplitPart::kTrain ? "train" : part == SplitPart::kValidation ? "val" : "test";
}

/// [T, stations, 1] to [T, stations] float32.
at::Tensor read_values(const fs::path& file) {
  const auto values = io::read_npy(file);
  if (values.dim() != 3 || values.size(2) != 1) {
    throw UserError({file.string(),
                     format("expected an array [hours, stations, 1], got [{}]", fmt::join(values.sizes(), ", ")), ""});
  }
  const auto flat = values.select(2, 0).to(at::kFloat).contiguous();
  if (at::isfinite(flat).all().item<bool>()) return flat;
  const auto first = at::isfinite(flat).logical_not().nonzero()[0];
  throw UserError({file.string(),
                   format("expected numbers, got {} in row {}, station {}",
                          flat[first[0].item<int64_t>()][first[1].item<int64_t>()].item<float>(),
                          first[0].item<int64_t>(), first[1].item<int64_t>()),
                   "Fill gaps before training."});
}

std::vector<int64_t> read_times(const fs::path& file) {
  const auto mapping = io::InputFile(file).map();
  const auto texts = formats::parse_npy_texts(mapping.bytes(), file.string()).value_or_throw();
  std::vector<int64_t> times;
  for (const auto& text : texts) {
    const auto time = formats::parse_timestamp(text);
    if (!time) {
      throw UserError({place_of(file, static_cast<int>(times.size()) + 1),
                       format("expected a stamp like 2019-01-01 00:00:00, got \"{}\"", text), ""});
    }
    times.push_back(*time);
  }
  return times;
}

at::Tensor read_places(const fs::path& file, int64_t stations) {
  const auto places = io::read_npy(file);
  if (places.dim() == 2 && places.size(0) == stations && places.size(1) == 3) return places.to(at::kDouble);
  throw UserError({file.string(),
                   format("expected latitude, longitude and elevation of {} stations, got [{}]", stations,
                          fmt::join(places.sizes(), ", ")),
                   "Take the stations in the order of the values."});
}

fs::path file_of(const GlobalWeatherConfig& config, const std::string& stem, SplitPart part) {
  return config.folder / format("{}_{}.npy", stem, file_part(part));
}

/// The channels that are used: all stations, or the one of the config.
at::Tensor chosen(const at::Tensor& stations, int64_t axis, const GlobalWeatherConfig& config) {
  if (!config.station) return stations;
  if (*config.station < stations.size(axis)) return stations.narrow(axis, *config.station, 1).contiguous();
  throw UserError({"station", format("expected 0 to {}, got {}", stations.size(axis) - 1, *config.station), ""});
}

/// \throws UserError when the part has no window, or other stations than the \p expected ones, where that is not 0.
at::Tensor read_part(const GlobalWeatherConfig& config, SplitPart part, int64_t expected = 0) {
  const auto file = file_of(config, config.values, part);
  auto values = read_values(file);
  if (values.size(0) < config.input + config.horizon) {
    throw UserError(
        {file.string(),
         format("expected at least {} rows for a window, got {}", config.input + config.horizon, values.size(0)),
         "Lower input or horizon."});
  }
  if (expected > 0 && values.size(1) != expected) {
    throw UserError({file.string(), format("expected {} stations, got {}", expected, values.size(1)),
                     "Take the files of all parts from one data set."});
  }
  return values;
}

/// What baselines learn from lies in other files, which are read when they are asked for; empty where one is missing.
std::function<SeriesParts()> parts_of(const GlobalWeatherConfig& config, const at::Tensor& own, int64_t stations) {
  for (const auto part : {SplitPart::kTrain, SplitPart::kValidation}) {
    if (!fs::exists(file_of(config, config.values, part))) return {};
  }
  return [config, own, stations] {
    const auto values = [&](SplitPart part) {
      return part == config.part ? own : chosen(read_part(config, part, stations), 1, config);
    };
    return SeriesParts{.train = values(SplitPart::kTrain), .validation = values(SplitPart::kValidation), .own = own};
  };
}

}  // namespace

std::unique_ptr<Source> make_global_weather(const GlobalWeatherConfig& config) {
  const auto all = read_part(config, config.part);
  const auto times_file = file_of(config, "data_time", config.part);
  const auto times = read_times(times_file);
  const auto places = read_places(config.folder / "stations_sorted.npy", all.size(1));
  if (std::cmp_not_equal(times.size(), all.size(0))) {
    throw UserError(
        {times_file.string(), format("expected a stamp for each of {} rows, got {}", all.size(0), times.size()), ""});
  }
  const auto values = chosen(all, 1, config);
  const int64_t step = median_step(times);
  if (step <= 0) {
    throw UserError({times_file.string(), "expected hours in the order of time, got stamps that do not rise",
                     "Sort the rows of all files."});
  }
  WindowedSeries series{
      .place = file_of(config, config.values, config.part).string(),
      .names = {},
      .values = values,
      .marks = calendar_marks(times, granularity_of(step)),
      .times = at::tensor(times, at::kLong),
      .num_targets = values.size(1),
      .constants = {{"places", chosen(places, 0, config)}, {"step", at::scalar_tensor(step, at::kLong)}},
      .parts = parts_of(config, values, all.size(1))};
  return std::make_unique<WindowSource>(std::move(series),
                                        WindowShape{.input = config.input, .horizon = config.horizon});
}

}  // namespace unireplk::data::time_series
