#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/process.h"
#include "support/temporary_folder.h"
#include "unireplk/analysis/bench_products.h"
#include "unireplk/io/files.h"

namespace unireplk::test {
namespace {

using Catch::Matchers::Contains;
using nlohmann::json;
using ops::ProductPass;

std::vector<analysis::ProductTiming> timings(int64_t in, int64_t out, int64_t rows, std::array<double, 3> onednn_ms) {
  std::vector<analysis::ProductTiming> result;
  for (size_t i = 0; i < 3; ++i) {
    result.push_back({.shape = {.rows = rows, .in = in, .out = out},
                      .pass = ops::kProductPasses[i],
                      .mkl_ms = 1,
                      .onednn_ms = onednn_ms[i]});
  }
  return result;
}

json products(const std::vector<std::string>& options, const std::string& environment) {
  std::vector<std::string> command{
      "/usr/bin/env", environment, unireplk_path(), "inspect", "configs/image/fashion_a.yaml", "--json"};
  command.insert(command.end(), options.begin(), options.end());
  const auto finished = run(command);
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  return json::parse(finished.out);
}

}  // namespace

TEST_CASE("product table: oneDNN where it wins beyond doubt, unmeasured rows like fewer") {
  auto measured = timings(40, 160, 512, {0.5, 0.89, 0.91});
  for (const auto& timing : timings(40, 160, 2048, {1.5, 0.5, 0.5})) measured.push_back(timing);
  const auto text = analysis::table_text("a test", analysis::table_rows(measured));
  CHECK(text == "// a test\n{40, 160, \"ommm\", \"oooo\", \"mooo\"},\n");
}

TEST_CASE("product table: the writer gives the files of the source back") {
  struct Source {
    CpuVendor vendor;
    const char *set, *name;
  };
  for (const auto& [vendor, set, name] : {Source{CpuVendor::kIntel, "AVX512", "intel_avx512.inc"},
                                          {CpuVendor::kIntel, "AVX2", "intel_avx2.inc"},
                                          {CpuVendor::kAmd, "AVX2", "amd_avx2.inc"}}) {
    const auto file = io::read_file(std::string("src/unireplk/ops/product_tables/") + name);
    std::vector<analysis::TableRow> rows;
    for (const auto& row : ops::product_table(vendor, set).rows) {
      rows.push_back({row.in, row.out, std::string(row.forward), std::string(row.data), std::string(row.weight)});
    }
    const auto first_line = file.substr(0, file.find('\n'));
    REQUIRE(first_line.starts_with("// "));
    CHECK(analysis::table_text(first_line.substr(3), rows) == file);
  }
}

TEST_CASE("bench ops: a table that cannot be written is an error before anything is measured") {
  const auto finished = unireplk({"bench", "ops", "--write-table", "/nowhere/table.inc"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Contains("/nowhere"));
}

TEST_CASE("inspect: says which library computes each product, and what kernels use") {
  const auto plain = products({"--batch", "64"}, "UNIREPLK_CPU_ISA=baseline");
  CHECK(plain["instruction_set"] == "baseline");
  REQUIRE(plain["products"].size() == 24);
  const auto& first = plain["products"][0];
  CHECK(first["name"] == "stages.0.0.pwconv1.1");
  CHECK(first["in"] == 40);
  CHECK(first["out"] == 160);
  CHECK(first["rows"] == 64 * 7 * 7);
  for (const auto& product : plain["products"]) {  // no table without vectors
    for (const char* pass : {"forward", "data", "weight"}) CHECK(product[pass] == "MKL");
  }
  const auto deployed = products({"--deploy"}, "UNIREPLK_CPU_ISA=baseline");
  CHECK(deployed["products"][0]["forward"] == "oneDNN, packed");
  CHECK_FALSE(deployed["products"][0].contains("data"));
  const auto text = unireplk({"inspect", "configs/image/fashion_a.yaml", "--batch", "64"});
  CHECK(text.exit_code == 0);
  CHECK_THAT(text.out, Contains("kernels use") && Contains("40 to   160,   3136 rows: forward "));
}

}  // namespace unireplk::test
