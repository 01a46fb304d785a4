#include "unireplk/analysis/bench_products.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <torch/version.h>

#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "unireplk/analysis/machine.h"
#include "unireplk/core/clock.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"
#include "unireplk/kernels/instruction_set.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/ops/products.h"

namespace unireplk::analysis {
namespace {

using ops::Library;
using ops::ProductPass;
using ops::ProductShape;

constexpr double kMostFlops = 3e9;                  // of one product, some 10 ms; larger ones behave like it
constexpr double kBeyondDoubt = 0.9;                // of MKL's time: smaller differences come and go
constexpr double kLargestProductDifference = 1e-4;  // of two results, relative root mean square

double flops(const ProductShape& shape) {
  return 2 * static_cast<double>(shape.rows) * static_cast<double>(shape.in) * static_cast<double>(shape.out);
}

/// Widths of the layers: c to 4c and back, for each number of channels that a variant has.
std::vector<std::pair<int64_t, int64_t>> layer_widths() {
  std::set<int64_t> channels;
  for (const auto& variant : models::variants()) channels.insert(variant.dims.begin(), variant.dims.end());
  std::vector<std::pair<int64_t, int64_t>> widths;
  for (const int64_t c : channels) widths.insert(widths.end(), {{c, 4 * c}, {4 * c, c}});
  return widths;
}

ProductTiming time_product(const ProductShape& shape, ProductPass pass, const BenchOptions& options) {
  const auto x = at::randn({shape.rows, shape.in}), dy = at::randn({shape.rows, shape.out});
  const auto weight = at::randn({shape.out, shape.in});
  const auto run = [&](Library library) {
    const auto& a = pass == ProductPass::kForward ? x : dy;
    return ops::multiply(library, pass, a, pass == ProductPass::kWeight ? x : weight);
  };
  const auto judge = run(Library::kMkl);
  const double difference = relative_difference(run(Library::kOneDnn), judge);
  UNIREPLK_CHECK(difference <= kLargestProductDifference, "bench ops: {} x {} x {} {}: results differ by {}",
                 shape.rows, shape.in, shape.out, to_text(pass), difference);
  std::array<std::vector<double>, 2> samples;
  for (int64_t i = 0; i < options.iterations; ++i) {
    for (const auto library : {Library::kMkl, Library::kOneDnn}) {
      const Stopwatch clock;
      run(library);
      samples[library == Library::kMkl ? 0 : 1].push_back(clock.seconds() * 1e3);
    }
  }
  return {.shape = shape, .pass = pass, .mkl_ms = median(samples[0]), .onednn_ms = median(samples[1])};
}

char letter(const ProductTiming& timing) { return timing.onednn_ms < kBeyondDoubt * timing.mkl_ms ? 'o' : 'm'; }

/// The letters of one pass of one layer.
std::string letters(std::span<const ProductTiming> timings, int64_t in, int64_t out, ProductPass pass) {
  std::string result;
  for (const int64_t rows : ops::kRowClasses) {
    const auto found = std::ranges::find_if(timings, [&](const ProductTiming& timing) {
      const auto& shape = timing.shape;
      return timing.pass == pass && shape.in == in && shape.out == out && shape.rows == rows;
    });
    UNIREPLK_CHECK(found != timings.end() || !result.empty(), "product table: {} to {} was not measured", in, out);
    result += found == timings.end() ? result.back() : letter(*found);
  }
  return result;
}

nlohmann::json to_json(const ProductTiming& timing) {
  return {{"in", timing.shape.in},        {"out", timing.shape.out}, {"rows", timing.shape.rows},
          {"pass", to_text(timing.pass)}, {"mkl_ms", timing.mkl_ms}, {"onednn_ms", timing.onednn_ms}};
}

}  // namespace

std::vector<ProductTiming> time_products(const BenchOptions& options) {
  const at::NoGradGuard no_graph;
  std::vector<ProductTiming> timings;
  for (const auto& [in, out] : layer_widths()) {
    for (const int64_t rows : ops::kRowClasses) {
      const ProductShape shape{.rows = rows, .in = in, .out = out};
      if (rows > ops::kRowClasses.front() && flops(shape) > kMostFlops) break;
      for (const auto pass : ops::kProductPasses) timings.push_back(time_product(shape, pass, options));
    }
  }
  return timings;
}

std::vector<TableRow> table_rows(std::span<const ProductTiming> timings) {
  std::vector<TableRow> rows;
  for (const auto& [shape, pass, mkl, onednn] : timings) {
    const bool known = std::ranges::any_of(
        rows, [&, &layer = shape](const TableRow& row) { return row.in == layer.in && row.out == layer.out; });
    if (known) continue;
    rows.push_back({.in = shape.in,
                    .out = shape.out,
                    .forward = letters(timings, shape.in, shape.out, ProductPass::kForward),
                    .data = letters(timings, shape.in, shape.out, ProductPass::kData),
                    .weight = letters(timings, shape.in, shape.out, ProductPass::kWeight)});
  }
  return rows;
}

std::string table_text(const std::string& origin, std::span<const TableRow> rows) {
  std::string text = "// " + origin + "\n";
  for (const auto& row : rows) {
    text += format("{{{}, {}, \"{}\", \"{}\", \"{}\"}},\n", row.in, row.out, row.forward, row.data, row.weight);
  }
  return text;
}

nlohmann::json write_product_table(const BenchOptions& options, const std::string& file) {
  io::AtomicFile table(file);  // before the measurement: a folder that is not there should not cost minutes
  const auto timings = time_products(options);
  const auto origin = format("`unireplk bench ops --write-table FILE --threads {} --iters {}`, {}, LibTorch {}",
                             at::get_num_threads(), options.iterations, cpu_name(), TORCH_VERSION);
  table.write(table_text(origin, table_rows(timings)));
  table.commit();
  auto entries = nlohmann::json::array();
  for (const auto& timing : timings) entries.push_back(to_json(timing));
  return {{"table", file},
          {"vendor", to_text(cpu_vendor())},
          {"instruction_set", kernels::instruction_set()},
          {"threads", at::get_num_threads()},
          {"entries", entries}};
}

}  // namespace unireplk::analysis
