#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace torch::nn {
class Module;
}

namespace unireplk::train {

struct NamedParameter {
  std::string name;
  at::Tensor value;
};

/// Parameters that share one learning-rate factor and one decision about decay.
struct ParameterGroup {
  std::string name;
  double lr_scale = 1;  ///< learning rate of the group = schedule's value x lr_scale
  bool decays = true;   ///< false: weight decay is zero at all times
  std::vector<NamedParameter> parameters;
};

/// Depth class 0..13 of a parameter of the image network, for layer-wise learning-rate decay: spec/image.md
/// section 8.1. A leading "backbone." is looked through; a name from outside the backbone belongs to class 13.
int64_t layer_id(std::string_view name);

/// No decay for vectors and for names that end in ".bias": spec/image.md section 8.
bool decays(std::string_view name, const at::Tensor& value);

/// Trainable parameters in groups, each in state-dict order.
///
/// Without layer decay (1.0): "decay", then "no_decay". With it: "layer_{id}_decay" and "layer_{id}_no_decay" with
/// lr_scale = layer_decay^(13 - id), in the order in which their first parameter appears.
/// \param decay_all  all parameters decay, whatever decays() says.
std::vector<ParameterGroup> parameter_groups(const torch::nn::Module& network, double layer_decay,
                                             bool decay_all = false);

}  // namespace unireplk::train
