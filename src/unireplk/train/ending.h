#pragma once

#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// Whether what a run does once, when training is over, has been done.
struct Ending : Stateful {
  void save(StateWriter& writer) const override { writer.integer("is_done", is_done); }
  void load(const StateReader& reader) override { is_done = reader.integer("is_done") != 0; }

  bool is_done = false;
};

}  // namespace unireplk::train
