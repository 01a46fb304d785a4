#include "unireplk/data/image/map_picture.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/decode.h"
#include "unireplk/data/image/encode_png.h"

using namespace unireplk;
using namespace unireplk::data::image;

namespace {

using Colour = std::array<uint8_t, 3>;

Colour colour_at(const Image& image, int64_t x, int64_t y) {
  const uint8_t* pixel = image.row(y) + 3 * x;
  return {pixel[0], pixel[1], pixel[2]};
}

/// Relative luminance of an sRGB colour. Source: IEC 61966-2-1.
double luminance(const Colour& colour) {
  const auto linear = [](uint8_t value) {
    const double v = value / 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  return 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
}

}  // namespace

TEST_CASE("map_colour: lightness grows in equal steps from dark to light") {
  double before = 0;
  for (int i = 0; i <= 20; ++i) {
    const double lightness = 116 * std::cbrt(luminance(map_colour(i / 20.0))) - 16;  // CIELAB's
    CAPTURE(i, lightness);
    if (i > 0) CHECK((lightness - before > 3.5 && lightness - before < 5));
    before = lightness;
  }
  CHECK(luminance(map_colour(0)) < 0.02);
  CHECK(luminance(map_colour(1)) > 0.7);
  CHECK(map_colour(-1) == map_colour(0));
  CHECK(map_colour(2) == map_colour(1));
}

TEST_CASE("picture_of: one channel in colours between its smallest and largest value; what is not finite is grey") {
  const auto map = at::tensor({-2.0f, 0.0f, 2.0f, NAN, INFINITY, 1.0f}).reshape({1, 2, 3});
  const auto image = picture_of(map, View::kRowsColumns);
  REQUIRE((image.width == 3 && image.height == 2 && image.channels == 3));
  CHECK(colour_at(image, 0, 0) == map_colour(0));
  CHECK(colour_at(image, 1, 0) == map_colour(0.5));
  CHECK(colour_at(image, 2, 0) == map_colour(1));
  CHECK(colour_at(image, 0, 1) == Colour{128, 128, 128});
  CHECK(colour_at(image, 1, 1) == Colour{128, 128, 128});
  CHECK(colour_at(image, 2, 1) == map_colour(0.75));
  const auto flat = picture_of(at::full({2, 2}, 7.0), View::kRowsColumns);
  CHECK(colour_at(flat, 1, 1) == map_colour(0));
}

TEST_CASE("picture_of: time goes to the right and frequency upwards") {
  const auto map = at::arange(6, at::kFloat).reshape({1, 3, 2});  // three times, two frequencies
  const auto image = picture_of(map, View::kTimeFrequency);
  REQUIRE((image.width == 3 && image.height == 2));
  CHECK(colour_at(image, 0, 1) == map_colour(0));  // first time, lowest frequency: bottom left
  CHECK(colour_at(image, 0, 0) == map_colour(1 / 5.0));
  CHECK(colour_at(image, 2, 0) == map_colour(1));
  const auto same = picture_of(map.transpose(1, 2), View::kFrequencyTime);  // rows are frequencies already
  CHECK((same.width == 3 && same.pixels == image.pixels));
}

TEST_CASE("picture_of: bytes as they are, three floating channels as red, green and blue, others one below the other") {
  const auto bytes = at::arange(12, at::kByte).reshape({2, 2, 3});
  const auto same = picture_of(bytes, View::kRowsColumns);
  CHECK(colour_at(same, 1, 1) == Colour{9, 10, 11});
  const auto rgb = at::tensor({-1.0f, 0.5f, 2.0f}).reshape({3, 1, 1});
  CHECK(colour_at(picture_of(rgb, View::kRowsColumns), 0, 0) == Colour{0, 128, 255});
  const auto two = picture_of(at::arange(8, at::kDouble).reshape({2, 2, 2}), View::kRowsColumns);
  REQUIRE((two.width == 2 && two.height == 4));
  CHECK(colour_at(two, 1, 3) == map_colour(1));
  CHECK_THROWS_AS(picture_of(at::arange(4, at::kLong).reshape({2, 2}), View::kRowsColumns), ContractError);
  CHECK_THROWS_AS(picture_of(at::full({1, 0, 2}, 1.0), View::kRowsColumns), ContractError);
}

TEST_CASE("grid_of: pictures of different sizes, enlarged, with white between them") {
  Image grey = Image::sized(1, 1, 1);
  grey.pixels[0] = 50;
  Image wide = Image::zeros(2, 1, 3);
  const auto grid = grid_of({grey, wide, grey}, 2, 3);
  REQUIRE((grid.width == 2 * (6 + 2) + 2 && grid.height == 2 * (3 + 2) + 2));
  CHECK(colour_at(grid, 2, 2) == Colour{50, 50, 50});
  CHECK(colour_at(grid, 4, 4) == Colour{50, 50, 50});
  CHECK(colour_at(grid, 5, 2) == Colour{255, 255, 255});
  CHECK(colour_at(grid, 10 + 5, 4) == Colour{0, 0, 0});
  CHECK(colour_at(grid, 12, 9) == Colour{255, 255, 255});  // no fourth picture
}

TEST_CASE("encode_png: what is decoded again are the same pixels") {
  for (const int64_t channels : {1, 3}) {
    Image image = Image::sized(5, 3, channels);
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(7 * i);
    const auto decoded = decode(encode_png(image), channels, "memory").value_or_throw();
    CHECK((decoded.width == 5 && decoded.height == 3 && decoded.pixels == image.pixels));
  }
}
