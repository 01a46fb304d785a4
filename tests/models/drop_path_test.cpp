#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "models/filled.h"
#include "support/catch.h"
#include "support/golden.h"

namespace unireplk::models {
namespace {

UniRepLKNetOptions trunk(double drop_path) {
  return {.depths = {1, 1, 1, 2},
          .dims = {4, 4, 4, 4},
          .kernel_sizes = {{0}, {3}, {7}, {0, 0}},
          .mode = Mode::kTrunk,
          .drop_path = drop_path};
}

/// The last map with layer scale 1 in one block and 0 in all others.
at::Tensor with_one_branch(UniRepLKNet& network, const at::Tensor& x, size_t number) {
  const at::NoGradGuard no_graph;
  for (size_t b = 0; b < network->blocks().size(); ++b) network->blocks()[b]->gamma.fill_(b == number ? 1 : 0);
  return network->forward(x, at::make_generator<at::CPUGeneratorImpl>(5));
}

/// A dropped sample passes through a block unchanged, so the rates show in the last map (spec: model, section 2.5).
TEST_CASE("drop path: rates rise evenly over all blocks from 0 to the given one", "[numeric]") {
  constexpr int64_t kSamples = 4000;
  auto network = filled(trunk(0.8));
  network->train();
  const auto x = test::formula_input({kSamples, 3, 2, 2});
  const auto untouched = with_one_branch(network, x, network->blocks().size());
  const std::vector<double> rates{0, 0.2, 0.4, 0.6, 0.8};
  for (size_t b = 0; b < rates.size(); ++b) {
    CAPTURE(b);
    const auto dropped = with_one_branch(network, x, b).eq(untouched).flatten(1).all(1);
    CHECK(dropped.to(at::kDouble).mean().item<double>() == Approx(rates[b]).margin(0.031));  // four standard deviations
  }
}

TEST_CASE("drop path: does nothing in eval mode", "[numeric]") {
  auto network = filled(trunk(0.8)), plain = filled(trunk(0));
  network->eval();
  plain->eval();
  const auto x = test::formula_input({2, 3, 40, 36});
  CHECK(at::equal(network->forward(x), plain->forward(x)));
}

TEST_CASE("drop path: rate 0 asks for no generator", "[numeric]") {
  auto network = filled(trunk(0));
  network->train();
  CHECK_NOTHROW(network->forward(test::formula_input({2, 3, 40, 36})));
}

}  // namespace
}  // namespace unireplk::models
