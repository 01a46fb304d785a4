#include <algorithm>
#include <cstring>

#include "unireplk/kernels/cpu/targets.h"
#include "unireplk/kernels/pixels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "unireplk/kernels/cpu/resample.cpp"
#include <hwy/foreach_target.h>
// behind it
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace unireplk::kernels::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int32_t kHalf = 1 << (kResamplingBits - 1);

HWY_INLINE uint8_t rounded(int32_t sum) {
  const int32_t value = sum >> kResamplingBits;
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

// ---- one row to another width

template <int kChannels>
void narrow_row(const uint8_t* from, const Resampling& columns, uint8_t* to) {
  const int32_t* weight = columns.weights.data();
  const int64_t places = columns.places(), taps = columns.taps;
  for (int64_t x = 0; x < places; ++x, to += kChannels) {
    const uint8_t* pixel = from + columns.first[static_cast<size_t>(x)] * kChannels;
    int32_t sum[kChannels];
    for (int32_t& value : sum) value = kHalf;
    for (int64_t i = 0; i < taps; ++i, ++weight, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) sum[c] += *weight * pixel[c];
    }
    for (int c = 0; c < kChannels; ++c) to[c] = rounded(sum[c]);
  }
}

#if HWY_MAX_BYTES >= 32

// Weights have more than 16 bits: they are cut in two, so that one instruction multiplies and adds pairs of 16 bits.
constexpr int kLowBits = 12;
constexpr int kStepTaps = 4;  ///< of three channels they fill the 16 bytes of a load
constexpr int kRows = 4;      ///< that share a load of weights

using Bytes = hn::FixedTag<uint8_t, 32>;
using Shorts = hn::FixedTag<int16_t, 16>;
using Sums = hn::FixedTag<int32_t, 8>;

/// A place's weights, four taps at a time: lanes are those of kPairs.
struct StepWeights {
  int16_t low[16], high[16];
};

/// The bytes of taps 0 and 1, then 2 and 3, as pairs of 16 bits for red, green, blue and nothing.
HWY_ALIGN constexpr uint8_t kPairs[32] = {0, 128, 3, 128, 1, 128, 4,  128, 2, 128, 5,  128, 128, 128, 128, 128,
                                          6, 128, 9, 128, 7, 128, 10, 128, 8, 128, 11, 128, 128, 128, 128, 128};

HWY_INLINE void spread_weights(const Resampling& columns, int64_t steps, StepWeights* to) {
  for (int64_t x = 0; x < columns.places(); ++x) {
    const int32_t* weights = columns.weights.data() + x * columns.taps;
    for (int64_t step = 0; step < steps; ++step, ++to) {
      for (int64_t lane = 0; lane < 16; ++lane) {
        const int64_t tap = step * kStepTaps + lane / 8 * 2 + lane % 2;
        const int32_t weight = tap < columns.taps ? weights[tap] : 0;
        to->low[lane] = static_cast<int16_t>(weight & ((1 << kLowBits) - 1));
        to->high[lane] = static_cast<int16_t>(weight >> kLowBits);
      }
    }
  }
}

using Sum = hn::Vec<Sums>;

HWY_INLINE Sum add_pairs(Sum sum, hn::Vec<Shorts> pixels, hn::Vec<Shorts> weights) {
  Sum unused = hn::Zero(Sums());  // with this width all goes to the first
  return hn::ReorderWidenMulAccumulate(Sums(), pixels, weights, sum, unused);
}

/// Red, green, blue and nothing of two rows, not yet clipped, of the halves of their sums.
HWY_INLINE Sum finish_two(Sum low0, Sum high0, Sum low1, Sum high1) {
  const Sum sum0 = hn::Add(low0, hn::ShiftLeft<kLowBits>(high0)), sum1 = hn::Add(low1, hn::ShiftLeft<kLowBits>(high1));
  const Sum sums = hn::Add(hn::ConcatLowerLower(Sums(), sum1, sum0), hn::ConcatUpperUpper(Sums(), sum1, sum0));
  return hn::ShiftRight<kResamplingBits>(hn::Add(sums, hn::Set(Sums(), kHalf)));
}

/// Four rows of RGB. Reads up to 16 bytes behind the last tap's pixel.
void narrow_rows(const uint8_t* from, int64_t stride, const Resampling& columns, int64_t steps,
                 const StepWeights* weights, uint8_t* to) {
  const auto order = hn::Load(Bytes(), kPairs);
  const int64_t places = columns.places(), out_row = places * 3;
  for (int64_t x = 0; x < places; ++x, to += 3) {
    const uint8_t* pixel = from + columns.first[static_cast<size_t>(x)] * 3;
    Sum low[kRows], high[kRows];
    for (int row = 0; row < kRows; ++row) low[row] = high[row] = hn::Zero(Sums());
    for (int64_t step = 0; step < steps; ++step, ++weights, pixel += kStepTaps * 3) {
      const auto low_weights = hn::LoadU(Shorts(), weights->low), high_weights = hn::LoadU(Shorts(), weights->high);
      for (int row = 0; row < kRows; ++row) {
        const auto pairs = hn::TableLookupBytesOr0(hn::LoadDup128(Bytes(), pixel + row * stride), order);
        const auto pixels = hn::BitCast(Shorts(), pairs);
        low[row] = add_pairs(low[row], pixels, low_weights);
        high[row] = add_pairs(high[row], pixels, high_weights);
      }
    }
    // Packing works on halves: rows 0 and 2, then rows 1 and 3.
    const auto words = hn::ReorderDemote2To(Shorts(), finish_two(low[0], high[0], low[1], high[1]),
                                            finish_two(low[2], high[2], low[3], high[3]));
    uint8_t pixels[16];
    hn::StoreU(hn::DemoteTo(hn::FixedTag<uint8_t, 16>(), words), hn::FixedTag<uint8_t, 16>(), pixels);
    std::memcpy(to, pixels, 3);
    std::memcpy(to + out_row, pixels + 8, 3);
    std::memcpy(to + 2 * out_row, pixels + 4, 3);
    std::memcpy(to + 3 * out_row, pixels + 12, 3);
  }
}

constexpr int64_t kBehind = 64;  ///< bytes behind a row that narrow_rows may read

int64_t step_count(const Resampling& columns) { return (columns.taps + kStepTaps - 1) / kStepTaps; }

/// Bytes that narrow_image works in.
int64_t scratch_bytes(const PixelShape& in, const Resampling& columns) {
  if (in.channels != 3) return 0;
  return columns.places() * step_count(columns) * static_cast<int64_t>(sizeof(StepWeights)) +
         kRows * (in.row_bytes() + kBehind) + kRows * columns.places() * 3;
}

void narrow_rgb(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t* scratch) {
  const int64_t steps = step_count(columns), row = in.row_bytes(), out_row = columns.places() * 3;
  auto* weights = reinterpret_cast<StepWeights*>(scratch);
  spread_weights(columns, steps, weights);
  int64_t y = 0;
  for (; y + kRows <= in.height && (in.height - y - kRows) * row >= kBehind; y += kRows) {
    narrow_rows(from + y * row, row, columns, steps, weights, to + y * out_row);
  }
  // The last rows from a copy, behind which there is memory to read.
  auto* rows = scratch + columns.places() * steps * static_cast<int64_t>(sizeof(StepWeights));
  auto* results = rows + kRows * (row + kBehind);
  for (; y < in.height; y += kRows) {
    const int64_t count = in.height - y < kRows ? in.height - y : kRows;
    for (int64_t i = 0; i < count; ++i) std::memcpy(rows + i * (row + kBehind), from + (y + i) * row, row);
    narrow_rows(rows, row + kBehind, columns, steps, weights, results);
    std::memcpy(to + y * out_row, results, count * out_row);
  }
}

#else

int64_t scratch_bytes(const PixelShape&, const Resampling&) { return 0; }

void narrow_rgb(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t*) {
  for (int64_t y = 0; y < in.height; ++y) {
    narrow_row<3>(from + y * in.row_bytes(), columns, to + y * columns.places() * 3);
  }
}

#endif

void narrow_image(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t* scratch) {
  if (in.channels == 3) return narrow_rgb(in, from, columns, to, scratch);
  for (int64_t y = 0; y < in.height; ++y) narrow_row<1>(from + y * in.width, columns, to + y * columns.places());
}

// ---- rows to one row

using Wide = hn::ScalableTag<int32_t>;
using Narrow = hn::Rebind<uint8_t, Wide>;
constexpr int kVectors = 4;
constexpr int64_t kBlock = kVectors * static_cast<int64_t>(hn::MaxLanes(Wide()));

HWY_INLINE void sum_block(const uint8_t* from, int64_t stride, const int32_t* weights, int64_t taps, uint8_t* to) {
  constexpr int64_t kLanes = kBlock / kVectors;
  hn::Vec<Wide> sums[kVectors];
  for (auto& sum : sums) sum = hn::Set(Wide(), kHalf);
  for (int64_t i = 0; i < taps; ++i, from += stride) {
    const auto weight = hn::Set(Wide(), weights[i]);
    for (int v = 0; v < kVectors; ++v) {
      const auto bytes = hn::LoadU(Narrow(), from + v * kLanes);
      sums[v] = hn::Add(sums[v], hn::Mul(hn::PromoteTo(Wide(), bytes), weight));
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    const auto values = hn::ShiftRight<kResamplingBits>(sums[v]);
    hn::StoreU(hn::DemoteTo(Narrow(), values), Narrow(), to + v * kLanes);
  }
}

void sum_bytes(const uint8_t* from, int64_t stride, const int32_t* weights, int64_t taps, int64_t bytes, uint8_t* to) {
  for (int64_t x = 0; x < bytes; ++x) {
    int32_t sum = kHalf;
    for (int64_t i = 0; i < taps; ++i) sum += weights[i] * from[i * stride + x];
    to[x] = rounded(sum);
  }
}

void shorten_image(const PixelShape& in, const uint8_t* from, const Resampling& rows, uint8_t* to) {
  const int64_t bytes = in.row_bytes();
  for (int64_t y = 0; y < rows.places(); ++y, to += bytes) {
    const uint8_t* first = from + rows.first[static_cast<size_t>(y)] * bytes;
    const int32_t* weights = rows.weights.data() + y * rows.taps;
    if (bytes < kBlock) {
      sum_bytes(first, bytes, weights, rows.taps, bytes, to);
      continue;
    }
    for (int64_t x = 0; x + kBlock <= bytes; x += kBlock) sum_block(first + x, bytes, weights, rows.taps, to + x);
    const int64_t last = bytes - kBlock;  // some of it a second time
    if (bytes % kBlock != 0) sum_block(first + last, bytes, weights, rows.taps, to + last);
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(scratch_bytes);
HWY_EXPORT(narrow_image);
HWY_EXPORT(shorten_image);

void resample_width(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to) {
  prepare_dispatch();
  std::vector<uint8_t> scratch(static_cast<size_t>(HWY_DYNAMIC_DISPATCH(scratch_bytes)(in, columns)));
  HWY_DYNAMIC_DISPATCH(narrow_image)(in, from, columns, to, scratch.data());
}

void resample_height(const PixelShape& in, const uint8_t* from, const Resampling& rows, uint8_t* to) {
  prepare_dispatch();
  HWY_DYNAMIC_DISPATCH(shorten_image)(in, from, rows, to);
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
