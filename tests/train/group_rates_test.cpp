#include "unireplk/train/group_rates.h"

#include <cmath>
#include <functional>
#include <memory>

#include "support/catch.h"
#include "train/waves.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/schedule.h"

namespace unireplk::train {
namespace {

using test::equal;
using test::NetImpl;
using test::settings_of;
using test::values_of;

using Make = std::function<std::unique_ptr<Optimizer>(const torch::nn::Module&)>;

const std::vector<Make>& optimizers() {
  static const std::vector<Make> all{
      [](const auto& net) { return make_adamw({.layer_decay = 0.7}, net); },
      [](const auto& net) { return make_adam({.layer_decay = 0.7}, net); },
      [](const auto& net) { return make_sgd({.momentum = 0.9, .nesterov = true, .layer_decay = 0.7}, net); },
      [](const auto& net) { return make_sgd({.momentum = 0.0}, net); }};
  return all;
}

TEST_CASE("group rates: each group has its factor, and decays or does not") {
  NetImpl net;
  const auto groups = make_adamw({.layer_decay = 0.5}, net)->groups();
  const bool on_device = GENERATE(false, true);
  GroupRates rates(groups, on_device);
  for (const double lr : {0.5, 0.25}) {
    rates.set({.lr = lr, .weight_decay = 0.125});
    for (size_t i = 0; i < groups.size(); ++i) {
      CHECK(rates[i].lr.item<double>() == lr * groups[i].lr_scale);
      const double decay = groups[i].decays ? 0.125 : 0.0;
      CHECK(rates[i].weight_decay == (on_device ? 0.0 : decay));
      REQUIRE(rates[i].shrinkage.defined() == (on_device && groups[i].decays));
      REQUIRE(rates[i].minus_decay.defined() == rates[i].shrinkage.defined());
      if (!rates[i].shrinkage.defined()) continue;
      CHECK(rates[i].minus_decay.item<double>() == -decay);
      CHECK(rates[i].shrinkage.item<double>() == lr * groups[i].lr_scale * decay);
    }
  }
}

TEST_CASE("group rates: what has been handed out follows, where it lies") {
  NetImpl net;
  GroupRates rates(make_adamw({}, net)->groups(), true);
  const GroupRate before = rates[0];
  const void* const place = before.lr.const_data_ptr();
  rates.set({.lr = 0.75, .weight_decay = 0.5});
  CHECK((before.lr.item<double>() == 0.75 && before.shrinkage.item<double>() == 0.375));
  CHECK(rates[0].lr.const_data_ptr() == place);
}

TEST_CASE("group rates: AdamW by a scalar makes the bits of AdamW by a number", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  NetImpl net(dtype), judge(dtype);
  const auto optimizer = make_adamw({.decay_all = true}, net);
  std::vector<at::Tensor> values, means, squares, steps;
  for (const auto& parameter : judge.parameters()) {
    values.push_back(parameter.detach());
    means.push_back(at::zeros_like(parameter));
    squares.push_back(at::zeros_like(parameter));
    steps.push_back(at::zeros({}));
  }
  GroupRates rates(optimizer->groups(), /*decay_on_device=*/false);
  for (int64_t t = 0; t < 20; ++t) {
    const StepSettings settings = settings_of(t);
    net.set_gradients(t);
    rates.set(settings);
    optimizer->step(rates, at::zeros({}));
    judge.set_gradients(t);
    std::vector<at::Tensor> gradients;
    for (const auto& parameter : judge.parameters()) gradients.push_back(parameter.grad());
    for (auto& step : steps) step.add_(1);
    at::_fused_adamw_(values, gradients, means, squares, {}, steps, settings.lr, 0.9, 0.999, settings.weight_decay,
                      1e-8, /*amsgrad=*/false, /*maximize=*/false);
    CHECK(equal(values_of(net), values_of(judge)));
  }
}

TEST_CASE("group rates: weight decay from the device is that from the host, but for rounding", "[numeric]") {
  const auto& make = optimizers()[GENERATE(size_t{0}, size_t{1}, size_t{2}, size_t{3})];
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  NetImpl net(dtype), judge(dtype);
  const auto optimizer = make(net), other = make(judge);
  GroupRates rates(optimizer->groups(), /*decay_on_device=*/true);
  for (int64_t t = 0; t < 30; ++t) {
    net.set_gradients(t);
    judge.set_gradients(t);
    rates.set(settings_of(t));
    optimizer->step(rates, at::zeros({}));
    other->step(settings_of(t), {});
  }
  const auto values = values_of(net), expected = values_of(judge), at_start = values_of(NetImpl(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    const double largest = expected[i].abs().max().item<double>();
    CHECK((values[i] - expected[i]).abs().max().item<double>() <= (dtype == at::kFloat ? 1e-5 : 1e-13) * largest);
    CHECK_FALSE(values[i].equal(at_start[i]));
  }
}

TEST_CASE("group rates: a step that is skipped leaves no trace of a decay from the device") {
  const auto& make = optimizers()[GENERATE(size_t{0}, size_t{1}, size_t{2}, size_t{3})];
  NetImpl net(at::kFloat);
  const auto optimizer = make(net);
  GroupRates rates(optimizer->groups(), /*decay_on_device=*/true);
  rates.set({.lr = 0.5, .weight_decay = 0.25});
  net.set_gradients(1);
  const auto before = values_of(net);
  optimizer->step(rates, at::ones({}));
  CHECK(equal(values_of(net), before));
}

TEST_CASE("schedules: those that say weight decay stays keep it") {
  const ScheduleSpan span{
      .base = {.lr = 0.1, .weight_decay = 0.05}, .steps_per_epoch = 5, .total_steps = 50, .is_validated = true};
  std::vector<std::unique_ptr<Schedule>> schedules;
  schedules.push_back(make_cosine({.weight_decay_end = {}}, span));
  schedules.push_back(make_cosine({.weight_decay_end = 0.45}, span));
  schedules.push_back(make_poly({.warmup_steps = 7}, span));
  schedules.push_back(make_constant({}, span));
  schedules.push_back(make_multistep({.milestones = {2, 4}}, span));
  schedules.push_back(make_exponential({}, span));
  schedules.push_back(make_plateau({}, span));
  int64_t moving = 0;
  for (const auto& schedule : schedules) {
    bool moves = false;
    for (int64_t step = 0; step < span.total_steps; ++step) moves |= schedule->at(step).weight_decay != 0.05;
    CHECK(schedule->moves_weight_decay() == moves);
    moving += moves ? 1 : 0;
  }
  CHECK(moving == 1);
}

TEST_CASE("group rates: on a GPU, each step has its own, however far the host is ahead", "[cuda]") {
  if (!at::hasCUDA()) {
    WARN("SKIPPED: no CUDA device");
    return;
  }
  struct Net : torch::nn::Module {
    at::Tensor weight = register_parameter("weight", at::zeros({1 << 22}, at::TensorOptions(at::kCUDA)));
  } net;
  const auto optimizer = make_sgd({.momentum = 0.0}, net);
  GroupRates rates(optimizer->groups(), GENERATE(false, true));
  net.weight.mutable_grad() = at::ones_like(net.weight);
  double expected = 0;
  for (int64_t t = 1; t <= 500; ++t) {
    const double lr = std::ldexp(1.0, static_cast<int>(t % 3));  // sums are exact
    rates.set({.lr = lr, .weight_decay = 0});
    optimizer->step(rates, {});
    expected -= lr;
  }
  CHECK(net.weight.min().item<double>() == expected);
  CHECK(net.weight.max().item<double>() == expected);
}

}  // namespace
}  // namespace unireplk::train
