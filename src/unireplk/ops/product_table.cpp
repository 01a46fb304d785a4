#include "unireplk/ops/product_table.h"

#include <algorithm>
#include <cmath>

#include "unireplk/core/error.h"
#include "unireplk/kernels/instruction_set.h"

namespace unireplk::ops {
namespace {

constexpr ProductRow kIntelAvx512[] = {
#include "unireplk/ops/product_tables/intel_avx512.inc"
};

constexpr ProductRow kIntelAvx2[] = {
#include "unireplk/ops/product_tables/intel_avx2.inc"
};

constexpr ProductRow kAmdAvx2[] = {
#include "unireplk/ops/product_tables/amd_avx2.inc"
};

constexpr bool has_letters(const ProductRow& row) {
  const auto fits = [](std::string_view letters) { return letters.size() == kRowClasses.size(); };
  return fits(row.forward) && fits(row.data) && fits(row.weight);
}
static_assert(std::ranges::all_of(kIntelAvx512, has_letters) && std::ranges::all_of(kIntelAvx2, has_letters) &&
              std::ranges::all_of(kAmdAvx2, has_letters));

/// AMD's with AVX-512 is not measured for each shape: on two cores of such an EPYC MKL's products run at 180 to 220
/// GFLOP/s, oneDNN's at 340 to 480.
constexpr ProductTable kTables[] = {
    {CpuVendor::kIntel, "AVX512", kIntelAvx512, Library::kMkl},
    {CpuVendor::kIntel, "AVX2", kIntelAvx2, Library::kMkl},
    {CpuVendor::kAmd, "AVX2", kAmdAvx2, Library::kMkl},
    {CpuVendor::kAmd, "AVX512", {}, Library::kOneDnn},
};

constexpr double kNear = 4;

double ratio(int64_t a, int64_t b) {
  return std::abs(std::log(static_cast<double>(a)) - std::log(static_cast<double>(b)));
}

size_t class_of(int64_t rows) {
  const auto nearest = std::ranges::min_element(kRowClasses, {}, [&](int64_t known) { return ratio(known, rows); });
  return static_cast<size_t>(nearest - kRowClasses.begin());
}

std::string_view letters(const ProductRow& row, ProductPass pass) {
  if (pass == ProductPass::kForward) return row.forward;
  return pass == ProductPass::kData ? row.data : row.weight;
}

}  // namespace

std::string to_text(Library library) { return library == Library::kMkl ? "MKL" : "oneDNN"; }

std::string to_text(ProductPass pass) {
  if (pass == ProductPass::kForward) return "forward";
  return pass == ProductPass::kData ? "data" : "weight";
}

ProductTable product_table(CpuVendor vendor, std::string_view instruction_set) {
  for (const auto& table : kTables) {
    if (table.vendor == vendor && table.instruction_set == instruction_set) return table;
  }
  return {.vendor = vendor, .instruction_set = "", .rows = {}, .otherwise = Library::kMkl};
}

ProductTable product_table() { return product_table(cpu_vendor(), kernels::instruction_set()); }

Library library_for(const ProductTable& table, const ProductShape& shape, ProductPass pass) {
  UNIREPLK_CHECK(shape.rows > 0 && shape.in > 0 && shape.out > 0, "library_for: expected a product, got {} x {} x {}",
                 shape.rows, shape.in, shape.out);
  const auto distance = [&](const ProductRow& row) { return ratio(row.in, shape.in) + ratio(row.out, shape.out); };
  const auto nearest = std::ranges::min_element(table.rows, {}, distance);
  if (nearest == table.rows.end()) return table.otherwise;
  if (std::max(ratio(nearest->in, shape.in), ratio(nearest->out, shape.out)) > std::log(kNear)) return table.otherwise;
  return letters(*nearest, pass)[class_of(shape.rows)] == 'o' ? Library::kOneDnn : Library::kMkl;
}

}  // namespace unireplk::ops
