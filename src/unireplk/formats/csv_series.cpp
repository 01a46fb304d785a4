#include "unireplk/formats/csv_series.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "unireplk/core/utf8.h"
#include "unireplk/formats/csv.h"
#include "unireplk/formats/timestamp.h"

namespace unireplk::formats {
namespace {

constexpr size_t kMaxSeriesProblems = 20;
constexpr std::string_view kDateColumn = "date";

/// The text if it is UTF-8, else its bytes as the characters of Latin-1.
std::string as_utf8(const std::string& text) {
  if (is_utf8(text)) return text;
  std::string out;
  for (const char c : text) append_utf8(out, static_cast<unsigned char>(c));
  return out;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

std::optional<double> finite_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  return is_whole && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// Reads the table row by row, and gathers what is wrong with it.
class SeriesReader {
 public:
  SeriesReader(std::string_view text, const std::string& place) : reader_(text, place), place_(place) {}

  CsvSeries read() {
    read_names();
    while (problems_.size() < kMaxSeriesProblems && next()) read_row();
    if (problems_.empty() && series_.times.empty()) {
      refuse({.place = place_, .message = "expected a row for each time, got none", .cure = ""});
    }
    if (!problems_.empty()) throw UserError(std::move(problems_));
    return std::move(series_);
  }

 private:
  void refuse(Problem problem) { problems_.push_back(std::move(problem)); }

  bool next() {
    const auto more = reader_.next(row_);
    if (!more) refuse(more.problem());
    return more && *more;
  }

  /// The first row. Without it nothing can be made of the others.
  void read_names() {
    if (!next()) {
      if (problems_.empty()) {
        refuse({.place = place_, .message = "expected a line with the names of the columns, got nothing", .cure = ""});
      }
      throw UserError(std::move(problems_));
    }
    const auto& fields = row_.fields;
    if (fields.size() == 1 && fields[0].find_first_of(";\t|") != std::string::npos) {
      const char other = fields[0][fields[0].find_first_of(";\t|")];
      refuse({place_of(place_, row_.line, static_cast<int>(fields[0].find(other)) + 1),
              format("expected columns separated by \",\", got {}", other == '\t' ? "tabs" : format("\"{}\"", other)),
              "Save the table with commas."});
    } else if (trimmed(fields[0]) != kDateColumn) {
      refuse({place_of(place_, row_.line, 1),
              format("expected the first column to be \"{}\", got \"{}\"", kDateColumn, as_utf8(fields[0])),
              "Name the column of the stamps so and put it first."});
    } else if (fields.size() < 2) {
      refuse({place_of(place_, row_.line), "expected columns with numbers beside the stamps, got none", ""});
    }
    std::set<std::string> known;
    for (size_t i = 1; problems_.empty() && i < fields.size(); ++i) {
      series_.names.push_back(as_utf8(fields[i]));
      if (known.insert(series_.names.back()).second) continue;
      refuse({place_of(place_, row_.line, reader_.column(i)),
              format("the column \"{}\" appears twice", series_.names.back()), "Rename one of them."});
    }
    if (!problems_.empty()) throw UserError(std::move(problems_));
  }

  void read_row() {
    const size_t width = series_.names.size() + 1;
    if (row_.fields.size() != width) {
      refuse({place_of(place_, row_.line), format("expected {} columns, got {}", width, row_.fields.size()), ""});
      return;
    }
    const auto time = parse_timestamp(trimmed(row_.fields[0]));
    if (!time) {
      refuse({place_of(place_, row_.line, 1),
              format("expected a stamp like 2016-07-01 00:00:00 or 2016/7/1 0:00, got \"{}\"", as_utf8(row_.fields[0])),
              ""});
    }
    series_.times.push_back(time.value_or(0));
    for (size_t i = 1; i < width && problems_.size() < kMaxSeriesProblems; ++i) series_.values.push_back(cell(i));
  }

  double cell(size_t i) {
    const auto text = trimmed(row_.fields[i]);
    const auto value = finite_number(text);
    if (!value) {
      refuse({place_of(place_, row_.line, reader_.column(i)),
              format("expected a number in column \"{}\", got {}", series_.names[i - 1],
                     text.empty() ? "nothing" : format("\"{}\"", as_utf8(std::string(text)))),
              "Fill gaps before training: every cell needs a value."});
    }
    return value.value_or(0);
  }

  CsvReader reader_;
  std::string place_;
  CsvRow row_;
  CsvSeries series_;
  std::vector<Problem> problems_;
};

}  // namespace

CsvSeries parse_csv_series(std::string_view text, const std::string& place) { return SeriesReader(text, place).read(); }

}  // namespace unireplk::formats
