#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/pipeline.h"

namespace unireplk::data {

/// How an item without rows and columns lies in a map.
enum class SeriesMap { kRow, kRows };

/// How an item comes to a given size.
enum class Fit { kResize, kPad };

/// `name: array`: from numbers to a map that a network sees.
struct ArrayPipelineConfig {
  std::optional<std::vector<double>> mean = {};
  std::optional<std::vector<double>> std = {};
  SeriesMap series = SeriesMap::kRow;
  std::optional<std::array<int64_t, 2>> size = {};
  Fit fit = Fit::kResize;

  static void fields(auto& self, auto&& visit) {
    visit("mean", self.mean, "Mean of each channel; left out, that of the training data.");
    visit("std", self.std, config::positive,
          "Standard deviation of each channel; left out, that of the training data.");
    visit("series", self.series,
          "A series [C, L] becomes a map of one row with C channels (row), or of C rows with one channel (rows).");
    visit("size", self.size, config::between(1, 65536), "Rows and columns of the map; left out, those of the item.");
    visit("fit", self.fit, "How an item gets that size: resized bilinearly, or zeros after its end.");
  }
  void validate(config::Problems& problems) const {
    if (mean.has_value() != std.has_value()) {
      problems.add(mean ? "std" : "mean", "expected mean and std together, got one of them", "Give both or none.");
    }
  }
};

/// Takes items of the source `npy`, or the path of a NumPy file that holds one item with the axes it has there. Gives
/// one sample with `image`, float32 [C, H, W], standardised: (x - mean) / std. Draws nothing.
///
/// \throws UserError when the data are no arrays, or mean and std do not fit their channels.
std::unique_ptr<Pipeline> make_array_pipeline(const ArrayPipelineConfig& config, const DataInfo& source, Mode mode);

/// The same config with mean and std of these data where it has none, so that they stand in the config of a run.
ArrayPipelineConfig with_statistics(ArrayPipelineConfig config, const DataInfo& training);

}  // namespace unireplk::data

namespace unireplk::config {

template <>
struct EnumNames<data::SeriesMap> {
  static constexpr std::pair<std::string_view, data::SeriesMap> values[] = {{"row", data::SeriesMap::kRow},
                                                                            {"rows", data::SeriesMap::kRows}};
};

template <>
struct EnumNames<data::Fit> {
  static constexpr std::pair<std::string_view, data::Fit> values[] = {{"resize", data::Fit::kResize},
                                                                      {"pad", data::Fit::kPad}};
};

}  // namespace unireplk::config
