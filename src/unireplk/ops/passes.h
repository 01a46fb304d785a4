#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "unireplk/kernels/layer_norm.h"
#include "unireplk/kernels/rows.h"

namespace unireplk::ops {

/// Whether passes take a map: float32 on the CPU; in builds with kernels for CUDA float32, bfloat16 or half there.
bool has_passes(const at::Tensor& map);

/// The same for a map that an operator is given. Kernels for the CPU stand aside for an autocast that would narrow the
/// map; those for CUDA take its type.
bool takes_passes(const at::Tensor& map);

/// float32, contiguous, and on the map's device: what passes over a map take beside it.
bool is_parameter_of(const at::Tensor& map, const at::Tensor& parameter);

/// The passes over maps [images, pixels, channels] of kernels/row_passes.h, gelu_grn.h, layer_norm.h and
/// squeeze_gate.h, for tensors on the device of one map, which is the current one while this lives. Maps are dense and
/// of the types that has_passes() tells; all else is float32: tables [images, channels] and vectors [channels]. An
/// undefined tensor stands for a null pointer there.
class Passes {
 public:
  using Shape = kernels::RowsShape;

  virtual ~Passes() = default;

  struct Sums {
    at::Tensor sums, products;  ///< tables; no products without b
  };
  /// \param a  of b's type, or float32.
  virtual Sums sum_rows(const Shape& shape, const at::Tensor& a, const at::Tensor& b,
                        const at::Tensor& centre) const = 0;

  struct Moments {
    at::Tensor mean, variance;  ///< vectors
  };
  virtual Moments row_moments(const Shape& shape, const at::Tensor& a) const = 0;

  /// a * factor + (b - centre) * slope + shift
  struct Terms {
    at::Tensor a, factor = {}, b = {}, centre = {}, slope = {}, shift = {};
  };
  /// \param to  of a's type or, where that is float32, of b's. On CUDA devices none of the maps that are read.
  virtual void combine_rows(const Shape& shape, const Terms& terms, const at::Tensor& to) const = 0;

  virtual at::Tensor gelu_squares(const Shape& shape, const at::Tensor& z, const at::Tensor& bias) const = 0;
  virtual at::Tensor gelu_scale(const Shape& shape, const at::Tensor& z, const at::Tensor& bias,
                                const at::Tensor& factor, const at::Tensor& shift) const = 0;

  struct GeluProducts {
    at::Tensor products, sums;  ///< a table, a vector
  };
  virtual GeluProducts gelu_products(const Shape& shape, const at::Tensor& dy, const at::Tensor& z,
                                     const at::Tensor& bias) const = 0;

  struct GeluGradients {
    at::Tensor z, bias;
  };
  virtual GeluGradients gelu_combine(const Shape& shape, const at::Tensor& dy, const at::Tensor& factor,
                                     const at::Tensor& z, const at::Tensor& bias, const at::Tensor& slope) const = 0;

  /// What a layer norm is, without the map.
  struct LayerNorm {
    at::Tensor weight, bias;
    double eps = 0;
    bool then_gelu = false;
  };
  struct LayerNormed {
    at::Tensor y;              ///< channels_last, float32
    at::Tensor mean, inverse;  ///< [images * pixels]
  };
  /// \param x  [N, C, H, W], channels_last.
  virtual LayerNormed layer_norm(const Shape& shape, const at::Tensor& x, const LayerNorm& norm) const = 0;

  struct LayerNormGradients {
    at::Tensor x, weight, bias;
  };
  /// \param wants_x  else that gradient stays undefined.
  virtual LayerNormGradients layer_norm_backward(const Shape& shape, const at::Tensor& dy, const at::Tensor& x,
                                                 const LayerNorm& norm, const at::Tensor& mean,
                                                 const at::Tensor& inverse, bool wants_x) const = 0;

  struct Gate {
    at::Tensor inner, gate;  ///< [images, inner channels], a table
  };
  virtual Gate squeeze_gate(const at::Tensor& means, const at::Tensor& down_weight, const at::Tensor& down_bias,
                            const at::Tensor& up_weight, const at::Tensor& up_bias) const = 0;
};

/// Those for the device of a map that has_passes().
std::unique_ptr<const Passes> passes_for(const at::Tensor& map);

/// What kernels of either device take of a float32 tensor, which may be undefined, and of a layer norm.
const float* values_of(const at::Tensor& tensor);
kernels::LayerNorm kernel_norm(const Passes::LayerNorm& norm);

}  // namespace unireplk::ops
