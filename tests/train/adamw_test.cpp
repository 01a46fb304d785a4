#include <cmath>
#include <map>

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

/// AdamW of one number: spec/image.md section 8.
class ScalarAdamW {
 public:
  ScalarAdamW(const AdamWConfig& config, double start) : value(start), config_(config) {}

  void step(double gradient, double lr, double weight_decay) {
    ++steps_;
    value *= 1 - lr * weight_decay;
    mean_ = config_.beta1 * mean_ + (1 - config_.beta1) * gradient;
    square_ = config_.beta2 * square_ + (1 - config_.beta2) * gradient * gradient;
    const double mean = mean_ / (1 - std::pow(config_.beta1, steps_));
    const double square = square_ / (1 - std::pow(config_.beta2, steps_));
    value -= lr * mean / (std::sqrt(square) + config_.eps);
  }

  double value;

 private:
  AdamWConfig config_;
  int steps_ = 0;
  double mean_ = 0, square_ = 0;
};

/// Largest distance to the scalar optimizer after `steps` steps, in units of the largest value.
double distance_to_scalar(const AdamWConfig& config, at::ScalarType dtype, int64_t steps) {
  NetImpl net(dtype);
  const auto optimizer = make_adamw(config, net);
  std::map<std::string, std::vector<ScalarAdamW>> scalars;
  for (const auto& entry : net.named_parameters()) {
    const auto flat = entry.value().detach().flatten();
    for (int64_t i = 0; i < flat.numel(); ++i) scalars[entry.key()].emplace_back(config, flat[i].item<double>());
  }
  for (int64_t t = 0; t < steps; ++t) {
    const auto settings = settings_of(t);
    net.set_gradients(t);
    for (const auto& group : optimizer->groups()) {
      for (const auto& parameter : group.parameters) {
        const auto gradient = parameter.value.grad().flatten();
        for (int64_t i = 0; i < gradient.numel(); ++i) {
          scalars[parameter.name][static_cast<size_t>(i)].step(gradient[i].item<double>(), settings.lr * group.lr_scale,
                                                               group.decays ? settings.weight_decay : 0.0);
        }
      }
    }
    optimizer->step(settings, {});
  }
  double distance = 0, largest = 0;
  for (const auto& entry : net.named_parameters()) {
    const auto flat = entry.value().detach().flatten();
    for (int64_t i = 0; i < flat.numel(); ++i) {
      const double expected = scalars[entry.key()][static_cast<size_t>(i)].value;
      distance = std::max(distance, std::abs(flat[i].item<double>() - expected));
      largest = std::max(largest, std::abs(expected));
    }
  }
  return distance / largest;
}

TEST_CASE("AdamW: equals the formula, one number at a time", "[numeric]") {
  const auto config = GENERATE(AdamWConfig{}, AdamWConfig{.eps = 0.3}, AdamWConfig{.beta1 = 0.5, .beta2 = 0.8},
                               AdamWConfig{.beta1 = 0.0, .beta2 = 0.0, .eps = 0.1}, AdamWConfig{.layer_decay = 0.7});
  CAPTURE(config.beta1, config.beta2, config.eps, config.layer_decay);
  CHECK(distance_to_scalar(config, at::kDouble, 60) < 1e-12);
  CHECK(distance_to_scalar(config, at::kFloat, 60) < 60 * 1.2e-7);  // a rounding each step
}

TEST_CASE("AdamW: defaults are those of the recipe") {
  const auto config = AdamWConfig{};
  CHECK((config.lr == 4e-3 && config.weight_decay == 0.05 && config.beta1 == 0.9 && config.beta2 == 0.999));
  CHECK((config.eps == 1e-8 && config.layer_decay == 1.0));
  const auto base = make_adamw({.lr = 0.25, .weight_decay = 0.125}, NetImpl())->base();
  CHECK((base.lr == 0.25 && base.weight_decay == 0.125));
}

TEST_CASE("AdamW: only groups that decay shrink", "[numeric]") {
  NetImpl net;
  const auto before = values_of(net);
  const auto optimizer = make_adamw({}, net);
  for (auto& parameter : net.parameters()) parameter.mutable_grad() = at::zeros_like(parameter);
  optimizer->step({.lr = 0.5, .weight_decay = 0.25}, {});
  const auto parameters = net.named_parameters();
  for (size_t i = 0; i < before.size(); ++i) {
    const bool is_bias = parameters[i].key() == "stages.0.bias";
    CHECK(parameters[i].value().equal(before[i] * (is_bias ? 1.0 : 1 - 0.5 * 0.25)));
  }
}

TEST_CASE("AdamW: learning rate and decay of a depth are scaled together", "[numeric]") {
  NetImpl net;
  const auto optimizer = make_adamw({.eps = 1e-30, .layer_decay = 0.5}, net);
  const auto weight = net.stage->weight.detach().clone(), bias = net.stage->bias.detach().clone();
  const auto head = net.head.detach().clone();
  for (auto& parameter : net.parameters()) parameter.mutable_grad() = at::ones_like(parameter);
  optimizer->step({.lr = 0.1, .weight_decay = 0.2}, {});  // a first step with gradient 1 moves by the rate
  const double scaled = 0.1 * std::pow(0.5, 12);          // depth 1 of 13
  CHECK(at::allclose(net.stage->weight, weight * (1 - scaled * 0.2) - scaled, 0, 1e-14));
  CHECK(at::allclose(net.stage->bias, bias - scaled, 0, 1e-14));
  CHECK(at::allclose(net.head, head * (1 - 0.1 * 0.2) - 0.1, 0, 1e-14));
}

TEST_CASE("AdamW: at learning rate 0 weights stay, moments move", "[numeric]") {
  NetImpl net;
  const auto before = values_of(net);
  const auto optimizer = make_adamw({}, net);
  net.set_gradients(1);
  optimizer->step({.lr = 0.0, .weight_decay = 0.05}, {});
  CHECK(equal(values_of(net), before));
  io::StateBuffer state;
  optimizer->save(state);
  CHECK(at::allclose(state.tensor("head.exp_avg"), net.head.grad() * 0.1, 1e-14, 0));
  CHECK(at::allclose(state.tensor("head.exp_avg_sq"), net.head.grad().square() * 0.001, 1e-12, 0));
}

TEST_CASE("AdamW: a parameter without a gradient is left alone", "[numeric]") {
  NetImpl net;
  const auto before = net.head.detach().clone();
  const auto optimizer = make_adamw({}, net);
  for (int64_t t = 1; t < 4; ++t) {
    net.set_gradients(t);
    net.head.mutable_grad().reset();
    optimizer->step(settings_of(t), {});
  }
  CHECK(net.head.equal(before));
  io::StateBuffer state;
  optimizer->save(state);
  CHECK(state.tensor("head.exp_avg").abs().max().item<double>() == 0.0);
  optimizer->zero_grad();
  const auto all = values_of(net);
  optimizer->step(settings_of(4), {});
  CHECK(equal(values_of(net), all));
}

TEST_CASE("AdamW: a step that is skipped leaves no trace", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  NetImpl net(dtype), undisturbed(dtype);
  const auto optimizer = make_adamw({}, net), other = make_adamw({}, undisturbed);
  for (int64_t t = 1; t < 6; ++t) {
    net.set_gradients(t);
    undisturbed.set_gradients(t);
    optimizer->step(settings_of(t), at::zeros({}));
    other->step(settings_of(t), {});
    for (auto& parameter : net.parameters()) parameter.mutable_grad().fill_(std::nan(""));
    optimizer->step(settings_of(t), at::ones({}));
  }
  CHECK(equal(values_of(net), values_of(undisturbed)));
  io::StateBuffer state, expected;
  optimizer->save(state);
  other->save(expected);
  CHECK(state.integer("step") == 5);
  CHECK(state.tensor("head.exp_avg").equal(expected.tensor("head.exp_avg")));
}

TEST_CASE("AdamW: the memory order of a gradient changes no bit", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  NetImpl plain(dtype), other(dtype), channels_last(dtype);
  channels_last.stage->weight.set_data(channels_last.stage->weight.contiguous(at::MemoryFormat::ChannelsLast));
  std::vector<std::unique_ptr<Optimizer>> optimizers;
  for (auto* net : {&plain, &other, &channels_last}) optimizers.push_back(make_adamw({}, *net));
  for (int64_t t = 1; t < 6; ++t) {
    for (auto* net : {&plain, &other, &channels_last}) net->set_gradients(t);
    auto& turned = other.stage->weight.mutable_grad();
    turned = turned.contiguous(at::MemoryFormat::ChannelsLast);
    for (auto& optimizer : optimizers) optimizer->step(settings_of(t), {});
  }
  CHECK(other.stage->weight.equal(plain.stage->weight));
  CHECK(channels_last.stage->weight.equal(plain.stage->weight));
  CHECK(channels_last.stage->weight.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("AdamW: goes on after save and load to the same bits", "[numeric]") {
  const auto train = [](NetImpl& net, Optimizer& optimizer, int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      net.set_gradients(t);
      optimizer.step(settings_of(t), {});
    }
  };
  NetImpl whole(at::kFloat), first(at::kFloat), second(at::kFloat);
  train(whole, *make_adamw({}, whole), 0, 20);
  const auto before = make_adamw({}, first);
  train(first, *before, 0, 9);
  io::StateBuffer state;
  before->save(state);
  CHECK(state.integer("step") == 9);
  const auto after = make_adamw({}, second);
  train(second, *after, 3, 6);  // forgotten by load()
  {
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < second.parameters().size(); ++i) second.parameters()[i].copy_(first.parameters()[i]);
  }
  after->load(state);
  train(second, *after, 9, 20);
  CHECK(equal(values_of(second), values_of(whole)));
}

TEST_CASE("AdamW: refuses the state of another network") {
  NetImpl net;
  const auto optimizer = make_adamw({}, net);
  struct OtherImpl : torch::nn::Module {
    explicit OtherImpl(at::IntArrayRef shape) { register_parameter("head", at::zeros(shape)); }
  };
  const auto load = [&](at::IntArrayRef shape) {
    io::StateBuffer state;
    make_adamw({}, OtherImpl(shape))->save(state);
    optimizer->load(state);
  };
  CHECK_THROWS_AS(load({2, 5}), UserError);  // lacks the stage
  io::StateBuffer state;
  optimizer->save(state);
  OtherImpl turned({5, 2});
  CHECK_THROWS_WITH(make_adamw({}, turned)->load(state),
                    Catch::Contains("head.exp_avg: ") && Catch::Contains("The checkpoint belongs to another network."));
}

TEST_CASE("optimizer: gives all gradients, and forgets them") {
  NetImpl net;
  const auto optimizer = make_adamw({}, net);
  CHECK(optimizer->gradients().empty());
  net.set_gradients(1);
  REQUIRE(optimizer->gradients().size() == 3);
  CHECK(optimizer->gradients()[2].is_same(net.stage->bias.grad()));  // group by group
  net.head.mutable_grad().reset();
  CHECK(optimizer->gradients().size() == 2);
  optimizer->zero_grad();
  CHECK(optimizer->gradients().empty());
  for (const auto& parameter : net.parameters()) CHECK_FALSE(parameter.grad().defined());
}

}  // namespace
}  // namespace unireplk::train
