#include "unireplk/ops/products.h"

#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>

#include "unireplk/core/error.h"
#include "unireplk/ops/onednn.h"
#include "unireplk/ops/shape_text.h"

namespace unireplk::ops {
namespace {

/// Rows as the pixels of one image, [1, columns, 1, rows] in channels_last.
at::Tensor as_map(const at::Tensor& rows) {
  const int64_t count = rows.size(0), columns = rows.size(1);
  return rows.as_strided({1, columns, 1, count}, {count * columns, 1, count * columns, columns});
}

at::Tensor multiply_mkl(ProductPass pass, const at::Tensor& a, const at::Tensor& b) {
  if (pass == ProductPass::kForward) return at::linear(a, b);
  return pass == ProductPass::kData ? at::mm(a, b) : at::mm(a.t(), b);
}

/// The gradient of weights as that of a convolution of single pixels: LibTorch has no other way to it by oneDNN. For
/// gradients of maps such convolutions are slow.
at::Tensor weight_gradient_onednn(const at::Tensor& dy, const at::Tensor& x) {
  const auto filters = dy.new_empty({dy.size(1), x.size(1), 1, 1});  // their shape alone matters
  const auto gradients = at::convolution_backward(as_map(dy), as_map(x), filters, at::OptionalIntArrayRef(), {1, 1},
                                                  {0, 0}, {1, 1}, false, {0, 0}, 1, {false, true, false});
  return std::get<1>(gradients).reshape({dy.size(1), x.size(1)});
}

at::Tensor multiply_onednn(ProductPass pass, const at::Tensor& a, const at::Tensor& b) {
  if (pass == ProductPass::kWeight) return weight_gradient_onednn(a, b);
  return onednn_linear(a, pass == ProductPass::kForward ? b : b.t(), std::nullopt, "none");
}

}  // namespace

bool can_multiply(Library library) { return library == Library::kMkl || has_onednn(); }

at::Tensor multiply(Library library, ProductPass pass, const at::Tensor& a, const at::Tensor& b) {
  const bool fits = a.dim() == 2 && b.dim() == 2 &&
                    (pass == ProductPass::kForward ? a.size(1) == b.size(1)
                     : pass == ProductPass::kData  ? a.size(1) == b.size(0)
                                                   : a.size(0) == b.size(0));
  UNIREPLK_CHECK(fits && a.numel() > 0 && b.numel() > 0, "multiply: {} does not fit {} ({})", shape_text(a),
                 shape_text(b), to_text(pass));
  UNIREPLK_CHECK(can_multiply(library), "multiply: LibTorch has no {} here", to_text(library));
  return library == Library::kMkl ? multiply_mkl(pass, a, b) : multiply_onednn(pass, a, b);
}

}  // namespace unireplk::ops
