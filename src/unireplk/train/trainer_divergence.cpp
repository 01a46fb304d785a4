#include <ATen/ops/all.h>
#include <ATen/ops/isfinite.h>
#include <torch/nn/module.h>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/tensor/out_of_memory.h"
#include "unireplk/train/trainer.h"

/// What a trainer does when training has diverged.
namespace unireplk::train {
namespace {

/// A sentence about the checkpoints of a run whose steps after `last_sound` were not finite.
std::string what_is_left(const std::filesystem::path& checkpoints, int64_t last_sound) {
  std::optional<int64_t> newest;
  for (const int64_t step : CheckpointStore::steps_in(checkpoints)) {
    if (step <= last_sound) newest = step;
  }
  return newest ? format("Checkpoints up to that of step {} are from before it. ", *newest)
                : "There is no checkpoint from before it. ";
}

}  // namespace

/// Go back to the newest checkpoint from before the steps that were skipped, with a smaller learning rate.
void Trainer::roll_back(const StepRecord& last) {
  const std::string what = divergence(last);
  log_warning("step {}: {}", last.step, what);
  writer_.finish();
  const bool may = guard_.may_roll_back();
  const int64_t last_sound = last.step - guard_.skipped_in_a_row();
  const std::optional<Checkpoint> checkpoint = may ? checkpoints_.newest(last_sound) : std::nullopt;
  if (!checkpoint) {
    throw UserError({format("step {}", last.step), what,
                     what_is_left(parts_.folder.checkpoints(), last_sound) +
                         "Start a new run: lower the learning rate, lengthen the warm-up or set clip_grad_norm."});
  }
  const int64_t before = guard_.roll_backs();
  checkpoint->restore(sections());
  checkpoints_.go_back_to(checkpoint->step(), best_.step());
  guard_.count_roll_back(before);
  is_best_ = false;
  is_saved_ = false;  // the count of roll backs is not
  log_warning("rolled back to {}, the learning rate times {:.3g}", checkpoint->folder().string(), guard_.lr_factor());
}

std::string Trainer::divergence(const StepRecord& last) {
  const std::string part = first_unsound_part(last);
  return format("the loss is {}, the gradient norm {}, {} steps in a row: training has diverged{}", last.loss,
                last.grad_norm, guard_.skipped_in_a_row(),
                part.empty() ? "" : format("; the first output that is not finite is that of {}", part));
}

/// Run the batches of a step once more, with the weights as they are now, and name the first part of the network whose
/// output is not finite; empty when all are. The training data have to be started anew afterwards.
std::string Trainer::first_unsound_part(const StepRecord& record) {
  std::string part;
  try {
    run_beside_recordings("a look at the network's parts", [&] { part = look_at_parts(record); });
  } catch (const UserError&) {             // the data cannot be read again; that must not hide the divergence
  } catch (const std::exception& error) {  // nor must it that memory is not enough
    if (!is_out_of_memory(error)) throw;
  }
  return part;
}

std::string Trainer::look_at_parts(const StepRecord& record) {
  std::vector<std::string> parts;
  const int64_t step = record.step - 1, step_in_epoch = step - record.epoch * clock_.length().steps_per_epoch;
  micro_batches_.start(record.epoch, step_in_epoch);
  for (int64_t i = 0; i < micro_batches_.per_step() && parts.empty(); ++i) {
    Batch batch = micro_batches_.next();
    const tasks::Step at_step = step_at(step, record.epoch, i);
    parts_.task.prepare(batch, at_step, /*training=*/true);
    const AutocastGuard guard(autocast_);
    parts_.task.observe(batch, at_step, [&](std::string_view part, const at::Tensor& value) {
      if (parts.empty() && !at::isfinite(value).all().item<bool>()) parts.emplace_back(part);
    });
  }
  return parts.empty() ? "" : parts.front();
}

}  // namespace unireplk::train
