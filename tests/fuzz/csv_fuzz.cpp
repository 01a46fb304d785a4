#include "unireplk/formats/csv.h"

#include "fuzz/target.h"

void unireplk::test::try_bytes(std::span<const std::byte> bytes) {
  const auto table = formats::parse_csv_table({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "fuzz.csv");
  if (!table) return;
  for (const auto& row : table->rows) require(row.fields.size() == table->columns.size(), "a row of another width");
}
