#include <array>
#include <random>

#include "emulation/device.h"
#include "emulation/guarded.h"
#include "support/catch.h"
#include "unireplk/kernels/cuda/branches.cuh"
#include "unireplk/kernels/cuda/convolution.h"
#include "unireplk/kernels/cuda/row_planes.h"
#include "unireplk/kernels/cuda/second_moments.h"

namespace unireplk::emulation {
namespace {

using namespace kernels::cuda;

/// Small whole numbers, of which every sum is exact in float32.
class Integers {
 public:
  std::vector<double> from_to(int64_t count, int from, int to) {
    std::vector<double> values(static_cast<size_t>(count));
    for (auto& value : values) value = from + static_cast<int>(bits_() % static_cast<unsigned>(to - from + 1));
    return values;
  }

 private:
  std::mt19937 bits_{1};
};

struct IntegerMaps {
  Map map;
  std::vector<double> x, dy, packed;

  explicit IntegerMaps(const Map& of) : map(of) {
    Integers integers;
    x = integers.from_to(of.images * of.plane(), -2, 2);
    dy = integers.from_to(of.images * of.plane(), -1, 1);
    packed = integers.from_to(int64_t{kAllTaps} * of.channels, -1, 1);
  }

  int pixels() const { return map.images * map.height * map.width; }
  double at(const std::vector<double>& values, int pixel, int channel) const {
    return values[int64_t{pixel} * map.channels + channel];
  }

  /// x at a tap of the large kernel, counted from a pixel; 0 outside.
  double under(int pixel, int tap, int channel) const {
    const int y = pixel / map.width % map.height + tap / kLargeSize - kLargeReach;
    const int column = pixel % map.width + tap % kLargeSize - kLargeReach;
    if (y < 0 || y >= map.height || column < 0 || column >= map.width) return 0;
    const int image = pixel / (map.height * map.width);
    return at(x, (image * map.height + y) * map.width + column, channel);
  }

  double branch(int b, int pixel, int channel) const {
    double sum = 0;
    for (int tap = 0; tap < branch_size(b) * branch_size(b); ++tap) {
      const double weight = packed[int64_t{first_of_branch(b) + tap} * map.channels + channel];
      sum += weight * under(pixel, large_tap(b, tap), channel);
    }
    return sum;
  }
};

template <class T>
Guarded<uint16_t> planes_of(Element element, const Map& map, const std::vector<double>& values) {
  const Guarded<T> held(values);
  Guarded<uint16_t> planes(row_planes_bytes(map) / static_cast<int64_t>(sizeof(uint16_t)));
  write_row_planes(element, map, held.data(), planes.data(), nullptr);
  REQUIRE(planes.is_intact());
  return planes;
}

/// \return [product_rows()][channels]
template <class T>
Guarded<float> products_of(Element element, const IntegerMaps& in) {
  const auto planes = planes_of<T>(element, in.map, in.x);
  const Guarded<float> packed(in.packed);
  Guarded<float> moments(int64_t{kMomentRows + 1} * in.map.channels), products(product_rows() * in.map.channels);
  Guarded<char> workspace(second_moments_bytes(in.map));
  second_moments(element, in.map, planes.data(), packed.data(), moments.data(), products.data(), workspace.data(),
                 nullptr);
  CHECK(moments.is_intact());
  CHECK(products.is_intact());
  CHECK(workspace.is_intact());
  return products;
}

/// Sums over pixels of a channel of x under each tap with each branch, and alone.
std::vector<float> expected_products(const IntegerMaps& in, int channel) {
  std::vector<float> sums(static_cast<size_t>(product_rows()));
  for (int p = 0; p < in.pixels(); ++p) {
    std::array<double, kBranches + 1> factors{};
    for (int b = 0; b < kBranches; ++b) factors[b] = in.branch(b, p, channel);
    factors[kBranches] = 1;
    for (int row = 0; row < product_rows(); ++row) {
      sums[row] += static_cast<float>(factors[row / kLargeTaps] * in.under(p, row % kLargeTaps, channel));
    }
  }
  return sums;
}

/// [taps and 1][channels], of all parts together.
template <class T>
std::vector<float> correlation_of(Element element, const IntegerMaps& in) {
  const auto x = planes_of<T>(element, in.map, in.x), dy = planes_of<T>(element, in.map, in.dy);
  const int64_t sums = int64_t{kLargeTaps + 1} * in.map.channels;
  Guarded<float> partial(correlation_parts(in.map) * sums);
  correlate_planes(element, in.map, x.data(), dy.data(), partial.data(), nullptr);
  CHECK(partial.is_intact());
  std::vector<float> correlation(static_cast<size_t>(sums));
  for (size_t i = 0; i < partial.size(); ++i) correlation[i % correlation.size()] += partial.data()[i];
  return correlation;
}

std::vector<float> expected_correlation(const IntegerMaps& in, int channel) {
  std::vector<float> sums(static_cast<size_t>(kLargeTaps + 1));
  for (int p = 0; p < in.pixels(); ++p) {
    const double dy = in.at(in.dy, p, channel);
    for (int tap = 0; tap < kLargeTaps; ++tap) sums[tap] += static_cast<float>(dy * in.under(p, tap, channel));
    sums[kLargeTaps] += static_cast<float>(dy);
  }
  return sums;
}

const std::initializer_list<Map> kMaps = {{3, 7, 7, 8}, {1, 12, 12, 8}, {18, 9, 7, 8}, {2, 14, 14, 8}, {1, 13, 31, 8}};

/// Of so many channels that a thread block goes through more images than it stages at once.
constexpr Map kManyChannels{33, 7, 7, 528};

/// Compare eight channels of [rows][channels].
template <class Expected>
void check_channels(const IntegerMaps& in, const float* got, int64_t rows, Expected expected) {
  for (int channel = 0; channel < in.map.channels; channel += in.map.channels / 8) {
    std::vector<float> of_channel;
    for (int64_t row = 0; row < rows; ++row) of_channel.push_back(got[row * in.map.channels + channel]);
    INFO(in.map.images << " x " << in.map.height << " x " << in.map.width << ", channel " << channel);
    CHECK(of_channel == expected(in, channel));
  }
}

template <class T>
void check_products(Element element, const Map& map) {
  REQUIRE(has_second_moments(element, map));
  const IntegerMaps in(map);
  check_channels(in, products_of<T>(element, in).data(), product_rows(), expected_products);
}

template <class T>
void check_correlation(Element element, const Map& map) {
  const IntegerMaps in(map);
  check_channels(in, correlation_of<T>(element, in).data(), kLargeTaps + 1, expected_correlation);
}

TEST_CASE("emulated second moments: products with branches are exact where sums are") {
  for (const auto& map : kMaps) {
    check_products<BFloat16>(Element::kBFloat16, map);
    check_products<Half>(Element::kHalf, map);
  }
  check_products<BFloat16>(Element::kBFloat16, kManyChannels);
}

TEST_CASE("emulated correlation: exact where sums are") {
  for (const auto& map : kMaps) {
    check_correlation<BFloat16>(Element::kBFloat16, map);
    check_correlation<Half>(Element::kHalf, map);
  }
  check_correlation<BFloat16>(Element::kBFloat16, kManyChannels);
}

}  // namespace
}  // namespace unireplk::emulation
