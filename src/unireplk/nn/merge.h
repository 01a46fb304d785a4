#pragma once

#include <ATen/core/Tensor.h>

#include "unireplk/nn/branches.h"
#include "unireplk/nn/layers.h"

/// Algebra of re-parameterisation (spec: model, section 5), in float64 throughout.
namespace unireplk::nn {

/// A convolution or Linear as numbers.
struct Affine {
  at::Tensor weight;  ///< float64, output channels first
  at::Tensor bias;    ///< float64, [C]
};

/// `linear` followed by a batch norm with its running statistics. An undefined bias counts as 0.
Affine fold_norm(const Affine& linear, const BatchNormImpl& norm);

/// Add a small (dilated) depthwise kernel to a large one it is centred on, in place.
void add_centred(Affine& large, const Affine& small, int64_t dilation);

/// `linear` with output channel c multiplied by scale[c].
Affine scale_outputs(const Affine& linear, const at::Tensor& scale);

}  // namespace unireplk::nn
