#include "unireplk/train/evaluate.h"

#include "unireplk/core/log.h"
#include "unireplk/nn/evaluation_mode.h"

namespace unireplk::train {

std::optional<std::vector<tasks::Metric>> evaluate(tasks::Task& task, data::Loader& loader,
                                                   const AutocastSettings& autocast,
                                                   const std::function<bool()>& stop_requested) {
  const nn::EvaluationMode mode(task.network());
  const auto evaluation = task.start_evaluation();
  loader.start(0);
  while (auto batch = loader.next()) {
    if (stop_requested && stop_requested()) return std::nullopt;
    task.prepare(*batch, tasks::Step{}, /*training=*/false);
    const AutocastGuard guard(autocast);
    evaluation->add(*batch);
  }
  if (const auto bad = loader.bad(); bad.count > 0) {
    log_warning("metrics leave out {} of {} samples that could not be read, first {}", bad.count, bad.total, bad.first);
  }
  return evaluation->result();
}

}  // namespace unireplk::train
