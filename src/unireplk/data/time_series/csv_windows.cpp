#include "unireplk/data/time_series/csv_windows.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/data/time_series/calendar.h"
#include "unireplk/formats/csv_series.h"
#include "unireplk/io/files.h"

namespace unireplk::data::time_series {
namespace {

/// Names of the channels that are used, the target last.
std::vector<std::string> used_channels(const CsvWindowsConfig& config, const SeriesTable& table) {
  const std::string target = config.target.value_or(table.names.back());
  if (std::ranges::find(table.names, target) == table.names.end()) {
    throw UserError({config.file.string(), format("there is no column \"{}\" to forecast", target),
                     format("The columns are {}.", fmt::join(table.names, ", "))});
  }
  if (config.channels == Channels::kTarget) return {target};
  auto names = table.names;
  if (config.channels == Channels::kAllToTarget) {
    std::rotate(std::ranges::find(names, target), std::ranges::find(names, target) + 1, names.end());
  }
  return names;
}

int64_t step_of(const SeriesTable& table, const std::string& place) {
  const int64_t step = median_step(table.times);
  if (step > 0) return step;
  throw UserError({place, "expected rows in the order of time, got stamps that do not rise", "Sort the rows."});
}

}  // namespace

SeriesTable read_csv_series(const std::filesystem::path& file) {
  auto parsed = formats::parse_csv_series(io::read_file(file), file.string());
  const auto rows = static_cast<int64_t>(parsed.rows()), channels = static_cast<int64_t>(parsed.names.size());
  at::Tensor values = at::from_blob(parsed.values.data(), {rows, channels}, at::kDouble).clone();
  return {.names = std::move(parsed.names), .times = std::move(parsed.times), .values = std::move(values)};
}

SeriesTable select_columns(const SeriesTable& table, const std::vector<std::string>& names, const std::string& place) {
  std::vector<int64_t> indices;
  std::vector<Problem> problems;
  for (const auto& name : names) {
    const auto found = std::ranges::find(table.names, name);
    if (found == table.names.end()) {
      problems.push_back(
          {place, format("there is no column \"{}\"", name), format("It has {}.", fmt::join(table.names, ", "))});
    }
    indices.push_back(found - table.names.begin());
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return {.names = names, .times = table.times, .values = table.values.index_select(1, at::tensor(indices, at::kLong))};
}

Scaler Scaler::fit(const at::Tensor& values) {
  const at::Tensor std = values.std(0, /*unbiased=*/false);
  return {.mean = values.mean(0), .std = std.where(std.gt(0), 1.0)};
}

at::Tensor Scaler::scaled(const at::Tensor& values) const { return (values - mean) / std; }

std::unique_ptr<Source> make_csv_windows(const CsvWindowsConfig& config) {
  const auto place = config.file.string();
  const auto whole = read_csv_series(config.file);
  const auto table = select_columns(whole, used_channels(config, whole), place);
  const auto splits = splits_of(config.split, table.values.size(0), place);
  const auto rows_of = [&](SplitPart part) { return window_rows(splits, part, config.input, config.horizon, place); };
  const auto rows = rows_of(config.part);
  const auto scaler = Scaler::fit(table.values.narrow(0, splits.train.begin, splits.train.size()));
  const auto scaled = scaler.scaled(table.values);
  const int64_t step = step_of(table, place), channels = scaled.size(1);
  const int64_t targets = config.channels == Channels::kAll ? channels : 1;
  const auto cut = [&](const at::Tensor& all) { return all.narrow(0, rows.begin, rows.size()).contiguous(); };
  const auto targets_in = [&](const RowRange& range) {
    return scaled.narrow(1, channels - targets, targets).narrow(0, range.begin, range.size());
  };
  const SeriesParts parts{.train = targets_in(rows_of(SplitPart::kTrain)),
                          .validation = targets_in(rows_of(SplitPart::kValidation)),
                          .own = targets_in(rows)};
  WindowedSeries series{.place = place,
                        .names = table.names,
                        .values = cut(scaled).to(at::kFloat),
                        .marks = cut(calendar_marks(table.times, granularity_of(step))),
                        .times = cut(at::tensor(table.times, at::kLong)),
                        .num_targets = targets,
                        .constants = {{"scaler_mean", scaler.mean},
                                      {"scaler_std", scaler.std},
                                      {"step", at::scalar_tensor(step, at::kLong)}},
                        .parts = [parts] { return parts; }};
  return std::make_unique<WindowSource>(
      std::move(series), WindowShape{.input = config.input, .horizon = config.horizon, .stride = config.stride});
}

}  // namespace unireplk::data::time_series
