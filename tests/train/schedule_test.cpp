#include "unireplk/train/schedule.h"

#include <cmath>
#include <numbers>

#include "support/catch.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

constexpr double kDigits = 1e-12;  // the tables carry 13

CosineConfig in_epochs(int64_t warmup) { return {.warmup = {.warmup_epochs = warmup}, .weight_decay_end = {}}; }

CosineConfig in_steps(int64_t warmup) { return {.warmup = {.warmup_steps = warmup}, .weight_decay_end = {}}; }

struct Run {
  double lr = 0;
  int64_t epochs = 0, steps_per_epoch = 0, warmup_epochs = 0;

  std::unique_ptr<Schedule> schedule() const {
    return make_cosine(in_epochs(warmup_epochs), {.base = {.lr = lr, .weight_decay = 0.05},
                                                  .steps_per_epoch = steps_per_epoch,
                                                  .total_steps = epochs * steps_per_epoch});
  }
};

const Run kImageNet1K{.lr = 4e-3, .epochs = 300, .steps_per_epoch = 312, .warmup_epochs = 20};
const Run kFineTuning{.lr = 5e-5, .epochs = 30, .steps_per_epoch = 2502, .warmup_epochs = 0};
const Run kImageNet22K{.lr = 1e-3, .epochs = 90, .steps_per_epoch = 3466, .warmup_epochs = 5};

void check_rates(const Run& run, const std::vector<std::pair<int64_t, double>>& expected) {
  const auto schedule = run.schedule();
  for (const auto& [step, lr] : expected) {
    CAPTURE(step);
    CHECK(schedule->at(step).lr == Approx(lr).epsilon(kDigits));
    CHECK(schedule->at(step).weight_decay == 0.05);
  }
}

std::unique_ptr<Schedule> cosine(const CosineConfig& config, int64_t total_steps) {
  return make_cosine(config,
                     {.base = {.lr = 1.0, .weight_decay = 0.05}, .steps_per_epoch = 10, .total_steps = total_steps});
}

TEST_CASE("cosine: learning rates of the published recipes equal the reference", "[golden]") {
  check_rates(kImageNet1K, {{0, 0.0},
                            {1, 6.411283859593e-7},
                            {312, 2.000320564193e-4},
                            {3120, 2.000320564193e-3},
                            {6239, 4e-3},
                            {6240, 4e-3},
                            {6241, 3.999999998707e-3},
                            {10000, 3.981749288143e-3},
                            {46800, 2.224372969969e-3},
                            {80000, 2.354064960231e-4},
                            {93599, 1.000001292903e-6}});
  check_rates(kFineTuning, {{0, 5e-5},
                            {1, 4.999999997854e-5},
                            {2502, 4.986578643652e-5},
                            {37530, 2.55e-5},
                            {75058, 1.000000085838e-6},
                            {75059, 1.000000021459e-6}});
  check_rates(kImageNet22K, {{0, 0.0},
                             {1, 5.770673437590e-8},
                             {17329, 1e-3},
                             {17330, 1e-3},
                             {155970, 5.465880455519e-4},
                             {311939, 1.000000028399e-6}});
}

TEST_CASE("cosine: equals the formula at every step", "[numeric]") {
  const auto run = GENERATE(Run{.lr = 2e-3, .epochs = 7, .steps_per_epoch = 13, .warmup_epochs = 2},
                            Run{.lr = 2e-3, .epochs = 7, .steps_per_epoch = 13, .warmup_epochs = 0});
  const auto schedule = run.schedule();
  const int64_t warmup = run.warmup_epochs * run.steps_per_epoch, total = run.epochs * run.steps_per_epoch;
  for (int64_t step = 0; step < total; ++step) {
    CAPTURE(step);
    const auto i = static_cast<double>(step - warmup), m = static_cast<double>(total - warmup);
    const double expected = step < warmup ? run.lr * static_cast<double>(step) / static_cast<double>(warmup - 1)
                                          : 1e-6 + 0.5 * (run.lr - 1e-6) * (1 + std::cos(std::numbers::pi * i / m));
    CHECK(schedule->at(step).lr == Approx(expected).epsilon(0).margin(1e-14 * run.lr));
  }
}

TEST_CASE("cosine: weight decay has its own cosine, without warm-up", "[numeric]") {
  const auto schedule = cosine({.warmup = {.warmup_epochs = 3}, .weight_decay_end = 0.45}, 100);
  for (int64_t step = 0; step < 100; ++step) {
    const double share = 0.5 * (1 + std::cos(std::numbers::pi * static_cast<double>(step) / 100));
    CHECK(schedule->at(step).weight_decay == Approx(0.45 - 0.4 * share).epsilon(1e-14));
  }
  CHECK(cosine({.weight_decay_end = 0.0}, 100)->at(0).weight_decay == 0.05);
  CHECK(cosine({.weight_decay_end = 0.0}, 100)->at(99).weight_decay < 1e-4);
}

TEST_CASE("cosine: warmup_steps replaces warmup_epochs") {
  const auto both = cosine({.warmup = {.warmup_epochs = 2, .warmup_steps = 5}, .weight_decay_end = {}}, 100);
  CHECK(both->at(1).lr == 0.25);
  CHECK(both->at(4).lr == 1.0);
  CHECK(cosine(in_steps(5), 100)->at(3).lr == 0.75);
  CHECK(cosine(in_epochs(2), 100)->at(19).lr == 1.0);
}

TEST_CASE("cosine: the shortest warm-ups start at 0") {
  const auto one = cosine(in_steps(1), 100);
  CHECK(one->at(0).lr == 0.0);
  CHECK(one->at(1).lr == Approx(1.0));
  const auto two = cosine(in_steps(2), 100);
  CHECK(two->at(0).lr == 0.0);
  CHECK(two->at(1).lr == 1.0);
}

TEST_CASE("cosine: a warm-up may fill the run, and may not be longer") {
  CHECK(cosine(in_epochs(10), 100)->at(99).lr == 1.0);
  CHECK_THROWS_AS(cosine(in_epochs(10), 99), UserError);
  CHECK_THROWS_WITH(cosine(in_steps(101), 100),
                    "train.schedule: the warm-up of 101 steps is longer than the run of 100. "
                    "Shorten warmup_epochs or warmup_steps.");
}

TEST_CASE("cosine: min_lr is what it tends to") {
  const auto schedule = cosine({.min_lr = 0.5, .weight_decay_end = {}}, 1000);
  CHECK(schedule->at(0).lr == Approx(1.0));
  CHECK(schedule->at(500).lr == Approx(0.75));
  CHECK(schedule->at(999).lr > 0.5);
  CHECK(schedule->at(999).lr == Approx(0.5).epsilon(1e-5));
}

}  // namespace
}  // namespace unireplk::train
