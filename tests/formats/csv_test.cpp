#include "unireplk/formats/csv.h"

#include <fstream>
#include <iterator>

#include "support/catch.h"
#include "support/test_data.h"

using namespace unireplk;
using namespace unireplk::formats;

namespace {

using Rows = std::vector<std::vector<std::string>>;

Result<Rows> rows_of(const std::string& text, CsvOptions options = {}) {
  CsvReader reader(text, "a.csv", options);
  Rows rows;
  CsvRow row;
  while (true) {
    const auto more = reader.next(row);
    if (!more) return more.problem();
    if (!*more) return rows;
    rows.push_back(row.fields);
  }
}

std::string csv_message(const std::string& text, CsvOptions options = {}) {
  const auto rows = rows_of(text, options);
  return rows ? "accepted" : rows.problem().text();
}

}  // namespace

TEST_CASE("csv: reads plain rows with either line end, with and without a last one") {
  const Rows expected{{"a", "b"}, {"1", ""}};
  for (const std::string text : {"a,b\n1,\n", "a,b\r\n1,\r\n", "a,b\n1,", "a,b\r\n1,\r",
                                 "\xEF\xBB\xBF"
                                 "a,b\n\n\r\n1,\n\n"}) {
    INFO(text);
    CHECK(rows_of(text).value() == expected);
  }
  CHECK(rows_of("").value().empty());
  CHECK(rows_of("\n\r\n").value().empty());
}

TEST_CASE("csv: quotes hold delimiters, line ends and quotes") {
  CHECK(rows_of("\"a,b\",\"c\nd\",\"e \"\"f\"\"\",\"\"\n").value() == Rows{{"a,b", "c\nd", "e \"f\"", ""}});
  CHECK(rows_of("\"a\r\nb\"\r\n").value() == Rows{{"a\r\nb"}});
}

TEST_CASE("csv: takes other delimiters, and blanks after one when told so") {
  CHECK(rows_of("clip.mp4 3\n", {.delimiter = ' '}).value() == Rows{{"clip.mp4", "3"}});
  CHECK(rows_of("id, 1.0, \"/m/1,/m/2\"\n", {.skip_initial_space = true}).value() == Rows{{"id", "1.0", "/m/1,/m/2"}});
}

TEST_CASE("csv: rows know their line, also after quoted line ends") {
  const std::string text = "a\n\n\"b\nc\"\nd\n";
  CsvReader reader(text, "a.csv");
  CsvRow row;
  std::vector<int> lines;
  while (reader.next(row).value()) lines.push_back(row.line);
  CHECK(lines == std::vector<int>{1, 3, 5});
}

TEST_CASE("csv: names the line of what is malformed") {
  CHECK(csv_message("a\n\"b\nc") == "a.csv:2: a quoted field is never closed.");
  CHECK_THAT(csv_message("a\nb\"c\n"), Catch::StartsWith("a.csv:2: a quote inside a field"));
  CHECK_THAT(csv_message("\"a\"b\n"), Catch::StartsWith("a.csv:1: expected \",\" or the end of the line"));
  CHECK_THAT(csv_message("\"" + std::string(20, 'x') + "\"", {.max_field_bytes = 10}),
             Catch::Contains("at most 10 bytes"));
  CHECK_THAT(csv_message(std::string(20, 'x'), {.max_field_bytes = 10}), Catch::Contains("at most 10 bytes"));
  CHECK_THAT(csv_message(std::string(20, ','), {.max_columns = 10}), Catch::Contains("at most 10 columns"));
}

TEST_CASE("csv: reading goes no further after a problem") {
  CsvReader reader("a\"\nb\n", "a.csv");
  CsvRow row;
  CHECK_FALSE(reader.next(row));
  CHECK_FALSE(reader.next(row).value());
}

TEST_CASE("csv: a table has named columns and rows of one length") {
  const auto table = parse_csv_table("date,OT\n2016,1\n2017,2\n", "a.csv");
  REQUIRE(table);
  CHECK(table->column("OT") == 1);
  CHECK_THROWS_WITH(table->column("ot"), "a.csv: no column \"ot\". Known: date, OT.");
  REQUIRE(table->rows.size() == 2);
  CHECK(table->rows[1].fields == std::vector<std::string>{"2017", "2"});
  CHECK(parse_csv_table("a,b\n1,2\n1\n", "a.csv").problem().text() == "a.csv:3: expected 2 columns, got 1.");
  CHECK_THAT(parse_csv_table("", "a.csv").problem().text(), Catch::Contains("names of the columns, got nothing"));
}

TEST_CASE("csv: reads the lists of the test data", "[golden]") {
  const auto path = test::test_data("timeseries/ETT-small/ETTh1.csv");
  if (!path) return;
  std::ifstream in(*path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto table = parse_csv_table(text, path->string());
  REQUIRE(table);
  CHECK(table->columns.size() == 8);
  CHECK(table->rows.size() == 17420);
  CHECK(table->column("OT") == 7);
}

TEST_CASE("csv: a field that is written is read as it was") {
  for (const std::string text : {"plain", "", "a,b", "say \"no\"", "two\nlines", "\r", " blank "}) {
    const auto rows = rows_of(csv_field(text) + "," + csv_field("x") + "\n").value_or_throw();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0] == std::vector<std::string>{text, "x"});
  }
  CHECK(csv_field("plain") == "plain");
}
