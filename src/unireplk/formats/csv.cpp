#include "unireplk/formats/csv.h"

#include <algorithm>
#include <utility>

namespace unireplk::formats {
namespace {

struct CsvRefusal {
  int line;
  std::string message;
};

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string place, CsvOptions options)
    : rest_(text), place_(std::move(place)), options_(options) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (rest_.starts_with(kByteOrderMark)) rest_.remove_prefix(kByteOrderMark.size());
}

bool CsvReader::at_line_end() const {
  return rest_.empty() || rest_.front() == '\n' || rest_ == "\r" || rest_.starts_with("\r\n");
}

void CsvReader::take_line_end() {
  if (rest_.starts_with('\r')) rest_.remove_prefix(1);
  if (!rest_.starts_with('\n')) return;
  rest_.remove_prefix(1);
  ++line_;
}

/// After the opening quote, up to and with the closing one.
std::string CsvReader::quoted_field() {
  const int opened = line_;
  std::string out;
  while (true) {
    const size_t quote = rest_.find('"');
    if (quote == std::string_view::npos) throw CsvRefusal{opened, "a quoted field is never closed"};
    out.append(rest_.substr(0, quote));
    line_ += static_cast<int>(std::ranges::count(rest_.substr(0, quote), '\n'));
    rest_.remove_prefix(quote + 1);
    if (!rest_.starts_with('"')) break;
    out += '"';
    rest_.remove_prefix(1);
  }
  if (!at_line_end() && !rest_.starts_with(options_.delimiter)) {
    throw CsvRefusal{line_, format("expected \"{}\" or the end of the line after a closing quote", options_.delimiter)};
  }
  return out;
}

std::string CsvReader::plain_field() {
  const char stops[] = {options_.delimiter, '\n', '"'};
  size_t end = std::min(rest_.find_first_of(std::string_view(stops, 3)), rest_.size());
  if (end < rest_.size() && rest_[end] == '"') throw CsvRefusal{line_, "a quote inside a field that is not quoted"};
  const bool ends_line = end == rest_.size() || rest_[end] == '\n';
  if (ends_line && end > 0 && rest_[end - 1] == '\r') --end;
  std::string out(rest_.substr(0, end));
  rest_.remove_prefix(end);
  return out;
}

std::string CsvReader::field() {
  while (options_.skip_initial_space && rest_.starts_with(' ')) rest_.remove_prefix(1);
  std::string out;
  if (rest_.starts_with('"')) {
    rest_.remove_prefix(1);
    out = quoted_field();
  } else {
    out = plain_field();
  }
  if (std::cmp_greater(out.size(), options_.max_field_bytes)) {
    throw CsvRefusal{line_, format("expected fields of at most {} bytes, got more", options_.max_field_bytes)};
  }
  return out;
}

Result<bool> CsvReader::next(CsvRow& row) {
  row.fields.clear();
  columns_.clear();
  while (!rest_.empty() && at_line_end()) take_line_end();
  if (rest_.empty()) return false;
  row.line = line_;
  const char* const begin = rest_.data();
  try {
    while (true) {
      if (std::cmp_equal(row.fields.size(), options_.max_columns)) {
        throw CsvRefusal{line_, format("expected at most {} columns, got more", options_.max_columns)};
      }
      columns_.push_back(static_cast<int>(rest_.data() - begin) + 1);
      row.fields.push_back(field());
      if (at_line_end()) break;
      rest_.remove_prefix(1);  // the delimiter
    }
  } catch (const CsvRefusal& refusal) {
    rest_ = {};
    return Problem{.place = place_of(place_, refusal.line), .message = refusal.message, .cure = ""};
  }
  take_line_end();
  return true;
}

std::string csv_field(std::string_view text) {
  if (!text.empty() && text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? "\"\"" : std::string(1, c);
  return out + '"';
}

size_t CsvTable::column(std::string_view name) const {
  const auto found = std::ranges::find(columns, name);
  if (found != columns.end()) return static_cast<size_t>(found - columns.begin());
  throw UserError({.place = place,
                   .message = format("no column \"{}\"", name),
                   .cure = format("Known: {}.", fmt::join(columns, ", "))});
}

Result<CsvTable> parse_csv_table(std::string_view text, const std::string& place, CsvOptions options) {
  CsvReader reader(text, place, options);
  CsvTable table{.place = place, .columns = {}, .rows = {}};
  CsvRow row;
  auto more = reader.next(row);
  if (!more) return more.problem();
  if (!*more)
    return Problem{.place = place, .message = "expected a line with the names of the columns, got nothing", .cure = ""};
  table.columns = std::move(row.fields);
  while ((more = reader.next(row)) && *more) {
    if (row.fields.size() != table.columns.size()) {
      return Problem{.place = place_of(place, row.line),
                     .message = format("expected {} columns, got {}", table.columns.size(), row.fields.size()),
                     .cure = ""};
    }
    table.rows.push_back(std::exchange(row, {}));
  }
  if (!more) return more.problem();
  return table;
}

}  // namespace unireplk::formats
