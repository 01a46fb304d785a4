#pragma once

#include <cstdint>
#include <optional>

#include "unireplk/data/loader.h"
#include "unireplk/tensor/state.h"

namespace unireplk::train {

/// The micro-batches of a run: batches of its loader or, where memory does not hold those, equal pieces of them. A step
/// is made of the same samples either way, and of pieces it is the step of a run with batches as small and as many more
/// of them accumulated. Its state is that of the loader, and the number of pieces.
class MicroBatches : public Stateful {
 public:
  /// \param loader             must outlive this object.
  /// \param batches_per_step   batches of the loader that make an optimizer step.
  /// \param multiple           samples of a piece come in multiples of this.
  MicroBatches(data::Loader& loader, int64_t batches_per_step, int64_t multiple);

  /// Begin at a step of an epoch.
  void start(int64_t epoch, int64_t step_in_epoch);

  /// The next one. \throws ContractError when the epoch has no more.
  Batch next();

  /// Those that make an optimizer step.
  int64_t per_step() const { return batches_per_step_ * pieces_; }

  /// Samples of the latest; 0 before the first.
  int64_t size() const { return batch_size_ / pieces_; }

  /// Make pieces half as large from the next start() on, which has to follow. False when they cannot be.
  bool halve();

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  data::Loader& loader_;
  int64_t batches_per_step_;
  int64_t multiple_;
  int64_t pieces_ = 1;
  int64_t batch_size_ = 0;  ///< of the latest of the loader
  std::optional<Batch> batch_;
  int64_t next_piece_ = 0;
};

}  // namespace unireplk::train
