#include "unireplk/data/image/resize.h"

#include <numeric>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;
using namespace unireplk::data::image;
using test::channel_of;

namespace {

int64_t sum_of(const Image& image) { return std::accumulate(image.pixels.begin(), image.pixels.end(), int64_t{0}); }

std::vector<uint8_t> centre_of(const Image& image) {
  const uint8_t* pixel = image.row(image.height / 2) + image.width / 2 * image.channels;
  return {pixel, pixel + image.channels};
}

struct Vector {
  int64_t width, height;
  Interpolation interpolation;
  int64_t sum;
  uint32_t hash;
  std::vector<uint8_t> centre;
};

}  // namespace

TEST_CASE("resize: is bit-equal to the test vectors of the specification", "[golden]") {
  const Image source = test::spec_image();
  REQUIRE(test::fnv1a(source.pixels) == 0xde1c3789u);
  const auto vector =
      GENERATE(values<Vector>({{32, 24, Interpolation::kBicubic, 297780, 0xdfe5ef89u, {153, 125, 129}},
                               {97, 71, Interpolation::kBicubic, 2669995, 0x495b84f6u, {146, 105, 130}},
                               {32, 24, Interpolation::kBilinear, 297876, 0xe84a2f09u, {147, 126, 130}}}));
  const Image out = resize(source, vector.width, vector.height, vector.interpolation);
  CHECK(sum_of(out) == vector.sum);
  CHECK(test::fnv1a(out.pixels) == vector.hash);
  CHECK(centre_of(out) == vector.centre);
}

TEST_CASE("resize: pixels outside a crop play no role", "[golden]") {
  const Image out = resize(crop(test::spec_image(), 7, 5, 31, 23), 32, 32, Interpolation::kBicubic);
  CHECK(sum_of(out) == 331510);
  CHECK(test::fnv1a(out.pixels) == 0x69c5f1e7u);
}

TEST_CASE("resize: grey equals each channel of colour") {
  const Image source = test::spec_image();
  const auto [width, height] =
      GENERATE(values<std::pair<int64_t, int64_t>>({{17, 9}, {60, 9}, {17, 40}, {131, 1}, {1, 77}}));
  const Image colour = resize(source, width, height, Interpolation::kBicubic);
  for (int64_t c = 0; c < 3; ++c) {
    CHECK(channel_of(colour, c).pixels == resize(channel_of(source, c), width, height, Interpolation::kBicubic).pixels);
  }
}

TEST_CASE("resize: keeps an image of that size, and a constant") {
  const Image source = test::spec_image();
  CHECK(resize(source, 60, 40, Interpolation::kBicubic).pixels == source.pixels);
  Image constant = Image::zeros(13, 7, 1);
  std::fill(constant.pixels.begin(), constant.pixels.end(), uint8_t{255});
  for (const uint8_t pixel : resize(constant, 50, 3, Interpolation::kBicubic).pixels) REQUIRE(pixel == 255);
}

TEST_CASE("resize: refuses sizes beyond the limit") {
  const Image line = Image::zeros(1, 60000, 1);
  CHECK_FALSE(resize_fits(line, 256, int64_t{256} * 60000));
  CHECK_FALSE(resize_fits(line, 10000, 1));  // the image between the passes counts
  CHECK_FALSE(resize_fits(line, 0, 5));
  CHECK(resize_fits(line, 256, 256));
  CHECK_THROWS_AS(resize(line, 10000, 1, Interpolation::kBicubic), ContractError);
}
