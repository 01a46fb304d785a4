#include <numeric>
#include <string>
#include <vector>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/affine.h"
#include "unireplk/data/image/color.h"

namespace unireplk::data::image {
namespace {

using test::channel_of;

constexpr Color kFill{124, 116, 104};

Image moved(const Image& image, const AffineMap& map) { return affine(image, map, Interpolation::kBicubic, kFill); }

Image grey_of(Pixels pixels, int64_t width) {
  return {width, static_cast<int64_t>(pixels.size()) / width, 1, std::move(pixels)};
}

struct Golden {
  std::string name;
  Image (*apply)(const Image& image);
  int64_t sum;
  uint32_t hash;
  std::vector<uint8_t> centre;
};

/// spec/image.md section 3.6.
const std::vector<Golden>& goldens() {
  static const std::vector<Golden> all = {
      {"source", [](const Image& i) { return i; }, 930418, 0xde1c3789, {162, 109, 142}},
      {"rotate 27",
       [](const Image& i) { return rotate(i, 27, Interpolation::kBicubic, kFill); },
       913068,
       0xd56f0a65,
       {167, 114, 137}},
      {"rotate -27",
       [](const Image& i) { return rotate(i, -27, Interpolation::kBicubic, kFill); },
       913480,
       0xa18e7157,
       {157, 97, 132}},
      {"shear x",
       [](const Image& i) {
         return moved(i, {1, 0.27, 0, 0, 1, 0});
       },
       943140,
       0xeec95c49,
       {175, 142, 110}},
      {"shear y",
       [](const Image& i) {
         return moved(i, {1, 0, 0, -0.27, 1, 0});
       },
       837840,
       0xeba1ed85,
       {110, 132, 109}},
      {"translate x",
       [](const Image& i) {
         return moved(i, {1, 0, 0.405 * 60, 0, 1, 0});
       },
       991738,
       0xc0590701,
       {204, 197, 194}},
      {"translate y",
       [](const Image& i) {
         return moved(i, {1, 0, 0, 0, 1, -0.405 * 40});
       },
       816817,
       0x3fcc7a06,
       {126, 125, 81}},
      {"autocontrast", [](const Image& i) { return autocontrast(i); }, 947590, 0x1fd20d8d, {166, 107, 147}},
      {"equalize", [](const Image& i) { return equalize(i); }, 951964, 0x349476db, {199, 91, 159}},
      {"invert", [](const Image& i) { return invert(i); }, 905582, 0x522d5971, {93, 146, 113}},
      {"posterize", [](const Image& i) { return posterize(i, 1); }, 480000, 0x65f28b45, {128, 0, 128}},
      {"solarize", [](const Image& i) { return solarize(i, 26); }, 893730, 0x227f9289, {93, 146, 113}},
      {"solarize_add", [](const Image& i) { return solarize_add(i, 99); }, 1271968, 0x1c2e5689, {162, 208, 142}},
      {"color 0.19", [](const Image& i) { return adjust_color(i, 0.19); }, 927314, 0x8fe678db, {135, 125, 131}},
      {"contrast 0.19", [](const Image& i) { return adjust_contrast(i, 0.19); }, 925560, 0x391a6929, {135, 125, 131}},
      {"brightness 0.19", [](const Image& i) { return adjust_brightness(i, 0.19); }, 173212, 0x18f24f87, {30, 20, 26}},
      {"sharpness 0.19", [](const Image& i) { return adjust_sharpness(i, 0.19); }, 926909, 0xa49b3a10, {150, 116, 133}},
      {"color 1.81", [](const Image& i) { return adjust_color(i, 1.81); }, 926627, 0x981ee5a4, {188, 92, 152}},
      {"contrast 1.81", [](const Image& i) { return adjust_contrast(i, 1.81); }, 928891, 0x2f10f3e4, {188, 92, 152}},
      {"brightness 1.81",
       [](const Image& i) { return adjust_brightness(i, 1.81); },
       1507219,
       0x59e1ec46,
       {255, 197, 255}},
      {"sharpness 1.81",
       [](const Image& i) { return adjust_sharpness(i, 1.81); },
       927495,
       0xa72dbdee,
       {173, 101, 150}}};
  return all;
}

TEST_CASE("image operations: are bit-equal to the test vectors of the specification", "[golden]") {
  const Image source = test::spec_image();
  for (const auto& golden : goldens()) {
    CAPTURE(golden.name);
    const Image out = golden.apply(source);
    REQUIRE(out.width == 60);
    REQUIRE(out.height == 40);
    CHECK(std::accumulate(out.pixels.begin(), out.pixels.end(), int64_t{0}) == golden.sum);
    CHECK(test::fnv1a(out.pixels) == golden.hash);
    const uint8_t* centre = out.row(20) + 3 * 30;
    CHECK(std::vector<uint8_t>(centre, centre + 3) == golden.centre);
  }
}

TEST_CASE("image operations: an amount of nothing changes nothing") {
  const Image source = test::spec_image();
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  CHECK(rotate(source, 0, interpolation, kFill).pixels == source.pixels);
  CHECK(affine(source, {1, 0, 0, 0, 1, 0}, interpolation, kFill).pixels == source.pixels);
  CHECK(solarize(source, 256).pixels == source.pixels);
  CHECK(solarize_add(source, 0).pixels == source.pixels);
  CHECK(posterize(source, 8).pixels == source.pixels);
  CHECK(invert(invert(source)).pixels == source.pixels);
  for (const auto adjust : {adjust_color, adjust_contrast, adjust_brightness, adjust_sharpness}) {
    CHECK(adjust(source, 1).pixels == source.pixels);
  }
}

TEST_CASE("image operations: all of them work on channels that stand alone, and on the smallest images") {
  const Image source = test::spec_image();
  const Image one = grey_of({77}, 1);
  for (const auto& golden : goldens()) {
    CAPTURE(golden.name);
    const Image of_one = golden.apply(one);
    CHECK((of_one.width == 1 && of_one.height == 1 && of_one.channels == 1));
    if (golden.name.starts_with("color") || golden.name.starts_with("contrast")) continue;  // they mix channels
    Image grey = golden.apply(channel_of(source, 0));  // its fill is the first of the three
    CHECK(grey.pixels == channel_of(golden.apply(source), 0).pixels);
  }
  CHECK(adjust_color(channel_of(source, 1), 0.3).pixels == channel_of(source, 1).pixels);
}

TEST_CASE("affine: whole steps copy pixels, what comes into sight is the fill") {
  const Image source = test::spec_image();
  const auto interpolation = GENERATE(Interpolation::kBicubic, Interpolation::kBilinear);
  const Image out = affine(source, {1, 0, 3, 0, 1, -2}, interpolation, kFill);
  for (int64_t y = 0; y < 40; ++y) {
    for (int64_t x = 0; x < 60; ++x) {
      const bool seen = x + 3 < 60 && y >= 2;
      const uint8_t* expected = seen ? source.row(y - 2) + 3 * (x + 3) : kFill.data();
      REQUIRE(std::equal(expected, expected + 3, out.row(y) + 3 * x));
    }
  }
}

TEST_CASE("affine: half a pixel between two is their mean, truncated; the outermost stand for those beyond") {
  const Image line = grey_of({10, 21, 30, 200}, 4);
  const Image out = affine(line, {1, 0, 0.5, 0, 1, 0}, Interpolation::kBilinear, {7, 0, 0});
  CHECK(out.pixels == Pixels{15, 25, 115, 7});  // the last place, 4, lies outside
  const Image back = affine(line, {1, 0, -0.25, 0, 1, 0}, Interpolation::kBilinear, {7, 0, 0});
  CHECK(back.pixels[0] == 10);
}

TEST_CASE("rotate: counter-clockwise for positive angles; quarter turns are refused") {
  Image image = Image::zeros(41, 41, 1);
  image.row(20)[35] = 255;  // right of the middle
  const Image out = rotate(image, 45, Interpolation::kBilinear, {0, 0, 0});
  int64_t upper = 0, lower = 0;
  for (int64_t y = 0; y < 41; ++y) {
    for (int64_t x = 0; x < 41; ++x) (y < 20 ? upper : lower) += out.row(y)[x];
  }
  CHECK(upper > 200);
  CHECK(lower == 0);
  CHECK_THROWS_AS(rotate(image, 90, Interpolation::kBilinear, {0, 0, 0}), ContractError);
}

TEST_CASE("autocontrast and equalize: keep an image of one value, spread others to both ends") {
  const Image flat = grey_of({9, 9, 9, 9}, 2);
  CHECK(autocontrast(flat).pixels == flat.pixels);
  CHECK(equalize(flat).pixels == flat.pixels);
  CHECK(autocontrast(grey_of({100, 110, 120, 110}, 2)).pixels == Pixels{0, 127, 255, 127});
  CHECK(equalize(grey_of({1, 2, 3, 4}, 2)).pixels == Pixels{1, 2, 3, 4});  // too few pixels to spread
  Pixels few(510, 10);
  few.insert(few.end(), 600, 11);
  CHECK(equalize(grey_of(few, 10)).pixels.front() == 0);
  CHECK(equalize(grey_of(few, 10)).pixels.back() == 255);
}

TEST_CASE("posterize: no bit is black, and other counts than 0 to 8 are refused") {
  for (const uint8_t value : posterize(test::spec_image(), 0).pixels) REQUIRE(value == 0);
  CHECK_THROWS_AS(posterize(test::spec_image(), -1), ContractError);
  CHECK_THROWS_AS(posterize(test::spec_image(), 9), ContractError);
}

TEST_CASE("adjust_brightness: large factors stop at white, and below zero at black") {
  CHECK(adjust_brightness(grey_of({0, 100, 200}, 3), 2.0).pixels == Pixels{0, 200, 255});
  CHECK(adjust_brightness(grey_of({0, 100, 200}, 3), -0.5).pixels == Pixels{0, 0, 0});
}

}  // namespace
}  // namespace unireplk::data::image
