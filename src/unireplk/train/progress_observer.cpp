#include "unireplk/train/progress_observer.h"

#include <algorithm>

#include "unireplk/core/log.h"

namespace unireplk::train {

void ProgressObserver::start(int64_t first_step) {
  bar_.emplace("train", clock_.length().total_steps, first_step);
  first_samples_ = clock_.samples();
  waited_before_ = loader_.seconds_waited();
  since_start_.restart();
}

void ProgressObserver::on_steps(std::span<const StepRecord> records) {
  if (records.empty()) return;
  const StepRecord& last = records.back();
  if (!bar_) return start(last.step);
  bar_->update(last.step, text(last));
}

std::string ProgressObserver::text(const StepRecord& last) const {
  const double seconds = std::max(since_start_.seconds(), 1e-9);
  const double speed = static_cast<double>(clock_.samples() - first_samples_) / seconds;
  return format("loss {:.4f}  {:.0f} samples/s  epoch {}/{}  data {:.0f}%", last.loss, speed, last.epoch + 1,
                clock_.length().epochs(), percent_waited());
}

double ProgressObserver::percent_waited() const {
  if (!bar_) return 0;
  return 100 * (loader_.seconds_waited() - waited_before_) / std::max(since_start_.seconds(), 1e-9);
}

void ProgressObserver::tell(const char* what, const ValidationRecord& record) {
  for (const auto& [weights, metrics] : record.results) {
    std::string text;
    for (const auto& metric : metrics) text += format("  {} {:.4g}{}", metric.name, metric.value, metric.unit);
    log_info("{}epoch {}, step {}, {}:{}", what, record.epoch + 1, record.step, weights, text);
  }
}

}  // namespace unireplk::train
