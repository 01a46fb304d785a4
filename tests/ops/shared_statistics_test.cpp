#include <ATen/ATen.h>

#include "ops/random_block.h"
#include "support/catch.h"
#include "support/thread_ranks.h"
#include "support/tolerances.h"
#include "unireplk/core/error.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/normed_branch.h"

/// Several ranks, threads of this process, against one process that has all of their images.
namespace unireplk::ops {
namespace {

using Catch::Matchers::Contains;
using Forward = at::Tensor (*)(const DilatedReparam&, const at::Tensor&);
using Counts = std::vector<int64_t>;  // images of each rank

at::Tensor fused(const DilatedReparam& block, const at::Tensor& x) { return fused_dilated_reparam(block, x, true); }
at::Tensor graph(const DilatedReparam& block, const at::Tensor& x) { return unfused(block, x, true); }

/// What the ranks come to together: maps one behind the other, gradients of weights added up, running statistics.
Outcome run_ranks(const Counts& images, const DilatedReparam& block, at::ScalarType dtype, const at::Tensor& x,
                  const at::Tensor& dy, Forward forward) {
  const auto maps = x.split_with_sizes(images), gradients = dy.split_with_sizes(images);
  std::vector<Outcome> outcomes(images.size());
  test::ThreadRanks ranks(static_cast<int64_t>(images.size()));
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    const auto i = static_cast<size_t>(collective->rank().index);
    auto shared = block;
    shared.collective = collective;
    outcomes[i] = run(shared, dtype, maps[i], gradients[i], forward);
  });
  std::vector<at::Tensor> ys, dxs;
  for (const auto& outcome : outcomes) {
    ys.push_back(outcome.y);
    dxs.push_back(outcome.dx);
  }
  Outcome all{.y = at::cat(ys).contiguous(at::MemoryFormat::ChannelsLast), .dx = at::cat(dxs), .of_tensors = {}};
  for (size_t t = 0; t < outcomes[0].of_tensors.size(); ++t) {
    const bool is_statistic = t % 5 >= 3 || t + 2 >= outcomes[0].of_tensors.size();
    auto sum = outcomes[0].of_tensors[t];
    for (size_t i = 1; i < outcomes.size(); ++i) {
      const auto& more = outcomes[i].of_tensors[t];
      if (is_statistic) {
        CHECK(more.equal(sum));  // the same to the bit on every rank
      } else {
        sum = sum + more;
      }
    }
    all.of_tensors.push_back(sum);
  }
  return all;
}

TEST_CASE("dilated_reparam: ranks with unequal batches equal one process with all images", "[numeric]") {
  const auto images = GENERATE(Counts{3, 2}, Counts{1, 4}, Counts{0, 5}, Counts{2, 1, 2});
  const int64_t size = GENERATE(7, 13);
  CAPTURE(images, size);
  const auto block = make_block(table_row(size), 17);
  const auto x = random_map({5, 17, 9, 11}, 1), dy = random_map(x.sizes(), 2);
  const auto expected = run_judge(block, x, dy);
  compare(run_ranks(images, block, at::kFloat, x, dy, fused), expected, block);
  if (images.front() > 0) {
    const auto judge = run_ranks(images, block, at::kDouble, x, dy, graph);
    CHECK(error_of(judge.y, expected.y) <= 1e-12);
    CHECK(error_of(judge.dx, expected.dx) <= 1e-12);
    compare(run_ranks(images, block, at::kFloat, x, dy, fused), judge, block, true);
  }
}

TEST_CASE("dilated_reparam: two ranks meet once forward and once backward", "[numeric]") {
  const auto block = make_block(table_row(13), 3);
  const auto x = random_map({1, 3, 8, 8}, 1);
  test::ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    auto shared = copy_of(block, at::kFloat);
    shared.collective = collective;
    fused_dilated_reparam(shared, x, true).sum().backward();
  });
  CHECK(ranks.calls() == 2);
}

TEST_CASE("dilated_reparam: branches that cancel on all ranks together", "[numeric]") {
  auto block = make_block({{7, 1}, {7, 1}}, 4);
  block.branches[1].weight = block.branches[0].weight + 1e-4 * at::randn_like(block.branches[0].weight);
  block.branches[1].norm.weight = -block.branches[0].norm.weight;
  const auto x = random_map({4, 4, 14, 14}, 1), dy = random_map(x.sizes(), 2);
  const auto one = run_fused(block, x, dy), two = run_ranks({1, 3}, block, at::kFloat, x, dy, fused);
  CHECK(error_of(two.y, run_judge(block, x, dy).y) <= 1e-2);  // as with one process
  CHECK(error_of(two.y, one.y) <= 1e-2);
  CHECK(at::isfinite(two.dx).all().item<bool>());
}

TEST_CASE("shared norms: one pixel in all has no variance, one on each rank has", "[numeric]") {
  const auto block = make_block({{7, 1}}, 4);
  const auto x = random_map({2, 4, 1, 1}, 1), dy = random_map(x.sizes(), 2);
  for (const auto forward : {fused, graph}) {
    CHECK(at::isfinite(run_ranks({1, 1}, block, at::kFloat, x, dy, forward).y).all().item<bool>());
    CHECK_THROWS_WITH(run_ranks({1, 0}, block, at::kFloat, x.slice(0, 0, 1), dy.slice(0, 0, 1), forward),
                      Contains("expected at least 2 values for each channel, got 1"));
  }
}

/// Output, gradients and running statistics of a rank's part of a map.
template <class Op>
std::vector<at::Tensor> step(const DilatedReparam& random, const at::Tensor& x_values, const at::Tensor& dy,
                             at::ScalarType dtype, Op op) {
  const auto block = copy_of(random, dtype);
  const auto x = x_values.to(dtype).detach().requires_grad_();
  const auto y = op(x, block.outer);
  y.backward(dy.to(dtype));
  return {y,
          x.grad(),
          block.outer.weight.grad(),
          block.outer.bias.grad(),
          block.outer.running_mean,
          block.outer.running_var};
}

/// op(x, norm, collective or null) by ranks of 2 and 3 images against one process with all.
template <class Op>
void check_ranks(at::ScalarType dtype, double limit, Op op) {
  const auto x = random_map({5, 6, 4, 3}, 1) + 3, dy = random_map(x.sizes(), 2);
  const auto block = make_block({{7, 1}}, x.size(1));  // drawn here, as threads share a generator
  const auto expected = step(block, x, dy, at::kDouble, [&](const at::Tensor& map, const NormTensors& norm) {
    return op(map, norm, std::shared_ptr<Collective>());
  });
  const auto xs = x.split_with_sizes({2, 3}), dys = dy.split_with_sizes({2, 3});
  std::vector<std::vector<at::Tensor>> got(2);
  test::ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    const auto i = static_cast<size_t>(collective->rank().index);
    got[i] = step(block, xs[i], dys[i], dtype,
                  [&](const at::Tensor& map, const NormTensors& norm) { return op(map, norm, collective); });
  });
  CHECK(ranks.calls() == 2);
  for (size_t t = 0; t < expected.size(); ++t) {
    CAPTURE(t);
    const bool is_map = t < 2, is_gradient = t == 2 || t == 3;
    const auto both = is_map ? at::cat({got[0][t], got[1][t]}) : is_gradient ? got[0][t] + got[1][t] : got[0][t];
    CHECK(error_of(both, expected[t]) <= limit);
    if (!is_map) CHECK(got[0][t].equal(got[1][t]));
  }
}

TEST_CASE("shared_batch_norm: equals batch_norm of all images", "[numeric]") {
  const auto [dtype, limit] =
      GENERATE(table<at::ScalarType, double>({{at::kFloat, test::kFusedGradientF32}, {at::kDouble, 1e-12}}));
  check_ranks(dtype, limit, [](const at::Tensor& x, const NormTensors& norm, const std::shared_ptr<Collective>& all) {
    if (all) return shared_batch_norm(x, norm, kEps, kMomentum, true, all);
    return at::batch_norm(x, norm.weight, norm.bias, norm.running_mean, norm.running_var, true, kMomentum, kEps, false);
  });
}

TEST_CASE("shared_batch_norm: gradients equal finite differences", "[numeric]") {
  const auto dy = random_map({3, 2, 4, 5}, 2).to(at::kDouble);
  const std::vector<at::Tensor> at_point{random_map(dy.sizes(), 1).to(at::kDouble),
                                         at::tensor({1.5, -0.7}, at::kDouble), at::tensor({0.3, 0.1}, at::kDouble)};
  /// The sum over both ranks of y * dy, and the gradients of map, weight and bias.
  const auto evaluate = [&](const std::vector<at::Tensor>& point) {
    const auto xs = point[0].split_with_sizes({1, 2}), dys = dy.split_with_sizes({1, 2});
    std::vector<std::vector<at::Tensor>> of_ranks(2);
    test::ThreadRanks ranks(2);
    ranks.run([&](const std::shared_ptr<Collective>& collective) {
      const auto i = static_cast<size_t>(collective->rank().index);
      const auto leaf = [](const at::Tensor& values) { return values.detach().clone().requires_grad_(); };
      const auto x = leaf(xs[i]), weight = leaf(point[1]), bias = leaf(point[2]);
      const auto loss =
          (shared_batch_norm(x, {weight, bias, {}, {}}, kEps, kMomentum, false, collective) * dys[i]).sum();
      loss.backward();
      of_ranks[i] = {x.grad(), weight.grad(), bias.grad(), loss.detach()};
    });
    std::vector<at::Tensor> all{at::cat({of_ranks[0][0], of_ranks[1][0]})};
    for (size_t t = 1; t < 4; ++t) all.push_back(of_ranks[0][t] + of_ranks[1][t]);
    return all;
  };
  const auto gradients = evaluate(at_point);
  for (size_t t = 0; t < 3; ++t) {
    CAPTURE(t);
    at::manual_seed(7);
    const auto direction = at::randn_like(at_point[t]);
    const auto loss_at = [&](double step) {
      auto point = at_point;
      point[t] = point[t] + step * direction;
      return evaluate(point)[3].item<double>();
    };
    const double step = 1e-5, slope = (loss_at(step) - loss_at(-step)) / (2 * step);
    CHECK((gradients[t] * direction).sum().item<double>() == Approx(slope).epsilon(1e-7));
  }
}

TEST_CASE("add_normed_branch: ranks equal one process with all images", "[numeric]") {
  const auto scale = at::tensor({0.5, 1.0, -1.0, 2.0, 0.1, 3.0}, at::kFloat);
  const auto first_pixel = [](const at::Tensor& x) { return x.detach().slice(1, 0, 1).slice(2, 0, 1).slice(3, 0, 1); };
  const auto op = [&](const at::Tensor& x, const NormTensors& norm, const std::shared_ptr<Collective>& all) {
    const auto mask = first_pixel(x).gt(3).to(x.scalar_type()) * 2;  // some images are dropped
    if (!all) {
      const auto y = at::batch_norm(x * 2, norm.weight, norm.bias, norm.running_mean, norm.running_var, true, kMomentum,
                                    kEps, false);
      return add_branch(x, y, scale.to(at::kDouble), mask);
    }
    const NormedBranch branch{.y = x * 2,
                              .norm = norm,
                              .eps = kEps,
                              .momentum = kMomentum,
                              .layer_scale = scale,
                              .mask = mask,
                              .collective = all};
    return add_normed_branch(x, branch, true);
  };
  check_ranks(at::kFloat, test::kFusedGradientF32, op);
}

}  // namespace
}  // namespace unireplk::ops
