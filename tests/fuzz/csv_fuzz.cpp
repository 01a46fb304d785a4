#include "unireplk/formats/csv.h"

#include "fuzz/target.h"

namespace unireplk::test {
namespace {

/// Past the header: the row that names the columns can be read, and more follows.
bool try_csv(std::span<const std::byte> bytes) {
  formats::CsvReader reader(text_of(bytes), "fuzz.csv");
  formats::CsvRow row;
  const auto names = reader.next(row);
  const auto more = names && *names ? reader.next(row) : Result<bool>(false);
  const auto table = formats::parse_csv_table(text_of(bytes), "fuzz.csv");
  if (table) {
    for (const auto& line : table->rows) {
      require(line.fields.size() == table->columns.size(), "a row of another width");
    }
  }
  return !more || *more;
}

}  // namespace

const Target kTarget{.try_bytes = try_csv};

}  // namespace unireplk::test
