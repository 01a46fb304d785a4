#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>

#include "unireplk/analysis/bench.h"
#include "unireplk/data/dataset.h"
#include "unireplk/tasks/task.h"

namespace unireplk::analysis {

/// What becomes of the files of a data set, on one thread: read, decoded, transformed, made a batch, prepared by the
/// task.
struct LoaderBench {
  std::shared_ptr<const data::Source> source;
  std::shared_ptr<data::Pipeline> pipeline;
  tasks::Task* task = nullptr;  ///< on the CPU
  /// Decodes a whole file into memory that it keeps, the yardstick of all else; false: it cannot. May be empty.
  std::function<bool(std::span<const std::byte>)> decode_whole;
};

/// Items follow each other in the source's order, again and again; the epoch counts the rounds.
///
/// `median_ms`, `min_ms`, `max_ms`, `samples_ms` of a batch of `options.batch`, from files in memory to what the
/// network sees; `images_per_second` of that; `stages`: milliseconds an image spends in each, and `read`, which the
/// former leaves out; `whole_decode`: `images_per_second` of the yardstick, which decodes the same files after each
/// batch, and `times_as_fast` as it everything is, with the least and most of any batch.
///
/// \throws UserError when a file is bad.
nlohmann::json bench_loader(const LoaderBench& bench, const BenchOptions& options);

}  // namespace unireplk::analysis
