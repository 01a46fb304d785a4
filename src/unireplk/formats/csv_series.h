#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace unireplk::formats {

/// Series of one table over time.
struct CsvSeries {
  std::vector<std::string> names;  ///< of the channels, UTF-8
  std::vector<int64_t> times;      ///< of the rows, seconds since 1970
  std::vector<double> values;      ///< finite; rows x channels, row by row

  size_t rows() const { return times.size(); }
};

/// Read a CSV table whose first column holds stamps (formats/timestamp.h) under the name `date` and whose other columns
/// hold numbers. Names that are not UTF-8 are taken for Latin-1, as those of the Weather set are. Stamps may repeat, as
/// they do there.
///
/// \throws UserError naming line and column of the first 20 mistakes: another delimiter, no column `date`, rows of
///         another width, stamps and numbers that are none, cells that are empty, infinite or not a number.
CsvSeries parse_csv_series(std::string_view text, const std::string& place);

}  // namespace unireplk::formats
