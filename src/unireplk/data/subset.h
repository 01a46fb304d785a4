#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/data/registries.h"

namespace unireplk::data {

/// Which side of a split.
enum class Part { kRest, kHeldOut };

/// `name: subset`: some items of another source.
struct SubsetConfig {
  config::Choice<SourceSignature> source;
  std::vector<std::string> classes = {};
  double hold_out = 0;
  Part part = Part::kRest;
  std::optional<int64_t> per_class = {};
  uint64_t seed = 0;

  void validate(config::Problems& problems) const {
    if (part == Part::kHeldOut && hold_out == 0) {
      problems.add("hold_out", "expected a share > 0 with part: held_out, got 0", "Write the one of the other part.");
    }
  }

  static void fields(auto& self, auto&& visit) {
    visit("source", self.source, config::required, "What to take from.");
    visit("classes", self.classes, "Only these, in the order of their labels; left out, all.");
    visit("hold_out", self.hold_out, config::below_one, "Share of each class that is set aside.");
    visit("part", self.part, "What to take: what was set aside, or the rest.");
    visit("per_class", self.per_class, config::at_least(1), "Items of each class; left out, all.");
    visit("seed", self.seed, "Which items are set aside and taken follows from it.");
  }
};

/// The chosen items in the order they have in the source, under labels that count the chosen classes. Which items of a
/// class are set aside, and which `per_class` takes, follows from the seed, the name of the class and the number of its
/// items. A `repeat` belongs around a split, not inside, where both parts would get copies of an item.
///
/// \throws UserError when a class is not there, has too few items, or items have no classes.
std::unique_ptr<Source> make_subset(const SubsetConfig& config);

/// The same of a source that is there already, whatever `config.source` says.
std::unique_ptr<Source> subset_of(std::shared_ptr<const Source> whole, const SubsetConfig& config);

}  // namespace unireplk::data

namespace unireplk::config {

template <>
struct EnumNames<data::Part> {
  static constexpr std::pair<std::string_view, data::Part> values[] = {{"rest", data::Part::kRest},
                                                                       {"held_out", data::Part::kHeldOut}};
};

}  // namespace unireplk::config
