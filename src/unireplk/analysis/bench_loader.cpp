#include "unireplk/analysis/bench_loader.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "unireplk/analysis/machine.h"
#include "unireplk/core/clock.h"

namespace unireplk::analysis {
namespace {

using Records = std::vector<std::pair<data::Record, Draw>>;

/// Seconds spent in each stage, in the order in which they were met.
class StageClock {
 public:
  void restart() { since_.restart(); }
  void end(const std::string& stage) {
    const double seconds = since_.seconds();
    auto found = std::find_if(stages_.begin(), stages_.end(), [&](const auto& known) { return known.first == stage; });
    if (found == stages_.end()) found = stages_.insert(stages_.end(), {stage, 0.0});
    found->second += seconds;
    since_.restart();
  }
  void forget() { stages_.clear(); }

  nlohmann::ordered_json milliseconds(double images) const {
    nlohmann::ordered_json json;
    for (const auto& [stage, seconds] : stages_) json[stage] = seconds * 1e3 / images;
    return json;
  }

 private:
  Stopwatch since_;
  std::vector<std::pair<std::string, double>> stages_;
};

class LoaderRun {
 public:
  LoaderRun(const LoaderBench& bench, const BenchOptions& options)
      : bench_(bench),
        options_(options),
        info_(bench.pipeline->describe(bench.source->info())),
        generator_(at::globalContext().defaultGenerator(at::kCPU).clone()) {
    bench_.pipeline->observe_stages([this](const std::string& stage) { clock_.end(stage); });
  }
  ~LoaderRun() { bench_.pipeline->observe_stages({}); }
  LoaderRun(const LoaderRun&) = delete;
  LoaderRun& operator=(const LoaderRun&) = delete;

  void step() {
    const Records records = read();
    Stopwatch watch;
    make(records);
    batch_ms_.push_back(watch.seconds() * 1e3);
    if (!bench_.decode_whole) return;
    watch.restart();
    if (decode_whole(records)) whole_ms_.push_back(watch.seconds() * 1e3);
  }

  void forget() {
    batch_ms_.clear();
    whole_ms_.clear();
    clock_.forget();
  }

  nlohmann::json report() const {
    auto report = bench_report(options_, {.wall = batch_ms_, .cpu = {}});
    const double batch = static_cast<double>(options_.batch);
    report["options"] = {{"batch", options_.batch}, {"threads", 1}, {"device", "cpu"}};
    report["images_per_second"] = batch / median(batch_ms_) * 1e3;
    report["stages"] = clock_.milliseconds(batch * static_cast<double>(batch_ms_.size()));
    if (whole_ms_.size() != batch_ms_.size()) return report;
    std::vector<double> ratios;
    for (size_t i = 0; i < batch_ms_.size(); ++i) ratios.push_back(whole_ms_[i] / batch_ms_[i]);
    report["whole_decode"] = {{"images_per_second", batch / median(whole_ms_) * 1e3},
                              {"times_as_fast", median(whole_ms_) / median(batch_ms_)},
                              {"times_as_fast_least", std::ranges::min(ratios)},
                              {"times_as_fast_most", std::ranges::max(ratios)}};
    return report;
  }

 private:
  Records read() {
    Records records;
    clock_.restart();
    for (int64_t i = 0; i < options_.batch; ++i, ++next_) {
      const int64_t item = next_ % bench_.source->size();
      const Draw draw{.seed = options_.context.seed, .epoch = next_ / bench_.source->size(), .item = item};
      records.emplace_back(bench_.source->read(item).value_or_throw(), draw);
    }
    clock_.end("read");
    return records;
  }

  void make(const Records& records) {
    clock_.restart();
    std::vector<Sample> samples;
    for (const auto& [record, draw] : records) {
      auto made = bench_.pipeline->apply(record, draw).value_or_throw();
      std::move(made.begin(), made.end(), std::back_inserter(samples));
    }
    Batch batch = data::make_batch(std::move(samples), info_);
    clock_.end("batch");
    generator_.set_current_seed(static_cast<uint64_t>(next_));
    bench_.task->prepare(batch, {.step = 0, .epoch = 0, .micro_step = 0, .generator = generator_}, /*training=*/true);
    clock_.end("prepare");
  }

  bool decode_whole(const Records& records) const {
    return std::ranges::all_of(records, [this](const auto& read) {
      const auto* file = std::get_if<data::EncodedBytes>(&read.first.payload);
      return file != nullptr && bench_.decode_whole(file->bytes);
    });
  }

  const LoaderBench& bench_;
  const BenchOptions& options_;
  DataInfo info_;
  at::Generator generator_;
  StageClock clock_;
  int64_t next_ = 0;
  std::vector<double> batch_ms_, whole_ms_;
};

}  // namespace

nlohmann::json bench_loader(const LoaderBench& bench, const BenchOptions& options) {
  at::set_num_threads(1);
  LoaderRun run(bench, options);
  for (int64_t i = 0; i < options.warmup; ++i) run.step();
  run.forget();
  for (int64_t i = 0; i < options.iterations; ++i) run.step();
  return run.report();
}

}  // namespace unireplk::analysis
