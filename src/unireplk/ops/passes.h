#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

#include "unireplk/kernels/layer_norm.h"
#include "unireplk/kernels/rows.h"
#include "unireplk/kernels/squeeze_gate.h"
#include "unireplk/kernels/tables.h"

namespace unireplk::ops {

/// Whether passes take a map: float32 or bfloat16 on the CPU; in builds with kernels for CUDA half as well there.
bool has_passes(const at::Tensor& map);

/// The same for a map that an operator is given, and for what an autocast makes of it. Those for the CPU stand aside
/// for an autocast to half.
bool takes_passes(const at::Tensor& map);

/// float32, contiguous, and on the map's device: what passes over a map take beside it.
bool is_parameter_of(const at::Tensor& map, const at::Tensor& parameter);

/// The passes over maps [images, pixels, channels] of kernels/row_passes.h, gelu_grn.h and layer_norm.h, and the
/// algebra between them of kernels/tables.h and squeeze_gate.h, for tensors on the device of one map, which is the
/// current one while this lives. Maps are dense and of the types that has_passes() tells; all else is dense and
/// float32: tables [images, channels] and vectors [channels]. An undefined tensor stands for a null pointer there.
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
  /// \param a   as in sum_rows()
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

  /// \param squares  become the norms
  virtual at::Tensor grn_factors(const at::Tensor& squares, const at::Tensor& gamma) const = 0;

  struct GrnGradients {
    at::Tensor factor, slope, gamma;  ///< tables, and as gamma is
  };
  virtual GrnGradients grn_gradients(const at::Tensor& products, const at::Tensor& norms,
                                     const at::Tensor& gamma) const = 0;

  /// The tail of a block: its norm, and what the result of that is multiplied with.
  struct TailNorm {
    at::Tensor weight, bias, scale;
    at::Tensor mask;  ///< [images]
  };
  struct TailFactors {
    at::Tensor inverse, slope, shift;  ///< a vector, tables
  };
  /// \param pixels  of the batch whose moments these are
  /// \param moving  on the device
  virtual TailFactors tail_factors(int64_t images, const TailNorm& norm, const Moments& moments, double pixels,
                                   double eps, const kernels::MovingNorm& moving) const = 0;

  /// \return  [2, channels]
  virtual at::Tensor tail_sums(const Sums& of, const at::Tensor& mask, const at::Tensor& inverse) const = 0;

  struct TailGradients {
    at::Tensor factor, slope, shift;  ///< tables
    at::Tensor weight, bias, scale;   ///< vectors; no scale where the norm has none
  };
  /// \param totals  tail_sums() of all ranks
  virtual TailGradients tail_gradients(int64_t images, const TailNorm& norm, const at::Tensor& inverse,
                                       const at::Tensor& totals, double pixels, double ranks) const = 0;

  struct Gate {
    at::Tensor down_weight, down_bias, up_weight, up_bias;
  };
  struct GateValues {
    at::Tensor means, inner, gate;  ///< a table, [images, inner channels], a table
  };
  /// \param sums  over a map's pixels, become the means
  virtual GateValues squeeze_gate(const at::Tensor& sums, int64_t pixels, const Gate& gate) const = 0;

  struct GateGradients {
    at::Tensor shift;  ///< a table: of a pixel, by way of the means
    Gate gate;
  };
  /// \param gate      its biases are not looked at
  /// \param products  the gradient of the gates
  virtual GateGradients squeeze_gate_backward(const at::Tensor& products, int64_t pixels, const GateValues& values,
                                              const Gate& gate) const = 0;
};

/// Those for the device of a map that has_passes().
std::unique_ptr<const Passes> passes_for(const at::Tensor& map);

/// What kernels of either device take of a float32 tensor, which may be undefined, and of what passes have besides.
const float* values_of(const at::Tensor& tensor);
float* memory_of(const at::Tensor& tensor);
kernels::LayerNorm kernel_norm(const Passes::LayerNorm& norm);
kernels::TableShape table_shape(const at::Tensor& table);
kernels::TailNorm kernel_norm(const Passes::TailNorm& norm);
kernels::SqueezeGate kernel_gate(const Passes::Gate& gate);
kernels::SqueezeValues kernel_values(const Passes::GateValues& values);
kernels::GrnGradients kernel_gradients(const Passes::GrnGradients& gradients);
kernels::TailMoments kernel_moments(const Passes::Moments& moments, double pixels);
kernels::TailFactors kernel_factors(const Passes::TailFactors& factors);
kernels::TailGradients kernel_gradients(const Passes::TailGradients& gradients);

/// Memory for what these give, its values unset.
Passes::GrnGradients empty_grn_gradients(const at::Tensor& norms, const at::Tensor& gamma);
Passes::TailFactors empty_tail_factors(int64_t images, const Passes::TailNorm& norm);
Passes::GateValues empty_gate_values(const at::Tensor& means, const Passes::Gate& gate);
Passes::TailGradients empty_tail_gradients(int64_t images, const Passes::TailNorm& norm);

}  // namespace unireplk::ops
