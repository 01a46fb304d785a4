#include "unireplk/formats/csv_series.h"

#include <cmath>

#include "fuzz/target.h"
#include "unireplk/core/error.h"
#include "unireplk/core/utf8.h"

namespace unireplk::test {
namespace {

/// Past the header: a table with rows, or one whose mistakes lie in them.
bool try_csv_series(std::span<const std::byte> bytes) {
  try {
    const auto series = formats::parse_csv_series(text_of(bytes), "fuzz.csv");
    require(series.rows() > 0, "a table without rows");
    require(series.values.size() == series.rows() * series.names.size(), "values of another count");
    for (const double value : series.values) require(std::isfinite(value), "a value that is not finite");
    for (const auto& name : series.names) require(is_utf8(name), "a name that is not UTF-8");
    return true;
  } catch (const UserError& error) {
    require(!error.problems().empty() && error.problems().size() <= 21, "more mistakes than are told");
    const auto& place = error.problems().front().place;
    return place.find(".csv:") != std::string::npos && place.find(".csv:1:") == std::string::npos;
  }
}

}  // namespace

const Target kTarget{.try_bytes = try_csv_series};

}  // namespace unireplk::test
