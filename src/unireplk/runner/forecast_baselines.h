#pragma once

#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/registry.h"
#include "unireplk/data/source.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"
#include "unireplk/train/observer.h"

namespace unireplk::runner {

/// What a forecast without a network comes to.
struct Baseline {
  std::string name;  ///< "repeat", "ridge (mean, 0.001)"
  std::vector<tasks::Metric> metrics;

  std::string text() const;  ///< "repeat: mse 1.294, mae 0.7132"
};

/// The baselines that a forecasting task asks for, on the windows of a source; none for other tasks and sources. Those
/// that are fitted need a table that holds the training rows, and take a while on large ones.
std::vector<Baseline> forecast_baselines(const data::Source& source, const config::Choice<tasks::TaskSignature>& task);

/// Tell them in the log.
void tell(const std::vector<Baseline>& baselines);

/// Tells the baselines behind every validation of a run. They are computed once, at the first.
class BaselineObserver : public train::Observer {
 public:
  /// \param source  of the validation data; may be null. Both must outlive the observer.
  BaselineObserver(const data::Source* source, const config::Choice<tasks::TaskSignature>& task)
      : source_(source), task_(task) {}

  void on_validation(const train::ValidationRecord& record) override;

 private:
  const data::Source* source_;
  const config::Choice<tasks::TaskSignature>& task_;
  std::optional<std::vector<Baseline>> baselines_;
};

}  // namespace unireplk::runner
