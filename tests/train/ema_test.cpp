#include "unireplk/train/ema.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <limits>
#include <stdexcept>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"
#include "unireplk/models/state_dict.h"
#include "unireplk/models/unireplknet.h"
#include "unireplk/train/fused.h"

namespace unireplk::train {
namespace {

/// A parameter, a floating buffer and an integer one.
struct MovingNetImpl : torch::nn::Module {
  explicit MovingNetImpl(int64_t size = 3) {
    weight = register_parameter("weight", at::arange(size, at::kDouble) + 1);
    running_mean = register_buffer("running_mean", at::arange(2, at::kFloat) - 4);
    count = register_buffer("num_batches_tracked", at::zeros({}, at::kLong));
  }

  /// Values of step `t`.
  void move(int64_t t) {
    const at::NoGradGuard no_grad;
    const auto phase = static_cast<double>(t);
    weight.copy_((at::arange(weight.size(0), at::kDouble) + phase).sin());
    running_mean.copy_((at::arange(2, at::kDouble) * 2 + phase).cos());
    count.fill_((int64_t{1} << 53) + t);  // lost by any arithmetic in floating point
  }

  at::Tensor weight, running_mean, count;
};

/// The step was not skipped.
at::Tensor taken() { return at::zeros({}); }

/// What the average would save.
struct SavedAverages {
  explicit SavedAverages(const Ema& ema) { ema.save(state); }
  at::Tensor operator[](const std::string& name) const { return state.tensor(name); }
  io::StateBuffer state;
};

TEST_CASE("Ema: starts as a copy of the network") {
  MovingNetImpl net;
  const Ema ema(net, 0.5);
  const auto weight = net.weight.detach().clone();
  net.move(1);
  CHECK(SavedAverages(ema)["weight"].equal(weight));
  CHECK(SavedAverages(ema)["num_batches_tracked"].item<int64_t>() == 0);
}

TEST_CASE("Ema: averages parameters and floating buffers, copies integers", "[numeric]") {
  const double decay = GENERATE(0.0, 0.3, 0.9, 0.9999);
  CAPTURE(decay);
  MovingNetImpl net;
  Ema ema(net, decay);
  at::Tensor weight = net.weight.detach().clone(), mean = net.running_mean.to(at::kDouble);
  for (int64_t t = 1; t <= 20; ++t) {
    net.move(t);
    ema.update(taken());
    weight = weight * decay + net.weight.detach() * (1 - decay);
    mean = mean * decay + net.running_mean * (1 - decay);
    const SavedAverages averages(ema);
    CHECK(at::allclose(averages["weight"], weight, 1e-14, 1e-15));
    CHECK(at::allclose(averages["running_mean"].to(at::kDouble), mean, 1.3e-6, 1e-6));
    CHECK(averages["num_batches_tracked"].item<int64_t>() == (int64_t{1} << 53) + t);
  }
}

TEST_CASE("Ema: a skipped step leaves the averages alone, to the bit") {
  MovingNetImpl net;
  Ema ema(net, 0.75);
  net.move(1);
  ema.update(taken());
  const SavedAverages before(ema);
  net.move(2);
  ema.update(at::ones({}));
  const SavedAverages after(ema);
  for (const auto* name : {"weight", "running_mean"}) CHECK(after[name].equal(before[name]));
}

/// Values that arithmetic would change where it should not.
at::Tensor oddities() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  return at::tensor({-0.0F, 1.0F, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e-42F, 3.0F});
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.cpu().contiguous().view(at::kInt).equal(b.cpu().contiguous().view(at::kInt));
}

/// A network whose values are not all finite, with averages that are not either.
void check_skip_of_oddities(at::Device device) {
  MovingNetImpl net(7);
  net.weight.set_data(oddities());
  net.to(device);
  Ema ema(net, 0.75);
  const at::NoGradGuard no_grad;
  net.weight.copy_(oddities().flip(0));
  ema.update(at::ones({}, at::TensorOptions(device)));
  CHECK(same_bits(SavedAverages(ema)["weight"], oddities()));
  net.weight.fill_(0.5);
  ema.update(at::zeros({}, at::TensorOptions(device)));
  CHECK(SavedAverages(ema)["weight"][6].item<float>() == 3.0F + 0.25F * (0.5F - 3.0F));
}

TEST_CASE("Ema: a skipped step leaves what is not finite alone, to the bit") { check_skip_of_oddities(at::kCPU); }

TEST_CASE("Ema: on a GPU, averages are those of a CPU, and a skipped step leaves them alone to the bit", "[cuda]") {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: no CUDA device");
    return;
  }
  const at::Device gpu(at::kCUDA, 0);
  check_skip_of_oddities(gpu);
  MovingNetImpl net, on_gpu;
  on_gpu.register_buffer("large", at::zeros({3, 8 << 20}));  // more than is taken at once
  on_gpu.register_buffer("larger", at::zeros({9 << 20}));
  on_gpu.to(gpu);
  Ema ema(net, 0.9), ema_on_gpu(on_gpu, 0.9);
  for (int64_t t = 1; t <= 5; ++t) {
    for (auto* each : {&net, &on_gpu}) each->move(t);
    for (const auto& buffer : on_gpu.buffers()) {
      if (buffer.numel() > (1 << 20)) buffer.fill_(static_cast<double>(t));
    }
    ema.update(taken());
    ema_on_gpu.update(taken().to(gpu));
  }
  const SavedAverages expected(ema), actual(ema_on_gpu);
  CHECK(at::allclose(actual["weight"].cpu(), expected["weight"], 1.3e-6, 1e-6));
  CHECK(at::allclose(actual["running_mean"].cpu(), expected["running_mean"], 1.3e-6, 1e-6));
  CHECK(actual["num_batches_tracked"].item<int64_t>() == (int64_t{1} << 53) + 5);
  double large = 0;
  for (int64_t t = 1; t <= 5; ++t) large += 0.1 * (static_cast<double>(t) - large);
  for (const auto* name : {"large", "larger"}) {
    CHECK(at::allclose(actual[name].cpu().to(at::kDouble), at::full({1}, large, at::kDouble), 1e-5));
  }
}

TEST_CASE("move_together: moves each average by its share of the way, in pieces of any size", "[numeric]") {
  const int64_t most_bytes = GENERATE(1, 40, 1 << 20);
  const auto type = GENERATE(at::kFloat, at::kDouble);
  std::vector<at::Tensor> averages, values, expected;
  for (int64_t size = 0; size < 9; ++size) {
    averages.push_back((at::arange(size * 2, type) + 0.5).view({size, 2}).t());
    values.push_back((at::arange(size * 2, type) * 7).sin().view({size, 2}).t());
    expected.push_back(averages.back() + 0.3 * (values.back() - averages.back()));
  }
  move_together(averages, values, at::scalar_tensor(0.3, at::kDouble), most_bytes);
  for (size_t i = 0; i < averages.size(); ++i) CHECK(at::allclose(averages[i], expected[i], 1.3e-6, 1e-6));
}

TEST_CASE("move_together: share 0 leaves every bit alone") {
  const auto average = oddities(), other = at::ones({3});
  move_together({average, other}, {oddities().flip(0), at::full({3}, std::nan(""))}, at::zeros({}, at::kDouble));
  CHECK(same_bits(average, oddities()));
  CHECK(other.equal(at::ones({3})));
}

TEST_CASE("Ema: a swap lends the averages to the network, and takes them back") {
  MovingNetImpl net;
  Ema ema(net, 0.75);
  net.move(1);
  ema.update(taken());
  const SavedAverages before(ema);
  const auto own = models::state_dict(net);
  std::vector<at::Tensor> values;
  for (const auto& [name, value] : own) values.push_back(value.detach().clone());
  const auto check_restored = [&] {
    for (size_t i = 0; i < own.size(); ++i) CHECK(own[i].second.equal(values[i]));
    const SavedAverages after(ema);
    for (const auto& [name, value] : own) CHECK(after[name].equal(before[name]));
  };
  {
    const Ema::Swap swap(ema);
    for (const auto& [name, value] : own) CHECK(value.equal(before[name]));
    CHECK_THROWS_AS(ema.update(taken()), ContractError);
    CHECK_THROWS_AS(SavedAverages(ema), ContractError);
  }
  check_restored();
  try {
    const Ema::Swap swap(ema);
    throw std::runtime_error("the evaluation failed");
  } catch (const std::runtime_error&) {
    check_restored();
  }
  CHECK_NOTHROW(ema.update(taken()));
}

TEST_CASE("Ema: a network that caches merged weights notices both ends of a swap", "[numeric]") {
  const models::UniRepLKNetOptions options{.dims = {4, 8, 16, 32}, .num_classes = 3, .layer_scale_init = 0.5};
  models::UniRepLKNet net(options), judge(options);
  const auto fill = [](models::UniRepLKNet& network, double phase) {
    const at::NoGradGuard no_grad;
    for (const auto& [name, value] : models::state_dict(*network)) {
      if (!value.is_floating_point()) continue;
      value.copy_((at::arange(value.numel(), at::kDouble) * 0.37 + phase).sin().view(value.sizes()));
      if (name.ends_with("running_var")) value.abs_().add_(0.5);
    }
  };
  fill(net, 0.0);
  Ema ema(*net, 0.5);
  fill(net, 1.0);
  net->eval();
  judge->eval();
  const at::NoGradGuard no_grad;
  const auto x = (at::arange(3 * 32 * 32, at::kFloat) * 0.01).sin().view({1, 3, 32, 32});
  const auto own = net->forward(x);  // fills the caches
  fill(judge, 0.0);
  const auto averaged = judge->forward(x);
  REQUIRE_FALSE(averaged.equal(own));
  {
    const Ema::Swap swap(ema);
    CHECK(net->forward(x).equal(averaged));
  }
  CHECK(net->forward(x).equal(own));
}

TEST_CASE("Ema: goes on after save and load to the same bits", "[numeric]") {
  MovingNetImpl first, second;
  Ema before(first, 0.9), after(second, 0.9);
  for (int64_t t = 1; t < 6; ++t) {
    first.move(t);
    before.update(taken());
  }
  const auto untouched = second.weight.detach().clone();
  const SavedAverages saved(before);
  after.load(saved.state);
  CHECK(second.weight.equal(untouched));
  for (int64_t t = 6; t < 9; ++t) {
    first.move(t);
    second.move(t);
    before.update(taken());
    after.update(taken());
  }
  for (const auto& entry : models::state_dict(first)) {
    CHECK(SavedAverages(after)[entry.first].equal(SavedAverages(before)[entry.first]));
  }
}

TEST_CASE("Ema: refuses the averages of another network") {
  MovingNetImpl net(3), wider(4);
  const SavedAverages saved(Ema(wider, 0.5));
  Ema ema(net, 0.5);
  CHECK_THROWS_WITH(ema.load(saved.state), Catch::Contains("weight: ") && Catch::Contains("another shape"));
  CHECK_THROWS_AS(ema.load(io::StateBuffer()), UserError);
}

}  // namespace
}  // namespace unireplk::train
