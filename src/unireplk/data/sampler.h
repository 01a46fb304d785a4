#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "unireplk/config/constraints.h"
#include "unireplk/config/fields.h"
#include "unireplk/tensor/context.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::data {

class Source;

/// What an epoch is made of.
enum class SamplerKind { kShuffled, kClassBalanced, kWeighted };

struct SamplerConfig {
  int64_t aug_repeats = 1;
  SamplerKind kind = SamplerKind::kShuffled;
  std::optional<std::filesystem::path> weights = {};

  static void fields(auto& self, auto&& visit) {
    visit("aug_repeats", self.aug_repeats, config::between(1, 1024),
          "Copies of each item in a row, each augmented by itself; an epoch stays as long.");
    visit("kind", self.kind,
          "Every item once; or as many drawn with replacement, so that classes come equally often, or by `weights`.");
    visit("weights", self.weights, "With kind: weighted, a text file with the weight of each item, one a line.");
  }
  void validate(config::Problems& problems) const {
    if (weights.has_value() == (kind == SamplerKind::kWeighted)) return;
    problems.add("weights",
                 weights ? "has no meaning for this kind" : "expected a file with kind: weighted, got nothing",
                 weights ? "Set kind: weighted." : "Name a text file with one weight a line.");
  }
};

/// Which items make up each batch: a pure function of epoch and step.
class Sampler {
 public:
  virtual ~Sampler() = default;

  /// Batches of an epoch, the same for every rank.
  virtual int64_t steps(int64_t epoch) const = 0;

  /// Samples of batch `step` of this rank. Padding is item 0.
  virtual std::vector<SampleKey> batch(int64_t epoch, int64_t step, Rank rank) const = 0;
};

/// Every item once an epoch, in an order drawn from (seed + epoch); the last partial batch of each rank is dropped.
/// The order equals PyTorch's DistributedSampler: spec/image.md section 5.
///
/// With aug_repeats N each item of the order stands there N times, as views 0 .. N - 1, and the order ends where it
/// would without: an epoch has as many steps and meets one item in N. Dealt to ranks, copies fall to neighbours. timm's
/// RepeatAugSampler also rounds the size down to a multiple of 256, which would leave nothing of small data.
///
/// \param ranks  processes that share an epoch; batch() must be asked with the same count.
/// \throws UserError when a rank's share does not fill one batch.
std::unique_ptr<Sampler> shuffled_sampler(int64_t size, int64_t batch_size, uint64_t seed, int64_t ranks = 1,
                                          SamplerConfig config = {});

/// As many items as there are, drawn with replacement, each with the chance weight / sum of weights: a pure function of
/// (seed + epoch), else as shuffled_sampler().
///
/// \param weights  float64 [N], >= 0, not all 0.
/// \throws UserError as shuffled_sampler(), and when there are more than 2^24 items, as LibTorch draws from no more.
std::unique_ptr<Sampler> weighted_sampler(at::Tensor weights, int64_t batch_size, uint64_t seed, int64_t ranks = 1,
                                          SamplerConfig config = {});

/// Weights of items that make classes come equally often: the sum of 1000 / (n_c + 0.01) over the classes of an item,
/// n_c items having class c (spec/audio.md section 6.4). \throws UserError when no item has a class.
at::Tensor class_balanced_weights(const Source& source);

/// The sampler of a training set, as a config describes it. \throws UserError as the above, and when the file of
/// weights does not hold a finite weight >= 0 for each item.
std::unique_ptr<Sampler> training_sampler(const Source& source, int64_t batch_size, uint64_t seed, int64_t ranks,
                                          const SamplerConfig& config);

/// Every item once, in order, dealt out to the ranks in turn; the last batch may be smaller. Ranks whose share is
/// shorter are padded, so that all take equally many steps.
std::unique_ptr<Sampler> sequential_sampler(int64_t size, int64_t batch_size, int64_t ranks = 1);

}  // namespace unireplk::data

namespace unireplk::config {

template <>
struct EnumNames<data::SamplerKind> {
  static constexpr std::pair<std::string_view, data::SamplerKind> values[] = {
      {"shuffled", data::SamplerKind::kShuffled},
      {"class_balanced", data::SamplerKind::kClassBalanced},
      {"weighted", data::SamplerKind::kWeighted}};
};

}  // namespace unireplk::config
