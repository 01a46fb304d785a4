#pragma once

#include <cstdint>
#include <optional>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/train/averages.h"

namespace unireplk::train {

/// `weight_average:` of a config.
struct WeightAverageConfig {
  int64_t from_epoch = 1;
  std::optional<int64_t> to_epoch = {};
  std::optional<int64_t> statistics_batches = {};

  static void fields(auto& self, auto&& visit) {
    visit("from_epoch", self.from_epoch, config::required & config::at_least(1),
          "The first epoch, from 1, whose weights are taken in when it is done.");
    visit("to_epoch", self.to_epoch, config::at_least(1), "The last of them; left out, that of the run.");
    visit("statistics_batches", self.statistics_batches, config::at_least(1),
          "Batches of training data that give the average its running statistics at the end; left out, an epoch.");
  }
  void validate(config::Problems& problems) const {
    if (to_epoch && *to_epoch < from_epoch) {
      problems.add("to_epoch", format("expected at least from_epoch, {}, got {}", from_epoch, *to_epoch), "");
    }
  }
};

/// Arithmetic mean of a network's weights after some epochs (spec/audio.md section 7). Running statistics of norms
/// belong to no mean of weights: those kept here are a stand-in until the end of the run computes them anew.
class WeightAverage : public Averages {
 public:
  /// Starts as a copy of the network, which must outlive it.
  WeightAverage(torch::nn::Module& network, const WeightAverageConfig& config) : Averages(network), config_(config) {}

  /// The network stands as `epoch`, counted from 1, has left it: take it in when it is one of those wanted.
  void end_epoch(int64_t epoch);

  int64_t count() const { return count_; }  ///< epochs taken in

  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

 private:
  WeightAverageConfig config_;
  int64_t count_ = 0;
};

}  // namespace unireplk::train
