#include "unireplk/kernels/squeeze_gate.h"

#include <algorithm>
#include <cmath>

#include "unireplk/kernels/cpu/layout.h"
#include "unireplk/kernels/cpu/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/squeeze_gate.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

#include "unireplk/kernels/cpu/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

constexpr int64_t kTogether = 4;  // rows of a weight, or vectors: each waits for its own last addition

template <int64_t kRows>
HWY_INLINE void multiply_rows(const float* weight, const float* x, int64_t in, const float* bias, float* to) {
  Vec sums[kRows];
  for (auto& sum : sums) sum = zero();
  for (int64_t c = 0; c < in; c += kLanes) {
    const Channels these(in, c);
    const Vec value = these.of(x);
    for (int64_t i = 0; i < kRows; ++i) sums[i] = hn::MulAdd(these.of(weight + i * in), value, sums[i]);
  }
  for (int64_t i = 0; i < kRows; ++i) to[i] = hn::GetLane(hn::SumOfLanes(Floats(), sums[i])) + bias[i];
}

/// to = weight * x + bias, of a weight [out, in].
void multiply(const float* weight, const float* x, int64_t out, int64_t in, const float* bias, float* to) {
  int64_t i = 0;
  for (; i + kTogether <= out; i += kTogether) multiply_rows<kTogether>(weight + i * in, x, in, bias + i, to + i);
  for (; i < out; ++i) multiply_rows<1>(weight + i * in, x, in, bias + i, to + i);
}

void gate_of_image(const SqueezeGate& gate, int64_t pixels, float* means, float* inner, float* to) {
  const auto count = static_cast<float>(pixels);
  for (int64_t c = 0; c < gate.channels; ++c) means[c] /= count;
  multiply(gate.down_weight, means, gate.inner, gate.channels, gate.down_bias, inner);
  for (int64_t i = 0; i < gate.inner; ++i) inner[i] = inner[i] < 0 ? 0 : inner[i];  // not-a-number stays
  multiply(gate.up_weight, inner, gate.channels, gate.inner, gate.up_bias, to);
  for (int64_t c = 0; c < gate.channels; ++c) to[c] = 1 / (1 + std::exp(-to[c]));
}

/// kVectors vectors, from channel c on, of add_rows().
template <int64_t kVectors>
HWY_INLINE void add_vectors(const float* x, const float* rows, int64_t count, int64_t width, int64_t c, float* to) {
  Vec sums[kVectors];
  for (auto& sum : sums) sum = zero();
  for (int64_t i = 0; i < count; ++i) {
    const Vec factor = all(x[i]);
    for (int64_t v = 0; v < kVectors; ++v) {
      sums[v] = hn::MulAdd(factor, Channels(width, c + v * kLanes).of(rows + i * width), sums[v]);
    }
  }
  for (int64_t v = 0; v < kVectors; ++v) Channels(width, c + v * kLanes).put(sums[v], to);
}

/// to = sum over i of x[i] * rows[i], of rows [count, width].
void add_rows(const float* x, const float* rows, int64_t count, int64_t width, float* to) {
  int64_t c = 0;
  for (; c + kTogether * kLanes <= width; c += kTogether * kLanes) add_vectors<kTogether>(x, rows, count, width, c, to);
  for (; c < width; c += kLanes) add_vectors<1>(x, rows, count, width, c, to);
}

/// \param of_up, of_down  written, [channels] and [gate.inner]: gradients of what the two linear maps give
void gradients_of_image(const SqueezeGate& gate, int64_t pixels, const SqueezeValues& values, const float* products,
                        float* of_up, float* of_down, float* shift) {
  for (int64_t c = 0; c < gate.channels; ++c) of_up[c] = products[c] * values.gate[c] * (1 - values.gate[c]);
  add_rows(of_up, gate.up_weight, gate.channels, gate.inner, of_down);
  for (int64_t i = 0; i < gate.inner; ++i) of_down[i] = of_down[i] * (values.inner[i] > 0 ? 1.0F : 0.0F);
  add_rows(of_down, gate.down_weight, gate.inner, gate.channels, shift);
  const auto count = static_cast<float>(pixels);
  for (int64_t c = 0; c < gate.channels; ++c) shift[c] /= count;
}

/// Gradients of rows of a linear map's weight [out, in]: sums over images of a row's gradient times x. All arguments
/// begin at the first of `kRows` rows.
/// \param gradient  [images, out]
template <int64_t kRows>
HWY_INLINE void add_products(const float* gradient, int64_t out, const float* x, int64_t in, int64_t images,
                             float* weight) {
  for (int64_t c = 0; c < in; c += kLanes) {
    const Channels these(in, c);
    Vec sums[kRows];
    for (auto& sum : sums) sum = zero();
    for (int64_t n = 0; n < images; ++n) {
      const Vec value = these.of(x + n * in);
      for (int64_t i = 0; i < kRows; ++i) sums[i] = hn::MulAdd(all(gradient[n * out + i]), value, sums[i]);
    }
    for (int64_t i = 0; i < kRows; ++i) these.put(sums[i], weight + i * in);
  }
}

/// Of the rows from `row` to `end`.
void gradients_of_rows(const float* gradient, int64_t out, int64_t row, int64_t end, const float* x, int64_t in,
                       int64_t images, float* weight, float* bias) {
  for (int64_t i = row; i < end; ++i) {
    double sum = 0;
    for (int64_t n = 0; n < images; ++n) sum += static_cast<double>(gradient[n * out + i]);
    bias[i] = static_cast<float>(sum);
  }
  for (; row + kTogether <= end; row += kTogether) {
    add_products<kTogether>(gradient + row, out, x, in, images, weight + row * in);
  }
  for (; row < end; ++row) add_products<1>(gradient + row, out, x, in, images, weight + row * in);
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {
namespace {

constexpr int64_t kRowsOfTask = 16;  // of a weight whose gradient is made

HWY_EXPORT(gate_of_image);
HWY_EXPORT(gradients_of_image);
HWY_EXPORT(gradients_of_rows);

}  // namespace

void squeeze_gate(const SqueezeGate& gate, int64_t images, int64_t pixels, float* means, float* inner, float* to,
                  const Parallel& parallel) {
  prepare_dispatch();
  const auto run = HWY_DYNAMIC_DISPATCH(gate_of_image);
  parallel.run(images, [&](int64_t image, int64_t) {
    run(gate, pixels, means + image * gate.channels, inner + image * gate.inner, to + image * gate.channels);
  });
}

int64_t squeeze_gate_workspace(const SqueezeGate& gate, int64_t images) {
  return line_aligned(images * gate.channels) + line_aligned(images * gate.inner);
}

void squeeze_gate_backward(const SqueezeGate& gate, int64_t images, int64_t pixels, const SqueezeValues& values,
                           const float* products, const SqueezeGradients& to, std::span<float> workspace,
                           const Parallel& parallel) {
  prepare_dispatch();
  Arena arena(workspace.data());
  float* of_up = arena.take(images * gate.channels);
  float* of_down = arena.take(images * gate.inner);
  const auto run_image = HWY_DYNAMIC_DISPATCH(gradients_of_image);
  parallel.run(images, [&](int64_t image, int64_t) {
    const int64_t row = image * gate.channels, inner = image * gate.inner;
    run_image(gate, pixels, {.means = nullptr, .inner = values.inner + inner, .gate = values.gate + row},
              products + row, of_up + row, of_down + inner, to.shift + row);
  });
  const auto run_rows = HWY_DYNAMIC_DISPATCH(gradients_of_rows);
  const int64_t downs = ceil_divide(gate.inner, kRowsOfTask), ups = ceil_divide(gate.channels, kRowsOfTask);
  parallel.run(downs + ups, [&](int64_t task, int64_t) {
    const bool is_down = task < downs;
    const int64_t row = (is_down ? task : task - downs) * kRowsOfTask;
    if (is_down) {
      return run_rows(of_down, gate.inner, row, std::min(row + kRowsOfTask, gate.inner), values.means, gate.channels,
                      images, to.down_weight, to.down_bias);
    }
    run_rows(of_up, gate.channels, row, std::min(row + kRowsOfTask, gate.channels), values.inner, gate.inner, images,
             to.up_weight, to.up_bias);
  });
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
