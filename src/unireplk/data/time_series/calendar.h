#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace unireplk::data::time_series {

/// How far apart rows are, which says what of the calendar tells them apart.
enum class Granularity { kMinute, kHour, kDay, kWeek, kMonth };

/// Of rows `step` seconds apart: below an hour, a day, a week, four weeks, or more.
Granularity granularity_of(int64_t step);

/// Numbers that a row of this granularity gets: 5, 4, 3, 2, 1.
int64_t num_marks(Granularity granularity);

/// What the calendar says of each stamp, each number in [-0.5, 0.5]: minute of the hour, hour, weekday (Monday first),
/// day of the month, day of the year; of them the last four for hours and the last three for days; day of the month and
/// ISO week for weeks, the month for months. Source: spec/time_series.md, A3.
///
/// \param times  seconds since 1970.
/// \return [times, num_marks], float32.
at::Tensor calendar_marks(const std::vector<int64_t>& times, Granularity granularity);

/// The median distance of stamps, in seconds; 0 of fewer than two.
int64_t median_step(const std::vector<int64_t>& times);

}  // namespace unireplk::data::time_series
