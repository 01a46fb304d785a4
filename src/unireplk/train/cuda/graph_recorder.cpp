#include "unireplk/train/cuda/graph_recorder.h"

#include <ATen/Context.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <utility>

#include "unireplk/core/log.h"
#include "unireplk/tensor/synchronise.h"

namespace unireplk::train::cuda {
namespace {

using c10::cuda::CUDAStream;
namespace allocator = c10::cuda::CUDACachingAllocator;

void wait(CUDAStream waiting, CUDAStream other) {
  at::cuda::CUDAEvent event;
  event.record(other);
  event.block(waiting);
}

/// While alive `stream` is the current one. It goes on from what is queued on the one that was, and that from it.
class OnStream {
 public:
  explicit OnStream(CUDAStream stream)
      : stream_(stream), outer_(c10::cuda::getCurrentCUDAStream(stream.device_index())), guard_(stream) {
    wait(stream_, outer_);
  }
  ~OnStream() {
    try {
      wait(outer_, stream_);
    } catch (const std::exception& error) {  // the device has failed; what it is asked next says so
      log_warning("a stream of the GPU cannot be waited for: {}", error.what());
    }
  }
  OnStream(const OnStream&) = delete;
  OnStream& operator=(const OnStream&) = delete;

 private:
  CUDAStream stream_, outer_;
  c10::cuda::CUDAStreamGuard guard_;
};

/// Memory that recordings share: what one leaves in it between its kernels means nothing to another. It cannot be used
/// again once no recording is left.
using Pool = std::shared_ptr<const c10::MempoolId_t>;

class Recording : public RecordedWork {
 public:
  Recording(c10::Device device, Pool pool, std::unique_ptr<at::cuda::CUDAGraph> graph)
      : device_(device), pool_(std::move(pool)), graph_(std::move(graph)) {}
  ~Recording() override {
    try {
      synchronise(device_);  // a replay may be under way in memory that is given back now
    } catch (const std::exception& error) {
      log_warning("the GPU cannot be waited for: {}", error.what());
    }
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  void replay() override { graph_->replay(); }

 private:
  c10::Device device_;
  Pool pool_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
};

/// Clean up after something that has failed: what cannot be undone was not done.
template <class Call>
bool attempt(const Call& call) {
  try {
    call();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

/// A generator that was recorded expects the recording to end: it goes on from a copy of its state, which does not.
void renew(at::Generator generator) { generator.graphsafe_set_state(generator.clone()); }

void end_capture(CUDAStream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const bool is_known = cudaStreamIsCapturing(stream.stream(), &status) == cudaSuccess;
  if (is_known && status != cudaStreamCaptureStatusNone) {
    cudaGraph_t graph = nullptr;
    (void)cudaStreamEndCapture(stream.stream(), &graph);
    if (graph) (void)cudaGraphDestroy(graph);
  }
  (void)cudaGetLastError();  // or the next launch would report it
}

class Recorder : public GraphRecorder {
 public:
  explicit Recorder(c10::Device device)
      : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())), device_(stream_.device()) {}

  // On the stream that record() uses: nodes of autograd that add to gradients run where they were made, and libraries
  // keep memory for each stream.
  void rehearse(const Work& work) override {
    const OnStream on(stream_);
    work();
  }

  std::unique_ptr<RecordedWork> record(const Work& work, const at::Generator& drawn_from) override {
    const OnStream on(stream_);
    synchronise(device_);
    allocator::emptyCache();  // what rehearsals used is of no use to a recording
    const Pool pool = shared_pool();
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    graph->register_generator_state(drawn_from);
    try {
      // Other threads may pin memory meanwhile; autograd's, which runs the backward pass, records on this stream.
      graph->capture_begin(*pool, cudaStreamCaptureModeThreadLocal);
      work();
      graph->capture_end();
    } catch (...) {
      abandon(*pool, drawn_from);
      throw;
    }
    return std::make_unique<Recording>(device_, pool, std::move(graph));
  }

 private:
  Pool shared_pool() {
    Pool pool = pool_.lock();
    if (!pool) pool = std::make_shared<const c10::MempoolId_t>(at::cuda::graph_pool_handle());
    pool_ = pool;
    return pool;
  }

  /// LibTorch leaves stream, allocators and generators as they were in the midst of a recording that fails.
  void abandon(c10::MempoolId_t pool, const at::Generator& drawn_from) const {
    end_capture(stream_);
    if (attempt([&] { allocator::endAllocateToPool(device_.index(), pool); })) {
      attempt([&] { allocator::releasePool(device_.index(), pool); });
    }
    at::HostAllocator* pinned = at::getHostAllocator(at::kCUDA);
    if (attempt([&] { pinned->end_allocate_to_pool(pool); })) {
      attempt([&] { pinned->release_pool(pool); });
    }
    attempt([&] { renew(drawn_from); });
    attempt([&] { renew(at::globalContext().defaultGenerator(device_)); });  // LibTorch records that one always
  }

  CUDAStream stream_;
  c10::Device device_;  ///< with an index
  std::weak_ptr<const c10::MempoolId_t> pool_;
};

}  // namespace

std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device) { return std::make_unique<Recorder>(device); }

}  // namespace unireplk::train::cuda
