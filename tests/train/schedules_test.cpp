#include <cmath>

#include "support/catch.h"
#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"
#include "unireplk/tasks/task.h"
#include "unireplk/train/schedule.h"

namespace unireplk::train {
namespace {

constexpr double kExact = 1e-14;

ScheduleSpan span(double lr, int64_t steps_per_epoch, int64_t epochs) {
  return {.base = {.lr = lr, .weight_decay = 0.05},
          .steps_per_epoch = steps_per_epoch,
          .total_steps = epochs * steps_per_epoch,
          .is_validated = true};
}

/// Learning rate of the first and the last step of epoch `epoch`, counted from 1, which must be the same.
double lr_in(const Schedule& schedule, int64_t epoch, int64_t steps_per_epoch) {
  const double first = schedule.at((epoch - 1) * steps_per_epoch).lr;
  CHECK(schedule.at(epoch * steps_per_epoch - 1).lr == first);
  return first;
}

TEST_CASE("multistep: the recipes of the audio reference", "[golden]") {
  constexpr int64_t kSteps = 7;
  const auto speech = make_multistep({.start = 5, .step = 1, .gamma = 0.85}, span(2.5e-4, kSteps, 100));
  CHECK(lr_in(*speech, 5, kSteps) == 2.5e-4);
  for (const auto& [epoch, lr] :
       {std::pair{6, 2.5e-4 * 0.85}, {10, 1.1e-4}, {20, 2.2e-5}, {30, 4.3e-6}, {50, 1.7e-7}, {100, 4.9e-11}}) {
    CAPTURE(epoch);
    CHECK(lr_in(*speech, epoch, kSteps) == Approx(lr).epsilon(0.02));  // the table has two digits
    CHECK(lr_in(*speech, epoch, kSteps) == Approx(2.5e-4 * std::pow(0.85, epoch - 5)).epsilon(kExact));
  }
  const auto full = make_multistep({.start = 2, .step = 1, .gamma = 0.5}, span(1e-5, kSteps, 5));
  const auto balanced = make_multistep({.start = 10, .step = 5, .gamma = 0.5}, span(5e-5, kSteps, 25));
  for (int64_t epoch = 1; epoch <= 25; ++epoch) {
    CAPTURE(epoch);
    const auto halved = static_cast<double>(std::max<int64_t>(0, epoch - 2));
    if (epoch <= 5) CHECK(lr_in(*full, epoch, kSteps) == 1e-5 * std::pow(0.5, halved));
    CHECK(lr_in(*balanced, epoch, kSteps) == 5e-5 * (epoch < 11 ? 1 : epoch < 16 ? 0.5 : epoch < 21 ? 0.25 : 0.125));
  }
}

TEST_CASE("multistep: a list of milestones equals the start and step that make it", "[numeric]") {
  const auto list = make_multistep({.milestones = {3, 5, 7}, .gamma = 0.1}, span(1.0, 4, 9));
  const auto spaced = make_multistep({.start = 3, .step = 2, .gamma = 0.1}, span(1.0, 4, 9));
  for (int64_t step = 0; step < 36; ++step) {
    CHECK(list->at(step).lr == spaced->at(step).lr);
    CHECK(list->at(step).weight_decay == 0.05);
  }
  CHECK(list->at(11).lr == 1.0);
  CHECK(list->at(12).lr == Approx(0.1));
  CHECK(list->at(35).lr == Approx(0.001));
}

TEST_CASE("multistep: AudioSet's staircase has the say while it lasts", "[golden]") {
  const MultistepConfig config{
      .warmup = {.warmup_steps = 1000, .warmup_every = 50}, .start = 2, .step = 1, .gamma = 0.5};
  const auto schedule = make_multistep(config, span(1e-4, 400, 5));
  for (int64_t step = 0; step < 1000; ++step) {
    CAPTURE(step);
    CHECK(schedule->at(step).lr == Approx(1e-4 * static_cast<double>(step / 50 * 50) / 1000).epsilon(kExact));
  }
  CHECK(schedule->at(49).lr == 0.0);
  CHECK(schedule->at(999).lr == Approx(0.95e-4));  // in the third epoch, which would have 0.5e-4
  CHECK(schedule->at(1000).lr == 0.5e-4);
  CHECK(schedule->at(1199).lr == 0.5e-4);
  CHECK(schedule->at(1200).lr == 0.25e-4);
}

TEST_CASE("multistep: milestones are given in one way, and rise") {
  const auto complaint = [](const std::string& yaml) -> std::string {
    try {
      config::parse<MultistepConfig>(config::load_text(yaml, "a.yaml"), config::Registries{});
      return "";
    } catch (const UserError& error) {
      return error.what();
    }
  };
  CHECK(complaint("milestones: [3, 6]").empty());
  CHECK(complaint("{start: 3, step: 3}").empty());
  for (const char* yaml : {"gamma: 0.5", "start: 3", "step: 3", "{milestones: [3], start: 3, step: 3}"}) {
    CHECK_THAT(complaint(yaml), Catch::Contains("milestones: expected either milestones, or start and step"));
  }
  CHECK_THAT(complaint("milestones: [3, 3]"), Catch::Contains("milestones: expected rising epochs"));
}

TEST_CASE("exponential: the schedules of the forecasting literature", "[golden]") {
  constexpr int64_t kSteps = 3;
  const auto halved = make_exponential({.gamma = 0.5, .start = 1}, span(1e-4, kSteps, 10));
  const double expected[] = {1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5};
  for (int64_t epoch = 1; epoch <= 5; ++epoch) CHECK(lr_in(*halved, epoch, kSteps) == Approx(expected[epoch - 1]));
  const auto slow = make_exponential({.gamma = 0.9, .start = 3}, span(1e-4, kSteps, 100));
  for (int64_t done = 0; done < 100; ++done) {
    const double factor = done < 3 ? 1.0 : std::pow(0.9, static_cast<double>(done - 3));
    CHECK(lr_in(*slow, done + 1, kSteps) == Approx(1e-4 * factor).epsilon(kExact));
  }
  CHECK(lr_in(*make_exponential({.gamma = 0.9}, span(1.0, kSteps, 3)), 3, kSteps) == Approx(0.81));
}

TEST_CASE("poly: the segmentation recipe, its warm-up multiplied", "[golden]") {
  const auto schedule = make_poly({.warmup_steps = 1500, .warmup_ratio = 1e-6}, span(1e-4, 1000, 160));
  for (const int64_t k : {0, 1, 750, 1499, 1500, 1501, 80000, 159999}) {
    CAPTURE(k);
    const double poly = 1e-4 * (1 - static_cast<double>(k) / 160000);
    const double rise = k < 1500 ? 1 - (1 - static_cast<double>(k) / 1500) * (1 - 1e-6) : 1;
    CHECK(schedule->at(k).lr == Approx(poly * rise).epsilon(kExact));
  }
  const auto curved = make_poly({.power = 0.9, .min_lr = 0.25}, span(1.25, 10, 10));
  CHECK(curved->at(0).lr == 1.25);
  CHECK(curved->at(50).lr == Approx(std::pow(0.5, 0.9) + 0.25));
  CHECK_THROWS_WITH(make_poly({.warmup_steps = 101}, span(1.0, 10, 10)),
                    Catch::Contains("the warm-up of 101 steps is longer than the run of 100"));
}

TEST_CASE("constant: nothing but the warm-up") {
  const auto schedule = make_constant({.warmup = {.warmup_epochs = 1}}, span(0.5, 5, 4));
  CHECK(schedule->at(0).lr == 0.0);
  CHECK(schedule->at(2).lr == 0.25);
  for (int64_t step = 4; step < 20; ++step) CHECK(schedule->at(step).lr == 0.5);
  CHECK(schedule->state() == nullptr);
}

tasks::Metric metric(double value, bool higher_is_better) {
  return {.name = "m", .value = value, .unit = "", .higher_is_better = higher_is_better, .primary = true};
}

std::vector<double> rates_after(Schedule& schedule, const std::vector<double>& values, bool higher_is_better) {
  std::vector<double> rates;
  for (const double value : values) {
    schedule.consider(metric(value, higher_is_better));
    rates.push_back(schedule.at(10).lr);
  }
  return rates;
}

// Rates that torch.optim.lr_scheduler.ReduceLROnPlateau of PyTorch 2.11 gives for the same values.
TEST_CASE("plateau: falls as torch's", "[golden]") {
  const auto rising =
      make_plateau({.factor = 0.5, .patience = 1, .threshold = 0.1, .cooldown = 1, .min_lr = 0.2}, span(1.0, 5, 10));
  CHECK(rates_after(*rising, {10, 10.5, 11, 11.5, 11.5, 11.5, 11.5, 12.5, 12.5, 12.5, 12.5, 12.5, 12.5, 12.5}, true) ==
        std::vector<double>{1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2});
  const auto falling = make_plateau({.factor = 0.5, .patience = 2, .threshold = 0}, span(1.0, 5, 10));
  CHECK(rates_after(*falling, {3, 2, 2, 2, 2, 1, NAN, NAN, NAN, 0.5}, false) ==
        std::vector<double>{1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25});
}

TEST_CASE("plateau: goes on after save and load") {
  const PlateauConfig config{.factor = 0.5, .patience = 1, .cooldown = 1};
  const std::vector<double> values{5, 5, 5, 4, 5, 5, 5, 5, 5};
  const auto whole = make_plateau(config, span(1.0, 5, 10));
  const auto expected = rates_after(*whole, values, true);
  for (size_t cut = 0; cut <= values.size(); ++cut) {
    CAPTURE(cut);
    const auto before = make_plateau(config, span(1.0, 5, 10)), after = make_plateau(config, span(1.0, 5, 10));
    rates_after(*before, {values.begin(), values.begin() + static_cast<long>(cut)}, true);
    io::StateBuffer state;
    before->state()->save(state);
    after->state()->load(state);
    const auto rates = rates_after(*after, {values.begin() + static_cast<long>(cut), values.end()}, true);
    CHECK(std::equal(rates.begin(), rates.end(), expected.begin() + static_cast<long>(cut)));
  }
  CHECK(expected.back() < 0.5);
}

TEST_CASE("plateau: has to hear of validations, and not during the warm-up") {
  auto unheard = span(1.0, 5, 10);
  unheard.is_validated = false;
  CHECK_THROWS_WITH(make_plateau({}, unheard), Catch::Contains("there is no data.validation"));
  const auto schedule = make_plateau({.warmup = {.warmup_steps = 5}, .factor = 0.5, .patience = 0}, span(1.0, 5, 10));
  rates_after(*schedule, {2, 1}, true);
  CHECK(schedule->at(2).lr == 0.5);
  CHECK(schedule->at(4).lr == 1.0);
  CHECK(schedule->at(5).lr == 0.5);
}

}  // namespace
}  // namespace unireplk::train
