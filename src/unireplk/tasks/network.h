#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>

#include "unireplk/nn/pass.h"

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

  /// The same without gradients, changing nothing, with the output of each part told; null where it cannot.
  std::function<void(const at::Tensor& input, std::optional<at::Generator> generator, const nn::PartObserver& observer)>
      observe = {};
};

/// Makes a task around a network, for data as `info` says.
using TaskSignature = std::unique_ptr<Task>(Network network, const DataInfo& info);

/// The Network of a module whose forward is (input, generator), and whose observe, if it has one, is (input, generator,
/// observer).
template <class Impl>
Network network_of(std::shared_ptr<Impl> module) {
  auto forward = [net = module.get()](const at::Tensor& input, std::optional<at::Generator> generator) -> at::Tensor {
    return net->forward(input, std::move(generator));
  };
  Network network{.module = module, .forward = std::move(forward)};
  if constexpr (requires(const nn::PartObserver& observer) { module->observe(at::Tensor(), std::nullopt, observer); }) {
    network.observe = [net = module.get()](const at::Tensor& input, std::optional<at::Generator> generator,
                                           const nn::PartObserver& observer) {
      net->observe(input, std::move(generator), observer);
    };
  }
  return network;
}

}  // namespace unireplk::tasks
