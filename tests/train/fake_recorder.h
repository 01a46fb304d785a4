#pragma once

#include <functional>
#include <memory>
#include <stdexcept>

#include "unireplk/train/graph_recorder.h"

namespace unireplk::test {

/// What a recorder was asked for.
struct Recorded {
  int64_t rehearsals = 0, recordings = 0, replays = 0;
};

/// Records by keeping the work, and replays by doing it: what a pass has kept of the step that it was recorded in
/// shows in its results.
class FakeRecorder : public train::GraphRecorder {
 public:
  /// \param on_record  runs instead of nothing when work is recorded; may throw.
  explicit FakeRecorder(Recorded& counts, std::function<void(const Work&)> on_record = {})
      : counts_(counts), on_record_(std::move(on_record)) {}

  void rehearse(const Work& work) override {
    ++counts_.rehearsals;
    work();
  }

  std::unique_ptr<train::RecordedWork> record(const Work& work, const at::Generator&) override {
    ++counts_.recordings;
    if (on_record_) on_record_(work);
    return std::make_unique<Kept>(counts_, work);
  }

 private:
  class Kept : public train::RecordedWork {
   public:
    Kept(Recorded& counts, Work work) : counts_(counts), work_(std::move(work)) {}
    void replay() override {
      ++counts_.replays;
      work_();
    }

   private:
    Recorded& counts_;
    Work work_;
  };

  Recorded& counts_;
  std::function<void(const Work&)> on_record_;
};

}  // namespace unireplk::test
