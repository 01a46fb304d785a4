#include <ATen/ops/scalar_tensor.h>

#include <set>

#include "support/catch.h"
#include "unireplk/data/repeat.h"
#include "unireplk/data/subset.h"

using namespace unireplk;
using namespace unireplk::data;
using Catch::Matchers::Contains;

namespace {

const std::vector<std::string> kClasses{"ant", "bee", "cat"};

/// Item i of class i mod 3, or, with `labels` off, of none; each holds its own number.
class Animals : public Source {
 public:
  Animals(int64_t size, bool labels) : size_(size), labels_(labels) {}

  int64_t size() const override { return size_; }
  SourceRef where(int64_t index) const override { return {.file = "animals.bin", .position = index}; }
  std::optional<int64_t> label(int64_t index) const override {
    return labels_ ? std::optional<int64_t>(index % 3) : std::nullopt;
  }
  Result<Record> read(int64_t index) const override {
    if (index == 4) return Problem{"animals.bin: item 4", "truncated", ""};
    return Record{.payload = at::scalar_tensor(index, at::kLong),
                  .target = {{"label", at::scalar_tensor(index % 3, at::kLong)}},
                  .key = {.item = index},
                  .source = where(index)};
  }
  DataInfo info() const override { return {.fields = {label_field()}, .classes = kClasses, .constants = {}}; }

 private:
  int64_t size_;
  bool labels_;
};

struct AnimalsConfig {
  int64_t size = 30;
  bool labels = true;
  static void fields(auto& self, auto&& visit) {
    visit("size", self.size, "");
    visit("labels", self.labels, "");
  }
};

config::Choice<SourceSignature> animals(const AnimalsConfig& config = {}) {
  config::Registry<SourceSignature> registry{"data source"};
  registry.add<AnimalsConfig>("animals", "",
                              [](const AnimalsConfig& c) { return std::make_unique<Animals>(c.size, c.labels); });
  return config::Choice<SourceSignature>::of(registry, "animals", config);
}

/// Numbers of the items of a source, in its order; of one class, or of all.
std::vector<int64_t> numbers(const Source& source, std::optional<int64_t> label = {}) {
  std::vector<int64_t> result;
  for (int64_t i = 0; i < source.size(); ++i) {
    if (!label || source.label(i) == label) result.push_back(source.where(i).position);
  }
  return result;
}

TEST_CASE("subset: chosen classes under labels of their own") {
  const auto subset = make_subset({.source = animals(), .classes = {"cat", "ant"}});
  CHECK(subset->info().classes == std::vector<std::string>{"cat", "ant"});
  REQUIRE(subset->size() == 20);
  CHECK(subset->info().find("label"));
  for (int64_t i = 0; i < subset->size(); ++i) {
    CHECK(subset->where(i).position % 3 == (subset->label(i) == 0 ? 2 : 0));
  }
  const auto record = subset->read(1).value_or_throw();  // item 2 of the whole, a cat
  CHECK(std::get<at::Tensor>(record.payload).item<int64_t>() == 2);
  CHECK(record.target.at("label").item<int64_t>() == 0);
  CHECK(record.key.item == 1);
  CHECK(record.source.text() == subset->where(1).text());
}

TEST_CASE("subset: a number of each class, drawn by the seed") {
  const auto take = [](uint64_t seed) { return make_subset({.source = animals(), .per_class = 4, .seed = seed}); };
  const auto subset = take(1);
  CHECK(subset->size() == 12);
  for (int64_t label = 0; label < 3; ++label) CHECK(numbers(*subset, label).size() == 4);
  CHECK(std::ranges::is_sorted(numbers(*subset)));
  CHECK(numbers(*subset) == numbers(*take(1)));
  CHECK(numbers(*subset) != numbers(*take(2)));
  // A class's share does not depend on which others are taken.
  const auto bees = make_subset({.source = animals(), .classes = {"bee"}, .per_class = 4, .seed = 1});
  CHECK(numbers(*bees) == numbers(*subset, 1));
}

TEST_CASE("subset: what is held out and the rest are the whole, class by class") {
  const auto part = [](Part which) { return make_subset({.source = animals(), .hold_out = 0.2, .part = which}); };
  const auto rest = part(Part::kRest), held_out = part(Part::kHeldOut);
  CHECK(rest->size() == 24);
  CHECK(held_out->size() == 6);
  for (int64_t label = 0; label < 3; ++label) CHECK(numbers(*held_out, label).size() == 2);
  auto all = numbers(*rest);
  const auto others = numbers(*held_out);
  all.insert(all.end(), others.begin(), others.end());
  CHECK(std::set<int64_t>(all.begin(), all.end()).size() == 30);
}

TEST_CASE("subset: what cannot be taken is told, all at once") {
  const auto refused = [](const SubsetConfig& config, const auto& words) {
    CHECK_THROWS_WITH(make_subset(config), words);
  };
  refused({.source = animals(), .classes = {"dog", "ant", "ant"}},
          Contains("animals.bin") && Contains("no class \"dog\"") && Contains("\"ant\" comes twice"));
  refused({.source = animals({.size = 8}), .per_class = 3},
          Contains("class \"cat\": expected at least 3 items, got 2"));
  refused({.source = animals(), .hold_out = 0.01, .part = Part::kHeldOut}, Contains("at least 1 items, got 0"));
  refused({.source = animals({.labels = false}), .per_class = 3}, Contains("expected items with classes"));
}

TEST_CASE("subset and repeat: a bad item stays a problem of its sample") {
  const auto subset = make_subset({.source = animals(), .classes = {"bee"}});
  CHECK(subset->read(0));
  CHECK_THAT(subset->read(1).problem().text(), Contains("item 4") && Contains("truncated"));
  CHECK_THAT(make_repeat({.source = animals(), .times = 2})->read(34).problem().text(), Contains("item 4"));
}

TEST_CASE("repeat: every item several times, each under a key of its own") {
  const auto repeat = make_repeat({.source = animals({.size = 7}), .times = 3});
  CHECK(repeat->size() == 21);
  CHECK(repeat->info().classes == kClasses);
  CHECK(repeat->label(8) == 1);
  CHECK(repeat->where(8).position == 1);
  const auto record = repeat->read(8).value_or_throw();
  CHECK(record.key.item == 8);
  CHECK(std::get<at::Tensor>(record.payload).item<int64_t>() == 1);
}

}  // namespace
