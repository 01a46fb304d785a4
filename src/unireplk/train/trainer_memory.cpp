#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/train/trainer.h"

/// What a trainer does when memory is not enough.
namespace unireplk::train {

/// Make a step. When its forward or backward pass does not fit into memory, it begins anew with what takes less.
/// \return the samples it held.
int64_t Trainer::make_step(StepValues& values) {
  while (true) {
    std::string what;
    try {
      values = {};
      return run_micro_batches(values);
    } catch (const std::exception& error) {
      if (!is_out_of_memory(error)) throw;
      what = short_message(error);
    }
    begin_anew(what);
  }
}

/// Undo what a step has done so far, and have it take less memory: without recordings or else, where the config says
/// so, in halves. \throws MemoryError when that cannot be, or is not wanted.
void Trainer::begin_anew(const std::string& what) {
  optimizer_->zero_grad();
  guard_.undo_step();
  if (graphs_ && graphs_->count() > 0) {
    graphs_->give_up(format("memory does not hold a step beside the recordings ({})", what));
    release_cached_memory(parts_.context.device);
  } else {
    if (graphs_) graphs_->clear();
    release_cached_memory(parts_.context.device);
    halve_micro_batches(what);
  }
  micro_batches_.start(clock_.epoch(), clock_.step_in_epoch());
}

void Trainer::halve_micro_batches(const std::string& what) {
  const std::string step = format("step {}", clock_.step() + 1);
  const int64_t size = micro_batches_.size();
  const bool can = parts_.context.rank.count == 1 && micro_batches_.halve();  // other processes would not know of it
  if (!can || !config_.halve_on_out_of_memory) throw_out_of_memory(step, what, can);
  log_warning("{}: a micro-batch of {} samples does not fit into memory ({}): from here on a step takes {} of {}", step,
              size, what, micro_batches_.per_step(), micro_batches_.size());
}

/// Run `work` between steps. Where memory does not hold it beside the recordings, they go, and it begins anew.
void Trainer::run_beside_recordings(const char* name, const std::function<void()>& work) {
  std::string what;
  try {
    return work();
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error) || !graphs_ || graphs_->count() == 0) throw;
    what = short_message(error);
  }
  log_warning(
      "train.cuda_graphs: memory does not hold {} beside the recordings ({}), which are made anew after it. "
      "Smaller batches leave room for both",
      name, what);
  graphs_->drop_recordings();
  release_cached_memory(parts_.context.device);
  work();
}

/// \param could_halve  the step could have been made of smaller micro-batches.
void Trainer::throw_out_of_memory(const std::string& place, const std::string& what, bool could_halve) const {
  throw MemoryError(
      {place, format("out of memory, in {}: {}", name_of(config_.precision), what),
       format("The checkpoints written before are good. {} halve data.loader.batch_size and double "
              "train.accumulate_steps, set model.backbone.checkpointing: true{}, or give the network smaller maps.",
              could_halve ? "Go on with --resume train.halve_on_out_of_memory=true, or start anew:" : "Start anew:",
              config_.precision == Precision::kFp32 ? " or train.precision: bf16" : "")});
}

/// Throw the error in flight on; one that tells of memory in words for people.
void Trainer::rethrow() const {
  try {
    throw;
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    throw_out_of_memory(format("after step {}", clock_.step()), short_message(error), /*could_halve=*/false);
  }
}

}  // namespace unireplk::train
