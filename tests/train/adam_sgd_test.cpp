#include <cmath>
#include <functional>

#include "support/catch.h"
#include "train/waves.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"
#include "unireplk/train/optimizer.h"

namespace unireplk::train {
namespace {

using test::equal;
using test::NetImpl;
using test::settings_of;
using test::values_of;

/// Three numbers.
struct ThreeImpl : torch::nn::Module {
  ThreeImpl() { values = register_parameter("values", at::tensor({1.0, -2.0, 0.5}, at::kDouble)); }
  at::Tensor values;
};

at::Tensor after_six_steps(const std::function<MakeOptimizer>& make) {
  ThreeImpl net;
  const auto optimizer = make(net);
  for (int t = 0; t < 6; ++t) {
    net.values.mutable_grad() = at::tensor({0.3 * (t + 1), -0.1 * t * t, t % 2 == 0 ? 1.0 : -1.0}, at::kDouble);
    optimizer->step(optimizer->base(), {});
  }
  return net.values.detach();
}

// Values that torch.optim.Adam and torch.optim.SGD of PyTorch 2.11 leave in the same numbers.
TEST_CASE("Adam and SGD: equal torch's, with all parameters decaying", "[golden]") {
  const auto check = [](const std::function<MakeOptimizer>& make, const std::vector<double>& expected) {
    CHECK(at::allclose(after_six_steps(make), at::tensor(expected, at::kDouble), 1e-12, 1e-14));
  };
  const auto adam = [](const AdamConfig& config) {
    return [config](const torch::nn::Module& net) { return make_adam(config, net); };
  };
  const auto sgd = [](const SgdConfig& config) {
    return [config](const torch::nn::Module& net) { return make_sgd(config, net); };
  };
  check(adam({.lr = 0.1, .weight_decay = 0.5, .beta1 = 0.95, .decay_all = true}),
        {0.40643103029595384, -1.4103840185788887, 0.2627069713998925});
  check(adam({.lr = 0.1}), {0.4172736862944355, -1.6056537344325041, 0.36176863601317255});
  check(sgd({.weight_decay = 0.5, .decay_all = true}), {-1.0798866125000002, 0.4287693437500004, -0.01751347656250004});
  check(sgd({.weight_decay = 0.5, .nesterov = true, .decay_all = true}),
        {-1.4731487582111, 0.9721699837687193, 0.013276472666445212});
  check(sgd({.weight_decay = 0, .momentum = 0}), {0.36999999999999994, -1.45, 0.5});
}

enum class Kind { kAdam, kMomentum, kPlain };

std::unique_ptr<Optimizer> make(Kind kind, const torch::nn::Module& net, double layer_decay = 1,
                                bool decay_all = false) {
  if (kind == Kind::kAdam) return make_adam({.layer_decay = layer_decay, .decay_all = decay_all}, net);
  const double momentum = kind == Kind::kMomentum ? 0.9 : 0;
  return make_sgd({.momentum = momentum, .layer_decay = layer_decay, .decay_all = decay_all}, net);
}

/// One step of each kind with learning rate `lr` by the formula, from buffers of zeros.
at::Tensor first_step(Kind kind, const at::Tensor& value, double lr, double weight_decay) {
  const at::Tensor gradient = value.grad() + weight_decay * value.detach();
  return kind == Kind::kAdam ? value.detach() - lr * gradient / (gradient.abs() + 1e-8)
                             : value.detach() - lr * gradient;
}

TEST_CASE("Adam and SGD: groups have their rate and decay", "[numeric]") {
  const auto kind = GENERATE(Kind::kAdam, Kind::kMomentum, Kind::kPlain);
  const bool decay_all = GENERATE(false, true);
  NetImpl net;
  net.set_gradients(1);
  const double scaled = 0.1 * std::pow(0.5, 12);  // depth 1 of 13
  const auto weight = first_step(kind, net.stage->weight, scaled, 0.2);
  const auto bias = first_step(kind, net.stage->bias, scaled, decay_all ? 0.2 : 0.0);
  const auto head = first_step(kind, net.head, 0.1, 0.2);
  make(kind, net, 0.5, decay_all)->step({.lr = 0.1, .weight_decay = 0.2}, {});
  CHECK(at::allclose(net.stage->weight, weight, 0, 1e-13));
  CHECK(at::allclose(net.stage->bias, bias, 0, 1e-13));
  CHECK(at::allclose(net.head, head, 0, 1e-13));
}

TEST_CASE("Adam and SGD: a step that is skipped leaves no trace", "[numeric]") {
  const auto kind = GENERATE(Kind::kAdam, Kind::kMomentum, Kind::kPlain);
  NetImpl net(at::kFloat), undisturbed(at::kFloat);
  const auto optimizer = make(kind, net), other = make(kind, undisturbed);
  for (int64_t t = 1; t < 6; ++t) {
    for (auto& parameter : net.parameters()) parameter.mutable_grad() = at::full_like(parameter, NAN);
    optimizer->step(settings_of(t), at::ones({}));
    net.set_gradients(t);
    undisturbed.set_gradients(t);
    optimizer->step(settings_of(t), at::zeros({}));
    other->step(settings_of(t), {});
  }
  CHECK(equal(values_of(net), values_of(undisturbed)));
}

TEST_CASE("Adam and SGD: go on after save and load to the same bits", "[numeric]") {
  const auto kind = GENERATE(Kind::kAdam, Kind::kMomentum, Kind::kPlain);
  const auto train = [](NetImpl& net, Optimizer& optimizer, int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      net.set_gradients(t);
      optimizer.step(settings_of(t), {});
    }
  };
  NetImpl whole(at::kFloat), parted(at::kFloat);
  train(whole, *make(kind, whole), 0, 20);
  const auto before = make(kind, parted), after = make(kind, parted);
  train(parted, *before, 0, 9);
  io::StateBuffer state;
  before->save(state);
  after->load(state);
  train(parted, *after, 9, 20);
  CHECK(equal(values_of(parted), values_of(whole)));
}

TEST_CASE("SGD: the memory order of a gradient changes no bit; another network's state is refused") {
  NetImpl plain(at::kFloat), turned(at::kFloat);
  const auto a = make(Kind::kMomentum, plain), b = make(Kind::kMomentum, turned);
  for (int64_t t = 1; t < 4; ++t) {
    plain.set_gradients(t);
    turned.set_gradients(t);
    auto& gradient = turned.stage->weight.mutable_grad();
    gradient = gradient.contiguous(at::MemoryFormat::ChannelsLast);
    a->step(settings_of(t), {});
    b->step(settings_of(t), {});
  }
  CHECK(equal(values_of(plain), values_of(turned)));
  io::StateBuffer state;
  a->save(state);
  CHECK_THROWS_AS(make_sgd({}, ThreeImpl())->load(state), UserError);
  config::Problems::Place place = [](std::string_view key) { return std::string(key); };
  std::vector<Problem> problems;
  config::Problems list(problems, place);
  SgdConfig{.momentum = 0, .nesterov = true}.validate(list);
  REQUIRE(problems.size() == 1);
  CHECK(problems[0].place == "nesterov");
}

}  // namespace
}  // namespace unireplk::train
