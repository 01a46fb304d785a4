#pragma once

#include <ATen/core/grad_mode.h>
#include <torch/nn/module.h>

#include <memory>
#include <optional>

#include "unireplk/tasks/network.h"
#include "unireplk/tensor/sample.h"

namespace unireplk::test {

/// A network whose output is its flattened input, so that a batch brings its own logits. Remembers how it was run last.
struct EchoImpl : torch::nn::Module {
  at::Tensor forward(const at::Tensor& x, std::optional<at::Generator> generator) {
    ran_in_training = is_training();
    ran_with_gradients = at::GradMode::is_enabled();
    last_generator = std::move(generator);
    return x.flatten(1);
  }

  bool ran_in_training = false;
  bool ran_with_gradients = false;
  std::optional<at::Generator> last_generator;
};

/// A batch of logits [B, C] and labels [B] as Echo takes it; `padding` lists positions that are not to be counted.
inline Batch batch_of(const at::Tensor& logits, const at::Tensor& labels, const std::vector<int64_t>& padding = {}) {
  Batch batch{.fields = {{"image", logits}, {"label", labels}}, .keys = {}, .sources = {}};
  for (int64_t i = 0; i < logits.size(0); ++i) batch.keys.push_back({.item = i, .view = 0, .padding = false});
  for (const int64_t i : padding) batch.keys[static_cast<size_t>(i)].padding = true;
  return batch;
}

}  // namespace unireplk::test
