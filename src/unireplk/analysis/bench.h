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
  bool keep_branches = false;  ///< of a training step
  bool cuda_graphs = false;    ///< record the training step, and replay it
  int64_t iterations = 10;
  int64_t warmup = 2;
  train::Precision precision = train::Precision::kFp32;  ///< of a training step or inference
  Context context;
};

/// Milliseconds of calls, and those that all threads of the process spent on processors meanwhile.
struct Samples {
  std::vector<double> wall, cpu;
};

/// Of each of `iterations` calls after `warmup` calls; on a GPU each call ends with a synchronisation.
Samples time_calls(const BenchOptions& options, const std::function<void()>& run);

/// Norm of the difference of two results, in units of that of `b`.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

/// `median_ms`, `min_ms`, `max_ms`, `p10_ms` and `p90_ms` (between which the middle 80 % lie), `samples_ms`, the median
/// `cpu_ms` where it is known, peak memory, options and environment.
nlohmann::json bench_report(const BenchOptions& options, const Samples& samples);

/// Forward, soft-target loss, backward and AdamW, with a random image batch. With `cuda_graphs` the recording is made
/// before anything is timed. \throws UserError when there is no CUDA device, or nothing could be recorded.
///
/// Before anything is timed the fused network is held to the graph of its parts (`difference` of the logits, relative
/// root mean square). In float32 on the CPU `floor` tells what products and convolutions (floor.h) take at the peak of
/// multiply-adds measured in this run, and `share_of_floor` how much of the step that is.
nlohmann::json bench_train_step(const BenchOptions& options);

/// Forward of the deploy form (`deploy`) or of the train form in eval mode, without gradients. Checked and reported as
/// a training step is.
nlohmann::json bench_inference(const BenchOptions& options, bool deploy);

/// Training steps of the variant and, in turn, of one whose depthwise kernels have no dilated branches beside them:
/// adds `single_kernels` (a report's times) and `branches_over_single`. With `cuda_graphs` both are recorded, as
/// bench_train_step() records its step.
nlohmann::json bench_branches(const BenchOptions& options);

/// Build a network and run it once, forward only or a whole training step: what a fresh process does first.
void first_pass(const BenchOptions& options, bool training);

}  // namespace unireplk::analysis
