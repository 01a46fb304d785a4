#pragma once

#include <nlohmann/json_fwd.hpp>

#include "unireplk/analysis/bench.h"

namespace unireplk::analysis {

/// The depthwise operators at the maps of the last three stages, with the channels of `variant`, against LibTorch's in
/// channels_last and in contiguous memory: the block forward and backward, and each pass of a 13 x 13 convolution.
/// Results are compared before anything is timed; then the three sides alternate. Maps are of the type of `precision`;
/// on a GPU a sample is the mean of launches in a row.
///
/// Each entry: `ours_ms`, `channels_last_ms`, `contiguous_ms` (median, least, 10 %, 90 %, most), `times_better` than
/// the better layout and whether the middle 80 % of both are `spreads_apart`, `difference` of the results (relative
/// root mean square), `gflops` over useful taps and, on the CPU,
/// `share_of_peak`.
nlohmann::json bench_ops(const BenchOptions& options);

}  // namespace unireplk::analysis
