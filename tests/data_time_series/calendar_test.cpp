#include "unireplk/data/time_series/calendar.h"

#include "support/catch.h"
#include "unireplk/formats/timestamp.h"

namespace unireplk::data::time_series {
namespace {

std::vector<float> marks(const std::string& stamp, Granularity granularity) {
  const auto row = calendar_marks({*formats::parse_timestamp(stamp)}, granularity)[0].contiguous();
  return {row.const_data_ptr<float>(), row.const_data_ptr<float>() + row.numel()};
}

void check_close(const std::vector<float>& actual, const std::vector<double>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(1e-6));
}

}  // namespace

TEST_CASE("calendar: marks of hours") {
  check_close(marks("2016-07-01 00:00", Granularity::kHour), {-0.5, 0.166667, -0.5, -0.001370});
  check_close(marks("2016-12-31 23:59", Granularity::kHour), {0.5, 5.0 / 6 - 0.5, 0.5, 0.5});  // day 366
  check_close(marks("2019-12-31 12:00", Granularity::kHour), {12.0 / 23 - 0.5, 1.0 / 6 - 0.5, 0.5, 364.0 / 365 - 0.5});
  check_close(marks("2020-02-29 00:00", Granularity::kHour), {-0.5, 5.0 / 6 - 0.5, 28.0 / 30 - 0.5, 59.0 / 365 - 0.5});
  check_close(marks("1969-12-31 23:00", Granularity::kHour), {0.5, 2.0 / 6 - 0.5, 0.5, 364.0 / 365 - 0.5});
}

TEST_CASE("calendar: marks of minutes, days, weeks and months") {
  check_close(marks("2016-07-01 01:15", Granularity::kMinute),
              {15.0 / 59 - 0.5, 1.0 / 23 - 0.5, 0.166667, -0.5, -0.001370});
  check_close(marks("2016-07-01", Granularity::kDay), {0.166667, -0.5, -0.001370});
  check_close(marks("2016-07-01", Granularity::kWeek), {-0.5, 25.0 / 52 - 0.5});  // ISO week 26
  check_close(marks("2021-01-03", Granularity::kWeek), {2.0 / 30 - 0.5, 0.5});    // ISO week 53 of 2020
  check_close(marks("2016-07-01", Granularity::kMonth), {6.0 / 11 - 0.5});
}

TEST_CASE("calendar: what tells rows apart follows from their distance") {
  CHECK(granularity_of(900) == Granularity::kMinute);
  CHECK(granularity_of(3600) == Granularity::kHour);
  CHECK(granularity_of(86400) == Granularity::kDay);
  CHECK(granularity_of(7 * 86400) == Granularity::kWeek);
  CHECK(granularity_of(30 * 86400) == Granularity::kMonth);
  CHECK(num_marks(Granularity::kMinute) == 5);
  CHECK(num_marks(Granularity::kMonth) == 1);
  CHECK(median_step({0, 10, 20, 20, 30}) == 10);  // a stamp that comes twice
  CHECK(median_step({5}) == 0);
}

}  // namespace unireplk::data::time_series
