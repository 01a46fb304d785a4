#include "support/golden.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "unireplk/core/error.h"
#include "unireplk/io/files.h"

namespace unireplk::test {
namespace {

uint32_t fnv1a(const std::string& text) {
  uint32_t value = 2166136261u;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619u;
  return value;
}

/// Uniform in [0, 1): murmur3's finaliser over the name's hash and the index.
double uniform(uint32_t seed, uint32_t index) {
  uint32_t h = seed + index * 2654435761u;
  h ^= h >> 16;
  h *= 0x85EBCA6Bu;
  h ^= h >> 13;
  h *= 0xC2B2AE35u;
  h ^= h >> 16;
  return h / 4294967296.0;
}

template <class Value>
at::Tensor generate(const std::string& name, at::IntArrayRef shape, Value value) {
  auto tensor = at::empty(shape, at::kFloat);
  float* out = tensor.mutable_data_ptr<float>();
  const uint32_t seed = fnv1a(name);
  for (int64_t j = 0; j < tensor.numel(); ++j) {
    out[j] = static_cast<float>(value(uniform(seed, static_cast<uint32_t>(j))));
  }
  return tensor;
}

/// Half a unit in the twelfth digit.
double printing_error(double value) {
  return value == 0 ? 0 : 0.5 * std::pow(10.0, std::floor(std::log10(std::abs(value))) - 11);
}

}  // namespace

std::filesystem::path golden_folder() { return std::filesystem::path(UNIREPLK_SOURCE_DIR) / "tools/reference/golden"; }

io::TensorFile golden_tensors(const std::string& name) {
  return io::read_safetensors(golden_folder() / (name + ".safetensors"));
}

nlohmann::json golden_json(const std::string& name) {
  return nlohmann::json::parse(io::read_file(golden_folder() / (name + ".json")));
}

at::Tensor formula(const std::string& name, at::IntArrayRef shape) {
  const auto dot = name.rfind('.');
  const auto kind = dot == std::string::npos ? name : name.substr(dot + 1);
  if (kind == "num_batches_tracked") return at::zeros(shape, at::kLong);
  if (kind == "running_var") return generate(name, shape, [](double u) { return 0.5 + u; });
  if (kind == "running_mean" || kind == "bias") return generate(name, shape, [](double u) { return 0.2 * (u - 0.5); });
  if (kind == "gamma" && shape.size() == 1) return generate(name, shape, [](double u) { return 0.2 + 0.6 * u; });
  if ((kind == "gamma" || kind == "beta") && shape.size() == 4) {
    return generate(name, shape, [](double u) { return u - 0.5; });
  }
  if (kind == "weight_g" || (kind == "weight" && shape.size() == 1)) {
    return generate(name, shape, [](double u) { return 0.8 + 0.4 * u; });
  }
  UNIREPLK_CHECK(kind == "weight" || kind == "weight_v", "no formula for {}", name);
  double fan_in = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan_in *= static_cast<double>(shape[i]);
  const double bound = std::sqrt(3 / fan_in);
  return generate(name, shape, [bound](double u) { return (2 * u - 1) * bound; });
}

at::Tensor formula_input(at::IntArrayRef shape, const std::string& name) {
  return generate(name, shape, [](double u) { return 2 * u - 1; });
}

void fill(const std::vector<std::pair<std::string, at::Tensor>>& tensors) {
  const at::NoGradGuard no_graph;
  for (const auto& [name, tensor] : tensors) tensor.copy_(formula(name, tensor.sizes()));
}

std::array<double, 4> probe(const at::Tensor& tensor) {
  const auto flat = tensor.detach().to(at::kDouble).flatten();
  return {flat.norm().item<double>(), flat[0].item<double>(), flat[flat.numel() / 2].item<double>(),
          flat[-1].item<double>()};
}

double probe_difference(const at::Tensor& tensor, const nlohmann::json& golden) {
  const auto ours = probe(tensor);
  const auto expected = golden.get<std::array<double, 4>>();
  double worst = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double excess = std::abs(ours[i] - expected[i]) - printing_error(expected[i]);
    if (std::isnan(excess)) return excess;
    worst = std::max(worst, excess);
  }
  return worst / expected[0];
}

bool has_zero_gradient(std::string_view name) {
  if (name.ends_with("act.1.beta")) return true;
  const bool in_branch =
      name.find(".dil_bn_") != std::string_view::npos || name.find(".origin_bn.") != std::string_view::npos;
  return in_branch && name.ends_with(".bias");
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const auto wide = b.detach().to(at::kDouble);
  return ((a.detach().to(at::kDouble) - wide).abs().max() / wide.abs().max()).item<double>();
}

}  // namespace unireplk::test
