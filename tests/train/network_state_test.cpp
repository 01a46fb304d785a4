#include "unireplk/train/network_state.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"

namespace unireplk::train {
namespace {

struct ConstantNetImpl : torch::nn::Module {
  explicit ConstantNetImpl(int64_t size, double value = 0) {
    weight = register_parameter("weight", at::full({size}, value, at::kFloat));
    count = register_buffer("count", at::full({}, static_cast<int64_t>(value), at::kLong));
  }
  at::Tensor weight, count;
};

TEST_CASE("network state: parameters and buffers come back, into the same memory") {
  ConstantNetImpl saved(3, 7), net(3);
  io::StateBuffer state;
  NetworkState(saved).save(state);
  const void* memory = net.weight.const_data_ptr();
  NetworkState(net).load(state);
  CHECK(net.weight.equal(saved.weight));
  CHECK(net.count.item<int64_t>() == 7);
  CHECK(net.weight.const_data_ptr() == memory);
  CHECK(net.weight.requires_grad());
}

TEST_CASE("network state: refuses that of another network by name") {
  ConstantNetImpl saved(3), net(4);
  io::StateBuffer state;
  NetworkState(saved).save(state);
  CHECK_THROWS_WITH(
      NetworkState(net).load(state),
      "weight: the checkpoint has another shape than the network. Resume with the model it was made with.");
  CHECK_THROWS_WITH(NetworkState(net).load(io::StateBuffer()), Catch::Contains("weight"));
}

}  // namespace
}  // namespace unireplk::train
