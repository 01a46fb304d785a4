#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "unireplk/core/cpu_features.h"

/// Which library computes the three matrix products of a linear layer. A table in the source decides, never a
/// measurement while the program runs: the same machine and threads give the same bits every time.
namespace unireplk::ops {

/// Those that LibTorch brings.
enum class Library { kMkl, kOneDnn };

std::string to_text(Library library);  ///< "MKL", "oneDNN"

/// y = x * weight^T, dx = dy * weight, dweight = dy^T * x
enum class ProductPass { kForward, kData, kWeight };

inline constexpr std::array kProductPasses{ProductPass::kForward, ProductPass::kData, ProductPass::kWeight};

std::string to_text(ProductPass pass);  ///< "forward", "data", "weight"

/// A linear layer `in` to `out` on this many rows.
struct ProductShape {
  int64_t rows = 0, in = 0, out = 0;
};

/// The numbers of rows that tables know.
inline constexpr std::array<int64_t, 4> kRowClasses{512, 2048, 8192, 32768};

/// What was measured for one layer: a letter for each class of rows, 'm' MKL, 'o' oneDNN.
struct ProductRow {
  int64_t in, out;
  std::string_view forward, data, weight;
};

/// The table for a kind of processor and an instruction set (kernels::instruction_set()), which is empty where nothing
/// is known.
struct ProductTable {
  CpuVendor vendor;
  std::string_view instruction_set;
  std::span<const ProductRow> rows;
  Library otherwise;  ///< for layers like none of these
};

/// The one for that processor; where nothing is known, a table without rows that says MKL, as LibTorch does.
ProductTable product_table(CpuVendor vendor, std::string_view instruction_set);

/// That of this processor with the instruction set in use.
ProductTable product_table();

/// The library that a table has for the listed layer nearest to `shape`, with its nearest class of rows. A layer is
/// near where neither width is more than four times another's.
Library library_for(const ProductTable& table, const ProductShape& shape, ProductPass pass);

}  // namespace unireplk::ops
