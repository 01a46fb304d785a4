#include "unireplk/tasks/mixing.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <set>

#include "support/catch.h"
#include "tasks/echo.h"
#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/tasks/classification.h"

namespace unireplk::tasks {
namespace {

using Catch::Matchers::Contains;

at::Generator seeded(uint64_t seed) { return at::make_generator<at::CPUGeneratorImpl>(seed); }

/// Every value is the number of its sample, in a channels_last map as prepare() makes it.
at::Tensor numbered(int64_t batch, int64_t height = 8, int64_t width = 6) {
  const auto numbers = at::arange(batch, at::kFloat).view({batch, 1, 1, 1});
  return numbers.expand({batch, 3, height, width}).contiguous(at::MemoryFormat::ChannelsLast);
}

struct Mixed {
  at::Tensor maps, kept;
};

Mixed mixed(const MixingConfig& config, uint64_t seed, const at::Tensor& maps) {
  Mixed out{.maps = maps.clone(), .kept = {}};
  out.kept = mix(out.maps, config, seeded(seed));
  return out;
}

double kept_of(const Mixed& mixed, int64_t sample) { return mixed.kept[sample].item<double>(); }

TEST_CASE("mixup: one share of itself and the rest of its mirror image in the batch", "[numeric]") {
  const auto mode = GENERATE(MixMode::kBatch, MixMode::kElem, MixMode::kPair);
  const auto before = numbered(6);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const Mixed out = mixed({.mixup = 0.8, .mixup_mode = mode}, seed, before);
    REQUIRE(out.kept.sizes() == at::IntArrayRef{6});
    REQUIRE(out.kept.scalar_type() == at::kFloat);
    CHECK(out.maps.is_contiguous(at::MemoryFormat::ChannelsLast));
    const auto share = out.kept.view({6, 1, 1, 1});
    CHECK(at::allclose(out.maps, before * share + before.flip(0) * (1 - share), 1e-6, 1e-6));
    const bool alike = (out.kept == out.kept[0]).all().item<bool>();
    CHECK(alike == (mode == MixMode::kBatch));
    CHECK(out.kept.equal(out.kept.flip(0)) == (mode != MixMode::kElem));
  }
}

TEST_CASE("cutmix: one box of the mirror image in the batch, whose area is the rest of the share", "[numeric]") {
  const auto mode = GENERATE(MixMode::kBatch, MixMode::kElem, MixMode::kPair);
  const bool within = GENERATE(false, true);
  MixingConfig config{.cutmix = 1, .mixup_mode = mode};
  if (within) config.cutmix_minmax = {0.25, 0.75};
  const auto before = numbered(4, 12, 10);
  for (uint64_t seed = 0; seed < 30; ++seed) {
    const Mixed out = mixed(config, seed, before);
    for (int64_t i = 0; i < 4; ++i) {
      const auto changed = out.maps[i] != static_cast<double>(i);
      CHECK((out.maps[i].masked_select(changed) == static_cast<double>(3 - i)).all().item<bool>());
      CHECK(changed[0].equal(changed[1]));
      const auto rows = changed[0].any(1).nonzero(), columns = changed[0].any(0).nonzero();
      const auto cut = changed[0].sum().item<int64_t>();
      CHECK(cut == rows.numel() * columns.numel());  // a rectangle
      CHECK(kept_of(out, i) == Approx(1 - static_cast<double>(cut) / 120.0).margin(1e-6));
      if (within) {
        CHECK((rows.numel() >= 3 && rows.numel() < 9));
        CHECK((columns.numel() >= 2 && columns.numel() < 7));
      }
    }
  }
}

TEST_CASE("mixing: shares follow Beta(alpha, alpha)", "[numeric]") {
  const double alpha = GENERATE(0.1, 0.8, 1.0, 4.0);
  constexpr int64_t kDraws = 4000;
  const Mixed out = mixed({.mixup = alpha, .mixup_mode = MixMode::kElem}, 3, numbered(kDraws, 1, 1));
  const auto kept = out.kept.to(at::kDouble);
  const double variance = 1 / (4 * (2 * alpha + 1));
  CHECK(kept.mean().item<double>() == Approx(0.5).margin(4 * std::sqrt(variance / kDraws)));
  CHECK(kept.var().item<double>() == Approx(variance).epsilon(0.1));
  CHECK((kept.min().item<double>() >= 0 && kept.max().item<double>() <= 1));
}

TEST_CASE("mixing: the smallest alpha keeps shares between 0 and 1") {
  const Mixed out = mixed({.mixup = 1e-320, .mixup_mode = MixMode::kElem}, 3, numbered(64, 1, 1));
  CHECK(((out.kept >= 0) & (out.kept <= 1)).all().item<bool>());
}

/// How many of 400 seeds mix, and how many of these cut.
std::pair<int, int> count_mixes(const MixingConfig& config) {
  int mixes = 0, cuts = 0;
  for (uint64_t seed = 0; seed < 400; ++seed) {
    const auto map = mixed(config, seed, numbered(2, 16, 16)).maps[1][0];
    const bool mixes_now = (map != 1).any().item<bool>();
    mixes += mixes_now ? 1 : 0;
    cuts += mixes_now && ((map == 0) | (map == 1)).all().item<bool>() ? 1 : 0;
  }
  return {mixes, cuts};
}

TEST_CASE("mixing: the switch takes half, the probability of mixing its share") {
  const auto [both, cuts] = count_mixes({.mixup = 5, .cutmix = 5});
  CHECK(both == 400);
  CHECK((cuts > 160 && cuts < 240));
  const auto [some, none] = count_mixes({.mixup = 5, .mixup_prob = 0.25});
  CHECK((some > 65 && some < 135));
  CHECK(none == 0);
  CHECK(count_mixes({.cutmix = 5, .mixup_switch_prob = 0}).second == 400);  // the only one that is on
}

TEST_CASE("mixing: follows from the seed alone, and leaves the generator's sequence as it was") {
  const MixingConfig config{.mixup = 0.8, .cutmix = 1.0, .mixup_mode = MixMode::kElem};
  const auto maps = at::arange(8 * 3 * 6 * 6, at::kFloat).view({8, 3, 6, 6});
  CHECK(mixed(config, 1, maps).maps.equal(mixed(config, 1, maps).maps));
  CHECK_FALSE(mixed(config, 1, maps).maps.equal(mixed(config, 2, maps).maps));
  auto used = seeded(5), fresh = seeded(5);
  at::randn({3}, used);  // what has been drawn from it plays no role
  auto late = maps.clone();
  mix(late, config, used);
  CHECK(late.equal(mixed(config, 5, maps).maps));
  at::randn({3}, fresh);
  CHECK(at::randn({9}, used).equal(at::randn({9}, fresh)));
}

TEST_CASE("mixing: an odd batch is refused") {
  auto maps = numbered(3);
  CHECK_THROWS_AS(mix(maps, {.mixup = 1}, seeded(0)), ContractError);
  CHECK_THROWS_WITH(mix(maps, {.mixup = 1}, seeded(0)), Contains("even number of samples, got 3"));
}

TEST_CASE("mixed_targets: smoothed rows that sum to one", "[numeric]") {
  const auto labels = at::tensor({2, 0, 2, 1}, at::kLong);
  const auto kept = at::tensor({0.25f, 1.0f, 0.5f, 0.0f});
  const auto targets = mixed_targets(labels, 4, 0.1, kept);
  const float on = 0.925f, off = 0.025f;
  const auto own =
      at::tensor({off, off, on, off, on, off, off, off, off, off, on, off, off, on, off, off}).view({4, 4});
  CHECK(at::allclose(targets, own * kept.unsqueeze(1) + own.flip(0) * (1 - kept.unsqueeze(1)), 1e-6, 1e-7));
  CHECK(at::allclose(targets.sum(1), at::ones({4}), 1e-6, 1e-6));
}

TEST_CASE("classification: mixes in training only, and takes the loss of the mixed targets", "[numeric]") {
  DataInfo info{
      .fields = {}, .classes = {"a", "b", "c"}, .constants = {{"mean", at::zeros({3})}, {"std", at::ones({3})}}};
  auto net = std::make_shared<test::EchoImpl>();
  Classification task({.label_smoothing = 0.1, .mixing = {.mixup = 0.8}}, network_of(net), info);
  const auto bytes = at::arange(2 * 2 * 2 * 3, at::kLong).mul(9).to(at::kByte).view({2, 2, 2, 3});
  const Step step{.step = 0, .epoch = 0, .micro_step = 0, .generator = seeded(4)};
  const auto prepared = [&](bool training) {
    auto batch = test::batch_of(bytes, at::tensor({1, 2}, at::kLong));
    task.prepare(batch, step, training);
    return batch;
  };
  const auto plain = prepared(false), batch = prepared(true);
  CHECK_FALSE(plain.has("kept"));
  const auto& kept = batch.tensor("kept");
  auto expected = plain.tensor("image").clone();
  CHECK(mix(expected, {.mixup = 0.8}, seeded(4)).equal(kept));
  CHECK(batch.tensor("image").equal(expected));
  const auto logits = batch.tensor("image").flatten(1);
  const auto targets = mixed_targets(batch.tensor("label"), 12, 0.1, kept);  // as many classes as the network has
  CHECK(task.losses(batch, step).total.equal(soft_cross_entropy(logits, targets)));
  auto without = test::batch_of(bytes, at::tensor({1, 2}, at::kLong));
  CHECK_THROWS_WITH(task.prepare(without, {}, true), Contains("need the step's generator"));
}

TEST_CASE("mixing config: stands among the keys of the task, and is read as it is dumped") {
  const auto read = [](const std::string& yaml) {
    return config::parse<ClassificationConfig>(config::load_text(yaml, "task.yaml"), {});
  };
  CHECK_FALSE(read("{}").mixing.is_on());
  CHECK(read("mixup: 0.8").mixing.mixup == 0.8);
  const auto config = read("{cutmix_minmax: [0.2, 0.8], mixup_mode: pair, mixup_prob: 0.5, mixup_switch_prob: 0.1}");
  CHECK(config.mixing.is_on());
  CHECK(config.mixing.mixup_mode == MixMode::kPair);
  CHECK(config::dump(read(config::dump(config))) == config::dump(config));
  CHECK_THROWS_WITH(read("cutmix_minmax: [0.8, 0.2]"), Contains("cutmix_minmax") && Contains("smallest < largest"));
  CHECK_THROWS_WITH(read("mixup: -1"), Contains("mixup"));
  CHECK_THROWS_WITH(read("mixup_mode: half"), Contains("mixup_mode"));
}

}  // namespace
}  // namespace unireplk::tasks
