#include "unireplk/train/trainer.h"

#include <ATen/Context.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <limits>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/core/rng.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/gradients.h"

namespace unireplk::train {
namespace {

// Micro-batches that do not fill a last optimizer step are not trained on: spec/image.md section 10.
RunLength length_of(const TrainConfig& config, int64_t batches_per_epoch) {
  const int64_t steps = batches_per_epoch / config.accumulate_steps;
  if (steps == 0) {
    throw UserError(
        {"data.train",
         format("an epoch has {} full batches, one step takes {}", batches_per_epoch, config.accumulate_steps),
         "Lower batch_size or accumulate_steps, or give more data."});
  }
  UNIREPLK_CHECK(config.epochs || config.max_steps, "a run needs epochs or max_steps");
  constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();
  const int64_t by_epochs = config.epochs && *config.epochs < kUnlimited / steps ? *config.epochs * steps : kUnlimited;
  return {.steps_per_epoch = steps, .total_steps = std::min(by_epochs, config.max_steps.value_or(kUnlimited))};
}

constexpr double kPatience = 5;  // seconds that people wait to see the loss, however slow the steps are

std::unique_ptr<Schedule> schedule_of(const TrainConfig& config, const Optimizer& optimizer, const RunLength& length) {
  return config.schedule.make(
      {.base = optimizer.base(), .steps_per_epoch = length.steps_per_epoch, .total_steps = length.total_steps});
}

int64_t count_samples(const Batch& batch) {
  return std::count_if(batch.keys.begin(), batch.keys.end(), [](const SampleKey& key) { return !key.padding; });
}

}  // namespace

void check_trainable(const TrainConfig& config, tasks::Task& task, int64_t batches_per_epoch) {
  schedule_of(config, *config.optimizer.make(task.network()), length_of(config, batches_per_epoch));
}

Trainer::Trainer(const TrainConfig& config, TrainerParts parts)
    : config_(config),
      parts_(std::move(parts)),
      clock_(length_of(config_, parts_.batches_per_epoch)),
      network_(parts_.task.network()),
      optimizer_(config_.optimizer.make(parts_.task.network())),
      schedule_(schedule_of(config_, *optimizer_, clock_.length())),
      metrics_(parts_.folder.metrics()),
      checkpoints_(parts_.folder.checkpoints(), config_.checkpoint.keep),
      writer_(checkpoints_),
      observers_{&metrics_},
      generator_(at::globalContext().defaultGenerator(parts_.context.device).clone()) {
  if (config_.ema) ema_.emplace(parts_.task.network(), config_.ema->decay);
}

// The one list of what changes during a run: what stands here is saved and comes back, what does not is forgotten.
std::vector<Section> Trainer::sections() {
  std::vector<Section> sections = {{"model", &network_}, {"optimizer", optimizer_.get()}, {"clock", &clock_},
                                   {"best", &best_},     {"data", &parts_.train_data},    {"metrics", &metrics_}};
  if (ema_) sections.push_back({"ema", &*ema_});
  return sections;
}

RunEnd Trainer::run() {
  try {
    return run_epochs();
  } catch (...) {
    writer_.settle();
    throw;
  }
}

RunEnd Trainer::run_epochs() {
  parts_.task.network().train();
  since_save_.restart();
  while (true) {
    if (!train_epoch()) return stop();
    if (validation_is_due() && !validate()) return stop();
    clock_.end_epoch();
    save_after_epoch();
    if (clock_.finished()) break;
  }
  writer_.finish();
  return RunEnd::kFinished;
}

/// Train to the end of the epoch or of the run. False when asked to stop.
bool Trainer::train_epoch() {
  if (clock_.epoch_is_done() || clock_.finished()) return true;
  parts_.train_data.start(clock_.epoch(), clock_.step_in_epoch() * config_.accumulate_steps);
  while (true) {
    if (stop_requested()) return false;
    train_step();
    if (log_.size() >= config_.log_every || since_flush_.seconds() >= kPatience) flush_log();
    if (clock_.epoch_is_done() || clock_.finished()) return true;
    if (interval_is_over()) save();
  }
}

void Trainer::train_step() {
  const StepSettings settings = schedule_->at(clock_.step());
  StepLog::Pending log;
  log.record = {.step = clock_.step() + 1, .epoch = clock_.epoch(), .lr = settings.lr, .parts = {}};
  optimizer_->zero_grad();
  int64_t samples = 0;
  for (int64_t i = 0; i < config_.accumulate_steps; ++i) samples += backward(i, log);
  log.grad_norm = clip_gradients(optimizer_->gradients(), config_.clip_grad_norm);
  optimizer_->step(settings);
  if (ema_) ema_->update();
  clock_.count_step(samples);
  log_.add(std::move(log));
  is_saved_ = false;
}

/// Add the gradients of one micro-batch, so that those of a step are the mean over its micro-batches.
/// \return the samples it held.
int64_t Trainer::backward(int64_t micro_step, StepLog::Pending& log) {
  std::optional<Batch> batch = parts_.train_data.next();
  UNIREPLK_CHECK(batch, "the training data ended within epoch {}", clock_.epoch());
  const tasks::Step step = step_at(micro_step);
  parts_.task.prepare(*batch, step, /*training=*/true);
  const tasks::Losses losses = parts_.task.losses(*batch, step);
  const auto share = static_cast<double>(config_.accumulate_steps);
  const at::Tensor loss = losses.total.div(share);
  loss.backward();
  log.add_loss(loss.detach());
  for (const auto& [name, value] : losses.parts) log.add_part(name, value.detach().div(share));
  return count_samples(*batch);
}

tasks::Step Trainer::step_at(int64_t micro_step) {
  const auto rank = static_cast<uint64_t>(parts_.context.rank.index);
  const auto step = static_cast<uint64_t>(clock_.step());
  generator_.set_current_seed(mix_seed({parts_.context.seed, rank, step, static_cast<uint64_t>(micro_step)}));
  return {.step = clock_.step(), .epoch = clock_.epoch(), .micro_step = micro_step, .generator = generator_};
}

bool Trainer::validation_is_due() const {
  return parts_.validation_data && clock_.validation_due(config_.validate_every_epochs);
}

/// Measure the network and its average on the validation data. False when asked to stop; then nothing is recorded.
bool Trainer::validate() {
  flush_log();
  ValidationRecord record{.step = clock_.step(), .epoch = clock_.epoch(), .results = {}};
  const auto measure = [&](const char* weights) {
    auto metrics = evaluate(parts_.task, *parts_.validation_data, [this] { return stop_requested(); });
    if (metrics) record.results.push_back({weights, std::move(*metrics)});
    return metrics.has_value();
  };
  if (!measure("model")) return false;
  if (ema_) {
    const Ema::Swap averages(*ema_);
    if (!measure("ema")) return false;
  }
  clock_.mark_validated();
  for (Observer* observer : observers_) observer->on_validation(record);
  is_best_ = best_.consider(record.results.back().metrics, clock_.step());
  is_saved_ = false;
  return true;
}

bool Trainer::resume() {
  const std::optional<Checkpoint> checkpoint = checkpoints_.newest();
  if (!checkpoint) {
    metrics_.clear();  // a run that ended before its first checkpoint may have left records
    return false;
  }
  checkpoint->restore(sections());
  is_saved_ = true;
  log_info("resumed from {}: epoch {}, step {} of {}", checkpoint->folder().string(), clock_.epoch() + 1, clock_.step(),
           clock_.length().total_steps);
  return true;
}

RunEnd Trainer::stop() {
  if (!is_saved_) save();
  writer_.finish();
  log_info("stopped and saved at step {} of {}", clock_.step(), clock_.length().total_steps);
  return RunEnd::kStopped;
}

bool Trainer::stop_requested() const {
  if (config_.time_budget && since_start_.seconds() >= 60 * *config_.time_budget) return true;
  return parts_.stop_requested && parts_.stop_requested();
}

bool Trainer::interval_is_over() const {
  const CheckpointConfig& when = config_.checkpoint;
  return (when.every_steps && clock_.step() % *when.every_steps == 0) ||
         (when.every_minutes && since_save_.seconds() >= 60 * *when.every_minutes);
}

void Trainer::save_after_epoch() {
  const auto every = config_.checkpoint.every_epochs;
  const bool epoch_counts = every && clock_.step_in_epoch() == 0 && clock_.epoch() % *every == 0;
  if (!is_saved_ && (clock_.finished() || is_best_ || epoch_counts || interval_is_over())) save();
}

void Trainer::save() {
  flush_log();  // stops the run here rather than let weights that are not finite replace good ones
  writer_.save(clock_.step(), sections(), is_best_);
  since_save_.restart();
  is_best_ = false;
  is_saved_ = true;
}

void Trainer::flush_log() {
  since_flush_.restart();
  const std::vector<StepRecord> records = log_.take();
  const StepRecord* unsound = first_unsound(records);
  const std::span sound(records.data(), unsound ? static_cast<size_t>(unsound - records.data()) : records.size());
  for (Observer* observer : observers_) observer->on_steps(sound);
  if (!unsound) return;
  throw UserError(
      {format("step {}", unsound->step),
       format("the loss is {}, the gradient norm {}: training has diverged", unsound->loss, unsound->grad_norm),
       "The checkpoints written before are good. Start a new run: lower the learning rate, lengthen the warm-up or set "
       "clip_grad_norm."});
}

}  // namespace unireplk::train
