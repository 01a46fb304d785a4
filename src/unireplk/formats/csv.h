#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/core/result.h"

namespace unireplk::formats {

struct CsvOptions {
  char delimiter = ',';
  bool skip_initial_space = false;    ///< drop blanks after a delimiter, as in `a, "b,c"`
  int64_t max_field_bytes = 1 << 20;  ///< longer fields are refused
  int64_t max_columns = 1 << 16;
};

struct CsvRow {
  int line = 0;  ///< where it begins, from one
  std::vector<std::string> fields;
};

/// Reads RFC 4180 text row by row: quoted fields may hold delimiters, line ends and doubled quotes. Lines end
/// with LF or CRLF; empty lines are skipped; a UTF-8 byte order mark at the start is dropped.
class CsvReader {
 public:
  /// `text` must outlive the reader. \param place  the file; problems name it with the line.
  CsvReader(std::string_view text, std::string place, CsvOptions options = {});

  /// The next row into `row`; false at the end.
  Result<bool> next(CsvRow& row);

  /// Where field `i` of the last row begins: the byte of the text, from one, counted from the row's first.
  int column(size_t i) const { return columns_[i]; }

 private:
  std::string quoted_field();
  std::string plain_field();
  std::string field();
  bool at_line_end() const;
  void take_line_end();

  std::string_view rest_;
  std::string place_;
  CsvOptions options_;
  int line_ = 1;
  std::vector<int> columns_;
};

/// Text as a field of a CSV file: quoted when it has to be.
std::string csv_field(std::string_view text);

/// A table whose first row names the columns and whose rows all have as many fields.
struct CsvTable {
  std::string place;
  std::vector<std::string> columns;
  std::vector<CsvRow> rows;

  /// Index of a column. \throws UserError naming the columns there are.
  size_t column(std::string_view name) const;
};

Result<CsvTable> parse_csv_table(std::string_view text, const std::string& place, CsvOptions options = {});

}  // namespace unireplk::formats
