#pragma once

#include <filesystem>

#include "unireplk/tensor/state.h"
#include "unireplk/train/observer.h"

namespace unireplk::train {

/// metrics.jsonl: one line of JSON for every step, every validation and the test.
///
///   {"kind":"step","step":1,"epoch":0,"lr":0.0,"loss":2.3,"grad_norm":1.5}
///   {"kind":"validation","step":312,"epoch":0,"model":{"top1":41.5},"ema":{"top1":40.9}}
///   {"kind":"test","step":312,"epoch":0,"ema":{"top1":40.7}}
///
/// Every value is a function of the run, none of the clock on the wall, so a run that was stopped and resumed leaves
/// the same bytes as one that was not. Its state is the length of the file; load() cuts it back to that.
class MetricsFile : public Observer, public Stateful {
 public:
  explicit MetricsFile(std::filesystem::path path);
  ~MetricsFile() override;
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  void on_steps(std::span<const StepRecord> records) override;
  void on_validation(const ValidationRecord& record) override;
  void on_test(const ValidationRecord& record) override;

  /// Also makes the file durable up to that length.
  void save(StateWriter& writer) const override;
  void load(const StateReader& reader) override;

  /// Forget every record: the run starts anew.
  void clear() { cut_back(0); }

 private:
  void append(const std::string& text);
  void cut_back(int64_t bytes);

  std::filesystem::path path_;
  int file_ = -1;
};

}  // namespace unireplk::train
