#pragma once

#include <filesystem>

#include "unireplk/formats/csv.h"

namespace unireplk::io {

/// The table in a CSV file. \throws UserError when the file cannot be read, is no table or is not UTF-8.
formats::CsvTable read_csv_table(const std::filesystem::path& file);

}  // namespace unireplk::io
