#pragma once

#include <cstdint>
#include <string_view>
#include <utility>

#include "unireplk/config/fields.h"
#include "unireplk/data/split_part.h"

namespace unireplk::data::time_series {

/// Where the borders of a table lie: ETT's months of 30 days in hours, the same in quarters of an hour, or 70, 10 and
/// 20 % of the rows. Declared, never guessed: the wrong one of the first two moves all borders by a factor of four.
enum class SplitKind { kEtth, kEttm, kRatio };

/// Rows [begin, end).
struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
  bool operator==(const RowRange&) const = default;
};

/// The rows that *targets* of each part come from. Source: spec/time_series.md, B2.
struct Splits {
  RowRange train, validation, test;

  const RowRange& of(SplitPart part) const;
};

/// \throws UserError when a table of `rows` rows is shorter than the borders of its kind, naming `place`.
Splits splits_of(SplitKind kind, int64_t rows, std::string_view place);

/// The rows a part's windows of `input` rows before `horizon` rows lie in: those of training as they are, the others
/// with `input` rows of the part before, so that their targets begin exactly at the border.
///
/// \throws UserError when no window fits, naming `place`.
RowRange window_rows(const Splits& splits, SplitPart part, int64_t input, int64_t horizon, std::string_view place);

}  // namespace unireplk::data::time_series

namespace unireplk::config {

template <>
struct EnumNames<data::time_series::SplitKind> {
  using E = data::time_series::SplitKind;
  static constexpr std::pair<std::string_view, E> values[] = {
      {"etth", E::kEtth}, {"ettm", E::kEttm}, {"ratio", E::kRatio}};
};

}  // namespace unireplk::config
