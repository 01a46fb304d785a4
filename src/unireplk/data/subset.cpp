#include "unireplk/data/subset.h"

#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "unireplk/core/fingerprint.h"
#include "unireplk/core/rng.h"
#include "unireplk/core/some_of.h"

namespace unireplk::data {
namespace {

using Items = std::vector<int64_t>;

class Subset : public Source {
 public:
  struct Item {
    int64_t index = 0;  ///< in the whole
    int64_t label = 0;
  };

  Subset(std::shared_ptr<const Source> whole, std::vector<std::string> classes, std::vector<Item> items)
      : whole_(std::move(whole)), classes_(std::move(classes)), items_(std::move(items)) {}

  int64_t size() const override { return static_cast<int64_t>(items_.size()); }
  SourceRef where(int64_t index) const override { return whole_->where(item(index).index); }
  std::optional<int64_t> label(int64_t index) const override { return item(index).label; }
  std::vector<std::filesystem::path> files() const override { return whole_->files(); }

  Result<Record> read(int64_t index) const override {
    auto record = whole_->read(item(index).index);
    if (!record) return record;
    record->target["label"] = at::scalar_tensor(item(index).label, at::kLong);
    record->key.item = index;
    return record;
  }

  DataInfo info() const override {
    DataInfo info = whole_->info();
    info.classes = classes_;
    return info;
  }

 private:
  const Item& item(int64_t index) const {
    UNIREPLK_CHECK(index >= 0 && index < size(), "subset: item {} of {}", index, size());
    return items_[static_cast<size_t>(index)];
  }

  std::shared_ptr<const Source> whole_;
  std::vector<std::string> classes_;
  std::vector<Item> items_;
};

std::string place_of(const Source& whole) {
  return whole.size() > 0 ? format("subset of {}", whole.where(0).file) : "subset";
}

/// Items of each class, in the order of the source.
std::vector<Items> items_by_class(const Source& whole, size_t classes) {
  std::vector<Items> result(classes);
  for (int64_t i = 0; i < whole.size(); ++i) {
    const auto label = whole.label(i);
    if (!label) {
      throw UserError({place_of(whole), "expected items with classes, got none", "Take data for classification."});
    }
    result.at(static_cast<size_t>(*label)).push_back(i);
  }
  return result;
}

/// Indices of the chosen classes among all of them.
std::vector<size_t> chosen_classes(const std::vector<std::string>& all, const std::vector<std::string>& wanted,
                                   const std::string& place) {
  std::vector<size_t> result;
  std::vector<Problem> problems;
  const auto is_chosen = [&](size_t label) { return std::ranges::find(result, label) != result.end(); };
  for (const auto& name : wanted) {
    const auto label = static_cast<size_t>(std::ranges::find(all, name) - all.begin());
    if (label == all.size()) {
      problems.push_back({place, format("there is no class \"{}\"", name), "The classes are " + some_of(all) + "."});
    } else if (is_chosen(label)) {
      problems.push_back({place, format("the class \"{}\" comes twice", name), "Name it once."});
    } else {
      result.push_back(label);
    }
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  for (size_t label = 0; wanted.empty() && label < all.size(); ++label) result.push_back(label);
  return result;
}

Items shuffled(Items items, uint64_t seed, const std::string& name) {
  auto stream = Draw{.seed = mix_seed({seed, fnv1a(name)})}.stream(0);
  for (size_t i = items.size(); i > 1; --i) {
    std::swap(items[i - 1], items[static_cast<size_t>(stream.integer(0, static_cast<int64_t>(i) - 1))]);
  }
  return items;
}

/// The items of one class that the config takes, rising.
Items taken(const Items& of_class, const std::string& name, const SubsetConfig& config) {
  Items items = shuffled(of_class, config.seed, name);
  const auto held_out = std::lround(config.hold_out * static_cast<double>(items.size()));
  if (config.part == Part::kHeldOut) {
    items.resize(static_cast<size_t>(held_out));
  } else {
    items.erase(items.begin(), items.begin() + held_out);
  }
  if (config.per_class) items.resize(std::min(items.size(), static_cast<size_t>(*config.per_class)));
  std::ranges::sort(items);
  return items;
}

std::string shortage(const std::string& name, size_t found, size_t needed) {
  return format("class \"{}\": expected at least {} items, got {}", name, needed, found);
}

}  // namespace

std::unique_ptr<Source> make_subset(const SubsetConfig& config) { return subset_of(config.source.make(), config); }

std::unique_ptr<Source> subset_of(std::shared_ptr<const Source> whole, const SubsetConfig& config) {
  const auto all = whole->info().classes;
  const auto place = place_of(*whole);
  const auto by_class = items_by_class(*whole, all.size());
  const auto needed = static_cast<size_t>(config.per_class.value_or(1));
  std::vector<std::string> classes;
  std::vector<Subset::Item> items;
  std::vector<Problem> problems;
  for (const size_t label : chosen_classes(all, config.classes, place)) {
    const auto of_class = taken(by_class[label], all[label], config);
    if (of_class.size() < needed) {
      problems.push_back({place, shortage(all[label], of_class.size(), needed),
                          config.hold_out > 0 ? "Add items or change hold_out." : "Add items or ask for fewer."});
    }
    for (const int64_t index : of_class) items.push_back({index, static_cast<int64_t>(classes.size())});
    classes.push_back(all[label]);
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  std::ranges::sort(items, {}, &Subset::Item::index);
  return std::make_unique<Subset>(std::move(whole), std::move(classes), std::move(items));
}

}  // namespace unireplk::data
