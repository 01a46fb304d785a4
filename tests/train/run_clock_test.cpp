#include "unireplk/train/run_clock.h"

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"

namespace unireplk::train {
namespace {

void count(RunClock& clock, int64_t steps) {
  for (int64_t i = 0; i < steps; ++i) clock.count_step(4);
}

TEST_CASE("run length: a partial epoch counts as one") {
  CHECK(RunLength{.steps_per_epoch = 10, .total_steps = 30}.epochs() == 3);
  CHECK(RunLength{.steps_per_epoch = 10, .total_steps = 31}.epochs() == 4);
  CHECK(RunLength{.steps_per_epoch = 10, .total_steps = 1}.epochs() == 1);
}

TEST_CASE("run clock: an epoch is left by end_epoch alone") {
  RunClock clock({.steps_per_epoch = 3, .total_steps = 7});
  count(clock, 2);
  clock.end_epoch();  // within an epoch
  CHECK((clock.step() == 2 && clock.epoch() == 0 && clock.step_in_epoch() == 2 && !clock.epoch_is_done()));
  count(clock, 1);
  CHECK((clock.epoch() == 0 && clock.step_in_epoch() == 3 && clock.epoch_is_done() && !clock.finished()));
  clock.end_epoch();
  CHECK((clock.step() == 3 && clock.epoch() == 1 && clock.step_in_epoch() == 0 && !clock.epoch_is_done()));
  CHECK(clock.samples() == 12);
}

TEST_CASE("run clock: validation is due after each n-th epoch and at the end, once") {
  RunClock clock({.steps_per_epoch = 2, .total_steps = 7});
  std::vector<int64_t> due;
  while (!clock.finished()) {
    count(clock, 1);
    if (!clock.validation_due(2)) {
      clock.end_epoch();
      continue;
    }
    due.push_back(clock.step());
    clock.mark_validated();
    CHECK_FALSE(clock.validation_due(2));
    clock.end_epoch();
    CHECK_FALSE(clock.validation_due(2));
  }
  CHECK(due == std::vector<int64_t>{4, 7});
}

TEST_CASE("run clock: comes back, between an epoch and its validation too") {
  const RunLength length{.steps_per_epoch = 3, .total_steps = 9};
  RunClock clock(length), again(length);
  count(clock, 3);
  clock.end_epoch();
  count(clock, 3);
  io::StateBuffer state;
  clock.save(state);
  again.load(state);
  CHECK((again.step() == 6 && again.epoch() == 1 && again.step_in_epoch() == 3 && again.samples() == 24));
  CHECK(again.epoch_is_done());
  CHECK(again.validation_due(1));
  clock.mark_validated();
  io::StateBuffer validated;
  clock.save(validated);
  again.load(validated);
  CHECK_FALSE(again.validation_due(1));
}

TEST_CASE("run clock: the run may get longer, its epochs may not change") {
  RunClock clock({.steps_per_epoch = 3, .total_steps = 9});
  count(clock, 2);
  io::StateBuffer state;
  clock.save(state);
  RunClock longer({.steps_per_epoch = 3, .total_steps = 12}), other({.steps_per_epoch = 4, .total_steps = 9});
  CHECK_NOTHROW(longer.load(state));
  CHECK_THROWS_WITH(other.load(state),
                    "resume: an epoch had 3 steps, now it has 4. "
                    "Keep the training data, batch_size and accumulate_steps of a run that is resumed.");
  CHECK(other.step() == 0);
}

}  // namespace
}  // namespace unireplk::train
