#include <ATen/ops/zeros.h>

#include <cmath>
#include <map>
#include <string>

#include "unireplk/config/scalar.h"
#include "unireplk/core/error.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/sampler.h"
#include "unireplk/data/source.h"
#include "unireplk/io/files.h"

namespace unireplk::data {
namespace {

at::Tensor read_weights(const std::filesystem::path& file, int64_t items) {
  const auto lines = io::read_lines(file);
  if (static_cast<int64_t>(lines.size()) != items) {
    throw UserError({file.string(),
                     format("expected {} weights, one for each training item, got {}", items, lines.size()),
                     "Write one weight a line."});
  }
  at::Tensor weights = at::zeros({items}, at::kDouble);
  auto* values = weights.mutable_data_ptr<double>();
  std::vector<Problem> problems;
  double sum = 0;
  for (size_t i = 0; i < lines.size() && problems.size() < kMaxProblems; ++i) {
    const auto value = config::read_number(lines[i]);
    if (!value || *value < 0) {
      problems.push_back(
          {place_of(file, static_cast<int>(i) + 1), format("expected a weight >= 0, got \"{}\"", lines[i]), ""});
    } else {
      sum += values[i] = *value;
    }
  }
  if (problems.empty() && !(sum > 0 && std::isfinite(sum))) {
    problems.push_back({file.string(), "expected a weight above 0, got zeros alone", ""});
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return weights;
}

}  // namespace

at::Tensor class_balanced_weights(const Source& source) {
  std::map<int64_t, int64_t> counts;
  for (int64_t i = 0; i < source.size(); ++i) {
    for (const int64_t label : source.labels(i)) ++counts[label];
  }
  if (counts.empty()) {
    throw UserError({"data.sampler.kind", "class_balanced needs items with classes, and the training data have none",
                     "Use kind: shuffled."});
  }
  at::Tensor weights = at::zeros({source.size()}, at::kDouble);
  auto* values = weights.mutable_data_ptr<double>();
  for (int64_t i = 0; i < source.size(); ++i) {
    for (const int64_t label : source.labels(i)) values[i] += 1000 / (static_cast<double>(counts[label]) + 0.01);
  }
  return weights;
}

std::unique_ptr<Sampler> training_sampler(const Source& source, int64_t batch_size, uint64_t seed, int64_t ranks,
                                          const SamplerConfig& config) {
  switch (config.kind) {
    case SamplerKind::kClassBalanced:
      return weighted_sampler(class_balanced_weights(source), batch_size, seed, ranks, config);
    case SamplerKind::kWeighted:
      return weighted_sampler(read_weights(config.weights.value(), source.size()), batch_size, seed, ranks, config);
    case SamplerKind::kShuffled:
      break;
  }
  return shuffled_sampler(source.size(), batch_size, seed, ranks, config);
}

}  // namespace unireplk::data
