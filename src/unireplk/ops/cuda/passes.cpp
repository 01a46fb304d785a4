#include "unireplk/ops/cuda/passes.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>

#include "unireplk/kernels/cuda/gelu_grn.h"
#include "unireplk/kernels/cuda/layer_norm.h"
#include "unireplk/kernels/cuda/row_passes.h"
#include "unireplk/kernels/cuda/squeeze_gate.h"
#include "unireplk/kernels/cuda/tables.h"
#include "unireplk/ops/cuda/launch.h"
#include "unireplk/ops/map.h"
#include "unireplk/ops/rows.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops::cuda {
namespace {

kernels::cuda::MapValues map_values(const at::Tensor& map) {
  if (!map.defined()) return {};
  return {.element = element_of(map), .values = map.const_data_ptr()};
}

class CudaPasses : public Passes {
 public:
  explicit CudaPasses(const at::Tensor& map)
      : launch_(map), floats_(at::TensorOptions().dtype(at::kFloat).device(map.device())) {}

  Sums sum_rows(const Shape& shape, const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre) const override {
    Sums of{.sums = empty_table(shape, a), .products = {}};
    if (b.defined()) of.products = empty_table(shape, a);
    const auto memory = workspace(kernels::cuda::row_passes_workspace(shape));
    kernels::cuda::sum_rows(shape, map_values(a), map_values(b), values_of(centre), of.sums.data_ptr<float>(),
                            b.defined() ? of.products.data_ptr<float>() : nullptr, memory.data_ptr<float>(),
                            launch_.stream());
    launch_.check();
    return of;
  }

  Moments row_moments(const Shape& shape, const at::Tensor& a) const override {
    const Moments of{at::empty({shape.channels}, floats_), at::empty({shape.channels}, floats_)};
    const auto memory = workspace(kernels::cuda::row_passes_workspace(shape));
    kernels::cuda::row_moments(shape, map_values(a), of.mean.data_ptr<float>(), of.variance.data_ptr<float>(),
                               memory.data_ptr<float>(), launch_.stream());
    launch_.check();
    return of;
  }

  void combine_rows(const Shape& shape, const Terms& terms, const at::Tensor& to) const override {
    kernels::cuda::combine_rows(shape,
                                {.a = map_values(terms.a),
                                 .factor = values_of(terms.factor),
                                 .b = map_values(terms.b),
                                 .centre = values_of(terms.centre),
                                 .slope = values_of(terms.slope),
                                 .shift = values_of(terms.shift)},
                                element_of(to), to.data_ptr(), launch_.stream());
    launch_.check();
  }

  at::Tensor gelu_squares(const Shape& shape, const at::Tensor& z, const at::Tensor& bias) const override {
    auto squares = empty_table(shape, z);
    const auto memory = workspace(kernels::cuda::gelu_workspace(shape));
    kernels::cuda::gelu_squares(element_of(z), shape, z.const_data_ptr(), values_of(bias), squares.data_ptr<float>(),
                                memory.data_ptr<float>(), launch_.stream());
    launch_.check();
    return squares;
  }

  at::Tensor gelu_scale(const Shape& shape, const at::Tensor& z, const at::Tensor& bias, const at::Tensor& factor,
                        const at::Tensor& shift) const override {
    auto y = at::empty_like(z);
    kernels::cuda::gelu_scale(element_of(z), shape, z.const_data_ptr(), values_of(bias), values_of(factor),
                              values_of(shift), y.data_ptr(), launch_.stream());
    launch_.check();
    return y;
  }

  GeluProducts gelu_products(const Shape& shape, const at::Tensor& dy, const at::Tensor& z,
                             const at::Tensor& bias) const override {
    const GeluProducts of{.products = empty_table(shape, z), .sums = at::empty_like(bias)};
    const auto memory = workspace(kernels::cuda::gelu_workspace(shape));
    kernels::cuda::gelu_products(element_of(z), shape, dy.const_data_ptr(), z.const_data_ptr(), values_of(bias),
                                 of.products.data_ptr<float>(), of.sums.data_ptr<float>(), memory.data_ptr<float>(),
                                 launch_.stream());
    launch_.check();
    return of;
  }

  GeluGradients gelu_combine(const Shape& shape, const at::Tensor& dy, const at::Tensor& factor, const at::Tensor& z,
                             const at::Tensor& bias, const at::Tensor& slope) const override {
    const GeluGradients of{.z = at::empty_like(z), .bias = at::empty_like(bias)};
    const auto memory = workspace(kernels::cuda::gelu_workspace(shape));
    kernels::cuda::gelu_combine(element_of(z), shape, dy.const_data_ptr(), values_of(factor), z.const_data_ptr(),
                                values_of(bias), values_of(slope), of.z.data_ptr(), of.bias.data_ptr<float>(),
                                memory.data_ptr<float>(), launch_.stream());
    launch_.check();
    return of;
  }

  LayerNormed layer_norm(const Shape& shape, const at::Tensor& x, const LayerNorm& norm) const override {
    const auto of_pixels = [&] { return at::empty({shape.images * shape.pixels}, floats_); };
    const LayerNormed of{.y = empty_map(x, at::kFloat), .mean = of_pixels(), .inverse = of_pixels()};
    kernels::cuda::layer_norm(element_of(x), shape, x.const_data_ptr(), kernel_norm(norm), of.y.data_ptr<float>(),
                              of.mean.data_ptr<float>(), of.inverse.data_ptr<float>(), launch_.stream());
    launch_.check();
    return of;
  }

  LayerNormGradients layer_norm_backward(const Shape& shape, const at::Tensor& dy, const at::Tensor& x,
                                         const LayerNorm& norm, const at::Tensor& mean, const at::Tensor& inverse,
                                         bool wants_x) const override {
    const LayerNormGradients of{.x = wants_x ? empty_map(x) : at::Tensor(),
                                .weight = at::empty_like(norm.weight),
                                .bias = at::empty_like(norm.weight)};
    const auto memory = workspace(kernels::cuda::layer_norm_workspace(shape));
    kernels::cuda::layer_norm_backward(element_of(x), shape, values_of(dy), x.const_data_ptr(), kernel_norm(norm),
                                       values_of(mean), values_of(inverse), wants_x ? of.x.data_ptr() : nullptr,
                                       of.weight.data_ptr<float>(), of.bias.data_ptr<float>(), memory.data_ptr<float>(),
                                       launch_.stream());
    launch_.check();
    return of;
  }

  at::Tensor grn_factors(const at::Tensor& squares, const at::Tensor& gamma) const override {
    auto factor = at::empty_like(squares);
    kernels::cuda::grn_factors(table_shape(squares), values_of(gamma), memory_of(squares), memory_of(factor),
                               launch_.stream());
    launch_.check();
    return factor;
  }

  GrnGradients grn_gradients(const at::Tensor& products, const at::Tensor& norms,
                             const at::Tensor& gamma) const override {
    const auto of = empty_grn_gradients(norms, gamma);
    const auto divisors = workspace(norms.size(0));
    kernels::cuda::grn_gradients(table_shape(norms), values_of(gamma), values_of(norms), values_of(products),
                                 kernel_gradients(of), memory_of(divisors), launch_.stream());
    launch_.check();
    return of;
  }

  TailFactors tail_factors(int64_t images, const TailNorm& norm, const Moments& moments, double pixels, double eps,
                           const kernels::MovingNorm& moving) const override {
    const auto of = empty_tail_factors(images, norm);
    kernels::cuda::tail_factors(table_shape(of.slope), kernel_norm(norm), kernel_moments(moments, pixels), eps, moving,
                                kernel_factors(of), launch_.stream());
    launch_.check();
    return of;
  }

  at::Tensor tail_sums(const Sums& of, const at::Tensor& mask, const at::Tensor& inverse) const override {
    auto totals = empty_table(2, inverse);
    kernels::cuda::tail_sums(table_shape(of.sums), values_of(of.sums), values_of(of.products), values_of(mask),
                             values_of(inverse), memory_of(totals), launch_.stream());
    launch_.check();
    return totals;
  }

  TailGradients tail_gradients(int64_t images, const TailNorm& norm, const at::Tensor& inverse,
                               const at::Tensor& totals, double pixels, double ranks) const override {
    const auto of = empty_tail_gradients(images, norm);
    kernels::cuda::tail_gradients(table_shape(of.factor), kernel_norm(norm), values_of(inverse), values_of(totals),
                                  pixels, ranks, kernel_gradients(of), launch_.stream());
    launch_.check();
    return of;
  }

  GateValues squeeze_gate(const at::Tensor& sums, int64_t pixels, const Gate& gate) const override {
    const auto of = empty_gate_values(sums, gate);
    kernels::cuda::squeeze_gate(kernel_gate(gate), sums.size(0), pixels, memory_of(of.means), memory_of(of.inner),
                                memory_of(of.gate), launch_.stream());
    launch_.check();
    return of;
  }

  GateGradients squeeze_gate_backward(const at::Tensor& products, int64_t pixels, const GateValues& values,
                                      const Gate& gate) const override {
    const auto of_up = at::empty_like(values.gate), of_down = at::empty_like(values.inner);
    GateGradients of{.shift = at::empty_like(products), .gate = {}};
    of.gate.down_bias = at::empty({gate.down_weight.size(0)}, floats_);
    of.gate.up_bias = at::empty({gate.up_weight.size(0)}, floats_);
    kernels::cuda::squeeze_gate_backward(kernel_gate(gate), products.size(0), pixels, kernel_values(values),
                                         values_of(products),
                                         {.up = memory_of(of_up),
                                          .down = memory_of(of_down),
                                          .shift = memory_of(of.shift),
                                          .down_bias = memory_of(of.gate.down_bias),
                                          .up_bias = memory_of(of.gate.up_bias)},
                                         launch_.stream());
    launch_.check();
    const AutocastGuard in_float32({.device = at::kCUDA, .enabled = false});
    of.gate.down_weight = of_down.t().mm(values.means);
    of.gate.up_weight = of_up.t().mm(values.inner);
    return of;
  }

 private:
  at::Tensor workspace(int64_t floats) const { return at::empty({floats}, floats_); }

  Launch launch_;
  at::TensorOptions floats_;
};

}  // namespace

std::unique_ptr<const Passes> passes_for(const at::Tensor& map) { return std::make_unique<CudaPasses>(map); }

}  // namespace unireplk::ops::cuda
