#include "unireplk/ops/passes.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "unireplk/kernels/gelu_grn.h"
#include "unireplk/kernels/row_passes.h"
#if UNIREPLK_CUDA_KERNELS
#include "unireplk/ops/cuda/passes.h"
#endif
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/rows.h"
#include "unireplk/tensor/autocast.h"

namespace unireplk::ops {
namespace {

bool has_cpu_passes(at::ScalarType dtype) { return dtype == at::kFloat || dtype == at::kBFloat16; }

kernels::MapValues map_values(const at::Tensor& map) {
  if (!map.defined()) return {};
  if (map.scalar_type() == at::kFloat) return map.const_data_ptr<float>();
  return reinterpret_cast<const kernels::BFloat16*>(map.const_data_ptr<at::BFloat16>());
}

kernels::MapMemory map_memory(const at::Tensor& map) {
  if (!map.defined()) return {};
  if (map.scalar_type() == at::kFloat) return map.data_ptr<float>();
  return reinterpret_cast<kernels::BFloat16*>(map.data_ptr<at::BFloat16>());
}

/// The same bits for any number of threads.
class CpuPasses : public Passes {
 public:
  Sums sum_rows(const Shape& shape, const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre) const override {
    Sums of{.sums = empty_table(shape, a), .products = {}};
    if (b.defined()) of.products = empty_table(shape, a);
    const Workspace workspace(kernels::row_sums_workspace(shape, b.defined() ? 2 : 1));
    kernels::sum_rows(shape, map_values(a), map_values(b), values_of(centre), of.sums.data_ptr<float>(),
                      b.defined() ? of.products.data_ptr<float>() : nullptr, workspace.span(), threads_);
    return of;
  }

  Moments row_moments(const Shape& shape, const at::Tensor& a) const override {
    const Moments of{at::empty({shape.channels}, at::kFloat), at::empty({shape.channels}, at::kFloat)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::row_moments(shape, map_values(a), of.mean.data_ptr<float>(), of.variance.data_ptr<float>(),
                         workspace.span(), threads_);
    return of;
  }

  void combine_rows(const Shape& shape, const Terms& terms, const at::Tensor& to) const override {
    kernels::combine_rows(shape,
                          {.a = map_values(terms.a),
                           .factor = values_of(terms.factor),
                           .b = map_values(terms.b),
                           .centre = values_of(terms.centre),
                           .slope = values_of(terms.slope),
                           .shift = values_of(terms.shift)},
                          map_memory(to), threads_);
  }

  at::Tensor gelu_squares(const Shape& shape, const at::Tensor& z, const at::Tensor& bias) const override {
    auto squares = empty_table(shape, z);
    const Workspace workspace(kernels::row_sums_workspace(shape, 1));
    kernels::gelu_squares(shape, map_values(z), values_of(bias), squares.data_ptr<float>(), workspace.span(), threads_);
    return squares;
  }

  at::Tensor gelu_scale(const Shape& shape, const at::Tensor& z, const at::Tensor& bias, const at::Tensor& factor,
                        const at::Tensor& shift) const override {
    auto y = at::empty_like(z);
    kernels::gelu_scale(shape, map_values(z), values_of(bias), values_of(factor), values_of(shift), map_memory(y),
                        threads_);
    return y;
  }

  GeluProducts gelu_products(const Shape& shape, const at::Tensor& dy, const at::Tensor& z,
                             const at::Tensor& bias) const override {
    const GeluProducts of{.products = empty_table(shape, z), .sums = at::empty_like(bias)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::gelu_products(shape, map_values(dy), map_values(z), values_of(bias), of.products.data_ptr<float>(),
                           of.sums.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  GeluGradients gelu_combine(const Shape& shape, const at::Tensor& dy, const at::Tensor& factor, const at::Tensor& z,
                             const at::Tensor& bias, const at::Tensor& slope) const override {
    const GeluGradients of{.z = at::empty_like(z), .bias = at::empty_like(bias)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::gelu_combine(shape, map_values(dy), values_of(factor), map_values(z), values_of(bias), values_of(slope),
                          map_memory(of.z), of.bias.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  LayerNormed layer_norm(const Shape& shape, const at::Tensor& x, const LayerNorm& norm) const override {
    const auto of_pixels = [&] { return at::empty({shape.images * shape.pixels}, at::kFloat); };
    const LayerNormed of{.y = empty_map(x, at::kFloat), .mean = of_pixels(), .inverse = of_pixels()};
    kernels::layer_norm(shape, map_values(x), kernel_norm(norm), of.y.data_ptr<float>(), of.mean.data_ptr<float>(),
                        of.inverse.data_ptr<float>(), threads_);
    return of;
  }

  LayerNormGradients layer_norm_backward(const Shape& shape, const at::Tensor& dy, const at::Tensor& x,
                                         const LayerNorm& norm, const at::Tensor& mean, const at::Tensor& inverse,
                                         bool wants_x) const override {
    const LayerNormGradients of{.x = wants_x ? empty_map(x) : at::Tensor(),
                                .weight = at::empty_like(norm.weight),
                                .bias = at::empty_like(norm.weight)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 3));
    kernels::layer_norm_backward(shape, values_of(dy), map_values(x), kernel_norm(norm), values_of(mean),
                                 values_of(inverse), map_memory(of.x), of.weight.data_ptr<float>(),
                                 of.bias.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  at::Tensor grn_factors(const at::Tensor& squares, const at::Tensor& gamma) const override {
    auto factor = at::empty_like(squares);
    kernels::grn_factors(table_shape(squares), values_of(gamma), memory_of(squares), memory_of(factor), threads_);
    return factor;
  }

  GrnGradients grn_gradients(const at::Tensor& products, const at::Tensor& norms,
                             const at::Tensor& gamma) const override {
    const auto of = empty_grn_gradients(norms, gamma);
    const Workspace workspace(norms.size(0));
    kernels::grn_gradients(table_shape(norms), values_of(gamma), values_of(norms), values_of(products),
                           kernel_gradients(of), workspace.span(), threads_);
    return of;
  }

  TailFactors tail_factors(int64_t images, const TailNorm& norm, const Moments& moments, double pixels, double eps,
                           const kernels::MovingNorm& moving) const override {
    const auto of = empty_tail_factors(images, norm);
    kernels::tail_factors(table_shape(of.slope), kernel_norm(norm), kernel_moments(moments, pixels), eps, moving,
                          kernel_factors(of), threads_);
    return of;
  }

  at::Tensor tail_sums(const Sums& of, const at::Tensor& mask, const at::Tensor& inverse) const override {
    auto totals = empty_table(2, inverse);
    kernels::tail_sums(table_shape(of.sums), values_of(of.sums), values_of(of.products), values_of(mask),
                       values_of(inverse), memory_of(totals), threads_);
    return totals;
  }

  TailGradients tail_gradients(int64_t images, const TailNorm& norm, const at::Tensor& inverse,
                               const at::Tensor& totals, double pixels, double ranks) const override {
    const auto of = empty_tail_gradients(images, norm);
    kernels::tail_gradients(table_shape(of.factor), kernel_norm(norm), values_of(inverse), values_of(totals), pixels,
                            ranks, kernel_gradients(of), threads_);
    return of;
  }

  GateValues squeeze_gate(const at::Tensor& sums, int64_t pixels, const Gate& gate) const override {
    const auto of = empty_gate_values(sums, gate);
    kernels::squeeze_gate(kernel_gate(gate), sums.size(0), pixels, memory_of(of.means), memory_of(of.inner),
                          memory_of(of.gate), threads_);
    return of;
  }

  GateGradients squeeze_gate_backward(const at::Tensor& products, int64_t pixels, const GateValues& values,
                                      const Gate& gate) const override {
    const GateGradients of{.shift = at::empty_like(products),
                           .gate = {.down_weight = at::empty_like(gate.down_weight),
                                    .down_bias = at::empty({gate.down_weight.size(0)}, at::kFloat),
                                    .up_weight = at::empty_like(gate.up_weight),
                                    .up_bias = at::empty({gate.up_weight.size(0)}, at::kFloat)}};
    const auto kernel = kernel_gate(gate);
    const Workspace workspace(kernels::squeeze_gate_workspace(kernel, products.size(0)));
    kernels::squeeze_gate_backward(kernel, products.size(0), pixels, kernel_values(values), values_of(products),
                                   {.shift = memory_of(of.shift),
                                    .down_weight = memory_of(of.gate.down_weight),
                                    .down_bias = memory_of(of.gate.down_bias),
                                    .up_weight = memory_of(of.gate.up_weight),
                                    .up_bias = memory_of(of.gate.up_bias)},
                                   workspace.span(), threads_);
    return of;
  }

 private:
  kernels::Parallel threads_ = intra_op_threads();
};

}  // namespace

const float* values_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

float* memory_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }

kernels::TableShape table_shape(const at::Tensor& table) {
  return {.images = table.size(0), .channels = table.size(1)};
}

kernels::LayerNorm kernel_norm(const Passes::LayerNorm& norm) {
  return {.weight = values_of(norm.weight),
          .bias = values_of(norm.bias),
          .eps = static_cast<float>(norm.eps),
          .then_gelu = norm.then_gelu};
}

kernels::TailNorm kernel_norm(const Passes::TailNorm& norm) {
  return {.weight = values_of(norm.weight),
          .bias = values_of(norm.bias),
          .scale = values_of(norm.scale),
          .mask = values_of(norm.mask)};
}

kernels::TailMoments kernel_moments(const Passes::Moments& moments, double pixels) {
  return {.mean = values_of(moments.mean), .variance = values_of(moments.variance), .pixels = pixels};
}

kernels::TailFactors kernel_factors(const Passes::TailFactors& factors) {
  return {.inverse = memory_of(factors.inverse), .slope = memory_of(factors.slope), .shift = memory_of(factors.shift)};
}

kernels::GrnGradients kernel_gradients(const Passes::GrnGradients& gradients) {
  return {
      .factor = memory_of(gradients.factor), .slope = memory_of(gradients.slope), .gamma = memory_of(gradients.gamma)};
}

kernels::SqueezeGate kernel_gate(const Passes::Gate& gate) {
  return {.channels = gate.down_weight.size(1),
          .inner = gate.down_weight.size(0),
          .down_weight = values_of(gate.down_weight),
          .down_bias = values_of(gate.down_bias),
          .up_weight = values_of(gate.up_weight),
          .up_bias = values_of(gate.up_bias)};
}

kernels::SqueezeValues kernel_values(const Passes::GateValues& values) {
  return {.means = values_of(values.means), .inner = values_of(values.inner), .gate = values_of(values.gate)};
}

Passes::GrnGradients empty_grn_gradients(const at::Tensor& norms, const at::Tensor& gamma) {
  return {.factor = at::empty_like(norms), .slope = at::empty_like(norms), .gamma = at::empty_like(gamma)};
}

Passes::TailFactors empty_tail_factors(int64_t images, const Passes::TailNorm& norm) {
  return {.inverse = at::empty_like(norm.weight),
          .slope = empty_table(images, norm.weight),
          .shift = empty_table(images, norm.weight)};
}

Passes::GateValues empty_gate_values(const at::Tensor& means, const Passes::Gate& gate) {
  return {.means = means, .inner = empty_table(means.size(0), gate.down_bias), .gate = at::empty_like(means)};
}

Passes::TailGradients empty_tail_gradients(int64_t images, const Passes::TailNorm& norm) {
  return {.factor = empty_table(images, norm.weight),
          .slope = empty_table(images, norm.weight),
          .shift = empty_table(images, norm.weight),
          .weight = at::empty_like(norm.weight),
          .bias = at::empty_like(norm.weight),
          .scale = norm.scale.defined() ? at::empty_like(norm.weight) : at::Tensor()};
}

kernels::TailGradients kernel_gradients(const Passes::TailGradients& gradients) {
  return {.factor = memory_of(gradients.factor),
          .slope = memory_of(gradients.slope),
          .shift = memory_of(gradients.shift),
          .weight = memory_of(gradients.weight),
          .bias = memory_of(gradients.bias),
          .scale = memory_of(gradients.scale)};
}

bool has_passes(const at::Tensor& map) {
#if UNIREPLK_CUDA_KERNELS
  if (map.is_cuda()) return is_kernel_input(map);
#endif
  return map.device().is_cpu() && has_cpu_passes(map.scalar_type());
}

bool takes_passes(const at::Tensor& map) {
  return has_passes(map) && (map.is_cuda() || has_cpu_passes(autocast_type(map)));
}

bool is_parameter_of(const at::Tensor& map, const at::Tensor& parameter) {
  return parameter.device() == map.device() && parameter.scalar_type() == at::kFloat && parameter.is_contiguous();
}

std::unique_ptr<const Passes> passes_for([[maybe_unused]] const at::Tensor& map) {
#if UNIREPLK_CUDA_KERNELS
  if (map.is_cuda()) return cuda::passes_for(map);
#endif
  return std::make_unique<CpuPasses>();
}

}  // namespace unireplk::ops
