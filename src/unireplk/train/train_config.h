#pragma once

#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/config/registry.h"
#include "unireplk/train/early_stop.h"
#include "unireplk/train/ema.h"
#include "unireplk/train/guard.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/precision.h"
#include "unireplk/train/profile.h"
#include "unireplk/train/schedule.h"
#include "unireplk/train/weight_average.h"

namespace unireplk::train {

/// When to write a checkpoint, besides at the end, when stopped, and at each best validation.
struct CheckpointConfig {
  std::optional<int64_t> every_steps;
  std::optional<int64_t> every_epochs;
  std::optional<double> every_minutes = 10;
  int64_t keep = 3;

  static void fields(auto& self, auto&& visit) {
    visit("every_steps", self.every_steps, config::at_least(1), "Write one after this many optimizer steps.");
    visit("every_epochs", self.every_epochs, config::at_least(1), "Write one after this many epochs.");
    visit("every_minutes", self.every_minutes, config::positive, "Write one when this much time has passed.");
    visit("keep", self.keep, config::at_least(1), "How many of the newest stay; the best stays besides.");
  }
};

/// `train:` of a config.
struct TrainConfig {
  std::optional<int64_t> epochs;
  std::optional<int64_t> max_steps;
  std::optional<double> time_budget;
  int64_t accumulate_steps = 1;
  bool halve_on_out_of_memory = false;
  Precision precision = Precision::kFp32;
  bool cuda_graphs = false;
  std::vector<std::string> freeze;
  config::Choice<MakeOptimizer> optimizer{"adamw"};
  config::Choice<MakeSchedule> schedule{"cosine"};
  std::optional<EmaConfig> ema;
  std::optional<WeightAverageConfig> weight_average;
  std::optional<double> clip_grad_norm;
  GuardConfig guard;
  CheckpointConfig checkpoint;
  int64_t log_every = 50;
  int64_t validate_every_epochs = 1;
  std::optional<EarlyStopConfig> early_stop;
  std::optional<ProfileConfig> profile;

  static void fields(auto& self, auto&& visit) {
    visit("epochs", self.epochs, config::at_least(1), "Passes over the training set.");
    visit("max_steps", self.max_steps, config::at_least(1), "Optimizer steps; the earlier of the two ends the run.");
    visit("time_budget", self.time_budget, config::positive,
          "Minutes after which this process saves and ends with exit code 75, to be run again with --resume.");
    visit("accumulate_steps", self.accumulate_steps, config::at_least(1),
          "Micro-batches of one optimizer step; their gradients are averaged.");
    visit("halve_on_out_of_memory", self.halve_on_out_of_memory,
          "A micro-batch that does not fit into memory is taken in halves from then on.");
    visit("precision", self.precision, "Arithmetic of forward and backward; weights and their averages stay fp32.");
    visit("cuda_graphs", self.cuda_graphs, "On a CUDA device, a step is recorded once and replayed as one piece.");
    visit("freeze", self.freeze, "Parts that do not learn: stages.0, downsample_layers.*.");
    visit("optimizer", self.optimizer, "How gradients change the weights.");
    visit("schedule", self.schedule, "Learning rate and weight decay over the run.");
    visit("ema", self.ema, "Running average of the weights; left out, there is none.");
    visit("weight_average", self.weight_average, "Mean of the weights after some epochs; left out, there is none.");
    visit("clip_grad_norm", self.clip_grad_norm, config::positive, "Largest L2 norm of all gradients together.");
    visit("guard", self.guard, "What becomes of steps whose loss or gradient is not finite.");
    visit("checkpoint", self.checkpoint, "When to save, and how much to keep.");
    visit("log_every", self.log_every, config::at_least(1), "Steps between two readings of the loss.");
    visit("validate_every_epochs", self.validate_every_epochs, config::at_least(1),
          "Epochs between two validations; the end of the run is always validated.");
    visit("early_stop", self.early_stop, "Ends the run when validations get no better; left out, nothing does.");
    visit("profile", self.profile, "Writes a trace of some steps into the run folder; left out, there is none.");
  }

  void validate(config::Problems& problems) const {
    if (!epochs && !max_steps) problems.add("epochs", "expected epochs or max_steps, got neither", "Give one of them.");
  }
};

}  // namespace unireplk::train
