#pragma once

#include "unireplk/train/graph_recorder.h"

namespace unireplk::train::cuda {

std::unique_ptr<GraphRecorder> make_graph_recorder(c10::Device device);

}  // namespace unireplk::train::cuda
