#include "unireplk/data/time_series/splits.h"

#include "unireplk/core/error.h"

namespace unireplk::data::time_series {
namespace {

constexpr int64_t kMonthHours = 30 * 24;

/// 12, 4 and 4 months; what comes after is not used.
Splits months(int64_t rows_an_hour) {
  const int64_t month = kMonthHours * rows_an_hour;
  return {.train = {0, 12 * month}, .validation = {12 * month, 16 * month}, .test = {16 * month, 20 * month}};
}

/// Floors of 0.7 T and 0.2 T in whole numbers: the products in float64 fall below the whole for some T.
Splits shares(int64_t rows) {
  const int64_t train = rows * 7 / 10, test = rows * 2 / 10;
  return {.train = {0, train}, .validation = {train, rows - test}, .test = {rows - test, rows}};
}

}  // namespace

const RowRange& Splits::of(SplitPart part) const {
  return part == SplitPart::kTrain ? train : part == SplitPart::kValidation ? validation : test;
}

Splits splits_of(SplitKind kind, int64_t rows, std::string_view place) {
  if (kind == SplitKind::kRatio) return shares(rows);
  const Splits splits = months(kind == SplitKind::kEtth ? 1 : 4);
  if (rows >= splits.test.end) return splits;
  throw UserError({std::string(place),
                   format("expected at least {} rows, the 20 months of an ETT set, got {}", splits.test.end, rows),
                   "Write split: ratio for other tables."});
}

RowRange window_rows(const Splits& splits, SplitPart part, int64_t input, int64_t horizon, std::string_view place) {
  RowRange rows = splits.of(part);
  const int64_t available = rows.size();
  if (part != SplitPart::kTrain) rows.begin -= input;
  if (rows.begin >= 0 && rows.size() >= input + horizon) return rows;
  const bool is_training = part == SplitPart::kTrain;
  throw UserError({std::string(place),
                   format("expected at least {} rows in this part for windows of {} rows and {} to forecast, got {}{}",
                          is_training ? input + horizon : horizon, input, horizon, available,
                          rows.begin < 0 ? format(" behind {} rows", rows.begin + input) : ""),
                   "Lower input or horizon, or give a longer table."});
}

}  // namespace unireplk::data::time_series
