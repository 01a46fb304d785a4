#include "unireplk/train/step_log.h"

#include <ATen/ATen.h>

#include "support/catch.h"

namespace unireplk::train {
namespace {

StepLog::Pending pending_of(int64_t step, double loss, double grad_norm = 1) {
  StepLog::Pending pending;
  pending.record = {.step = step, .epoch = step / 10, .lr = 0.5, .parts = {}};
  pending.values.add({.loss = at::full({}, loss, at::kDouble)});
  pending.values.grad_norm = at::full({}, grad_norm, at::kFloat);
  return pending;
}

TEST_CASE("step log: gives every step once, in order") {
  StepLog log;
  CHECK(log.take().empty());
  for (const int64_t step : {11, 12, 13}) log.add(pending_of(step, 0.1 * static_cast<double>(step), 2.5));
  CHECK(log.size() == 3);
  const auto records = log.take();
  REQUIRE(records.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    const auto step = 11 + static_cast<int64_t>(i);
    CHECK((records[i].step == step && records[i].epoch == 1 && records[i].lr == 0.5 && records[i].grad_norm == 2.5));
    CHECK(records[i].loss == 0.1 * static_cast<double>(step));
  }
  CHECK(log.size() == 0);
  CHECK(log.take().empty());
}

TEST_CASE("step log: sums the shares of micro-steps, the loss and each part by name") {
  auto pending = pending_of(1, 0.25);
  pending.values.add({.loss = at::full({}, 0.5), .parts = {{"a", at::full({}, 1.0)}, {"b", at::full({}, 2.0)}}});
  pending.values.add({.loss = at::full({}, 2.0), .parts = {{"a", at::full({}, 4.0)}}});
  StepLog log;
  log.add(std::move(pending));
  log.add(pending_of(2, 3));
  const auto records = log.take();
  CHECK(records[0].loss == 2.75);
  CHECK(records[0].parts == std::vector<std::pair<std::string, double>>{{"a", 5.0}, {"b", 2.0}});
  CHECK(records[1].loss == 3.0);
  CHECK(records[1].parts.empty());
}

}  // namespace
}  // namespace unireplk::train
