#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/tasks/task.h"

namespace unireplk::train {

/// What one optimizer step was like.
struct StepRecord {
  int64_t step = 0;   ///< steps done, this one included
  int64_t epoch = 0;  ///< from 0
  double lr = 0;
  double loss = 0;                                    ///< mean over the micro-steps
  double grad_norm = 0;                               ///< before clipping
  std::vector<std::pair<std::string, double>> parts;  ///< named parts of the loss
  std::optional<double> loss_scale = {};              ///< in fp16: what the loss was multiplied with

  /// False for a step that was skipped: it has changed no weight.
  bool is_sound() const { return std::isfinite(loss) && std::isfinite(grad_norm); }

  /// True for a skipped step of which the scale alone was too large: fp16 finds its scale by such steps.
  bool is_overflow() const { return !is_sound() && std::isfinite(loss) && loss_scale.value_or(0) > 1; }
};

/// Metrics of one set of weights: "model", or "ema" for the averaged ones.
struct WeightsMetrics {
  std::string weights;
  std::vector<tasks::Metric> metrics;
};

/// What a data set has said of some weights.
struct ValidationRecord {
  int64_t step = 0;  ///< that the weights are of
  int64_t epoch = 0;
  std::vector<WeightsMetrics> results;
};

/// Watches a run. Steps arrive some at a time, in order, when their values have been read from the device.
class Observer {
 public:
  virtual ~Observer() = default;

  /// Around each step, on the training thread: on a GPU it is queued then, not done. \param step  counted from 1.
  virtual void before_step(int64_t /*step*/) {}
  virtual void after_step(int64_t /*step*/) {}

  virtual void on_steps(std::span<const StepRecord> /*records*/) {}
  virtual void on_validation(const ValidationRecord& /*record*/) {}

  /// At the end of a run: the best weights on the test data.
  virtual void on_test(const ValidationRecord& /*record*/) {}
};

}  // namespace unireplk::train
