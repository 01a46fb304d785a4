#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unireplk/io/tensor_file.h"

/// Reference values of tools/reference/golden (see README.md there), and weights and inputs as a formula of
/// name and index (spec: model, section 10).
namespace unireplk::test {

std::filesystem::path golden_folder();

io::TensorFile golden_tensors(const std::string& name);  ///< "logits" -> golden/logits.safetensors
nlohmann::json golden_json(const std::string& name);     ///< "reparam" -> golden/reparam.json

/// Value of a parameter or buffer by its name: float32, `num_batches_tracked` int64 zeros.
at::Tensor formula(const std::string& name, at::IntArrayRef shape);

/// An input with values in [-1, 1), float32.
at::Tensor formula_input(at::IntArrayRef shape, const std::string& name = "input");

/// Overwrite tensors by their formula, rounded to float32 first as the reference does.
void fill(const std::vector<std::pair<std::string, at::Tensor>>& tensors);

/// [L2 norm, first, middle, last element] of a flattened tensor, in float64.
std::array<double, 4> probe(const at::Tensor& tensor);

/// Largest distance of a tensor's probe from one of a golden, in units of the golden's norm. What printing with 12
/// digits rounded off is taken away first.
double probe_difference(const at::Tensor& tensor, const nlohmann::json& golden);

/// Whether the gradient of a train-form parameter is zero but for rounding (spec: model, section 10.1).
bool has_zero_gradient(std::string_view name);

/// max |a - b| / max |b|, in float64.
double relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace unireplk::test
