#include "unireplk/ops/passes.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include "unireplk/kernels/gelu_grn.h"
#include "unireplk/kernels/row_passes.h"
#include "unireplk/kernels/squeeze_gate.h"
#if UNIREPLK_CUDA_KERNELS
#include "unireplk/ops/cuda/passes.h"
#endif
#include "unireplk/ops/map.h"
#include "unireplk/ops/parallel.h"
#include "unireplk/ops/rows.h"

namespace unireplk::ops {
namespace {

/// float32 on the CPU; the same bits for any number of threads.
class CpuPasses : public Passes {
 public:
  Sums sum_rows(const Shape& shape, const at::Tensor& a, const at::Tensor& b, const at::Tensor& centre) const override {
    Sums of{.sums = empty_table(shape, a), .products = {}};
    if (b.defined()) of.products = empty_table(shape, a);
    const Workspace workspace(kernels::row_sums_workspace(shape, b.defined() ? 2 : 1));
    kernels::sum_rows(shape, values_of(a), values_of(b), values_of(centre), of.sums.data_ptr<float>(),
                      b.defined() ? of.products.data_ptr<float>() : nullptr, workspace.span(), threads_);
    return of;
  }

  Moments row_moments(const Shape& shape, const at::Tensor& a) const override {
    const Moments of{at::empty({shape.channels}, at::kFloat), at::empty({shape.channels}, at::kFloat)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::row_moments(shape, values_of(a), of.mean.data_ptr<float>(), of.variance.data_ptr<float>(),
                         workspace.span(), threads_);
    return of;
  }

  void combine_rows(const Shape& shape, const Terms& terms, const at::Tensor& to) const override {
    kernels::combine_rows(shape,
                          {.a = values_of(terms.a),
                           .factor = values_of(terms.factor),
                           .b = values_of(terms.b),
                           .centre = values_of(terms.centre),
                           .slope = values_of(terms.slope),
                           .shift = values_of(terms.shift)},
                          to.data_ptr<float>(), threads_);
  }

  at::Tensor gelu_squares(const Shape& shape, const at::Tensor& z, const at::Tensor& bias) const override {
    auto squares = empty_table(shape, z);
    const Workspace workspace(kernels::row_sums_workspace(shape, 1));
    kernels::gelu_squares(shape, values_of(z), values_of(bias), squares.data_ptr<float>(), workspace.span(), threads_);
    return squares;
  }

  at::Tensor gelu_scale(const Shape& shape, const at::Tensor& z, const at::Tensor& bias, const at::Tensor& factor,
                        const at::Tensor& shift) const override {
    auto y = at::empty_like(z);
    kernels::gelu_scale(shape, values_of(z), values_of(bias), values_of(factor), values_of(shift), y.data_ptr<float>(),
                        threads_);
    return y;
  }

  GeluProducts gelu_products(const Shape& shape, const at::Tensor& dy, const at::Tensor& z,
                             const at::Tensor& bias) const override {
    const GeluProducts of{.products = empty_table(shape, z), .sums = at::empty_like(bias)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::gelu_products(shape, values_of(dy), values_of(z), values_of(bias), of.products.data_ptr<float>(),
                           of.sums.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  GeluGradients gelu_combine(const Shape& shape, const at::Tensor& dy, const at::Tensor& factor, const at::Tensor& z,
                             const at::Tensor& bias, const at::Tensor& slope) const override {
    const GeluGradients of{.z = at::empty_like(z), .bias = at::empty_like(bias)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::gelu_combine(shape, values_of(dy), values_of(factor), values_of(z), values_of(bias), values_of(slope),
                          of.z.data_ptr<float>(), of.bias.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  LayerNormed layer_norm(const Shape& shape, const at::Tensor& x, const LayerNorm& norm) const override {
    const auto of_pixels = [&] { return at::empty({shape.images * shape.pixels}, at::kFloat); };
    const LayerNormed of{.y = empty_map(x), .mean = of_pixels(), .inverse = of_pixels()};
    kernels::layer_norm(shape, values_of(x), kernel_norm(norm), of.y.data_ptr<float>(), of.mean.data_ptr<float>(),
                        of.inverse.data_ptr<float>(), threads_);
    return of;
  }

  LayerNormGradients layer_norm_backward(const Shape& shape, const at::Tensor& dy, const at::Tensor& x,
                                         const LayerNorm& norm, const at::Tensor& mean, const at::Tensor& inverse,
                                         bool wants_x) const override {
    const LayerNormGradients of{.x = wants_x ? empty_map(x) : at::Tensor(),
                                .weight = at::empty_like(norm.weight),
                                .bias = at::empty_like(norm.weight)};
    const Workspace workspace(kernels::row_sums_workspace(shape, 2));
    kernels::layer_norm_backward(shape, values_of(dy), values_of(x), kernel_norm(norm), values_of(mean),
                                 values_of(inverse), wants_x ? of.x.data_ptr<float>() : nullptr,
                                 of.weight.data_ptr<float>(), of.bias.data_ptr<float>(), workspace.span(), threads_);
    return of;
  }

  Gate squeeze_gate(const at::Tensor& means, const at::Tensor& down_weight, const at::Tensor& down_bias,
                    const at::Tensor& up_weight, const at::Tensor& up_bias) const override {
    const Gate of{.inner = at::empty({means.size(0), down_weight.size(0)}, at::kFloat), .gate = at::empty_like(means)};
    kernels::squeeze_gate({.channels = means.size(1),
                           .inner = down_weight.size(0),
                           .down_weight = values_of(down_weight),
                           .down_bias = values_of(down_bias),
                           .up_weight = values_of(up_weight),
                           .up_bias = values_of(up_bias)},
                          means.size(0), values_of(means), of.inner.data_ptr<float>(), of.gate.data_ptr<float>(),
                          threads_);
    return of;
  }

 private:
  kernels::Parallel threads_ = intra_op_threads();
};

}  // namespace

const float* values_of(const at::Tensor& tensor) { return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr; }

kernels::LayerNorm kernel_norm(const Passes::LayerNorm& norm) {
  return {.weight = values_of(norm.weight),
          .bias = values_of(norm.bias),
          .eps = static_cast<float>(norm.eps),
          .then_gelu = norm.then_gelu};
}

bool has_passes(const at::Tensor& map) {
#if UNIREPLK_CUDA_KERNELS
  if (map.is_cuda()) return is_kernel_input(map);
#endif
  return is_plain_float(map);
}

bool takes_passes(const at::Tensor& map) { return has_passes(map) && (map.is_cuda() || stays_plain_float(map)); }

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
