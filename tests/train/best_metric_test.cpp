#include "unireplk/train/best_metric.h"

#include <cmath>
#include <limits>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/io/state_file.h"

namespace unireplk::train {
namespace {

tasks::Metric primary(double value, bool higher_is_better = true) {
  return primary_of(
      {{.name = "other", .value = 1e9, .unit = "", .higher_is_better = true, .primary = false},
       {.name = "main", .value = value, .unit = "", .higher_is_better = higher_is_better, .primary = true}});
}

TEST_CASE("best metric: the first value counts, then only better ones") {
  BestMetric best;
  CHECK(best.step() == -1);
  CHECK(best.consider(primary(-5), 0));
  CHECK_FALSE(best.consider(primary(-5), 1));
  CHECK_FALSE(best.consider(primary(-6), 2));
  CHECK(best.step() == 0);
  CHECK(best.consider(primary(-4.5), 3));
  CHECK((best.value() == -4.5 && best.step() == 3));
}

TEST_CASE("best metric: lower may be better") {
  BestMetric best;
  CHECK(best.consider(primary(5, false), 1));
  CHECK_FALSE(best.consider(primary(6, false), 2));
  CHECK(best.consider(primary(4, false), 3));
}

TEST_CASE("best metric: what is not finite is never the best") {
  const double bad = GENERATE(std::nan(""), std::numeric_limits<double>::infinity());
  BestMetric best;
  CHECK_FALSE(best.consider(primary(bad), 1));
  CHECK(best.consider(primary(1), 2));
  CHECK_FALSE(best.consider(primary(bad), 3));
  CHECK((best.value() == 1 && best.step() == 2));
}

TEST_CASE("best metric: a task has to name a primary metric") {
  CHECK_THROWS_AS(primary_of({{.name = "other", .value = 1e9, .unit = "", .primary = false}}), ContractError);
}

TEST_CASE("best metric: comes back") {
  BestMetric best, again;
  best.consider(primary(0.1 + 0.2), 7);
  io::StateBuffer state;
  best.save(state);
  again.load(state);
  CHECK((again.value() == 0.1 + 0.2 && again.step() == 7));
  CHECK_FALSE(again.consider(primary(0.3), 8));
}

}  // namespace
}  // namespace unireplk::train
