#include "unireplk/ops/normalise.h"

#include <ATen/ops/empty.h>

#include "unireplk/core/error.h"
#include "unireplk/kernels/pixels.h"
#include "unireplk/ops/parallel.h"

namespace unireplk::ops {
namespace {

at::Tensor normalise_by_kernel(const at::Tensor& image, const at::Tensor& mean, const at::Tensor& deviation) {
  const at::Tensor bytes = image.contiguous(), means = mean.contiguous(), deviations = deviation.contiguous();
  const at::Tensor out = at::empty(bytes.sizes(), bytes.options().dtype(at::kFloat));
  const int64_t channels = bytes.size(3), pixels = bytes.size(1) * bytes.size(2);
  const auto* from = bytes.const_data_ptr<uint8_t>();
  auto* to = out.mutable_data_ptr<float>();
  intra_op_threads().run(bytes.size(0), [&](int64_t i, int64_t) {
    const int64_t first = i * pixels * channels;
    kernels::normalise(from + first, pixels, channels, means.const_data_ptr<float>(),
                       deviations.const_data_ptr<float>(), to + first);
  });
  return out.permute({0, 3, 1, 2});
}

}  // namespace

at::Tensor normalise(const at::Tensor& image, const at::Tensor& mean, const at::Tensor& deviation) {
  UNIREPLK_CHECK(image.dim() == 4 && image.scalar_type() == at::kByte && image.size(3) == mean.numel() &&
                     mean.numel() == deviation.numel(),
                 "expected a uint8 image [B, H, W, {}], got {} [{}]", mean.numel(), c10::toString(image.scalar_type()),
                 fmt::join(image.sizes(), ", "));
  const bool has_kernel = image.is_cpu() && (image.size(3) == 1 || image.size(3) == 3);
  if (has_kernel) return normalise_by_kernel(image, mean, deviation);
  // The permuted view of rows x columns x channels is a channels_last map already, and `to` keeps its strides.
  return image.permute({0, 3, 1, 2})
      .to(at::kFloat)
      .div_(255)
      .sub_(mean.reshape({-1, 1, 1}))
      .div_(deviation.reshape({-1, 1, 1}));
}

}  // namespace unireplk::ops
