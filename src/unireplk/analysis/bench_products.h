#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "unireplk/analysis/bench.h"
#include "unireplk/ops/product_table.h"

namespace unireplk::analysis {

/// One product by both libraries that LibTorch brings, in milliseconds.
struct ProductTiming {
  ops::ProductShape shape;
  ops::ProductPass pass;
  double mkl_ms, onednn_ms;
};

/// Time the three products of every linear layer in the blocks of the published variants, with each class of rows as
/// long as a product stays short. The libraries alternate; results are compared first. On `options.context.threads`
/// threads.
std::vector<ProductTiming> time_products(const BenchOptions& options);

/// The rows of a table: oneDNN where it was faster beyond doubt, a class of rows without a measurement like the next
/// smaller one.
struct TableRow {
  int64_t in, out;
  std::string forward, data, weight;
};
std::vector<TableRow> table_rows(std::span<const ProductTiming> timings);

/// A table as src/unireplk/ops/product_tables has it. \param origin  what made it, for its first line.
std::string table_text(const std::string& origin, std::span<const TableRow> rows);

/// Measure, write the table to `file`, and report `entries`.
/// \throws UserError when the file cannot be written.
nlohmann::json write_product_table(const BenchOptions& options, const std::string& file);

}  // namespace unireplk::analysis
