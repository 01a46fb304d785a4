#include "unireplk/ops/forked_map.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <vector>

#include "ops/gpu.h"
#include "support/catch.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

AutocastSettings narrow_on(const at::Tensor& x, at::ScalarType dtype = at::kBFloat16) {
  return {.device = x.device().type(), .enabled = true, .dtype = dtype};
}

/// The gradient of a map with two readers, forked or by autograd alone.
at::Tensor gradient(const at::Tensor& values, at::ScalarType dtype, bool is_forked) {
  const auto x = values.detach().clone().requires_grad_();
  ForkedMap of{.whole = x, .narrow = x.to(dtype)};
  if (is_forked) {
    const AutocastGuard guard(narrow_on(x, dtype));
    of = fork_map(x);
  }
  CHECK(of.whole.scalar_type() == at::kFloat);
  CHECK(of.narrow.scalar_type() == dtype);
  CHECK(of.narrow.equal(values.to(dtype)));
  CHECK(of.whole.equal(values));
  (of.whole.sin().sum() + (of.narrow * of.narrow).sum(at::kFloat)).backward();
  return x.grad();
}

void check_forked(const at::Tensor& x, at::ScalarType dtype) {
  const auto forked = gradient(x, dtype, true);
  CHECK(forked.equal(gradient(x, dtype, false)));
  CHECK(forked.strides() == x.strides());
}

TEST_CASE("fork_map: gradients are those of autograd, to the bit", "[numeric]") {
  const auto [n, c, h, w] =
      GENERATE(table<int64_t, int64_t, int64_t, int64_t>({{2, 16, 5, 7}, {1, 6, 3, 3}, {3, 33, 9, 4}, {0, 4, 2, 2}}));
  check_forked(random_map({n, c, h, w}, 1), at::kBFloat16);
  check_forked(random_map({n, c, h, w}, 1).contiguous(), at::kBFloat16);
}

TEST_CASE("fork_map: on a GPU, gradients are those of autograd, to the bit", "[cuda]") {
  if (is_skipped()) return;
  const auto dtype = GENERATE(at::kBFloat16, at::kHalf);
  const auto channels = GENERATE(80, 33);
  check_forked(gpu_map({3, channels, 14, 9}, 1), dtype);
}

TEST_CASE("fork_map: readers that want no gradient, and gradients of gradients", "[numeric]") {
  const auto x = random_map({2, 4, 3, 5}, 1).requires_grad_();
  const auto fork = [&] {
    const AutocastGuard guard(narrow_on(x));
    return fork_map(x);
  };
  const auto gradient_of = [&](const at::Tensor& y, bool create_graph = false) {
    return torch::autograd::grad({y}, {x}, {}, std::nullopt, create_graph)[0];
  };
  CHECK(gradient_of(fork().whole.sum()).equal(at::ones_like(x)));
  CHECK(gradient_of(fork().narrow.sum(at::kFloat)).equal(at::ones_like(x)));
  const auto of = fork();
  const auto once = gradient_of((of.whole.pow(3)).sum() + of.narrow.to(at::kFloat).pow(2).sum(), true);
  CHECK(at::allclose(gradient_of(once.sum()), 6 * x.detach() + 2, 1e-2, 1e-2));
}

TEST_CASE("fork_map: a map that nothing narrows or nobody wants a gradient of stays itself") {
  const auto x = random_map({2, 4, 3, 5}, 1).requires_grad_();
  const auto check_same = [](const at::Tensor& map) {
    const auto of = fork_map(map);
    CHECK((of.whole.is_same(map) && of.narrow.is_same(map)));
  };
  check_same(x);
  const AutocastGuard guard(narrow_on(x));
  check_same(x.detach());
  check_same(x.detach().to(at::kDouble).requires_grad_());
  check_same(x.detach().to(at::kBFloat16).requires_grad_());
  const at::NoGradGuard no_graph;
  check_same(x);
}

}  // namespace
}  // namespace unireplk::ops
