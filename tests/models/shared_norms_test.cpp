#include "models/shared_step.h"
#include "support/catch.h"
#include "support/thread_ranks.h"

/// A whole network on several ranks (threads of this process) against one process with all images.
namespace unireplk::models {
namespace {

TEST_CASE("synchronise_norms: two ranks with unequal batches equal one process with all images", "[numeric]") {
  const auto dtype = GENERATE(at::kFloat, at::kDouble);
  CAPTURE(dtype);
  const auto one = step_of(0, 5, at::kDouble, {});
  std::vector<StepOutcome> got(2);
  test::ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    const bool is_first = collective->rank().index == 0;
    got[is_first ? 0 : 1] = step_of(is_first ? 0 : 2, is_first ? 2 : 5, dtype, collective);
  });
  for (size_t i = 0; i < one.state.size(); ++i) {
    CAPTURE(one.state[i].first);
    CHECK(got[0].state[i].second.equal(got[1].state[i].second));
  }
  auto together = got[0];
  together.logits = at::cat({got[0].logits, got[1].logits});
  for (size_t i = 0; i < one.gradients.size(); ++i) {
    together.gradients[i].second = got[0].gradients[i].second + got[1].gradients[i].second;
  }
  CHECK(difference(together, one, dtype == at::kFloat) == "");
}

TEST_CASE("synchronise_norms: null ends it, and evaluation needs no others", "[numeric]") {
  const auto images = images_for_ranks();
  auto network = filled(network_for_ranks());
  network->eval();
  const auto alone = network->forward(images).detach();
  test::ThreadRanks ranks(2);
  ranks.run([&](const std::shared_ptr<Collective>& collective) {
    if (collective->rank().index == 0) nn::synchronise_norms(*network, collective);
  });
  CHECK(network->forward(images).equal(alone));
  CHECK(ranks.calls() == 0);
  nn::synchronise_norms(*network, nullptr);
  network->train();
  CHECK(network->forward(images).isfinite().all().item<bool>());
}

}  // namespace
}  // namespace unireplk::models
