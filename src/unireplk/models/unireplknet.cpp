#include "unireplk/models/unireplknet.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linspace.h>

#include <memory>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/nn/init.h"
#include "unireplk/ops/checkpoint.h"
#include "unireplk/ops/drop_path.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::models {
namespace {

/// Rates of all blocks, evenly from 0 to the last; in float32 as the reference has them (spec: model,
/// section 2.5).
std::vector<double> drop_path_rates(size_t blocks, double last) {
  const auto rates = at::linspace(0, last, static_cast<int64_t>(blocks), at::kFloat);
  const float* values = rates.const_data_ptr<float>();
  return {values, values + blocks};
}

std::shared_ptr<torch::nn::Module> group() { return std::make_shared<torch::nn::Module>(); }

}  // namespace

UniRepLKNetImpl::UniRepLKNetImpl(const UniRepLKNetOptions& options, at::TensorOptions tensor)
    : options_(resolved(options)) {
  build_downsample_layers(tensor);
  build_stages(tensor);
  drop_rates_ = drop_path_rates(blocks_.size(), options_.drop_path);
  if (options_.mode == Mode::kClassifier) {
    norm = register_module("norm", nn::ChannelNorm(options_.dims.back(), tensor));
    head = register_module("head", nn::Linear(options_.dims.back(), options_.num_classes, true, tensor));
  } else if (options_.mode == Mode::kFeatures) {
    for (size_t s = 0; s < kStages; ++s) {
      stage_norms.push_back(register_module(format("norm{}", s), nn::ChannelNorm(options_.dims[s], tensor)));
    }
  }
}

void UniRepLKNetImpl::build_downsample_layers(at::TensorOptions tensor) {
  const auto layers = register_module("downsample_layers", group());
  for (size_t s = 0; s < options_.num_stages(); ++s) {
    const auto layer = layers->register_module(std::to_string(s), group());
    auto& made = downsample_.emplace_back();
    const auto add = [&](int64_t position, int64_t in, int64_t out) {
      const nn::Conv2dOptions conv{
          .in_channels = in, .out_channels = out, .kernel_size = 3, .stride = 2, .tensor = tensor};
      made.convs.push_back(layer->register_module(std::to_string(position), nn::Conv2d(conv)));
      made.norms.push_back(layer->register_module(std::to_string(position + 1), nn::ChannelNorm(out, tensor)));
    };
    const int64_t out = options_.dims[s];
    if (s > 0) {
      add(0, options_.dims[s - 1], out);
    } else {
      add(0, options_.in_channels, out / 2);
      add(3, out / 2, out);  // position 2 is the GELU
    }
  }
}

void UniRepLKNetImpl::build_stages(at::TensorOptions tensor) {
  const auto stages = register_module("stages", group());
  for (size_t s = 0; s < options_.num_stages(); ++s) {
    const auto stage = stages->register_module(std::to_string(s), group());
    for (size_t b = 0; b < options_.kernel_sizes[s].size(); ++b) {
      blocks_.push_back(stage->register_module(std::to_string(b), nn::Block(block_options(options_, s, b, tensor))));
    }
  }
}

std::vector<at::Tensor> UniRepLKNetImpl::stage_maps(const at::Tensor& input, const RunBlock& run) {
  UNIREPLK_CHECK(input.dim() == 4 && input.size(1) == options_.in_channels && input.numel() > 0,
                 "UniRepLKNet: expected x [N, {}, H, W], got {}", options_.in_channels, ops::shape_text(input));
  auto x = input.contiguous(at::MemoryFormat::ChannelsLast);
  std::vector<at::Tensor> result;
  size_t number = 0;
  for (size_t s = 0; s < options_.num_stages(); ++s) {
    const auto& [convs, norms] = downsample_[s];
    for (size_t i = 0; i < convs.size(); ++i) {
      x = convs[i].ptr()->forward(x);
      x = i + 1 < convs.size() ? norms[i].ptr()->forward_with_gelu(x) : norms[i].ptr()->forward(x);
    }
    for (size_t b = 0; b < options_.kernel_sizes[s].size(); ++b, ++number) x = run(number, *blocks_[number], x);
    result.push_back(x);
  }
  return result;
}

std::vector<at::Tensor> UniRepLKNetImpl::drop_masks(const at::Tensor& x, std::optional<at::Generator> generator) const {
  std::vector<at::Tensor> masks(blocks_.size());
  if (!is_training() || options_.drop_path == 0) return masks;
  UNIREPLK_CHECK(generator.has_value(), "UniRepLKNet: training with drop_path {} needs a generator",
                 options_.drop_path);
  for (size_t i = 0; i < masks.size(); ++i) {
    if (drop_rates_[i] > 0) masks[i] = ops::drop_path_mask(x, drop_rates_[i], *generator);
  }
  return masks;
}

std::vector<at::Tensor> UniRepLKNetImpl::maps(const at::Tensor& x, std::optional<at::Generator> generator) {
  const auto masks = drop_masks(x, std::move(generator));
  const bool recompute = options_.checkpointing && is_training() && at::GradMode::is_enabled();
  return stage_maps(x, [&](size_t number, nn::BlockImpl& block, const at::Tensor& input) {
    if (!recompute) return block.forward(input, masks[number]);
    const auto run = [kept = blocks_[number], mask = masks[number]](const at::Tensor& map, bool again) {
      return kept.ptr()->forward(map, mask, nn::Pass{.update_statistics = !again});
    };
    return ops::checkpoint(run, input, block.parameters());
  });
}

at::Tensor UniRepLKNetImpl::forward(const at::Tensor& x, std::optional<at::Generator> generator) {
  UNIREPLK_CHECK(options_.mode != Mode::kFeatures, "UniRepLKNet: feature mode has four outputs, call features()");
  const auto last = maps(x, std::move(generator)).back();
  return options_.mode == Mode::kClassifier ? classify(last) : last;
}

std::vector<at::Tensor> UniRepLKNetImpl::features(const at::Tensor& x, std::optional<at::Generator> generator) {
  auto result = maps(x, std::move(generator));
  for (size_t s = 0; s < stage_norms.size(); ++s) result[s] = stage_norms[s]->forward(result[s]);
  return result;
}

void UniRepLKNetImpl::observe(const at::Tensor& x, std::optional<at::Generator> generator,
                              const nn::PartObserver& observer) {
  const at::NoGradGuard no_graph;
  const auto masks = drop_masks(x, std::move(generator));
  size_t stage = 0, before = 0;  // blocks of the stages before
  const auto run = [&](size_t number, nn::BlockImpl& block, const at::Tensor& map) {
    if (number == before) observer(format("downsample_layers.{}", stage), map);
    const auto name = block_name(stage, number - before);
    const nn::PartObserver of_block = [&](std::string_view part, const at::Tensor& value) {
      observer(format("{}.{}", name, part), value);
    };
    auto out = block.forward(map, masks[number], {.update_statistics = false, .observer = &of_block});
    observer(name, out);
    if (number + 1 == before + options_.kernel_sizes[stage].size()) before += options_.kernel_sizes[stage++].size();
    return out;
  };
  const auto last = stage_maps(x, run).back();
  if (options_.mode == Mode::kClassifier) observer("head", classify(last));
}

at::Tensor UniRepLKNetImpl::classify(const at::Tensor& last_map) {
  UNIREPLK_CHECK(options_.mode == Mode::kClassifier, "UniRepLKNet: only the classifier has a head");
  return head->forward(norm->forward(last_map.mean({2, 3})));
}

void UniRepLKNetImpl::merge() {
  for (const auto& block : blocks_) block.ptr()->merge();
  options_.deploy = true;
}

void initialise(UniRepLKNetImpl& network, at::Generator generator, double head_init_scale) {
  nn::initialise(network, std::move(generator));
  if (network.head.is_empty()) return;
  const at::NoGradGuard no_graph;
  network.head->weight.mul_(head_init_scale);
  network.head->bias.mul_(head_init_scale);
}

}  // namespace unireplk::models
