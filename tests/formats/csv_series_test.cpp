#include "unireplk/formats/csv_series.h"

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/formats/timestamp.h"

namespace unireplk::formats {
namespace {

using Catch::Matchers::Contains;

/// The text of all problems that a table has.
std::string problems_of(const std::string& text) {
  try {
    parse_csv_series(text, "x.csv");
  } catch (const UserError& error) {
    std::string all;
    for (const auto& problem : error.problems()) all += problem.text() + "\n";
    return all;
  }
  return "none";
}

}  // namespace

TEST_CASE("timestamp: both published forms, with and without seconds, and days") {
  constexpr int64_t k2016 = 1467331200;  // 2016-07-01 00:00
  for (const char* text :
       {"2016-07-01 00:00:00", "2016/7/1 0:00", "2016-07-01", "2016-07-01T00:00", "2016/07/01 00:00"}) {
    INFO(text);
    CHECK(parse_timestamp(text) == k2016);
  }
  CHECK(parse_timestamp("2016/7/1 13:05") == k2016 + 13 * 3600 + 5 * 60);
  CHECK(parse_timestamp("2020-02-29 23:59:59"));
  CHECK(parse_timestamp("1969-12-31 23:59:59") == -1);
  CHECK(timestamp_text(k2016 + 3661) == "2016-07-01 01:01:01");
  CHECK(timestamp_text(-1) == "1969-12-31 23:59:59");
}

TEST_CASE("timestamp: other texts and days that no calendar has are none") {
  for (const char* text : {"", "2016", "2016-07", "2016-13-01", "2019-02-29 00:00:00", "2016-07-01 24:00:00",
                           "2016-07-01 0", "2016-07/01", "2016-07-01 00:00:00 UTC", "01.07.2016 00:00", "-2016-07-01",
                           "20160-07-01", "2016-07-01 00:60", "0000-01-01", "2016-07-01 "}) {
    INFO(text);
    CHECK_FALSE(parse_timestamp(text));
  }
}

TEST_CASE("csv_series: names, stamps and values") {
  const auto series = parse_csv_series("date,a,\"b,c\"\n2016-07-01 00:00:00,1,-2.5e-1\n2016/7/1 1:00, 3 ,4\n", "x.csv");
  CHECK(series.names == std::vector<std::string>{"a", "b,c"});
  CHECK(series.times[1] - series.times[0] == 3600);
  CHECK(series.values == std::vector<double>{1, -0.25, 3, 4});
}

TEST_CASE("csv_series: names in Latin-1 become UTF-8, those in UTF-8 stay") {
  CHECK(parse_csv_series("date,T (\xB0\x43)\n2020-01-01,1\n", "x.csv").names[0] == "T (\xC2\xB0\x43)");
  CHECK(parse_csv_series("date,\xC2\xB5\n2020-01-01,1\n", "x.csv").names[0] == "\xC2\xB5");
}

TEST_CASE("csv_series: mistakes are named with line and column") {
  CHECK_THAT(problems_of("date;a\n2016-07-01;1\n"),
             Contains("x.csv:1:5: expected columns separated by \",\", got \";\""));
  CHECK_THAT(problems_of("time,a\n"), Contains("x.csv:1:1: expected the first column to be \"date\", got \"time\""));
  CHECK_THAT(problems_of("date\n2016-07-01\n"), Contains("x.csv:1: expected columns with numbers"));
  CHECK_THAT(problems_of("date,a,a\n"), Contains("x.csv:1:8: the column \"a\" appears twice"));
  CHECK_THAT(problems_of("date,a,b\n2016-07-01,1\n"), Contains("x.csv:2: expected 3 columns, got 2"));
  CHECK_THAT(problems_of("date,a,b\n2016-07-01,1,\n"),
             Contains("x.csv:2:14: expected a number in column \"b\", got nothing"));
  for (const char* cell : {"nan", "NaN", "inf", "1x", "1e999"}) {
    CHECK_THAT(problems_of(std::string("date,a\n2016-07-01,") + cell + "\n"),
               Contains("x.csv:2:12: expected a number in column \"a\", got \"" + std::string(cell) + "\""));
  }
  CHECK_THAT(problems_of("date,a\nyesterday,1\n"), Contains("x.csv:2:1: expected a stamp like"));
  CHECK_THAT(problems_of("date,a\n"), Contains("x.csv: expected a row for each time, got none"));
  CHECK_THAT(problems_of(""), Contains("expected a line with the names of the columns, got nothing"));
}

TEST_CASE("csv_series: all mistakes come at once, the first 20 of them") {
  std::string text = "date,a,b\n";
  for (int i = 0; i < 100; ++i) text += "2016-07-01,x,y\n";
  const auto all = problems_of(text);
  CHECK(std::count(all.begin(), all.end(), '\n') == 20);
  CHECK_THAT(all, Contains("x.csv:2:12") && Contains("x.csv:2:14") && Contains("x.csv:11:14"));
}

}  // namespace unireplk::formats
