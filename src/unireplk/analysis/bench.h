#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "unireplk/tensor/context.h"
#include "unireplk/train/precision.h"

namespace unireplk::analysis {

/// What `unireplk bench` measures; the keys mean what they mean in tools/reference/bench.py.
struct BenchOptions {
  std::string variant = "t";  ///< letter of a published variant
  int64_t batch = 8;
  int64_t size = 224;  ///< image side in pixels
  int64_t classes = 1000;
  double drop_path = 0;
  int64_t iterations = 10;
  int64_t warmup = 2;
  train::Precision precision = train::Precision::kFp32;  ///< of a training step or inference
  Context context;
};

/// Milliseconds of each of `iterations` calls after `warmup` calls; on a GPU each call ends with a synchronisation.
std::vector<double> time_calls(const BenchOptions& options, const std::function<void()>& run);

/// The middle value, or the mean of the two in the middle; of at least one.
double median(std::vector<double> values);

/// `median_ms`, `min_ms`, `max_ms`, `samples_ms`, peak memory, options and environment.
nlohmann::json bench_report(const BenchOptions& options, const std::vector<double>& samples_ms);

/// Forward, soft-target loss, backward and AdamW, with a random image batch.
nlohmann::json bench_train_step(const BenchOptions& options);

/// Forward of the deploy form (`deploy`) or of the train form in eval mode, without gradients.
nlohmann::json bench_inference(const BenchOptions& options, bool deploy);

/// Training steps of the variant and, in turn, of one whose depthwise kernels have no dilated branches beside them:
/// adds `single_kernels` (a report's times) and `branches_over_single`.
nlohmann::json bench_branches(const BenchOptions& options);

/// Build a network and run it once, forward only or a whole training step: what a fresh process does first.
void first_pass(const BenchOptions& options, bool training);

}  // namespace unireplk::analysis
