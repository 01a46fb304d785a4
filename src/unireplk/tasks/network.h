#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>

namespace torch::nn {
class Module;
}

namespace unireplk {
struct DataInfo;
}

namespace unireplk::tasks {

class Task;

/// A network as a task sees it: its module, and how to run it from one input map to one output. The generator feeds
/// drop path and dropout in training; eval mode ignores it.
struct Network {
  std::shared_ptr<torch::nn::Module> module;
  std::function<at::Tensor(const at::Tensor& input, std::optional<at::Generator> generator)> forward;
};

/// Makes a task around a network, for data as `info` says.
using TaskSignature = std::unique_ptr<Task>(Network network, const DataInfo& info);

/// The Network of a module whose forward is (input, generator).
template <class Impl>
Network network_of(std::shared_ptr<Impl> module) {
  auto forward = [net = module.get()](const at::Tensor& input, std::optional<at::Generator> generator) -> at::Tensor {
    return net->forward(input, std::move(generator));
  };
  return {.module = std::move(module), .forward = std::move(forward)};
}

}  // namespace unireplk::tasks
