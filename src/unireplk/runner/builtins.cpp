#include "unireplk/runner/builtins.h"

#include "unireplk/data/image/builtins.h"
#include "unireplk/models/network.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/train/optimizer.h"
#include "unireplk/train/schedule.h"

namespace unireplk::runner {
namespace {

config::Registry<tasks::TaskSignature> tasks_registry() {
  config::Registry<tasks::TaskSignature> registry{"task"};
  registry.add<tasks::ClassificationConfig>(
      "classification", "One label for each sample; cross-entropy, top-1 and top-5.",
      [](const tasks::ClassificationConfig& config, tasks::Network network, const DataInfo& info) {
        return std::make_unique<tasks::Classification>(config, std::move(network), info);
      });
  return registry;
}

config::Registry<train::MakeOptimizer> optimizers() {
  config::Registry<train::MakeOptimizer> registry{"optimizer"};
  registry.add<train::AdamWConfig>("adamw", "Adam with decoupled weight decay, layer-wise rates if wanted.",
                                   train::make_adamw);
  return registry;
}

config::Registry<train::MakeSchedule> schedules() {
  config::Registry<train::MakeSchedule> registry{"schedule"};
  registry.add<train::CosineConfig>("cosine", "Linear warm-up, then half a cosine.", train::make_cosine);
  return registry;
}

}  // namespace

config::Registries builtins() {
  config::Registries all;
  all.add(models::backbones());
  all.add(models::heads());
  all.add(data::image::sources());
  all.add(data::image::pipelines());
  all.add(data::image::transforms());
  all.add(tasks_registry());
  all.add(optimizers());
  all.add(schedules());
  return all;
}

}  // namespace unireplk::runner
