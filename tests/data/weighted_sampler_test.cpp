#include <ATen/ops/tensor.h>

#include <fstream>
#include <map>

#include "support/catch.h"
#include "support/temporary_folder.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/data/sampler.h"
#include "unireplk/data/source.h"

using namespace unireplk;
using namespace unireplk::data;
using Catch::Matchers::Contains;

namespace {

/// Items that are nothing but their classes.
class Labelled : public Source {
 public:
  explicit Labelled(std::vector<std::vector<int64_t>> labels) : labels_(std::move(labels)) {}

  int64_t size() const override { return static_cast<int64_t>(labels_.size()); }
  std::vector<int64_t> labels(int64_t index) const override { return labels_[static_cast<size_t>(index)]; }
  Result<Record> read(int64_t) const override { throw ContractError("a sampler must not read items"); }
  DataInfo info() const override { return {}; }

 private:
  std::vector<std::vector<int64_t>> labels_;
};

Labelled ninety_and_ten() {
  std::vector<std::vector<int64_t>> labels(100, {0});
  for (size_t i = 0; i < 10; ++i) labels[i * 7] = {1};
  return Labelled(std::move(labels));
}

std::vector<int64_t> items_of(const Sampler& sampler, int64_t epoch) {
  std::vector<int64_t> items;
  for (int64_t step = 0; step < sampler.steps(epoch); ++step) {
    for (const auto& key : sampler.batch(epoch, step, {})) items.push_back(key.item);
  }
  return items;
}

}  // namespace

TEST_CASE("class_balanced: weights are those of the audio reference, summed over the labels of an item") {
  const auto weights = class_balanced_weights(Labelled({{0}, {0, 2}, {}, {2}, {0}, {5}}));
  const double w0 = 1000 / 3.01, w2 = 1000 / 2.01, w5 = 1000 / 1.01;
  const double expected[] = {w0, w0 + w2, 0, w2, w0, w5};
  for (int64_t i = 0; i < 6; ++i) CHECK(weights[i].item<double>() == Approx(expected[i]).epsilon(1e-14));
  CHECK_THROWS_WITH(class_balanced_weights(Labelled({{}, {}})), Contains("class_balanced needs items with classes"));
}

TEST_CASE("class_balanced: classes of 90 and 10 items come equally often") {
  const auto source = ninety_and_ten();
  const auto weights = class_balanced_weights(source);
  double rare = 0;
  for (int64_t i = 0; i < 100; ++i) rare += source.labels(i)[0] == 1 ? weights[i].item<double>() : 0;
  CHECK(rare / weights.sum().item<double>() == Approx(0.5).margin(0.001));

  const auto sampler = training_sampler(source, 20, 3, 1, {.kind = SamplerKind::kClassBalanced});
  CHECK(sampler->steps(0) == 5);
  double drawn = 0;
  std::map<int64_t, int64_t> counts;
  constexpr int64_t kEpochs = 200;
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (const int64_t item : items_of(*sampler, epoch)) {
      drawn += source.labels(item)[0] == 1 ? 1 : 0;
      ++counts[item];
    }
  }
  CHECK(drawn / (100 * kEpochs) == Approx(0.5).margin(0.015));  // four deviations of 20,000 draws
  CHECK(counts.size() == 100);
  CHECK(static_cast<double>(counts[7]) / (100 * kEpochs) == Approx(0.05).margin(0.0065));
}

TEST_CASE("weighted sampler: a pure function of seed, epoch and step") {
  const auto source = ninety_and_ten();
  const SamplerConfig config{.kind = SamplerKind::kClassBalanced};
  const auto one = training_sampler(source, 10, 5, 1, config), other = training_sampler(source, 10, 5, 1, config);
  const auto first = items_of(*one, 0), second = items_of(*one, 1);
  CHECK(first != second);
  CHECK(items_of(*other, 1) == second);
  CHECK(items_of(*other, 0) == first);
  CHECK(items_of(*training_sampler(source, 10, 6, 1, config), 0) == second);  // seed + epoch
  const auto copies = training_sampler(source, 10, 5, 1, {.aug_repeats = 5, .kind = SamplerKind::kClassBalanced});
  const auto batch = copies->batch(0, 0, {});
  for (size_t i = 0; i < 10; ++i) {
    CHECK(batch[i].item == first[i / 5]);
    CHECK(batch[i].view == static_cast<int32_t>(i % 5));
  }
}

TEST_CASE("weighted: reads a weight for each item, and says what is wrong") {
  const test::TemporaryFolder folder;
  const Labelled source({{0}, {0}, {1}});
  const auto sampler_of = [&](const std::string& text) {
    std::ofstream(folder / "w.txt") << text;
    return training_sampler(source, 1, 0, 1, {.kind = SamplerKind::kWeighted, .weights = folder / "w.txt"});
  };
  const auto sampler = sampler_of("0\n2.5\n0\n");
  for (int64_t epoch = 0; epoch < 5; ++epoch) CHECK(items_of(*sampler, epoch) == std::vector<int64_t>{1, 1, 1});
  CHECK_THROWS_WITH(sampler_of("1\n2\n"), Contains("w.txt: expected 3 weights, one for each training item, got 2"));
  CHECK_THROWS_WITH(sampler_of("1\n-2\nx\n"), Contains("w.txt:2: expected a weight >= 0, got \"-2\"") &&
                                                  Contains("w.txt:3: expected a weight >= 0, got \"x\""));
  CHECK_THROWS_WITH(sampler_of("1\nnan\n1\n"), Contains("w.txt:2"));
  CHECK_THROWS_WITH(sampler_of("0\n0\n0\n"), Contains("expected a weight above 0, got zeros alone"));
  CHECK_THROWS_AS(training_sampler(source, 4, 0, 1, {.kind = SamplerKind::kClassBalanced}), UserError);
}

TEST_CASE("sampler config: a file of weights goes with its kind") {
  const auto parse = [](const std::string& yaml) {
    return config::parse<SamplerConfig>(config::load_text(yaml, "a.yaml"), config::Registries{});
  };
  CHECK(parse("{kind: weighted, weights: w.txt}").weights == "w.txt");
  CHECK(parse("kind: class_balanced").kind == SamplerKind::kClassBalanced);
  CHECK(parse("{}").kind == SamplerKind::kShuffled);
  CHECK_THROWS_WITH(parse("kind: weighted"), Contains("expected a file with kind: weighted, got nothing"));
  CHECK_THROWS_WITH(parse("weights: w.txt"), Contains("has no meaning for this kind"));
}
