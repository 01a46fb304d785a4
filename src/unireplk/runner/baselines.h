#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unireplk/config/registry.h"
#include "unireplk/data/dataset.h"
#include "unireplk/data/registries.h"
#include "unireplk/tasks/network.h"
#include "unireplk/tasks/task.h"
#include "unireplk/train/observer.h"

namespace unireplk::runner {

/// What is reached without a network.
struct Baseline {
  std::string name;  ///< "repeat", "ridge (mean, 0.001)"
  std::vector<tasks::Metric> metrics;

  /// The network's metrics over those of the same name here: how many times as large they are. One over nothing is
  /// left out.
  std::vector<std::pair<std::string, double>> ratios(const std::vector<tasks::Metric>& network) const;

  /// "repeat: mse 1.2944 (network 0.812 times), mae 0.7132 (network 0.843 times)"
  std::string text(const std::vector<tasks::Metric>& network) const;
};

/// The baselines that a task asks for. What is fitted is fitted once, for all data that are measured, and may take a
/// while on large data.
class Baselines {
 public:
  virtual ~Baselines() = default;

  /// On the items of a data set.
  virtual std::vector<Baseline> beside(const data::Dataset& evaluated) = 0;
};

/// How to get at the training data; empty where they are not at hand.
using TrainingSource = std::function<std::shared_ptr<const data::Source>()>;

/// Baselines of a task; without any for tasks that have none. Those that learn are left out, and the log tells, where
/// the rows or the items to learn from are not at hand.
/// \throws UserError when the training data are of a kind or a size that they cannot learn from.
std::unique_ptr<Baselines> make_baselines(const config::Choice<tasks::TaskSignature>& task,
                                          const config::Choice<data::PipelineSignature>& pipeline,
                                          const TrainingSource& training);

/// Tell them in the log, beside what the network has reached.
void tell(const std::vector<Baseline>& baselines, const std::vector<tasks::Metric>& network);

/// Tells the baselines behind every validation of a run, and behind the test at its end; beside the averaged weights
/// where the run has them.
class BaselineObserver : public train::Observer {
 public:
  /// \param validation, test  may be null. All must outlive the observer.
  BaselineObserver(Baselines& baselines, const data::Dataset* validation, const data::Dataset* test)
      : baselines_(baselines), validation_(validation), test_(test) {}

  void on_validation(const train::ValidationRecord& record) override;
  void on_test(const train::ValidationRecord& record) override;

 private:
  Baselines& baselines_;
  const data::Dataset* validation_;
  const data::Dataset* test_;
  std::optional<std::vector<Baseline>> of_validation_;
};

// One for each kind of task; each lives in <task>_baselines.cpp.
std::unique_ptr<Baselines> forecast_baselines(const config::Choice<tasks::TaskSignature>& task);
std::unique_ptr<Baselines> classification_baselines(const config::Choice<tasks::TaskSignature>& task,
                                                    const config::Choice<data::PipelineSignature>& pipeline,
                                                    const TrainingSource& training);

}  // namespace unireplk::runner
