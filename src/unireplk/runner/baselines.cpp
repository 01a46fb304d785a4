#include "unireplk/runner/baselines.h"

#include "unireplk/core/log.h"
#include "unireplk/tasks/classification.h"
#include "unireplk/tasks/forecasting.h"

namespace unireplk::runner {
namespace {

class NoBaselines : public Baselines {
 public:
  std::vector<Baseline> beside(const data::Dataset&) override { return {}; }
};

const tasks::Metric* metric_named(const std::vector<tasks::Metric>& metrics, const std::string& name) {
  for (const auto& metric : metrics) {
    if (metric.name == name) return &metric;
  }
  return nullptr;
}

}  // namespace

std::vector<std::pair<std::string, double>> Baseline::ratios(const std::vector<tasks::Metric>& network) const {
  std::vector<std::pair<std::string, double>> ratios;
  for (const auto& metric : metrics) {
    const auto* reached = metric_named(network, metric.name);
    if (reached && metric.value != 0) ratios.emplace_back(metric.name, reached->value / metric.value);
  }
  return ratios;
}

std::string Baseline::text(const std::vector<tasks::Metric>& network) const {
  const auto all = ratios(network);
  std::string out = name + ":";
  for (const auto& metric : metrics) {
    out += format("{} {} {:.4f}", out.back() == ':' ? "" : ",", metric.name, metric.value);
    for (const auto& [of, ratio] : all) {
      if (of == metric.name) out += format(" (network {:.3f} times)", ratio);
    }
  }
  return out;
}

std::unique_ptr<Baselines> make_baselines(const config::Choice<tasks::TaskSignature>& task,
                                          const config::Choice<data::PipelineSignature>& pipeline,
                                          const TrainingSource& training) {
  if (task.config_if<tasks::ForecastingConfig>()) return forecast_baselines(task);
  if (task.config_if<tasks::ClassificationConfig>()) return classification_baselines(task, pipeline, training);
  return std::make_unique<NoBaselines>();
}

void tell(const std::vector<Baseline>& baselines, const std::vector<tasks::Metric>& network) {
  for (const auto& baseline : baselines) log_info("  beside it, {}", baseline.text(network));
}

void BaselineObserver::on_validation(const train::ValidationRecord& record) {
  if (!validation_) return;
  if (!of_validation_) of_validation_ = baselines_.beside(*validation_);
  tell(*of_validation_, record.results.back().metrics);
}

void BaselineObserver::on_test(const train::ValidationRecord& record) {
  if (test_) tell(baselines_.beside(*test_), record.results.back().metrics);
}

}  // namespace unireplk::runner
