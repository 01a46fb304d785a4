#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "unireplk/tensor/sample.h"
#include "unireplk/train/graph_recorder.h"
#include "unireplk/train/step_values.h"

namespace torch::nn {
class Module;
}

namespace unireplk::train {

/// Records training steps, or forward and backward pass of their micro-batches, once for each shape of a batch, and
/// replays them for later ones: the device gets thousands of small operations in one piece, and does not wait for the
/// host between them.
///
/// A recording reads and writes where it did when it was made. So batches are copied to a place that stays. Parameters,
/// buffers and whatever else a step changes are to be changed in place only; that the first two have moved is noticed,
/// and recorded anew. Gradients that micro-batches add up are set to 0 and not freed, and what a pass makes is added to
/// them behind it: a parameter that has had a gradient once has one in every such step. Those of a whole step begin and
/// end within it.
///
/// What cannot be recorded runs as it would without all this, and the log says why, once. Nothing else differs.
class StepGraphs {
 public:
  /// Work on a batch. It is kept, and run for other batches of the same shapes, so it holds what it needs by value, and
  /// decides by nothing on the host that changes from step to step.
  using Work = std::function<StepValues(const Batch& batch)>;

  /// Works on batches of a shape before one is recorded: libraries choose and prepare their kernels meanwhile.
  static constexpr int64_t kRehearsals = 3;

  /// Recordings hold memory.
  static constexpr size_t kMostShapes = 4;

  /// \param network     must outlive this object.
  /// \param drawn_from  what work draws from.
  StepGraphs(std::unique_ptr<GraphRecorder> recorder, torch::nn::Module& network, at::Generator drawn_from);
  ~StepGraphs();

  /// Run a whole step on its one batch, or replay it. It finds no gradients, and leaves none.
  StepValues run_step(const Batch& batch, const Work& step);

  /// At the beginning of a step of several micro-batches: as if there were no gradients.
  void zero_gradients();

  /// Run forward and backward pass of a micro-batch, or replay them: adds to the gradients, of which `pass` finds none.
  /// \param per_step  micro-batches of a step: what is recorded for one number serves no other.
  StepValues run_pass(const Batch& batch, int64_t per_step, const Work& pass);

  /// Forget all recordings and gradients, for their memory is wanted.
  void clear();

  /// Forget the recordings alone: each is made anew in its turn.
  void drop_recordings();

  /// From here on run everything without recordings. \param reason  for the log.
  void give_up(const std::string& reason);

  /// Recordings there are.
  size_t count() const;

 private:
  struct Shape;

  StepValues run(const Batch& batch, const std::string& name, const std::string& key, const Work& work);
  std::string obstacle(const Batch& batch) const;
  Shape* shape_of(const Batch& batch, const std::string& key);
  StepValues rehearse(const Batch& batch, const Work& work);
  void record(Shape& shape, const Batch& batch, const std::string& name, const Work& work);
  void refuse(Shape& shape, const std::string& reason);
  StepValues replay(Shape& shape, const Batch& batch);
  bool gradients_lie_still() const;
  void put_gradients_back();
  std::vector<const void*> places() const;
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
