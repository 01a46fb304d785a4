#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/core/format.h"
#include "unireplk/data/time_series/splits.h"
#include "unireplk/data/time_series/windows.h"

namespace unireplk::data::time_series {

/// Which channels are seen and forecast: all and all, the target alone, all and the target. In the literature: M, S,
/// MS.
enum class Channels { kAll, kTarget, kAllToTarget };

/// `name: csv_windows`: windows of a CSV table over time.
struct CsvWindowsConfig {
  std::filesystem::path file;
  SplitKind split = SplitKind::kRatio;
  SplitPart part = SplitPart::kTrain;
  int64_t input = 96;
  int64_t horizon = 96;
  int64_t stride = 1;
  Channels channels = Channels::kAll;
  std::optional<std::string> target = {};

  void validate(config::Problems& problems) const {
    if (stride == 1 || part == SplitPart::kTrain) return;
    problems.add("stride", format("expected 1 outside of training, got {}", stride),
                 "Every window has to be measured: leave it out.");
  }

  static void fields(auto& self, auto&& visit) {
    visit("file", self.file, config::required,
          "CSV table: a column `date`, then a column of numbers for each channel.");
    visit("split", self.split, config::required,
          "Borders of the parts: etth, ettm (months of 30 days, rows an hour or a quarter apart) or ratio (7:1:2).");
    visit("part", self.part, config::required, "train, validation or test.");
    visit("input", self.input, config::between(1, 1e6), "Rows that the network sees.");
    visit("horizon", self.horizon, config::between(1, 1e6), "Rows to forecast.");
    visit("stride", self.stride, config::between(1, 1e6),
          "Rows from one window of training to the next; the other parts take every window.");
    visit("channels", self.channels,
          "all: forecast all (M); target: see and forecast the target alone (S); "
          "all_to_target: see all, forecast the target (MS).");
    visit("target", self.target, "Column that counts as the target; left out, the last one.");
  }
};

/// Windows of a part, values minus the mean over the population deviation of each channel's training rows. The target
/// is the last channel. Constants: `scaler_mean` and `scaler_std` float64 [C], `step` int64, seconds between rows.
/// Source: spec/time_series.md, part B.
///
/// \throws UserError as parse_csv_series and the splits do, and when there is no such target.
std::unique_ptr<Source> make_csv_windows(const CsvWindowsConfig& config);

/// A table over time in memory.
struct SeriesTable {
  std::vector<std::string> names;
  std::vector<int64_t> times;  ///< seconds since 1970
  at::Tensor values;           ///< [T, C] float64
};

/// \throws UserError as parse_csv_series does.
SeriesTable read_csv_series(const std::filesystem::path& file);

/// The named columns in the given order. \throws UserError naming those that are not there.
SeriesTable select_columns(const SeriesTable& table, const std::vector<std::string>& names, const std::string& place);

/// Mean and population deviation of each channel; 1 where there is none.
struct Scaler {
  at::Tensor mean, std;  ///< [C] float64

  static Scaler fit(const at::Tensor& values);  ///< [T, C] float64

  at::Tensor scaled(const at::Tensor& values) const;
};

}  // namespace unireplk::data::time_series

namespace unireplk::config {

template <>
struct EnumNames<data::time_series::Channels> {
  using E = data::time_series::Channels;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"all", E::kAll}, {"target", E::kTarget}, {"all_to_target", E::kAllToTarget}};
};

}  // namespace unireplk::config
