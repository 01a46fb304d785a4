#include "unireplk/train/profile.h"

#include <ATen/record_function.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <optional>
#include <set>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/log.h"
#include "unireplk/io/files.h"
#include "unireplk/tensor/synchronise.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

std::string steps_text(int64_t first, int64_t last) {
  return first == last ? format("step {}", first) : format("steps {} to {}", first, last);
}

}  // namespace

/// The profiler of this thread, running; those of autograd's threads follow it.
class ProfileObserver::Recording {
 public:
  explicit Recording(c10::Device device) : device_(device) {
    std::set<ActivityType> activities{ActivityType::CPU};
    if (device.is_cuda()) activities.insert(ActivityType::CUDA);
    const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO,
                                                       /*report_input_shapes=*/true);
    synchronise(device_);
    profiler::prepareProfiler(config, activities);
    profiler::enableProfiler(config, activities);
    is_running_ = true;
  }

  ~Recording() {
    if (!is_running_) return;
    mark_.reset();
    try {
      profiler::disableProfiler();
    } catch (const std::exception& error) {  // something else has gone wrong already
      log_warning("the profiler cannot be stopped: {}", error.what());
    }
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  void begin_step(int64_t step) {
    mark_.emplace(at::RecordScope::USER_SCOPE);
    if (mark_->isActive()) mark_->before(format("ProfilerStep#{}", step));
  }
  void end_step() { mark_.reset(); }

  std::unique_ptr<profiler::ProfilerResult> stop() {
    synchronise(device_);
    is_running_ = false;
    return profiler::disableProfiler();
  }

 private:
  c10::Device device_;
  bool is_running_ = false;
  std::optional<at::RecordFunction> mark_;
};

ProfileObserver::ProfileObserver(const ProfileConfig& config, fs::path folder, c10::Device device)
    : config_(config), folder_(std::move(folder)), device_(device) {}

ProfileObserver::~ProfileObserver() = default;

void ProfileObserver::before_step(int64_t step) {
  if (!std::exchange(has_looked_, true) && step > config_.last()) {
    log_warning("train.profile: nothing is traced, as {} lie before step {}, where this process begins",
                steps_text(config_.start, config_.last()), step);
  }
  if (step < config_.start || step > config_.last()) return;
  if (!recording_) {
    recording_ = std::make_unique<Recording>(device_);
    first_step_ = step;
  }
  recording_->begin_step(step);
}

void ProfileObserver::after_step(int64_t step) {
  if (!recording_) return;
  recording_->end_step();
  if (step == config_.last()) write(step);
}

// The profiler writes to a path by itself and tells no error: what it has written is looked at, and put in place here.
void ProfileObserver::write(int64_t last_step) {
  io::make_folders(folder_);
  const fs::path path = folder_ / format("step_{:09}.json", first_step_), draft = path.string() + ".draft";
  recording_->stop()->save(draft.string());
  recording_.reset();
  const std::string trace = fs::exists(draft) ? io::read_file(draft) : "";
  std::error_code ignored;
  fs::remove(draft, ignored);
  const size_t end = trace.find_last_not_of(" \n");
  if (end == std::string::npos || trace[end] != '}') {
    throw UserError({path.string(), "the trace could not be written", "Is the disk full? Or leave train.profile out."});
  }
  io::write_file_atomically(path, trace);
  log_info("{} traced: {} (https://ui.perfetto.dev shows it)", steps_text(first_step_, last_step), path.string());
}

}  // namespace unireplk::train
