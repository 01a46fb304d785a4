#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>

#include <functional>

#include "unireplk/tensor/state.h"

namespace unireplk::test {

/// A part of a run with a tensor and a number, both told by one value.
class Keeper : public Stateful {
 public:
  explicit Keeper(double value = 0) { set(value); }

  void set(double value) {
    number = value;
    tensor = at::arange(12, at::kDouble).view({3, 4}).add(value);
  }

  void save(StateWriter& writer) const override {
    if (before_save) before_save();
    writer.tensor("tensor", tensor);
    writer.number("number", number);
  }
  void load(const StateReader& reader) override {
    tensor = reader.tensor("tensor");
    number = reader.number("number");
  }

  at::Tensor tensor;
  double number = 0;
  std::function<void()> before_save;
};

/// A part of a run without tensors.
class Counter : public Stateful {
 public:
  explicit Counter(int64_t start = 0) : count(start) {}
  void save(StateWriter& writer) const override { writer.integer("count", count); }
  void load(const StateReader& reader) override { count = reader.integer("count"); }

  int64_t count;
};

}  // namespace unireplk::test
