#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "support/catch.h"
#include "support/tolerances.h"
#include "unireplk/ops/dilated_reparam.h"
#include "unireplk/ops/shared_batch_norm.h"

/// Blocks with random weights, the graph that ATen runs of them, and what either leaves behind.
namespace unireplk::ops {

using Kernels = std::vector<std::pair<int64_t, int64_t>>;  // size and dilation

inline constexpr double kEps = 1e-5;
inline constexpr double kMomentum = 0.1;

/// Norm of the difference in units of that of `expected`, or of `least` if that is more.
inline double error_of(const at::Tensor& got, const at::Tensor& expected, double least = 0) {
  const auto wide = expected.to(at::kDouble);
  const double size = std::max(wide.norm().item<double>(), least);
  const double difference = (got.to(at::kDouble) - wide).norm().item<double>();
  return size == 0 ? difference : difference / size;
}

inline Kernels table_row(int64_t size) {
  if (size == 7) return {{7, 1}, {5, 1}, {3, 2}, {3, 3}};
  if (size == 9) return {{9, 1}, {5, 1}, {5, 2}, {3, 3}, {3, 4}};
  if (size == 11) return {{11, 1}, {5, 1}, {5, 2}, {3, 3}, {3, 4}, {3, 5}};
  if (size == 15) return {{15, 1}, {5, 1}, {7, 2}, {3, 3}, {3, 5}, {3, 7}};
  if (size == 17) return {{17, 1}, {5, 1}, {9, 2}, {3, 4}, {3, 5}, {3, 7}};
  return {{13, 1}, {5, 1}, {7, 2}, {3, 3}, {3, 4}, {3, 5}};
}

inline NormTensors make_norm(int64_t channels) {
  return {.weight = at::rand({channels}) + 0.5,
          .bias = at::randn({channels}),
          .running_mean = at::randn({channels}),
          .running_var = at::rand({channels}) + 0.5};
}

inline DilatedReparam make_block(const Kernels& kernels, int64_t channels) {
  at::manual_seed(5);
  DilatedReparam block{.branches = {}, .outer = make_norm(channels), .eps = kEps, .momentum = kMomentum};
  for (const auto& [size, dilation] : kernels) {
    block.branches.push_back({at::randn({channels, 1, size, size}) * 0.3, dilation, make_norm(channels)});
  }
  return block;
}

/// Call visit with every tensor of the block; `is_weight` tells those that carry gradients.
template <class Block, class Visit>
void for_each_tensor(Block& block, Visit visit) {
  const auto visit_norm = [&](auto& norm) {
    visit(norm.weight, true);
    visit(norm.bias, true);
    visit(norm.running_mean, false);
    visit(norm.running_var, false);
  };
  for (auto& branch : block.branches) {
    visit(branch.weight, true);
    visit_norm(branch.norm);
  }
  visit_norm(block.outer);
}

/// A copy in another type, a leaf of a graph of its own.
inline DilatedReparam copy_of(DilatedReparam block, at::ScalarType dtype) {
  for_each_tensor(block, [&](at::Tensor& tensor, bool is_weight) {
    tensor = tensor.detach().to(dtype).clone().requires_grad_(is_weight);
  });
  return block;
}

/// The graph that ATen runs without any fusion.
inline at::Tensor unfused(const DilatedReparam& block, const at::Tensor& x, bool training) {
  const auto normalise = [&](const at::Tensor& map, const NormTensors& norm) {
    if (training && block.collective) {
      return shared_batch_norm(map, norm, block.eps, block.momentum, true, block.collective);
    }
    return at::batch_norm(map, norm.weight, norm.bias, norm.running_mean, norm.running_var, training, block.momentum,
                          block.eps, false);
  };
  at::Tensor sum;
  for (const auto& [weight, dilation, norm] : block.branches) {
    const int64_t padding = dilation * (weight.size(2) / 2);
    const auto branch =
        normalise(at::conv2d(x, weight, {}, {1, 1}, {padding, padding}, {dilation, dilation}, weight.size(0)), norm);
    sum = sum.defined() ? sum + branch : branch;
  }
  return normalise(sum, block.outer);
}

struct Outcome {
  at::Tensor y, dx;
  std::vector<at::Tensor> of_tensors;  ///< gradients of weights, values of running statistics
};

template <class Forward>
Outcome run(const DilatedReparam& original, at::ScalarType dtype, const at::Tensor& x_values, const at::Tensor& dy,
            Forward forward) {
  const auto block = copy_of(original, dtype);
  const auto x = x_values.detach().to(dtype).requires_grad_();
  Outcome out{.y = forward(block, x), .dx = {}, .of_tensors = {}};
  out.y.backward(dy.to(dtype));
  out.dx = x.grad();
  for_each_tensor(block, [&](const at::Tensor& tensor, bool is_weight) {
    out.of_tensors.push_back(is_weight ? tensor.grad() : tensor);
  });
  return out;
}

inline Outcome run_fused(const DilatedReparam& block, const at::Tensor& x, const at::Tensor& dy) {
  return run(block, at::kFloat, x, dy,
             [](const auto& b, const at::Tensor& map) { return fused_dilated_reparam(b, map, true); });
}

inline Outcome run_judge(const DilatedReparam& block, const at::Tensor& x, const at::Tensor& dy, bool training = true) {
  return run(block, at::kDouble, x, dy,
             [&](const auto& b, const at::Tensor& map) { return unfused(b, map, training); });
}

/// \param slack  times the limits: how much conditioning takes away.
inline void compare(const Outcome& got, const Outcome& expected, const DilatedReparam& block, bool training = true,
                    double slack = 1) {
  CHECK(got.y.is_contiguous(at::MemoryFormat::ChannelsLast));
  CHECK(error_of(got.y, expected.y) <= slack * test::kFusedF32);
  CHECK(error_of(got.dx, expected.dx) <= slack * test::kFusedF32);
  const auto branches = block.branches.size();
  // A kernel of which one tap meets the map has no gradient, its norm takes the scale back: what is left is rounding of
  // sums as large as those in the outer norm's gradient.
  const double outer = expected.of_tensors[5 * branches].norm().item<double>();
  for (size_t i = 0; i < got.of_tensors.size(); ++i) {
    CAPTURE(i);
    const bool is_branch_beta = i < 5 * branches && i % 5 == 2;
    if (is_branch_beta && training) {
      CHECK(got.of_tensors[i].eq(0).all().item<bool>());  // the judge has rounding noise there
    } else {
      CHECK(error_of(got.of_tensors[i], expected.of_tensors[i], outer) <= slack * test::kFusedGradientF32);
    }
  }
}

inline at::Tensor random_map(at::IntArrayRef shape, unsigned seed) {
  at::manual_seed(seed);
  return at::randn(shape).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace unireplk::ops
