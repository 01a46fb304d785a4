#include "unireplk/train/train_config.h"

#include "support/catch.h"
#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"

namespace unireplk::train {
namespace {

config::Registries registries() {
  config::Registries all;
  config::Registry<MakeOptimizer> optimizers{"optimizer"};
  optimizers.add<AdamWConfig>("adamw", "", make_adamw);
  all.add(std::move(optimizers));
  config::Registry<MakeSchedule> schedules{"schedule"};
  schedules.add<CosineConfig>("cosine", "", make_cosine);
  all.add(std::move(schedules));
  return all;
}

TrainConfig parse(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  return config::parse<TrainConfig>(config::load_text(yaml, "train.yaml", overrides), registries());
}

std::string parsing_complaint(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    parse(yaml, overrides);
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

TEST_CASE("train config: what is dumped is read again") {
  const auto text =
      GENERATE(as<std::string>(), "epochs: 3", "epochs: 3\nhalve_on_out_of_memory: true\nprofile: {start: 7, steps: 2}",
               "max_steps: 7\naccumulate_steps: 4\nprecision: fp32\n"
               "optimizer: {name: adamw, lr: 0.5, weight_decay: 0.0, beta1: 0.5, beta2: 0.25, eps: 0.125, "
               "layer_decay: 0.75}\n"
               "schedule: {name: cosine, warmup_epochs: 1, warmup_steps: 2, min_lr: 0.0, "
               "weight_decay_end: 0.5}\n"
               "ema: {decay: 0.5}\nclip_grad_norm: 2.5\n"
               "checkpoint: {every_steps: 5, every_epochs: 6, every_minutes: 0.5, keep: 2}\n"
               "log_every: 3\nvalidate_every_epochs: 2\nearly_stop: {patience: 3, min_delta: 0.5}\n"
               "weight_average: {from_epoch: 2, to_epoch: 3, statistics_batches: 5}");
  const auto config = parse(text);
  const auto again = parse(config::dump(config));
  CHECK(config::diff(config, again).empty());
  CHECK(config::dump(again) == config::dump(config));
}

TEST_CASE("train config: optimizer and schedule are there when left out") {
  const auto config = parse("epochs: 3");
  CHECK((config.optimizer.name() == "adamw" && config.schedule.name() == "cosine"));
  CHECK(config.optimizer.config<AdamWConfig>().lr == 4e-3);
  CHECK(config.schedule.config<CosineConfig>().min_lr == 1e-6);
  CHECK_FALSE(config.ema);
}

TEST_CASE("train config: an average of epochs ends after it begins") {
  CHECK_THAT(parsing_complaint("epochs: 9\nweight_average: {from_epoch: 3, to_epoch: 2}"),
             Catch::Contains("weight_average.to_epoch: expected at least from_epoch, 3, got 2"));
  CHECK_THAT(parsing_complaint("epochs: 9\nweight_average: {to_epoch: 2}"), Catch::Contains("from_epoch"));
}

TEST_CASE("train config: a run needs a length") {
  CHECK(parsing_complaint("epochs: 1").empty());
  CHECK(parsing_complaint("max_steps: 1").empty());
  CHECK_THAT(parsing_complaint("log_every: 1"),
             Catch::Contains("expected epochs or max_steps, got neither. Give one of them."));
}

TEST_CASE("train config: values out of range are refused by key") {
  const std::vector<std::string> mistakes{"epochs=0",
                                          "accumulate_steps=0",
                                          "precision=fp8",
                                          "clip_grad_norm=0.0",
                                          "optimizer.lr=0.0",
                                          "optimizer.beta1=1.0",
                                          "optimizer.eps=0.0",
                                          "optimizer.layer_decay=0.0",
                                          "ema.decay=1.0",
                                          "optimizer.layer_decay=1.5",
                                          "schedule.warmup_steps=-1",
                                          "checkpoint.keep=0",
                                          "log_every=0",
                                          "validate_every_epochs=0",
                                          "checkpoint.every_steps=0",
                                          "checkpoint.every_minutes=0.0"};
  for (const auto& mistake : mistakes) {
    INFO(mistake);
    CHECK_THAT(parsing_complaint("max_steps: 1", {mistake}),
               Catch::Contains(mistake.substr(0, mistake.find('=')) + ": "));
  }
}

}  // namespace
}  // namespace unireplk::train
