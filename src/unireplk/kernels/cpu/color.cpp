#include <cstring>

#include "unireplk/kernels/cpu/pixel_targets.h"
#include "unireplk/kernels/pixels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/color.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

// Mostly plain loops, which the compiler turns into vectors.
HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET != HWY_SCALAR

/// Pixels of RGB from the right end of a row, five at once; one at least is left. \return how many.
int64_t mirror_fives(const uint8_t* from, int64_t width, uint8_t* to) {
  // The byte before five pixels becomes the one behind them, which the next pixels cover.
  HWY_ALIGN constexpr uint8_t kOrder[16] = {13, 14, 15, 10, 11, 12, 7, 8, 9, 4, 5, 6, 1, 2, 3, 0};
  const hn::FixedTag<uint8_t, 16> bytes;
  const auto order = hn::Load(bytes, kOrder);
  int64_t x = 0;
  for (; x + 6 <= width; x += 5) {
    const uint8_t* last_five = from + (width - x - 5) * 3;
    hn::StoreU(hn::TableLookupBytes(hn::LoadU(bytes, last_five - 1), order), bytes, to + x * 3);
  }
  return x;
}

#else

int64_t mirror_fives(const uint8_t*, int64_t, uint8_t*) { return 0; }

#endif

void mirror_image(const PixelShape& shape, const uint8_t* from, uint8_t* to) {
  const int64_t channels = shape.channels;
  for (int64_t y = 0; y < shape.height; ++y, from += shape.row_bytes(), to += shape.row_bytes()) {
    for (int64_t x = channels == 3 ? mirror_fives(from, shape.width, to) : 0; x < shape.width; ++x) {
      std::memcpy(to + x * channels, from + (shape.width - 1 - x) * channels, static_cast<size_t>(channels));
    }
  }
}

HWY_INLINE uint8_t clipped(float value) {
  value = value > 0.0F ? value : 0.0F;
  value = value < 255.0F ? value : 255.0F;
  return static_cast<uint8_t>(static_cast<int32_t>(value));
}

HWY_INLINE uint8_t blended(int32_t from, float factor, int32_t to) {
  return clipped(static_cast<float>(from) + factor * static_cast<float>(to - from));
}

void blend_bytes(const uint8_t* HWY_RESTRICT from, float factor, uint8_t* HWY_RESTRICT to, int64_t bytes) {
  for (int64_t i = 0; i < bytes; ++i) to[i] = blended(from[i], factor, to[i]);
}

void blend_with_byte(uint8_t from, float factor, uint8_t* to, int64_t bytes) {
  for (int64_t i = 0; i < bytes; ++i) to[i] = blended(from, factor, to[i]);
}

constexpr float kSide = 1.0F / 13.0F, kMiddle = 5.0F / 13.0F;

/// The order of the sums is part of the result.
HWY_INLINE float sum_of_three(const uint8_t* at, int64_t step, float middle) {
  return static_cast<float>(at[-step]) * kSide + static_cast<float>(at[0]) * middle +
         static_cast<float>(at[step]) * kSide;
}

template <int kStep>
void smooth_row(const uint8_t* above, const uint8_t* here, const uint8_t* below, int64_t bytes,
                uint8_t* HWY_RESTRICT to) {
  for (int64_t i = kStep; i < bytes - kStep; ++i) {
    float value = 0.5F;
    value += sum_of_three(below + i, kStep, kSide);
    value += sum_of_three(here + i, kStep, kMiddle);
    value += sum_of_three(above + i, kStep, kSide);
    to[i] = static_cast<uint8_t>(static_cast<int32_t>(value));  // below 256: the weights add up to one
  }
}

void smooth_image(const PixelShape& shape, const uint8_t* from, uint8_t* to) {
  const int64_t row = shape.row_bytes();
  std::memcpy(to, from, static_cast<size_t>(row * shape.height));
  for (int64_t y = 1; y + 1 < shape.height; ++y) {
    const uint8_t* here = from + y * row;
    (shape.channels == 3 ? smooth_row<3> : smooth_row<1>)(here - row, here, here + row, row, to + y * row);
  }
}

HWY_INLINE uint32_t luma(const uint8_t* rgb) {
  return (19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 32768U) >> 16;
}

void spread_luma_of(const uint8_t* HWY_RESTRICT rgb, int64_t pixels, uint8_t* HWY_RESTRICT to) {
  for (int64_t i = 0; i < pixels; ++i) {
    const auto value = static_cast<uint8_t>(luma(rgb + 3 * i));
    to[3 * i] = value;
    to[3 * i + 1] = value;
    to[3 * i + 2] = value;
  }
}

int64_t sum_luma_of(const uint8_t* rgb, int64_t pixels) {
  constexpr int64_t kMost = int64_t{1} << 20;  // whose sum fits 32 bits
  int64_t total = 0;
  for (int64_t begin = 0; begin < pixels; begin += kMost) {
    const int64_t end = begin + kMost < pixels ? begin + kMost : pixels;
    uint32_t sum = 0;
    for (int64_t i = begin; i < end; ++i) sum += luma(rgb + 3 * i);
    total += sum;
  }
  return total;
}

using Floats = hn::ScalableTag<float>;

/// byte / 255 in float, correctly rounded. With fused products a division costs three of them, and for no byte a bit.
HWY_INLINE hn::Vec<Floats> share_of_255(const uint8_t* bytes) {
  const Floats tag;
  const auto ints = hn::PromoteTo(hn::Rebind<int32_t, Floats>(), hn::LoadU(hn::Rebind<uint8_t, Floats>(), bytes));
  const auto value = hn::ConvertTo(tag, ints), all = hn::Set(tag, 255.0F);
#if HWY_NATIVE_FMA
  const auto inverse = hn::Set(tag, 1.0F / 255.0F), near = hn::Mul(value, inverse);
  return hn::MulAdd(hn::NegMulAdd(near, all, value), inverse, near);
#else
  return hn::Div(value, all);
#endif
}

constexpr int64_t kPeriod = 48;  ///< a multiple of the channels and of any vector

void normalise_bytes(const uint8_t* from, int64_t bytes, int64_t channels, const float* mean, const float* deviation,
                     float* to) {
  const Floats tag;
  float means[kPeriod], deviations[kPeriod];
  for (int64_t i = 0; i < kPeriod; ++i) {
    means[i] = mean[i % channels];
    deviations[i] = deviation[i % channels];
  }
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  int64_t begin = 0;
  for (; begin + kPeriod <= bytes; begin += kPeriod) {
    for (int64_t i = 0; i < kPeriod; i += lanes) {
      const auto centred = hn::Sub(share_of_255(from + begin + i), hn::LoadU(tag, means + i));
      hn::StoreU(hn::Div(centred, hn::LoadU(tag, deviations + i)), tag, to + begin + i);
    }
  }
  for (int64_t i = 0; begin + i < bytes; ++i) {
    to[begin + i] = (static_cast<float>(from[begin + i]) / 255.0F - means[i]) / deviations[i];
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(mirror_image);
HWY_EXPORT(blend_bytes);
HWY_EXPORT(blend_with_byte);
HWY_EXPORT(smooth_image);
HWY_EXPORT(spread_luma_of);
HWY_EXPORT(sum_luma_of);
HWY_EXPORT(normalise_bytes);

void mirror(const PixelShape& shape, const uint8_t* from, uint8_t* to) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(mirror_image)(shape, from, to);
}

void blend(const uint8_t* from, float factor, uint8_t* to, int64_t bytes) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(blend_bytes)(from, factor, to, bytes);
}

void blend(uint8_t from, float factor, uint8_t* to, int64_t bytes) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(blend_with_byte)(from, factor, to, bytes);
}

void smooth(const PixelShape& shape, const uint8_t* from, uint8_t* to) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(smooth_image)(shape, from, to);
}

void spread_luma(const uint8_t* rgb, int64_t pixels, uint8_t* to) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(spread_luma_of)(rgb, pixels, to);
}

int64_t sum_luma(const uint8_t* rgb, int64_t pixels) {
  prepare_dispatch();
  return HWY_DYNAMIC_DISPATCH(sum_luma_of)(rgb, pixels);
}

void normalise(const uint8_t* from, int64_t pixels, int64_t channels, const float* mean, const float* deviation,
               float* to) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(normalise_bytes)(from, pixels * channels, channels, mean, deviation, to);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
