#pragma once

#include <memory>

#include <c10/core/Device.h>

#include "unireplk/tensor/sample.h"

namespace unireplk {

/// A batch on its way to a device. Dropped before it has arrived, it does no harm to what takes its memory.
class BatchInFlight {
 public:
  virtual ~BatchInFlight() = default;

  /// The batch: what is queued on the current stream from now on finds it there. The host waits for nothing. To be
  /// called once.
  virtual Batch arrive() = 0;
};

/// Copies batches to a device beside what that does meanwhile.
class Transfer {
 public:
  virtual ~Transfer() = default;

  /// Begin to copy a batch, once what is queued on the current stream so far is done: a copy begun before a step is
  /// queued runs beside that step. The host waits for nothing, and `batch` may go. The memory is the current stream's.
  virtual std::unique_ptr<BatchInFlight> send(const Batch& batch) = 0;
};

/// How batches get to a CUDA device; null for others, where nothing runs beside a copy.
std::unique_ptr<Transfer> make_transfer(c10::Device device);

}  // namespace unireplk
