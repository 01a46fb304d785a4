#include "unireplk/train/guard.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <limits>
#include <memory>

#include "support/catch.h"

namespace unireplk::train {
namespace {

/// Buffers of all widths.
struct BufferedImpl : torch::nn::Module {
  BufferedImpl() {
    register_buffer("mean", at::full({3}, 0.5));
    register_buffer("wide", at::full({2, 2}, -0.25, at::kDouble));
    register_buffer("narrow", at::full({2}, 2.0, at::kBFloat16));
    register_buffer("count", at::full({}, int64_t{1} << 40, at::kLong));
    register_buffer("flags", at::full({4}, true, at::kBool));
    register_buffer("across", at::full({2, 3}, 1.5).t());
  }
};

void set_all(torch::nn::Module& network, double value) {
  for (at::Tensor buffer : network.buffers()) buffer.fill_(value);
}

std::vector<at::Tensor> copies_of(const torch::nn::Module& network) {
  std::vector<at::Tensor> copies;
  for (const auto& buffer : network.buffers()) copies.push_back(buffer.clone());
  return copies;
}

bool are_equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!at::allclose(a[i], b[i], 0, 0, /*equal_nan=*/true) || a[i].scalar_type() != b[i].scalar_type()) return false;
  }
  return a.size() == b.size();
}

TEST_CASE("guard: a skipped step puts every buffer back, another leaves what the pass has made of it") {
  const auto network = std::make_shared<BufferedImpl>();
  Guard guard({}, *network);
  const auto before = copies_of(*network);
  const double spoilt = GENERATE(std::nan(""), -std::numeric_limits<double>::infinity(), 7.0);
  for (const bool is_skipped : {true, false, true}) {
    const auto kept = copies_of(*network);
    guard.begin_step();
    for (const auto& entry : network->named_buffers()) {
      const bool is_floating = entry.value().is_floating_point();
      at::Tensor(entry.value()).fill_(is_floating ? spoilt : 0.0);
    }
    const auto made = copies_of(*network);
    const auto version = network->buffers().front()._version();
    guard.end_step(at::full({}, is_skipped ? 1.0 : 0.0));
    CHECK(are_equal(copies_of(*network), is_skipped ? kept : made));
    CHECK(network->buffers().front()._version() > version);  // by which caches notice
  }
  CHECK_FALSE(are_equal(copies_of(*network), before));
}

TEST_CASE("guard: a step that begins anew finds its buffers") {
  const auto network = std::make_shared<BufferedImpl>();
  Guard guard({}, *network);
  const auto before = copies_of(*network);
  guard.begin_step();
  set_all(*network, 0);
  guard.undo_step();
  CHECK(are_equal(copies_of(*network), before));
}

}  // namespace
}  // namespace unireplk::train
