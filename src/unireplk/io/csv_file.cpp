#include "unireplk/io/csv_file.h"

#include "unireplk/core/utf8.h"
#include "unireplk/io/files.h"

namespace unireplk::io {

formats::CsvTable read_csv_table(const std::filesystem::path& file) {
  const std::string text = read_file(file);
  auto table = formats::parse_csv_table(text, file.string()).value_or_throw();
  if (!is_utf8(text)) throw UserError({table.place, "expected text in UTF-8", "Save the file as UTF-8."});
  return table;
}

}  // namespace unireplk::io
