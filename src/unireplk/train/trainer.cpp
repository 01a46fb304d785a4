#include "unireplk/train/trainer.h"

#include <ATen/Context.h>
#include <torch/nn/module.h>

#include <algorithm>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/core/rng.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/train/evaluate.h"
#include "unireplk/train/gradients.h"
#include "unireplk/train/run_length.h"

namespace unireplk::train {
namespace {

constexpr double kPatience = 5;  // seconds that people wait to see the loss, however slow the steps are

std::unique_ptr<Schedule> schedule_of(const TrainConfig& config, const Optimizer& optimizer, const RunLength& length,
                                      bool is_validated) {
  return config.schedule.make({.base = optimizer.base(),
                               .steps_per_epoch = length.steps_per_epoch,
                               .total_steps = length.total_steps,
                               .is_validated = is_validated});
}

/// Epochs that a run cuts short are not taken in.
void check_epochs(const WeightAverageConfig& config, const RunLength& length) {
  const int64_t whole = length.total_steps / length.steps_per_epoch;
  if (config.from_epoch <= whole) return;
  throw UserError({"train.weight_average.from_epoch",
                   format("expected at most the {} epochs of the run, got {}", whole, config.from_epoch),
                   "Begin earlier, or train longer."});
}

int64_t count_samples(const Batch& batch) {
  return std::count_if(batch.keys.begin(), batch.keys.end(), [](const SampleKey& key) { return !key.padding; });
}

}  // namespace

void check_trainable(const TrainConfig& config, tasks::Task& task, int64_t batches_per_epoch, bool is_validated,
                     at::Device device) {
  const RunLength length = run_length(config, batches_per_epoch);
  schedule_of(config, *config.optimizer.make(task.network()), length, is_validated);
  if (config.weight_average) check_epochs(*config.weight_average, length);
  if (config.profile && config.profile->start > length.total_steps) {
    throw UserError(
        {"train.profile.start",
         format("expected one of the {} steps of the run, got {}", length.total_steps, config.profile->start),
         "Begin earlier, or train longer."});
  }
  if (config.early_stop && !is_validated) {
    throw UserError({"train.early_stop", "hears of validations, and there is no data.validation",
                     "Add data.validation, or leave early_stop out."});
  }
  if (config.cuda_graphs && !device.is_cuda()) {
    throw UserError({"train.cuda_graphs", format("needs a CUDA device, and the run is on {}", device.str()),
                     "Leave cuda_graphs out, or write device: cuda."});
  }
}

Trainer::Trainer(const TrainConfig& config, TrainerParts parts)
    : config_(config),
      parts_(std::move(parts)),
      clock_(run_length(config_, parts_.batches_per_epoch)),
      micro_batches_(parts_.train_data, config_.accumulate_steps, parts_.batch_multiple),
      network_(parts_.task.network()),
      optimizer_(config_.optimizer.make(parts_.task.network())),
      schedule_(schedule_of(config_, *optimizer_, clock_.length(), parts_.validation_data != nullptr)),
      rates_(optimizer_->groups(), schedule_->moves_weight_decay() && !parts_.context.device.is_cpu()),
      autocast_(autocast_for(config_.precision, parts_.context.device)),
      guard_(config_.guard, parts_.task.network()),
      metrics_(parts_.folder.metrics()),
      checkpoints_(parts_.folder.checkpoints(), config_.checkpoint.keep),
      writer_(checkpoints_),
      observers_{&metrics_},
      generator_(at::globalContext().defaultGenerator(parts_.context.device).clone()) {
  if (config_.early_stop) early_stop_.emplace(*config_.early_stop);
  if (config_.ema) ema_.emplace(parts_.task.network(), config_.ema->decay);
  if (config_.weight_average) average_.emplace(parts_.task.network(), *config_.weight_average);
  if (config_.profile && parts_.context.rank.index == 0) {
    observe(profile_.emplace(*config_.profile, parts_.folder.profile(), parts_.context.device));
  }
  if (config_.precision == Precision::kFp16) loss_scale_.emplace(parts_.context.device, LossScaleOptions{});
  if (config_.cuda_graphs) prepare_graphs();
}

void Trainer::prepare_graphs() {
  if (const auto reason = parts_.task.unrecordable(); !reason.empty()) {
    log_warning("train.cuda_graphs: {}. Steps run without graphs; the key may as well be left out", reason);
    return;
  }
  auto recorder = parts_.recorder ? std::move(parts_.recorder) : make_graph_recorder(parts_.context.device);
  graphs_.emplace(std::move(recorder), parts_.task.network(), generator_);
  if (const auto reason = optimizer_->unrecordable(); !reason.empty()) {
    log_warning("train.cuda_graphs: {}. What is recorded of a step ends before it", reason);
  }
}

/// Whether a step is run as one piece: micro-batches that add up their gradients are pieces of their own.
bool Trainer::has_whole_steps() const {
  return graphs_ && micro_batches_.per_step() == 1 && optimizer_->unrecordable().empty();
}

// The one list of what changes during a run: what stands here is saved and comes back, what does not is forgotten.
std::vector<Section> Trainer::sections() {
  std::vector<Section> sections = {
      {"model", &network_}, {"optimizer", optimizer_.get()}, {"clock", &clock_},    {"best", &best_},
      {"guard", &guard_},   {"data", &micro_batches_},       {"metrics", &metrics_}};
  if (Stateful* state = schedule_->state()) sections.push_back({"schedule", state});
  if (early_stop_) sections.push_back({"early_stop", &*early_stop_});
  if (ema_) sections.push_back({"ema", &*ema_});
  if (average_) sections.push_back({"average", &*average_});
  if (has_ending()) sections.push_back({"ending", &ending_});
  if (loss_scale_) sections.push_back({"loss_scale", &*loss_scale_});
  return sections;
}

RunEnd Trainer::run() {
  try {
    return run_epochs();
  } catch (...) {
    writer_.settle();
    tell_what_is_saved();
    rethrow();
  }
}

void Trainer::tell_what_is_saved() const noexcept {
  try {
    const auto steps = CheckpointStore::steps_in(parts_.folder.checkpoints());
    log_info(
        "ended at step {} of {}; {}", clock_.step(), clock_.length().total_steps,
        steps.empty() ? "there is no checkpoint" : format("the newest checkpoint is that of step {}", steps.back()));
  } catch (const std::exception&) {  // the disk cannot be read either; what ended the run is told anyway
  }
}

RunEnd Trainer::run_epochs() {
  parts_.task.network().train();
  since_save_.restart();
  while (true) {
    Part part = train_epoch();
    if (part == Part::kDone && validation_is_due()) part = validate();
    if (part == Part::kStopped) return stop();
    if (part == Part::kRolledBack) continue;
    end_epoch();
    if (save_after_epoch() && is_over()) break;
  }
  return finish();
}

void Trainer::end_epoch() {
  if (average_ && clock_.epoch_is_done()) average_->end_epoch(clock_.epoch() + 1);
  clock_.end_epoch();
}

/// Train to the end of the epoch or of the run.
Trainer::Part Trainer::train_epoch() {
  if (clock_.epoch_is_done() || is_over()) return Part::kDone;
  micro_batches_.start(clock_.epoch(), clock_.step_in_epoch());
  while (true) {
    if (stop_requested()) return Part::kStopped;
    for (Observer* observer : observers_) observer->before_step(clock_.step() + 1);
    train_step();
    for (Observer* observer : observers_) observer->after_step(clock_.step());
    writer_.check();
    const bool is_time = log_.size() >= config_.log_every || since_flush_.seconds() >= kPatience;
    if (is_time && !flush_log()) return Part::kRolledBack;
    if (clock_.epoch_is_done() || clock_.finished()) return Part::kDone;
    if (interval_is_over() && !save()) return Part::kRolledBack;
  }
}

void Trainer::train_step() {
  StepSettings settings = schedule_->at(clock_.step());
  settings.lr *= guard_.lr_factor();
  rates_.set(settings);
  StepLog::Pending log;
  log.record = {.step = clock_.step() + 1, .epoch = clock_.epoch(), .lr = settings.lr, .parts = {}};
  graphs_ ? graphs_->zero_gradients() : optimizer_->zero_grad();
  guard_.begin_step();
  const int64_t samples = make_step(log.values);
  clock_.count_step(samples);
  log_.add(std::move(log));
  is_saved_ = false;
}

/// Run the micro-batches of a step and change the weights. \return the samples it held.
int64_t Trainer::run_micro_batches(StepValues& values) {
  int64_t samples = 0;
  for (int64_t i = 0; i < micro_batches_.per_step(); ++i) samples += run_micro_batch(i, values);
  if (!has_whole_steps()) update(values);
  return samples;
}

/// Add the gradients of one micro-batch, so that those of a step are the mean over its micro-batches; with whole steps,
/// make all of the step. \return the samples it held.
int64_t Trainer::run_micro_batch(int64_t micro_step, StepValues& sums) {
  Batch batch = micro_batches_.next();
  const tasks::Step step = step_at(clock_.step(), clock_.epoch(), micro_step);
  parts_.task.prepare(batch, step, /*training=*/true);
  const int64_t per_step = micro_batches_.per_step();
  const bool is_whole = has_whole_steps();
  const StepGraphs::Work work = [=, this](const Batch& prepared) {
    StepValues values = pass(prepared, step, per_step);
    if (is_whole) update(values);
    return values;
  };
  if (is_whole) {
    sums = graphs_->run_step(batch, work);
  } else {
    sums.add(graphs_ ? graphs_->run_pass(batch, per_step, work) : work(batch));
  }
  return count_samples(batch);
}

/// Forward and backward pass. \return the loss and its parts, as shares of those of the step.
StepValues Trainer::pass(const Batch& batch, const tasks::Step& step, int64_t per_step) {
  const tasks::Losses losses = [&] {
    const AutocastGuard guard(autocast_);
    return parts_.task.losses(batch, step);
  }();
  const auto share = static_cast<double>(per_step);
  const at::Tensor loss = losses.total.div(share);
  (loss_scale_ ? loss_scale_->scaled(loss) : loss).backward();
  StepValues shares{.loss = loss.detach()};
  for (const auto& [name, value] : losses.parts) shares.parts.emplace_back(name, value.detach().div(share));
  return shares;
}

/// Change the weights, and all that follows them, by the gradients of a step. It may be recorded: nothing here is
/// decided on the host. \param values  those of the loss; the others are filled in.
void Trainer::update(StepValues& values) try {
  const auto gradients = optimizer_->gradients();
  if (loss_scale_) loss_scale_->unscale(gradients);
  values.grad_norm = clip_gradients(gradients, config_.clip_grad_norm);
  const at::Tensor skip = Guard::is_unsound(values.loss, values.grad_norm);
  optimizer_->step(rates_, skip);
  guard_.end_step(skip);
  if (ema_) ema_->update(skip);
  if (loss_scale_) {
    values.loss_scale = loss_scale_->value();
    loss_scale_->update(skip);
  }
} catch (const std::exception& error) {  // what is half done cannot begin again
  if (!is_out_of_memory(error)) throw;
  throw_out_of_memory(format("step {}", clock_.step() + 1), short_message(error), /*could_halve=*/false);
}

tasks::Step Trainer::step_at(int64_t step, int64_t epoch, int64_t micro_step) {
  const auto rank = static_cast<uint64_t>(parts_.context.rank.index);
  generator_.set_current_seed(
      mix_seed({parts_.context.seed, rank, static_cast<uint64_t>(step), static_cast<uint64_t>(micro_step)}));
  return {.step = step, .epoch = epoch, .micro_step = micro_step, .generator = generator_};
}

bool Trainer::validation_is_due() const {
  return parts_.validation_data && clock_.validation_due(config_.validate_every_epochs);
}

/// Measure the network and its average on the validation data. When it is not done, nothing is recorded.
Trainer::Part Trainer::validate() {
  if (!flush_log()) return Part::kRolledBack;
  ValidationRecord record{.step = clock_.step(), .epoch = clock_.epoch(), .results = {}};
  if (!measure("model", parts_.validation_data, record)) return Part::kStopped;
  if (ema_) {
    const Ema::Swap averages(*ema_);
    if (!measure("ema", parts_.validation_data, record)) return Part::kStopped;
  }
  clock_.mark_validated();
  for (Observer* observer : observers_) observer->on_validation(record);
  judge(primary_of(record.results.back().metrics));
  is_saved_ = false;
  return Part::kDone;
}

/// Let everything hear of a validation that depends on one.
void Trainer::judge(const tasks::Metric& primary) {
  is_best_ = best_.consider(primary, clock_.step());
  schedule_->consider(primary);
  if (!early_stop_) return;
  early_stop_->consider(primary);
  if (early_stop_->is_over()) {
    log_info("early stop after {} validations without a better {}", config_.early_stop->patience, primary.name);
  }
}

/// Measure the network as it is. False when asked to stop; then nothing is recorded.
bool Trainer::measure(const char* weights, data::Loader* data, ValidationRecord& record) {
  std::optional<std::vector<tasks::Metric>> metrics;
  run_beside_recordings(
      "an evaluation", [&] { metrics = evaluate(parts_.task, *data, autocast_, [this] { return stop_requested(); }); });
  if (metrics) record.results.push_back({weights, std::move(*metrics)});
  return metrics.has_value();
}

bool Trainer::resume() {
  const std::optional<Checkpoint> checkpoint = checkpoints_.newest();
  if (!checkpoint) {
    const bool has_records = std::filesystem::file_size(parts_.folder.metrics()) > 0;  // of a run without a checkpoint
    metrics_.clear();
    log_info("no checkpoint in {}: {}{}", parts_.folder.path().string(), kNothingToResume,
             has_records ? ", the records of the earlier start in metrics.jsonl are dropped" : "");
    return false;
  }
  checkpoint->restore(sections());
  checkpoints_.mark_latest(checkpoint->step());
  is_saved_ = true;
  log_info("{} {}: epoch {}, step {} of {}", kResumed, checkpoint->folder().string(), clock_.epoch() + 1, clock_.step(),
           clock_.length().total_steps);
  return true;
}

RunEnd Trainer::stop() {
  if (!is_saved_) {
    flush_log();
    write_checkpoint();
  }
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

/// False when the run has rolled back.
bool Trainer::save_after_epoch() {
  const auto every = config_.checkpoint.every_epochs;
  const bool epoch_counts = every && clock_.step_in_epoch() == 0 && clock_.epoch() % *every == 0;
  if (!is_saved_ && (is_over() || is_best_ || epoch_counts || interval_is_over())) return save();
  return true;
}

/// False when the run has rolled back; then there is nothing to save.
bool Trainer::save() {
  if (!flush_log()) return false;
  write_checkpoint();
  return true;
}

void Trainer::write_checkpoint() {
  writer_.save(clock_.step(), sections(), is_best_);
  since_save_.restart();
  is_best_ = false;
  is_saved_ = true;
}

/// Read what the steps since the last time were like. False when they have diverged and the run has rolled back.
bool Trainer::flush_log() {
  since_flush_.restart();
  const std::vector<StepRecord> records = log_.take();
  const std::span taken(records.data(), guard_.consider(records));
  for (Observer* observer : observers_) observer->on_steps(taken);
  if (!guard_.has_diverged()) return true;
  roll_back(taken.back());
  return false;
}

}  // namespace unireplk::train
