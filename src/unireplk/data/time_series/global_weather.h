#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/data/time_series/splits.h"
#include "unireplk/data/time_series/windows.h"

namespace unireplk::data::time_series {

/// `name: global_weather`: hourly values of weather stations, as the Global Temperature and Wind sets come.
struct GlobalWeatherConfig {
  std::filesystem::path folder;
  std::string values = "temp_global_hourly";
  SplitPart part = SplitPart::kTrain;
  int64_t input = 48;
  int64_t horizon = 24;
  std::optional<int64_t> station = {};

  static void fields(auto& self, auto&& visit) {
    visit("folder", self.folder, config::required,
          "Folder with <values>_{train,val,test}.npy, data_time_{train,val,test}.npy and stations_sorted.npy.");
    visit("values", self.values, config::non_empty, "temp_global_hourly or wind_global_hourly.");
    visit("part", self.part, config::required, "train, validation or test.");
    visit("input", self.input, config::between(1, 1e6), "Hours that the network sees.");
    visit("horizon", self.horizon, config::between(1, 1e6), "Hours to forecast.");
    visit("station", self.station, config::non_negative, "This station alone, counted from 0.");
  }
};

/// Windows of one part; values as they lie in the file, in tenths. Channels are stations, in the order of the file.
/// Constants: `places` float64 [stations, 3], latitude, longitude and elevation; `step` int64, seconds between rows.
/// Source: spec/time_series.md, A1 and A2.
///
/// \throws UserError when a file is missing or damaged, their shapes do not belong together, a value is not finite, or
///         a stamp is none or they do not rise. The values of other parts are read when its `parts` are asked for, by
///         the same rules.
std::unique_ptr<Source> make_global_weather(const GlobalWeatherConfig& config);

}  // namespace unireplk::data::time_series
