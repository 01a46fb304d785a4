#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/tasks/task.h"
#include "unireplk/tensor/sample.h"
#include "unireplk/train/graph_recorder.h"

namespace unireplk::train {

/// Records the forward and backward pass of micro-batches, once for each shape of a batch, and replays it for later
/// ones: the device gets thousands of small operations in one piece, and does not wait for the host between them.
///
/// A recording reads and writes where it did when it was made. So batches are copied to a place that stays; gradients
/// are set to 0 and not freed, and what a pass makes is added to them behind it; parameters and buffers are to be
/// changed in place only, which is checked: what has moved is recorded anew. A parameter that has had a gradient once
/// has one in every step.
///
/// What cannot be recorded runs as it would without all this, and the log says why, once. Nothing else differs.
class StepGraphs {
 public:
  /// Forward and backward pass of a batch: adds to the gradients, of which it finds none; gives the loss and its parts
  /// for the log, without a graph. It is kept, and run for other batches of the same shapes, so it holds what it needs
  /// by value, and decides by nothing that changes from step to step.
  using Pass = std::function<tasks::Losses(const Batch& batch)>;

  /// Passes over batches of a shape before one is recorded: libraries choose and prepare their kernels meanwhile.
  static constexpr int64_t kRehearsals = 3;

  /// Recordings hold memory.
  static constexpr size_t kMostShapes = 4;

  /// \param network     must outlive this object.
  /// \param drawn_from  what passes draw from.
  StepGraphs(std::unique_ptr<GraphRecorder> recorder, torch::nn::Module& network, at::Generator drawn_from);
  ~StepGraphs();

  /// At the beginning of a step: as if there were no gradients.
  void zero_gradients();

  /// Run `pass`, or replay it.
  /// \param per_step  micro-batches of a step: what is recorded for one number serves no other.
  tasks::Losses run(const Batch& batch, int64_t per_step, const Pass& pass);

  /// Forget all recordings and gradients, for their memory is wanted.
  void clear();

  /// Recordings there are; for tests and the log.
  size_t count() const;

 private:
  struct Shape;

  std::string obstacle(const Batch& batch) const;
  Shape* shape_of(const Batch& batch, int64_t per_step);
  tasks::Losses rehearse(const Batch& batch, const Pass& pass);
  tasks::Losses run_freshly(const Batch& batch, const Pass& pass) const;
  void record(Shape& shape, const Batch& batch, const Pass& pass);
  tasks::Losses replay(Shape& shape, const Batch& batch);
  bool gradients_lie_still() const;
  void put_gradients_back();
  std::vector<const void*> places() const;
  void give_up(const std::string& reason);
  void tell_once(const std::string& reason);

  std::unique_ptr<GraphRecorder> recorder_;  ///< null: nothing is recorded any more
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> gradients_;  ///< of them, where they lie; undefined: none so far
  std::vector<at::Tensor> buffers_;
  at::Generator drawn_from_;
  std::map<std::string, std::unique_ptr<Shape>> shapes_;
  bool has_told_ = false;
};

}  // namespace unireplk::train
