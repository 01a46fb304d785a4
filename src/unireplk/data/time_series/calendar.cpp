#include "unireplk/data/time_series/calendar.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <chrono>

namespace unireplk::data::time_series {
namespace {

constexpr int64_t kHourSeconds = 3600, kDaySeconds = 24 * kHourSeconds;

/// A value of 0 .. last, spread over [-0.5, 0.5].
double spread(int64_t value, int64_t last) { return static_cast<double>(value) / static_cast<double>(last) - 0.5; }

struct Moment {
  int64_t minute, hour, weekday, day, day_of_year, week, month;  ///< all from 0
};

int64_t day_of_year(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  return (day - std::chrono::sys_days(date.year() / 1 / 1)).count();
}

Moment moment_of(int64_t seconds) {
  const std::chrono::sys_seconds stamp{std::chrono::seconds(seconds)};
  const auto day = std::chrono::floor<std::chrono::days>(stamp);
  const int64_t second = (stamp - day).count();
  const std::chrono::year_month_day date(day);
  const int64_t weekday = std::chrono::weekday(day).iso_encoding() - 1;
  const std::chrono::sys_days thursday = day + std::chrono::days(3 - weekday);  // whose year the ISO week belongs to
  return {.minute = second / 60 % 60,
          .hour = second / kHourSeconds,
          .weekday = weekday,
          .day = static_cast<unsigned>(date.day()) - 1,
          .day_of_year = day_of_year(day),
          .week = day_of_year(thursday) / 7,
          .month = static_cast<unsigned>(date.month()) - 1};
}

std::vector<double> marks_of(const Moment& at, Granularity granularity) {
  const double minute = spread(at.minute, 59), hour = spread(at.hour, 23), weekday = spread(at.weekday, 6);
  const double day = spread(at.day, 30), day_of_year = spread(at.day_of_year, 365);
  switch (granularity) {
    case Granularity::kMinute:
      return {minute, hour, weekday, day, day_of_year};
    case Granularity::kHour:
      return {hour, weekday, day, day_of_year};
    case Granularity::kDay:
      return {weekday, day, day_of_year};
    case Granularity::kWeek:
      return {day, spread(at.week, 52)};
    case Granularity::kMonth:
      break;
  }
  return {spread(at.month, 11)};
}

}  // namespace

Granularity granularity_of(int64_t step) {
  if (step < kHourSeconds) return Granularity::kMinute;
  if (step < kDaySeconds) return Granularity::kHour;
  if (step < 7 * kDaySeconds) return Granularity::kDay;
  if (step < 28 * kDaySeconds) return Granularity::kWeek;
  return Granularity::kMonth;
}

int64_t num_marks(Granularity granularity) { return static_cast<int64_t>(marks_of(Moment{}, granularity).size()); }

at::Tensor calendar_marks(const std::vector<int64_t>& times, Granularity granularity) {
  at::Tensor marks = at::empty({static_cast<int64_t>(times.size()), num_marks(granularity)}, at::kFloat);
  float* out = marks.mutable_data_ptr<float>();
  for (const int64_t time : times) {
    for (const double value : marks_of(moment_of(time), granularity)) *out++ = static_cast<float>(value);
  }
  return marks;
}

int64_t median_step(const std::vector<int64_t>& times) {
  std::vector<int64_t> steps;
  for (size_t i = 1; i < times.size(); ++i) steps.push_back(times[i] - times[i - 1]);
  if (steps.empty()) return 0;
  const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
  std::nth_element(steps.begin(), middle, steps.end());
  return *middle;
}

}  // namespace unireplk::data::time_series
