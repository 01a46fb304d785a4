#include <algorithm>
#include <cstring>

#include "unireplk/kernels/cpu/pixel_targets.h"
#include "unireplk/kernels/cpu/scratch.h"
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

void narrow_plainly(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to) {
  for (int64_t y = 0; y < in.height; ++y, from += in.row_bytes(), to += columns.places() * in.channels) {
    in.channels == 3 ? narrow_row<3>(from, columns, to) : narrow_row<1>(from, columns, to);
  }
}

#if HWY_MAX_BYTES >= 32

// Weights have more than 16 bits: they are cut in two, so that one instruction multiplies and adds pairs of 16 bits.
constexpr int kLowBits = 12;

using Bytes = hn::FixedTag<uint8_t, 32>;
using Shorts = hn::Repartition<int16_t, Bytes>;
using Sums = hn::Repartition<int32_t, Bytes>;
using Sum = hn::Vec<Sums>;

/// Weights of two neighbours: 16 bits each.
struct PairWeights {
  int32_t low, high;
};

HWY_INLINE int32_t two_shorts(int32_t first, int32_t second) {
  return static_cast<int32_t>((static_cast<uint32_t>(first) & 0xFFFFU) | (static_cast<uint32_t>(second) << 16));
}

HWY_INLINE PairWeights pair_of(int32_t first, int32_t second) {
  constexpr int32_t kLowMask = (1 << kLowBits) - 1;
  return {two_shorts(first & kLowMask, second & kLowMask), two_shorts(first >> kLowBits, second >> kLowBits)};
}

/// Sums of products of pairs of 16 bits, for eight results.
struct PairSum {
  HWY_INLINE PairSum() : low(hn::Set(Sums(), kHalf)), high(hn::Zero(Sums())) {}

  HWY_INLINE void add(hn::Vec<Shorts> pairs, hn::Vec<Shorts> low_weights, hn::Vec<Shorts> high_weights) {
    Sum unused = hn::Zero(Sums());  // with these widths all goes to the first
    low = hn::ReorderWidenMulAccumulate(Sums(), pairs, low_weights, low, unused);
    high = hn::ReorderWidenMulAccumulate(Sums(), pairs, high_weights, high, unused);
  }

  /// Rounded, not clipped.
  HWY_INLINE Sum value() const { return hn::ShiftRight<kResamplingBits>(hn::Add(low, hn::ShiftLeft<kLowBits>(high))); }

  Sum low, high;
};

HWY_INLINE hn::Vec<Shorts> in_all_lanes(int32_t two) { return hn::BitCast(Shorts(), hn::Set(Sums(), two)); }

// ---- rows of RGB to another width: 16 rows at once, turned so that neighbours in a vector are those of a column

constexpr int64_t kRows = 16;
constexpr int64_t kTurned = 32;  ///< columns of bytes that are turned at once

/// The 16 x 16 bytes of each half, turned.
HWY_INLINE void turn(hn::Vec<Bytes> (&v)[kRows]) {
  for (int pass = 0; pass < 4; ++pass) {
    hn::Vec<Bytes> next[kRows];
    for (int64_t i = 0; i < kRows / 2; ++i) {
      next[2 * i] = hn::InterleaveLower(Bytes(), v[i], v[i + kRows / 2]);
      next[2 * i + 1] = hn::InterleaveUpper(Bytes(), v[i], v[i + kRows / 2]);
    }
    for (int64_t i = 0; i < kRows; ++i) v[i] = next[i];
  }
}

/// What narrow_rows works in.
struct Turned {
  Turned(const PixelShape& in, const Resampling& columns, uint8_t* memory)
      : pairs_of_place(columns.taps / 2 + 1),
        pairs((in.width + 1) / 2 + 1),
        pixels(reinterpret_cast<int16_t*>(memory)),
        bytes(memory + pairs * 3 * kRows * 4),
        results(bytes + pairs * 6 * kRows),
        weights(reinterpret_cast<PairWeights*>(results + columns.places() * 3 * kRows)) {}

  static int64_t size(const PixelShape& in, const Resampling& columns) {
    return ((in.width + 1) / 2 + 1) * 18 * kRows + columns.places() * 3 * kRows +
           columns.places() * (columns.taps / 2 + 1) * static_cast<int64_t>(sizeof(PairWeights));
  }

  int64_t pairs_of_place;
  int64_t pairs;         ///< of neighbours of a row, the first of which is even
  int16_t* pixels;       ///< [pairs][channels][rows][2]
  uint8_t* bytes;        ///< [columns of bytes][rows]
  uint8_t* results;      ///< [columns of bytes][rows], in the order of kOrder
  PairWeights* weights;  ///< [places][pairs_of_place], from an even neighbour on
};

/// Row of each result, as packing leaves them.
constexpr int64_t kOrder[kRows] = {0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15};

void spread_weights(const Resampling& columns, const Turned& turned) {
  PairWeights* to = turned.weights;
  const int32_t* weights = columns.weights.data();
  for (int64_t x = 0; x < columns.places(); ++x, weights += columns.taps) {
    const auto weight = [&](int64_t tap) { return tap >= 0 && tap < columns.taps ? weights[tap] : 0; };
    const int64_t odd = columns.first[static_cast<size_t>(x)] % 2;
    for (int64_t i = 0; i < turned.pairs_of_place; ++i) *to++ = pair_of(weight(2 * i - odd), weight(2 * i + 1 - odd));
  }
}

/// \param rows  16 of `row_bytes`, at least kTurned.
void turn_rows(const uint8_t* const* rows, int64_t row_bytes, const Turned& turned) {
  const hn::Half<Bytes> half;
  for (int64_t begin = 0; begin < row_bytes; begin += kTurned) {
    const int64_t first = begin + kTurned <= row_bytes ? begin : row_bytes - kTurned;  // some of it a second time
    hn::Vec<Bytes> v[kRows];
    for (int64_t i = 0; i < kRows; ++i) v[i] = hn::LoadU(Bytes(), rows[i] + first);
    turn(v);
    uint8_t* to = turned.bytes + first * kRows;
    for (int64_t i = 0; i < kRows; ++i) {
      hn::Store(hn::LowerHalf(half, v[i]), half, to + i * kRows);
      hn::Store(hn::UpperHalf(half, v[i]), half, to + (i + kRows) * kRows);
    }
  }
}

/// Each byte beside that of the pixel to the right, as 16 bits.
void pair_pixels(const Turned& turned) {
  const hn::Half<Bytes> half;
  const uint8_t* from = turned.bytes;
  int16_t* to = turned.pixels;
  for (int64_t pair = 0; pair < turned.pairs; ++pair, from += 6 * kRows) {
    for (int64_t c = 0; c < 3; ++c, to += 2 * kRows) {
      const auto left = hn::Load(half, from + c * kRows), right = hn::Load(half, from + (c + 3) * kRows);
      hn::Store(hn::PromoteTo(Shorts(), hn::InterleaveLower(half, left, right)), Shorts(), to);
      hn::Store(hn::PromoteTo(Shorts(), hn::InterleaveUpper(half, left, right)), Shorts(), to + kRows);
    }
  }
}

/// Eight rows of a place, so that all sums stay in registers.
HWY_INLINE void sum_half(const int16_t* pixels, int64_t pairs, const PairWeights* weights, Sum* values) {
  PairSum red, green, blue;
  for (int64_t i = 0; i < pairs; ++i, pixels += 6 * kRows) {
    const auto low = in_all_lanes(weights[i].low), high = in_all_lanes(weights[i].high);
    red.add(hn::Load(Shorts(), pixels), low, high);
    green.add(hn::Load(Shorts(), pixels + 2 * kRows), low, high);
    blue.add(hn::Load(Shorts(), pixels + 4 * kRows), low, high);
  }
  values[0] = red.value();
  values[1] = green.value();
  values[2] = blue.value();
}

void sum_place(const int16_t* pixels, int64_t pairs, const PairWeights* weights, uint8_t* to) {
  Sum upper[3], lower[3];
  sum_half(pixels, pairs, weights, upper);
  sum_half(pixels + kRows, pairs, weights, lower);
  const hn::Half<Bytes> half;
  for (int64_t c = 0; c < 3; ++c) {
    hn::Store(hn::DemoteTo(half, hn::ReorderDemote2To(Shorts(), upper[c], lower[c])), half, to + c * kRows);
  }
}

/// \param rows  16 of `row_bytes`, at least kTurned. Some may be the same.
void turn_back(const Turned& turned, int64_t row_bytes, uint8_t* const* rows) {
  const hn::Half<Bytes> half;
  for (int64_t begin = 0; begin < row_bytes; begin += kTurned) {
    const int64_t first = begin + kTurned <= row_bytes ? begin : row_bytes - kTurned;
    const uint8_t* from = turned.results + first * kRows;
    hn::Vec<Bytes> v[kRows];
    for (int64_t i = 0; i < kRows; ++i) {
      v[i] = hn::Combine(Bytes(), hn::Load(half, from + (i + kRows) * kRows), hn::Load(half, from + i * kRows));
    }
    turn(v);
    for (int64_t i = 0; i < kRows; ++i) hn::StoreU(v[i], Bytes(), rows[kOrder[i]] + first);
  }
}

void narrow_turned(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to,
                   const Turned& turned) {
  const int64_t row = in.row_bytes(), out_row = columns.places() * 3;
  std::memset(turned.bytes + row * kRows, 0, (turned.pairs * 6 - row) * kRows);
  spread_weights(columns, turned);
  for (int64_t y = 0; y < in.height; y += kRows) {
    // The last block begins earlier, or has its last row several times.
    const int64_t first = y + kRows <= in.height ? y : in.height > kRows ? in.height - kRows : 0;
    const uint8_t* rows[kRows];
    uint8_t* results[kRows];
    for (int64_t i = 0; i < kRows; ++i) {
      const int64_t here = first + i < in.height ? first + i : in.height - 1;
      rows[i] = from + here * row;
      results[i] = to + here * out_row;
    }
    turn_rows(rows, row, turned);
    pair_pixels(turned);
    for (int64_t x = 0; x < columns.places(); ++x) {
      const int64_t pair = columns.first[static_cast<size_t>(x)] / 2;
      sum_place(turned.pixels + pair * 6 * kRows, turned.pairs_of_place, turned.weights + x * turned.pairs_of_place,
                turned.results + x * 3 * kRows);
    }
    turn_back(turned, out_row, results);
  }
}

bool is_turned(const PixelShape& in, const Resampling& columns) {
  return in.channels == 3 && in.row_bytes() >= kTurned && columns.places() * 3 >= kTurned;
}

/// Bytes that narrow_image works in, from a multiple of 32 on.
int64_t scratch_bytes(const PixelShape& in, const Resampling& columns) {
  return is_turned(in, columns) ? Turned::size(in, columns) : 0;
}

void narrow_image(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t* scratch) {
  if (is_turned(in, columns)) return narrow_turned(in, from, columns, to, Turned(in, columns, scratch));
  narrow_plainly(in, from, columns, to);
}

// ---- rows to one row

constexpr int64_t kBlock = 32;

/// Bytes of two rows beside each other.
struct TwoRows {
  HWY_INLINE TwoRows(const uint8_t* above, const uint8_t* below) {
    const Bytes tag;
    const auto a = hn::LoadU(tag, above), b = hn::LoadU(tag, below), zero = hn::Zero(tag);
    const auto lower = hn::InterleaveLower(tag, a, b), upper = hn::InterleaveUpper(tag, a, b);
    pairs[0] = hn::BitCast(Shorts(), hn::InterleaveLower(tag, lower, zero));
    pairs[1] = hn::BitCast(Shorts(), hn::InterleaveUpper(tag, lower, zero));
    pairs[2] = hn::BitCast(Shorts(), hn::InterleaveLower(tag, upper, zero));
    pairs[3] = hn::BitCast(Shorts(), hn::InterleaveUpper(tag, upper, zero));
  }
  hn::Vec<Shorts> pairs[4];
};

using RowWeights = PairWeights;

int64_t row_weights_of(int64_t taps) { return (taps + 1) / 2; }

void prepare_row(const int32_t* weights, int64_t taps, PairWeights* to) {
  for (int64_t i = 0; i < taps; i += 2) *to++ = pair_of(weights[i], i + 1 < taps ? weights[i + 1] : 0);
}

HWY_INLINE void sum_block(const uint8_t* from, int64_t stride, const PairWeights* weights, int64_t taps, uint8_t* to) {
  PairSum sums[4];
  for (int64_t i = 0; i < taps; i += 2, from += 2 * stride, ++weights) {
    const auto low = in_all_lanes(weights->low), high = in_all_lanes(weights->high);
    const TwoRows rows(from, i + 1 < taps ? from + stride : from);
    for (int64_t p = 0; p < 4; ++p) sums[p].add(rows.pairs[p], low, high);
  }
  // Interleaving works on halves, and so does packing.
  const hn::Half<Bytes> half;
  const hn::Repartition<uint64_t, decltype(half)> eights;
  const auto lower = hn::DemoteTo(half, hn::ReorderDemote2To(Shorts(), sums[0].value(), sums[1].value()));
  const auto upper = hn::DemoteTo(half, hn::ReorderDemote2To(Shorts(), sums[2].value(), sums[3].value()));
  const auto a = hn::BitCast(eights, lower), b = hn::BitCast(eights, upper);
  hn::StoreU(hn::BitCast(half, hn::InterleaveLower(eights, a, b)), half, to);
  hn::StoreU(hn::BitCast(half, hn::InterleaveUpper(eights, a, b)), half, to + kBlock / 2);
}

#else

int64_t scratch_bytes(const PixelShape&, const Resampling&) { return 0; }

void narrow_image(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to, uint8_t*) {
  narrow_plainly(in, from, columns, to);
}

// ---- rows to one row

using RowWeights = int32_t;

int64_t row_weights_of(int64_t taps) { return taps; }

void prepare_row(const int32_t* weights, int64_t taps, int32_t* to) { std::copy_n(weights, taps, to); }

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

#endif

void sum_bytes(const uint8_t* from, int64_t stride, const int32_t* weights, int64_t taps, int64_t bytes, uint8_t* to) {
  for (int64_t x = 0; x < bytes; ++x) {
    int32_t sum = kHalf;
    for (int64_t i = 0; i < taps; ++i) sum += weights[i] * from[i * stride + x];
    to[x] = rounded(sum);
  }
}

/// Bytes that shorten_image works in.
int64_t row_scratch_bytes(const Resampling& rows) {
  return row_weights_of(rows.taps) * static_cast<int64_t>(sizeof(RowWeights));
}

void shorten_image(const PixelShape& in, const uint8_t* from, const Resampling& rows, uint8_t* to, uint8_t* scratch) {
  const int64_t bytes = in.row_bytes();
  auto* prepared = reinterpret_cast<RowWeights*>(scratch);
  for (int64_t y = 0; y < rows.places(); ++y, to += bytes) {
    const uint8_t* first = from + rows.first[static_cast<size_t>(y)] * bytes;
    const int32_t* weights = rows.weights.data() + y * rows.taps;
    if (bytes < kBlock) {
      sum_bytes(first, bytes, weights, rows.taps, bytes, to);
      continue;
    }
    prepare_row(weights, rows.taps, prepared);
    for (int64_t x = 0; x + kBlock <= bytes; x += kBlock) sum_block(first + x, bytes, prepared, rows.taps, to + x);
    const int64_t last = bytes - kBlock;  // some of it a second time
    if (bytes % kBlock != 0) sum_block(first + last, bytes, prepared, rows.taps, to + last);
  }
}

}  // namespace
}  // namespace unireplk::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace unireplk::kernels {

HWY_EXPORT(scratch_bytes);
HWY_EXPORT(narrow_image);
HWY_EXPORT(row_scratch_bytes);
HWY_EXPORT(shorten_image);

void resample_width(const PixelShape& in, const uint8_t* from, const Resampling& columns, uint8_t* to,
                    std::pmr::memory_resource& memory) {
  prepare_dispatch();
  const Scratch scratch(HWY_DYNAMIC_DISPATCH(scratch_bytes)(in, columns), memory);
  HWY_DYNAMIC_DISPATCH(narrow_image)(in, from, columns, to, static_cast<uint8_t*>(scratch.begin()));
}

void resample_height(const PixelShape& in, const uint8_t* from, const Resampling& rows, uint8_t* to,
                     std::pmr::memory_resource& memory) {
  prepare_dispatch();
  const Scratch scratch(HWY_DYNAMIC_DISPATCH(row_scratch_bytes)(rows), memory);
  HWY_DYNAMIC_DISPATCH(shorten_image)(in, from, rows, to, static_cast<uint8_t*>(scratch.begin()));
}

}  // namespace unireplk::kernels
#endif  // HWY_ONCE
