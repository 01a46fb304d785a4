#include "unireplk/ops/products.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/ops/linear.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;

double relative_gap(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
}

constexpr double kClose = 2e-6;

ProductTable everywhere(Library library) {
  return {.vendor = CpuVendor::kOther, .instruction_set = "", .rows = {}, .otherwise = library};
}

TEST_CASE("multiply: both libraries give the three products", "[numeric]") {
  at::manual_seed(1);
  const auto library = GENERATE(Library::kMkl, Library::kOneDnn);
  const auto [rows, in, out] = GENERATE(table<int64_t, int64_t, int64_t>(
      {{1, 1, 1}, {1, 40, 160}, {98, 160, 40}, {49, 3, 17}, {257, 1, 8}, {130, 33, 1}, {1000, 80, 320}}));
  CAPTURE(to_text(library), rows, in, out);
  const auto x = at::randn({rows, in}), dy = at::randn({rows, out}), weight = at::randn({out, in});
  const auto wide = [](const at::Tensor& tensor) { return tensor.to(at::kDouble); };
  const auto check = [](const at::Tensor& got, const at::Tensor& expected) {
    REQUIRE(got.sizes() == expected.sizes());
    CHECK(got.is_contiguous());
    CHECK(relative_gap(got, expected) < kClose);
  };
  check(multiply(library, ProductPass::kForward, x, weight), wide(x).mm(wide(weight).t()));
  check(multiply(library, ProductPass::kData, dy, weight), wide(dy).mm(wide(weight)));
  check(multiply(library, ProductPass::kWeight, dy, x), wide(dy).t().mm(wide(x)));
}

TEST_CASE("multiply: refuses what does not fit") {
  const auto a = at::zeros({2, 3});
  CHECK_THROWS_AS(multiply(Library::kMkl, ProductPass::kForward, a, at::zeros({4, 2})), ContractError);
  CHECK_THROWS_AS(multiply(Library::kOneDnn, ProductPass::kData, a, at::zeros({2, 3})), ContractError);
  CHECK_THROWS_AS(multiply(Library::kOneDnn, ProductPass::kWeight, a, at::zeros({3, 3})), ContractError);
}

/// y and the gradients of x, weight and bias.
std::vector<at::Tensor> outputs_and_gradients(const std::vector<at::Tensor>& inputs, auto graph) {
  std::vector<at::Tensor> leaves;
  for (const auto& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  const auto y = graph(leaves[0], leaves[1], leaves.size() > 2 ? leaves[2] : at::Tensor());
  (y * at::arange(y.numel()).mul(0.61).cos().view(y.sizes())).sum().backward();
  std::vector<at::Tensor> results{y.detach()};
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

TEST_CASE("linear: equals at::linear with all gradients, whichever library the table says", "[numeric]") {
  at::manual_seed(2);
  const ProductRow mixed[] = {{12, 48, "omom", "momo", "mmoo"}};
  const ProductTable table = GENERATE_REF(everywhere(Library::kMkl), everywhere(Library::kOneDnn),
                                          ProductTable{CpuVendor::kOther, "", mixed, Library::kMkl});
  const bool with_bias = GENERATE(true, false), transposed = GENERATE(false, true);
  std::vector<at::Tensor> inputs{at::randn({2, 7, 5, 12}), at::randn({48, 12})};
  if (with_bias) inputs.push_back(at::randn({48}));
  const auto view = [&](const at::Tensor& x) { return transposed ? x.transpose(1, 2) : x; };
  const auto got = outputs_and_gradients(
      inputs, [&](auto x, auto weight, auto bias) { return ops::linear(view(x), weight, bias, table); });
  for (auto& input : inputs) input = input.to(at::kDouble);
  const auto expected =
      outputs_and_gradients(inputs, [&](auto x, auto weight, auto bias) { return at::linear(view(x), weight, bias); });
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    REQUIRE(got[i].sizes() == expected[i].sizes());
    CHECK(relative_gap(got[i], expected[i]) < kClose);
  }
}

TEST_CASE("linear: the same bits every time, and gradients of gradients", "[numeric]") {
  at::manual_seed(3);
  const auto table = everywhere(Library::kOneDnn);
  const std::vector<at::Tensor> inputs{at::randn({600, 40}), at::randn({160, 40}), at::randn({160})};
  const auto once = [&] {
    return outputs_and_gradients(inputs,
                                 [&](auto x, auto weight, auto bias) { return ops::linear(x, weight, bias, table); });
  };
  const auto first = once(), second = once();
  for (size_t i = 0; i < first.size(); ++i) CHECK(at::equal(first[i], second[i]));
  const auto twice = [&](auto graph) {
    const auto x = inputs[0].clone().requires_grad_(), weight = inputs[1].clone().requires_grad_();
    const auto dx = torch::autograd::grad({graph(x, weight).square().sum()}, {x}, {}, std::nullopt, true)[0];
    return torch::autograd::grad({dx.square().sum()}, {weight})[0];
  };
  const auto got = twice([&](auto x, auto weight) { return ops::linear(x, weight, {}, table); });
  CHECK(relative_gap(got, twice([](auto x, auto weight) { return at::linear(x, weight); })) < 1e-5);
}

TEST_CASE("linear: other types, autocast and nothing at all take at::linear", "[numeric]") {
  const auto table = everywhere(Library::kOneDnn);
  const auto x = at::randn({4, 6}, at::kDouble), weight = at::randn({5, 6}, at::kDouble);
  CHECK(at::equal(ops::linear(x, weight, {}, table), at::linear(x, weight)));
  CHECK(ops::linear(at::zeros({0, 6}), at::zeros({5, 6}), {}, table).sizes() == std::vector<int64_t>{0, 5});
  CHECK_THROWS_WITH(ops::linear(at::zeros({2, 6}), at::zeros({5, 7})), Contains("do not fit x [2, 6]"));
  const AutocastGuard guard({.device = at::kCPU, .enabled = true, .dtype = at::kBFloat16, .keeps_casts = false});
  CHECK(ops::linear(x.to(at::kFloat), weight.to(at::kFloat), {}, table).scalar_type() == at::kBFloat16);
}

TEST_CASE("library_for: the nearest layer and number of rows") {
  const ProductRow rows[] = {{40, 160, "mmmo", "oooo", "mmmm"}, {160, 40, "oooo", "mmmm", "mmmm"}};
  const ProductTable table{CpuVendor::kIntel, "AVX2", rows, Library::kOneDnn};
  const auto forward = [&](int64_t count, int64_t in, int64_t out) {
    return library_for(table, {.rows = count, .in = in, .out = out}, ProductPass::kForward);
  };
  CHECK(forward(32768, 40, 160) == Library::kOneDnn);
  CHECK(forward(1000000, 40, 160) == Library::kOneDnn);
  CHECK(forward(16000, 40, 160) == Library::kMkl);  // nearer to 8192
  CHECK(forward(1, 40, 160) == Library::kMkl);
  CHECK(forward(512, 160, 40) == Library::kOneDnn);
  CHECK(forward(512, 50, 120) == Library::kMkl);      // like the first
  CHECK(forward(512, 20, 1000) == Library::kOneDnn);  // like none
  CHECK(library_for(table, {.rows = 512, .in = 40, .out = 160}, ProductPass::kData) == Library::kOneDnn);
  CHECK(library_for(table, {.rows = 512, .in = 40, .out = 160}, ProductPass::kWeight) == Library::kMkl);
  CHECK_THROWS_AS(forward(0, 40, 160), ContractError);
}

TEST_CASE("product_table: what the source knows of processors") {
  const ProductShape shape{.rows = 6272, .in = 160, .out = 640};
  CHECK(library_for(product_table(CpuVendor::kAmd, "AVX512"), shape, ProductPass::kWeight) == Library::kOneDnn);
  CHECK(library_for(product_table(CpuVendor::kOther, "baseline"), shape, ProductPass::kForward) == Library::kMkl);
  for (const auto& [vendor, set] :
       {std::pair{CpuVendor::kIntel, "AVX512"}, {CpuVendor::kIntel, "AVX2"}, {CpuVendor::kAmd, "AVX2"}}) {
    const auto table = product_table(vendor, set);
    CHECK(table.rows.size() == 34);  // of 17 numbers of channels, there and back
    std::set<std::pair<int64_t, int64_t>> widths;
    for (const auto& row : table.rows) CHECK(widths.insert({row.in, row.out}).second);
  }
}

}  // namespace
}  // namespace unireplk::ops
