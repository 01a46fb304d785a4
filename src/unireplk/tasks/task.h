#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/nn/pass.h"
#include "unireplk/tensor/context.h"
#include "unireplk/tensor/sample.h"
#include "unireplk/tensor/state.h"

namespace torch::nn {
class Module;
}

namespace unireplk::tasks {

/// Where training stands. The generator is seeded from (seed, rank, step, micro_step) before each micro-step, on the
/// network's device; drop path and mixing draw from it alone.
struct Step {
  int64_t step = 0;  ///< optimizer steps done so far
  int64_t epoch = 0;
  int64_t micro_step = 0;  ///< within the accumulation window
  at::Generator generator;

  /// The generator as networks take it; nothing where the step has none.
  std::optional<at::Generator> drawn_from() const {
    return generator.defined() ? std::optional(generator) : std::nullopt;
  }
};

using nn::PartObserver;

/// The loss to minimise (a scalar with a graph) and its named parts, detached, for the log.
struct Losses {
  at::Tensor total;
  std::vector<std::pair<std::string, at::Tensor>> parts;
};

struct Metric {
  std::string name;
  double value = 0;
  std::string unit;  ///< "%", "" ...
  bool higher_is_better = true;
  bool primary = false;  ///< the one that decides which checkpoint is best
};

/// What the network says of one sample: classes with their scores, best first, or rows over time.
struct Prediction {
  struct Item {
    std::string label;
    double score = 0;
  };
  /// The rows behind a window.
  struct Rows {
    std::vector<std::string> names = {};  ///< of the columns
    at::Tensor values = {};               ///< [H, names], float64; undefined where there are none
    at::Tensor times = {};                ///< [H] int64, seconds since 1970
  };
  SampleKey key;
  std::vector<Item> items;
  Rows rows = {};
};

/// Metrics of a whole evaluation, exact for any batch size.
class Evaluation : public Stateful {
 public:
  /// Run the network (in eval mode, without gradients) on a prepared batch and count.
  virtual void add(const Batch& batch) = 0;
  virtual void merge(const Evaluation& other) = 0;
  virtual std::vector<Metric> result() const = 0;
};

/// Everything the trainer ever sees of a model.
class Task {
 public:
  virtual ~Task() = default;

  virtual torch::nn::Module& network() = 0;

  /// Fields a batch must have.
  virtual std::vector<FieldSpec> needs() const = 0;

  /// On the device, after the copy: normalise, erase, mix. `training` is false in evaluation.
  virtual void prepare(Batch& batch, const Step& step, bool training) = 0;

  virtual Losses losses(const Batch& batch, const Step& step) = 0;

  /// What keeps losses() from being recorded on a device and replayed for other batches of the same shapes; empty:
  /// nothing does. That is so when it decides nothing on the host by values of tensors, keys, or the step, copies
  /// nothing from the host, and never waits for the device; it may draw from the step's generator.
  virtual std::string unrecordable() const { return "the task does not say that its losses can be recorded"; }

  /// Run the network as losses() does, without gradients and changing nothing, and tell the output of each part by its
  /// name in the state dict, in the order of computation. What cannot look into its network tells nothing.
  virtual void observe(const Batch& /*batch*/, const Step& /*step*/, const PartObserver& /*observer*/) {}

  virtual std::vector<Prediction> predict(const Batch& batch) = 0;

  virtual std::unique_ptr<Evaluation> start_evaluation() = 0;
};

/// Check that a data set offers what a task needs.
/// \throws UserError naming the missing or differing fields.
void check_fields(const std::vector<FieldSpec>& needs, const DataInfo& info);

}  // namespace unireplk::tasks
