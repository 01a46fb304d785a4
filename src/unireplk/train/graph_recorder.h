#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace unireplk::train {

/// Work of a device that was recorded.
class RecordedWork {
 public:
  virtual ~RecordedWork() = default;

  /// Give the device all of it once more, behind what is queued on the current stream.
  virtual void replay() = 0;
};

/// Records what a function gives a device to do: the same operations, on the same memory, whatever that holds by then.
class GraphRecorder {
 public:
  using Work = std::function<void()>;

  virtual ~GraphRecorder() = default;

  /// Do `work` as record() would run it. What libraries make ready the first time is ready for record() then.
  virtual void rehearse(const Work& work) = 0;

  /// Record `work`. Nothing is done until it is replayed: then it runs once for each replay. It must stay good to be
  /// run for as long as the recording lives. \param drawn_from  what `work` draws from; each replay draws on from where
  /// that stands by then. \throws what `work` or the device does not like about it; then nothing has happened, earlier
  /// recordings are void,
  ///         and the next work runs as if nothing had been recorded.
  virtual std::unique_ptr<RecordedWork> record(const Work& work, const at::Generator& drawn_from) = 0;
};

/// One for a CUDA device. \throws ContractError for another device.
std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device);

}  // namespace unireplk::train
