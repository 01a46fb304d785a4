#include <algorithm>
#include <cstring>

#include "unireplk/kernels/cpu/pixel_targets.h"
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

/// Rows lie beside each other, each in 16 bytes of a vector.
using Bytes = hn::CappedTag<uint8_t, 64>;
using Shorts = hn::Repartition<int16_t, Bytes>;
using Sums = hn::Repartition<int32_t, Bytes>;
using Sum = hn::Vec<Sums>;
constexpr int64_t kRows = static_cast<int64_t>(hn::MaxLanes(Bytes()) / 16);

/// Two taps of a place: 16 bits each.
struct PairWeights {
  int32_t low, high;
};

int64_t pair_count(const Resampling& columns) { return (columns.taps + 1) / 2; }

int32_t two_shorts(int32_t first, int32_t second) {
  return static_cast<int32_t>((static_cast<uint32_t>(first) & 0xFFFFU) | (static_cast<uint32_t>(second) << 16));
}

void spread_weights(const Resampling& columns, PairWeights* to) {
  constexpr int32_t kLowMask = (1 << kLowBits) - 1;
  const int32_t* weights = columns.weights.data();
  for (int64_t x = 0; x < columns.places(); ++x, weights += columns.taps) {
    for (int64_t tap = 0; tap < columns.taps; tap += 2, ++to) {
      const int32_t first = weights[tap], second = tap + 1 < columns.taps ? weights[tap + 1] : 0;
      to->low = two_shorts(first & kLowMask, second & kLowMask);
      to->high = two_shorts(first >> kLowBits, second >> kLowBits);
    }
  }
}

HWY_INLINE hn::Vec<Bytes> load_rows(const uint8_t* pixel, int64_t stride) {
  const hn::FixedTag<uint8_t, 16> one;
  const hn::FixedTag<uint8_t, 32> two;
  const auto first = hn::Combine(two, hn::LoadU(one, pixel + stride), hn::LoadU(one, pixel));
#if HWY_MAX_BYTES >= 64
  const auto second = hn::Combine(two, hn::LoadU(one, pixel + 3 * stride), hn::LoadU(one, pixel + 2 * stride));
  return hn::Combine(Bytes(), second, first);
#else
  return first;
#endif
}

/// Bytes of two taps as pairs of 16 bits for red, green, blue and nothing, from a row of pixels.
HWY_ALIGN constexpr uint8_t kFirstPair[16] = {0, 128, 3, 128, 1, 128, 4, 128, 2, 128, 5, 128, 128, 128, 128, 128};
HWY_ALIGN constexpr uint8_t kSecondPair[16] = {6, 128, 9, 128, 7, 128, 10, 128, 8, 128, 11, 128, 128, 128, 128, 128};

struct RowSums {
  HWY_INLINE RowSums() : low(hn::Set(Sums(), kHalf)), high(hn::Zero(Sums())) {}

  HWY_INLINE void add(hn::Vec<Bytes> rows, hn::Vec<Bytes> order, const PairWeights& weights) {
    const auto pixels = hn::BitCast(Shorts(), hn::TableLookupBytesOr0(rows, order));
    Sum unused = hn::Zero(Sums());  // with these widths all goes to the first
    low =
        hn::ReorderWidenMulAccumulate(Sums(), pixels, hn::BitCast(Shorts(), hn::Set(Sums(), weights.low)), low, unused);
    high = hn::ReorderWidenMulAccumulate(Sums(), pixels, hn::BitCast(Shorts(), hn::Set(Sums(), weights.high)), high,
                                         unused);
  }

  /// Red, green, blue and nothing of each row, clipped.
  HWY_INLINE void store(uint8_t* to) const {
    const hn::Rebind<uint8_t, Sums> bytes;
    const Sum sum = hn::Add(low, hn::ShiftLeft<kLowBits>(high));
    hn::StoreU(hn::DemoteTo(bytes, hn::ShiftRight<kResamplingBits>(sum)), bytes, to);
  }

  Sum low, high;
};

/// One place of kRows rows. Reads up to 16 bytes from the last pair's first pixel on.
template <int kBytes>
HWY_INLINE void narrow_place(const uint8_t* pixel, int64_t stride, int64_t pairs, const PairWeights* weights,
                             uint8_t* to, int64_t out_row) {
  const auto first = hn::LoadDup128(Bytes(), kFirstPair), second = hn::LoadDup128(Bytes(), kSecondPair);
  RowSums sums;
  int64_t i = 0;
  for (; i + 2 <= pairs; i += 2, pixel += 12) {
    const auto rows = load_rows(pixel, stride);
    sums.add(rows, first, weights[i]);
    sums.add(rows, second, weights[i + 1]);
  }
  if (i < pairs) sums.add(load_rows(pixel, stride), first, weights[i]);
  uint8_t channels[4 * kRows];
  sums.store(channels);
  for (int64_t row = 0; row < kRows; ++row) std::memcpy(to + row * out_row, channels + 4 * row, kBytes);
}

/// kRows rows of RGB.
void narrow_rows(const uint8_t* from, int64_t stride, const Resampling& columns, const PairWeights* weights,
                 uint8_t* to) {
  const int64_t last = columns.places() - 1, out_row = columns.places() * 3, pairs = pair_count(columns);
  const int32_t* first = columns.first.data();
  for (int64_t x = 0; x < last; ++x, weights += pairs) {  // a fourth byte, which the next place covers
    narrow_place<4>(from + first[x] * 3, stride, pairs, weights, to + 3 * x, out_row);
  }
  narrow_place<3>(from + first[last] * 3, stride, pairs, weights, to + 3 * last, out_row);
}

constexpr int64_t kBehind = 64;  ///< bytes behind a row that narrow_rows may read

int64_t weight_bytes(const Resampling& columns) {
  return columns.places() * pair_count(columns) * static_cast<int64_t>(sizeof(PairWeights));
}

/// Bytes that narrow_image works in.
int64_t scratch_bytes(const PixelShape& in, const Resampling& columns) {
  if (in.channels != 3) return 0;
  return weight_bytes(columns) + kRows * (in.row_bytes() + kBehind) + kRows * columns.places() * 3;
}

void narrow_rgb(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t* scratch) {
  const int64_t row = in.row_bytes(), out_row = columns.places() * 3;
  auto* weights = reinterpret_cast<PairWeights*>(scratch);
  spread_weights(columns, weights);
  int64_t y = 0;
  for (; y + kRows <= in.height && (in.height - y - kRows) * row >= kBehind; y += kRows) {
    narrow_rows(from + y * row, row, columns, weights, to + y * out_row);
  }
  // The last rows from a copy, behind which there is memory to read.
  auto* rows = scratch + weight_bytes(columns);
  auto* results = rows + kRows * (row + kBehind);
  for (; y < in.height; y += kRows) {
    const int64_t count = in.height - y < kRows ? in.height - y : kRows;
    for (int64_t i = 0; i < count; ++i) std::memcpy(rows + i * (row + kBehind), from + (y + i) * row, row);
    narrow_rows(rows, row + kBehind, columns, weights, results);
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
