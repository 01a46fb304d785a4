#include "unireplk/kernels/pixels.h"

#include <algorithm>
#include <cmath>

#include "kernels/forced.h"

namespace unireplk::kernels {
namespace {

using Bytes = std::vector<uint8_t>;

auto& memory = *std::pmr::new_delete_resource();

/// A sequence of numbers that looks random.
class Numbers {
 public:
  explicit Numbers(uint32_t seed) : state_(seed) {}
  uint32_t next(uint32_t below) {
    state_ = state_ * 1664525U + 1013904223U;
    return (state_ >> 8) % below;
  }

 private:
  uint32_t state_;
};

Bytes random_bytes(int64_t count, uint32_t seed) {
  Numbers numbers(seed);
  Bytes bytes(static_cast<size_t>(count));
  for (auto& byte : bytes) byte = static_cast<uint8_t>(numbers.next(256));
  return bytes;
}

/// What `make` fills in with each instruction set; all the same.
template <class Value, class Make>
std::vector<Value> same_everywhere(int64_t count, Make make) {
  std::vector<std::vector<Value>> results;
  for (const auto& name : instruction_sets()) {
    const Forced forced(name);
    INFO(name);
    results.emplace_back(static_cast<size_t>(count));
    make(results.back().data());
    CHECK(results.back() == results.front());
  }
  return results.front();
}

/// Weights that reach every limit: sums far below 0 and above 255 among them.
Resampling random_resampling(int64_t in, int64_t places, int64_t taps, uint32_t seed) {
  Numbers numbers(seed);
  Resampling axis{.taps = taps, .first = {}, .weights = {}};
  const auto most = static_cast<uint32_t>((int64_t{1} << 31) / 255 / taps);
  for (int64_t i = 0; i < places; ++i) {
    axis.first.push_back(static_cast<int32_t>(numbers.next(static_cast<uint32_t>(in - taps + 1))));
    for (int64_t t = 0; t < taps; ++t) {
      axis.weights.push_back(static_cast<int32_t>(numbers.next(2 * most)) - static_cast<int32_t>(most) + 1);
    }
  }
  return axis;
}

uint8_t rounded(int64_t sum) {
  return static_cast<uint8_t>(std::clamp<int64_t>((sum + (1 << (kResamplingBits - 1))) >> kResamplingBits, 0, 255));
}

Bytes narrowed(const PixelShape& in, const Bytes& from, const Resampling& columns) {
  Bytes to;
  for (int64_t y = 0; y < in.height; ++y) {
    for (int64_t x = 0; x < columns.places(); ++x) {
      for (int64_t c = 0; c < in.channels; ++c) {
        int64_t sum = 0;
        for (int64_t t = 0; t < columns.taps; ++t) {
          const int64_t column = columns.first[static_cast<size_t>(x)] + t;
          sum += int64_t{columns.weights[static_cast<size_t>(x * columns.taps + t)]} *
                 from[static_cast<size_t>((y * in.width + column) * in.channels + c)];
        }
        to.push_back(rounded(sum));
      }
    }
  }
  return to;
}

Bytes shortened(const PixelShape& in, const Bytes& from, const Resampling& rows) {
  Bytes to;
  for (int64_t y = 0; y < rows.places(); ++y) {
    for (int64_t x = 0; x < in.row_bytes(); ++x) {
      int64_t sum = 0;
      for (int64_t t = 0; t < rows.taps; ++t) {
        sum += int64_t{rows.weights[static_cast<size_t>(y * rows.taps + t)]} *
               from[static_cast<size_t>((rows.first[static_cast<size_t>(y)] + t) * in.row_bytes() + x)];
      }
      to.push_back(rounded(sum));
    }
  }
  return to;
}

uint8_t clipped(float value) { return value <= 0 ? 0 : value >= 255 ? 255 : static_cast<uint8_t>(value); }

const std::vector<PixelShape> kShapes = {
    {.width = 1, .height = 1, .channels = 3},   {.width = 2, .height = 9, .channels = 3},
    {.width = 5, .height = 3, .channels = 3},   {.width = 31, .height = 17, .channels = 3},
    {.width = 64, .height = 24, .channels = 3}, {.width = 97, .height = 6, .channels = 1},
    {.width = 3, .height = 4, .channels = 1},
};

}  // namespace

TEST_CASE("resample: every instruction set sums as plain loops do", "[numeric]") {
  for (const auto& shape : kShapes) {
    const Bytes from = random_bytes(shape.row_bytes() * shape.height, 3);
    for (const int64_t taps : {1, 2, 3, 4, 5, 7, 8, 9, 16, 31}) {
      INFO(shape.width << " x " << shape.height << " x " << shape.channels << ", " << taps << " taps");
      if (taps <= shape.width) {
        const auto columns = random_resampling(shape.width, 23, taps, 5);
        const auto make = [&](uint8_t* to) { resample_width(shape, from.data(), columns, to, memory); };
        CHECK(same_everywhere<uint8_t>(23 * shape.height * shape.channels, make) == narrowed(shape, from, columns));
      }
      if (taps <= shape.height) {
        const auto rows = random_resampling(shape.height, 11, taps, 7);
        const auto make = [&](uint8_t* to) { resample_height(shape, from.data(), rows, to, memory); };
        CHECK(same_everywhere<uint8_t>(11 * shape.row_bytes(), make) == shortened(shape, from, rows));
      }
    }
  }
}

TEST_CASE("mirror: every instruction set exchanges left and right", "[numeric]") {
  for (auto shape : kShapes) {
    for (const int64_t width : {int64_t{5}, int64_t{6}, int64_t{7}, int64_t{11}, shape.width}) {
      shape.width = width;
      const Bytes from = random_bytes(shape.row_bytes() * shape.height, 4);
      const auto got = same_everywhere<uint8_t>(std::ssize(from), [&](uint8_t* to) { mirror(shape, from.data(), to); });
      for (int64_t i = 0; i < std::ssize(from); ++i) {
        const int64_t row = i / shape.row_bytes(), x = i % shape.row_bytes() / shape.channels, c = i % shape.channels;
        const int64_t other = row * shape.row_bytes() + (width - 1 - x) * shape.channels + c;
        REQUIRE(got[static_cast<size_t>(i)] == from[static_cast<size_t>(other)]);
      }
    }
  }
}

TEST_CASE("affine: every instruction set gives the same bits", "[numeric]") {
  const std::array<std::array<double, 6>, 6> maps = {
      {{1, 0, 0, 0, 1, 0},
       {1, 0.27, 0, 0, 1, 0},
       {1, 0, 0, -0.3, 1, 0},
       {1, 0, 4.7, 0, 1, -2.3},
       {0.891006524188368, 0.453990499739547, -5.1, -0.453990499739547, 0.891006524188368, 6.9},
       {-1, 0, 20, 0, 3.1, 0}}};
  const std::array<uint8_t, 3> fill{124, 116, 104};
  for (const auto& shape : kShapes) {
    const int64_t bytes = shape.row_bytes() * shape.height;
    const Bytes from = random_bytes(bytes, 11);
    for (const auto& map : maps) {
      for (const Seen seen : {Seen::kCubic, Seen::kLinear}) {
        const auto make = [&](uint8_t* to) { affine(shape, from.data(), map, seen, fill, to, memory); };
        const auto moved = same_everywhere<uint8_t>(bytes, make);
        if (&map == &maps[0]) CHECK(moved == from);
      }
    }
  }
}

TEST_CASE("colours: every instruction set computes as plain expressions do", "[numeric]") {
  for (const int64_t pixels : {1, 5, 16, 63, 1000}) {
    const int64_t bytes = 3 * pixels;
    const Bytes from = random_bytes(bytes, 13), other = random_bytes(bytes, 17);
    for (const float factor : {0.1F, 0.19F, 1.81F, 1.9F}) {
      const auto blended = same_everywhere<uint8_t>(bytes, [&](uint8_t* to) {
        std::copy(from.begin(), from.end(), to);
        blend(other.data(), factor, to, bytes);
      });
      for (size_t i = 0; i < from.size(); ++i) {
        const float product = factor * static_cast<float>(from[i] - other[i]);
        REQUIRE(blended[i] == clipped(static_cast<float>(other[i]) + product));
      }
    }
    const auto luma = same_everywhere<uint8_t>(bytes, [&](uint8_t* to) { spread_luma(from.data(), pixels, to); });
    int64_t sum = 0;
    for (size_t i = 0; i < luma.size(); ++i) {
      const uint8_t* rgb = &from[i / 3 * 3];
      REQUIRE(luma[i] == (19595U * rgb[0] + 38470U * rgb[1] + 7471U * rgb[2] + 32768U) >> 16);
      if (i % 3 == 0) sum += luma[i];
    }
    const auto sums = same_everywhere<int64_t>(1, [&](int64_t* to) { *to = sum_luma(from.data(), pixels); });
    CHECK(sums.front() == sum);
  }
}

TEST_CASE("smooth: every instruction set sums in the same order", "[numeric]") {
  constexpr float kSide = 1.0F / 13.0F, kMiddle = 5.0F / 13.0F;
  for (const auto& shape : kShapes) {
    const int64_t bytes = shape.row_bytes() * shape.height, row = shape.row_bytes(), step = shape.channels;
    const Bytes from = random_bytes(bytes, 19);
    const auto out = same_everywhere<uint8_t>(bytes, [&](uint8_t* to) { smooth(shape, from.data(), to); });
    for (int64_t i = 0; i < bytes; ++i) {
      const int64_t x = i % row / step, y = i / row;
      uint8_t expected = from[static_cast<size_t>(i)];
      if (x > 0 && x + 1 < shape.width && y > 0 && y + 1 < shape.height) {
        float value = 0.5F;
        for (const int64_t line : {row, int64_t{0}, -row}) {
          const float left = from[static_cast<size_t>(i + line - step)], centre = from[static_cast<size_t>(i + line)],
                      right = from[static_cast<size_t>(i + line + step)];
          const float a = left * kSide, b = centre * (line == 0 ? kMiddle : kSide), c = right * kSide;
          value += a + b + c;
        }
        expected = static_cast<uint8_t>(value);
      }
      REQUIRE(out[static_cast<size_t>(i)] == expected);
    }
  }
}

TEST_CASE("normalise: every instruction set divides as plain expressions do", "[numeric]") {
  const std::array<float, 3> mean{0.485F, 0.456F, 0.406F}, deviation{0.229F, 0.224F, 0.225F};
  for (const int64_t channels : {1, 3}) {
    for (const int64_t pixels : {1, 15, 16, 17, 300}) {
      Bytes from = random_bytes(pixels * channels, 23);
      for (size_t i = 0; i < from.size() && pixels == 300; ++i)
        from[i] = static_cast<uint8_t>(i / channels);  // every byte
      const auto out = same_everywhere<float>(pixels * channels, [&](float* to) {
        normalise(from.data(), pixels, channels, mean.data(), deviation.data(), to);
      });
      for (size_t i = 0; i < from.size(); ++i) {
        const size_t c = i % static_cast<size_t>(channels);
        REQUIRE(out[i] == (static_cast<float>(from[i]) / 255.0F - mean[c]) / deviation[c]);
      }
    }
  }
}

}  // namespace unireplk::kernels
