#pragma once

#include <string>

namespace torch::nn {
class Module;
}

namespace unireplk::models {

/// What in a network of these models keeps its forward and backward pass from being recorded on a device and replayed
/// for other inputs of the same shape; empty: nothing does.
std::string unrecordable_part(const torch::nn::Module& network);

}  // namespace unireplk::models
