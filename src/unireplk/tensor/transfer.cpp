#include "unireplk/tensor/transfer.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include <utility>

#include "unireplk/core/log.h"

namespace unireplk {
namespace {

using c10::impl::VirtualGuardImpl;

class StreamCopy : public BatchInFlight {
 public:
  /// \param home  the stream that the memory of the batch belongs to.
  StreamCopy(Batch batch, c10::Stream home, c10::Event arrival)
      : batch_(std::move(batch)), home_(home), arrival_(std::move(arrival)) {}

  /// The allocator gives memory that is freed to the next work of its stream, which must not be written into then.
  ~StreamCopy() override {
    if (has_arrived_) return;
    try {
      arrival_.block(home_);
    } catch (const std::exception& error) {  // the device has failed, and something else tells of it
      log_warning("a batch on its way to the device cannot be called off: {}", error.what());
    }
  }
  StreamCopy(const StreamCopy&) = delete;
  StreamCopy& operator=(const StreamCopy&) = delete;

  Batch arrive() override {
    const c10::Stream current = VirtualGuardImpl(home_.device_type()).getStream(home_.device());
    arrival_.block(home_);
    if (current != home_) arrival_.block(current);
    has_arrived_ = true;
    return std::move(batch_);
  }

 private:
  Batch batch_;
  c10::Stream home_;
  c10::Event arrival_;
  bool has_arrived_ = false;
};

/// Copies from page-locked memory on a stream of its own. Events order both sides: the copy waits for what may still
/// use the memory, and who uses the batch waits for the copy. So memory goes round as if all were one stream;
/// recordStream() would keep it until the device has caught up with the host.
class StreamTransfer : public Transfer {
 public:
  explicit StreamTransfer(c10::Device device)
      : device_(device), stream_(VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device)) {}

  std::unique_ptr<BatchInFlight> send(const Batch& batch) override {
    const c10::Stream home = VirtualGuardImpl(device_.type()).getStream(device_);
    const Batch pinned = batch.with_each([](const at::Tensor& t) { return t.pin_memory(); });
    const Batch target =
        pinned.with_each([&](const at::Tensor& t) { return at::empty_like(t, t.options().device(device_)); });
    c10::Event is_free(device_.type()), arrival(device_.type());
    is_free.record(home);
    is_free.block(stream_);
    {
      const c10::StreamGuard on(stream_);
      copy(pinned, target);  // page-locked memory is not used again before its copy has ended
    }
    arrival.record(stream_);
    return std::make_unique<StreamCopy>(target, home, std::move(arrival));
  }

 private:
  static void copy(const Batch& from, const Batch& to) {
    for (const auto& [name, field] : from.fields) {
      const Field& target = to.fields.at(name);
      if (const auto* stacked = std::get_if<at::Tensor>(&field)) {
        std::get<at::Tensor>(target).copy_(*stacked, /*non_blocking=*/true);
        continue;
      }
      const auto& list = std::get<std::vector<at::Tensor>>(field);
      for (size_t i = 0; i < list.size(); ++i) {
        std::get<std::vector<at::Tensor>>(target)[i].copy_(list[i], /*non_blocking=*/true);
      }
    }
  }

  c10::Device device_;
  c10::Stream stream_;
};

}  // namespace

std::unique_ptr<Transfer> make_transfer(c10::Device device) {
  return device.is_cuda() ? std::make_unique<StreamTransfer>(device) : nullptr;
}

}  // namespace unireplk
