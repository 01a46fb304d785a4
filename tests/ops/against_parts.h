#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <vector>

#include "ops/random_block.h"
#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/tensor/autocast.h"

/// Fused operators under autocast or in float32 against the graph of their parts: in float64, and as PyTorch's autocast
/// runs it.
namespace unireplk::ops {

using Tensors = std::vector<at::Tensor>;
using Graph = std::function<at::Tensor(const Tensors&)>;

/// How much further from float64 a result may be than that of LibTorch's own functions in the same type.
inline constexpr double kAgainstUnfused = 1.5;

inline double unit_of(at::ScalarType dtype) {
  if (dtype == at::kBFloat16) return 1.0 / 256;
  return dtype == at::kHalf ? 1.0 / 2048 : 0;
}

/// The output of `graph` under an autocast to `dtype` and the gradients of its inputs.
inline Tensors run_graph(const Tensors& inputs, at::ScalarType dtype, const Graph& graph) {
  Tensors leaves;
  for (const auto& input : inputs) leaves.push_back(input.detach().clone().requires_grad_());
  at::Tensor y;
  {
    const bool is_narrow = dtype == at::kBFloat16 || dtype == at::kHalf;
    const AutocastGuard guard(
        {.device = inputs[0].device().type(), .enabled = is_narrow, .dtype = is_narrow ? dtype : at::kBFloat16});
    y = graph(leaves);
  }
  at::manual_seed(9);
  y.backward(at::randn(y.sizes()).to(at::kBFloat16).to(y.options()));  // the same in all types
  Tensors results{y.detach()};
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

/// \param inputs  in the types that the operator sees.
inline void check_operator(const Tensors& inputs, at::ScalarType dtype, const Graph& fused, const Graph& parts) {
  Tensors wide;
  for (const auto& input : inputs) wide.push_back(input.to(at::kDouble));
  const auto exact = run_graph(wide, at::kDouble, parts), theirs = run_graph(inputs, dtype, parts);
  const auto ours = run_graph(inputs, dtype, fused), again = run_graph(inputs, dtype, fused);
  REQUIRE(ours.size() == exact.size());
  CHECK(ours[0].scalar_type() == theirs[0].scalar_type());
  for (size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(i);
    CHECK(ours[i].equal(again[i]));
    CHECK(ours[i].scalar_type() == theirs[i].scalar_type());
    const double slack =
        dtype == at::kFloat ? test::kFusedGradientF32 : unit_of(dtype);  // few values: rounding is luck
    CHECK(error_of(ours[i], exact[i], 1e-3) <= kAgainstUnfused * error_of(theirs[i], exact[i], 1e-3) + slack);
  }
}

}  // namespace unireplk::ops
