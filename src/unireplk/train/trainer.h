#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unireplk/core/clock.h"
#include "unireplk/data/loader.h"
#include "unireplk/tasks/task.h"
#include "unireplk/tensor/context.h"
#include "unireplk/train/best_metric.h"
#include "unireplk/train/checkpoint_writer.h"
#include "unireplk/train/early_stop.h"
#include "unireplk/train/ema.h"
#include "unireplk/train/ending.h"
#include "unireplk/train/guard.h"
#include "unireplk/train/loss_scale.h"
#include "unireplk/train/metrics_file.h"
#include "unireplk/train/micro_batches.h"
#include "unireplk/train/network_state.h"
#include "unireplk/train/profile.h"
#include "unireplk/train/run_clock.h"
#include "unireplk/train/run_folder.h"
#include "unireplk/train/step_graphs.h"
#include "unireplk/train/step_log.h"
#include "unireplk/train/train_config.h"
#include "unireplk/train/weight_average.h"

namespace unireplk::train {

/// What a run is made of besides its settings. Everything referred to must outlive the trainer.
struct TrainerParts {
  tasks::Task& task;
  data::Loader& train_data;
  int64_t batches_per_epoch = 0;            ///< micro-batches that train_data gives
  int64_t batch_multiple = 1;               ///< samples of a micro-batch come in multiples of this
  data::Loader* validation_data = nullptr;  ///< null: no validation, no best checkpoint
  data::Loader* test_data = nullptr;        ///< null: no test at the end
  const RunFolder& folder;
  Context context;
  std::function<bool()> stop_requested = {};          ///< asked before every step and every batch of validation
  std::unique_ptr<GraphRecorder> recorder = nullptr;  ///< for train.cuda_graphs; null: that of the device
};

/// Check that a run of this length can be made, before anything is written.
/// \param is_validated  the run has validation data.
/// \throws UserError when the data make no full step, or optimizer, schedule, average of epochs, early stop, profile
/// or device do not fit.
void check_trainable(const TrainConfig& config, tasks::Task& task, int64_t batches_per_epoch, bool is_validated,
                     at::Device device);

/// With these words the log tells that Trainer::resume() is done.
inline constexpr std::string_view kResumed = "resumed from", kNothingToResume = "starting anew";

enum class RunEnd { kFinished, kStopped };

/// Trains a task's network: steps, validations, checkpoints. Resuming goes on as if nothing had happened, to the bit on
/// a deterministic device.
class Trainer {
 public:
  /// \throws UserError when the data make no full step, or the schedule does not fit the run.
  Trainer(const TrainConfig& config, TrainerParts parts);

  /// Add a watcher; it must outlive run().
  void observe(Observer& observer) { observers_.push_back(&observer); }

  /// Go back to the newest sound checkpoint of the run's folder. False when there is none: the run starts anew.
  bool resume();

  /// Train to the end, or until a stop is requested or the time budget is spent; then everything is saved and kStopped
  /// returned.
  /// \throws UserError when training has diverged and GuardConfig says so, when the disk takes no more, or when memory
  ///         is not enough; the checkpoints written before are good.
  RunEnd run();

  const RunClock& clock() const { return clock_; }
  const BestMetric& best() const { return best_; }

  /// What the test at the end has said; empty before, without test data, and when an earlier process has made it.
  const std::vector<WeightsMetrics>& test() const { return test_; }

 private:
  void prepare_graphs();
  RunEnd run_epochs();
  void tell_what_is_saved() const noexcept;
  /// How a part of a run ended.
  enum class Part { kDone, kStopped, kRolledBack };

  Part train_epoch();
  void train_step();
  bool has_whole_steps() const;
  int64_t make_step(StepValues& values);
  int64_t run_micro_batches(StepValues& values);
  int64_t run_micro_batch(int64_t micro_step, StepValues& sums);
  StepValues pass(const Batch& batch, const tasks::Step& step, int64_t per_step);
  void update(StepValues& values);
  void begin_anew(const std::string& what);
  void halve_micro_batches(const std::string& what);
  void run_beside_recordings(const char* name, const std::function<void()>& work);
  [[noreturn]] void throw_out_of_memory(const std::string& place, const std::string& what, bool could_halve) const;
  [[noreturn]] void rethrow() const;
  tasks::Step step_at(int64_t step, int64_t epoch, int64_t micro_step);
  bool validation_is_due() const;
  bool is_over() const { return clock_.finished() || (early_stop_ && early_stop_->is_over()); }
  Part validate();
  void judge(const tasks::Metric& primary);
  bool measure(const char* weights, data::Loader* data, ValidationRecord& record);
  void end_epoch();
  RunEnd stop();
  RunEnd finish();
  bool has_ending() const { return parts_.test_data || average_; }
  bool test_best(ValidationRecord& test);
  bool finish_average(ValidationRecord& validation, ValidationRecord& test);
  bool compute_statistics();
  bool save_after_epoch();
  bool save();
  void write_checkpoint();
  bool flush_log();
  void roll_back(const StepRecord& last);
  std::string divergence(const StepRecord& last);
  std::string first_unsound_part(const StepRecord& record);
  std::string look_at_parts(const StepRecord& record);

  bool stop_requested() const;
  bool interval_is_over() const;
  std::vector<Section> sections();

  TrainConfig config_;
  TrainerParts parts_;
  RunClock clock_;
  MicroBatches micro_batches_;
  NetworkState network_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Schedule> schedule_;
  GroupRates rates_;
  std::optional<Ema> ema_;
  std::optional<WeightAverage> average_;  ///< of epochs
  AutocastSettings autocast_;
  std::optional<LossScale> loss_scale_;  ///< in fp16
  BestMetric best_;
  std::optional<EarlyStop> early_stop_;
  Ending ending_;
  std::vector<WeightsMetrics> test_;
  Guard guard_;
  MetricsFile metrics_;
  CheckpointStore checkpoints_;
  CheckpointWriter writer_;
  StepLog log_;
  std::vector<Observer*> observers_;
  std::optional<ProfileObserver> profile_;
  at::Generator generator_;
  std::optional<StepGraphs> graphs_;
  Stopwatch since_start_;
  Stopwatch since_save_;
  Stopwatch since_flush_;
  bool is_best_ = false;   ///< the last validation was the best so far and has not been saved
  bool is_saved_ = false;  ///< nothing has happened since the last checkpoint
};

}  // namespace unireplk::train
