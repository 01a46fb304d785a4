#pragma once

#include "unireplk/tasks/task.h"

namespace unireplk::tasks {

/// An evaluation that is a tensor of sums over samples, double, on the network's device until result().
class SummedEvaluation : public Evaluation {
 public:
  void merge(const Evaluation& other) override;
  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 protected:
  /// \param sums  of a batch, of one shape in every batch.
  void add_sums(const at::Tensor& sums);

  /// On the CPU; zeros of `shape` while nothing has been added.
  at::Tensor sums_or_zeros(at::IntArrayRef shape) const;

 private:
  at::Tensor sums_;  ///< undefined while nothing has been added
};

}  // namespace unireplk::tasks
