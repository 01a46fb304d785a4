#pragma once

#include <cstdint>
#include <memory>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/data/registries.h"

namespace unireplk::data {

/// `name: repeat`: another source several times over, so that an epoch of few items has many steps.
struct RepeatConfig {
  config::Choice<SourceSignature> source;
  int64_t times = 2;

  static void fields(auto& self, auto&& visit) {
    visit("source", self.source, config::required, "What to repeat.");
    visit("times", self.times, config::between(1, 1e6), "How often each item comes in an epoch.");
  }
};

/// Item i is item i mod n of the source; each time it is augmented anew.
std::unique_ptr<Source> make_repeat(const RepeatConfig& config);

}  // namespace unireplk::data
