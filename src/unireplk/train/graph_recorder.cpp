#include "unireplk/train/graph_recorder.h"

#include "unireplk/core/error.h"
#if UNIREPLK_CUDA_GRAPHS
#include "unireplk/train/cuda/graph_recorder.h"
#endif

namespace unireplk::train {

std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device) {
#if UNIREPLK_CUDA_GRAPHS
  if (device.is_cuda()) return cuda::make_graph_recorder(device);
#endif
  UNIREPLK_CHECK(false, "there is nothing to record work of {} with", device.str());
  return nullptr;
}

}  // namespace unireplk::train
