#include "unireplk/data/image/rand_augment.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "data_image/files.h"
#include "support/catch.h"
#include "unireplk/core/error.h"
#include "unireplk/data/image/affine.h"
#include "unireplk/data/image/color.h"
#include "unireplk/data/image/color_jitter.h"

namespace unireplk::data::image {
namespace {

using Catch::Matchers::Contains;

Pixels augmented(const Transform& transform, const Image& image, int64_t item, int64_t epoch = 0) {
  auto random = Draw{.seed = 3, .epoch = epoch, .item = item}.stream(1);
  const Image out = transform.apply(image, random).value_or_throw();
  REQUIRE((out.width == image.width && out.height == image.height && out.channels == image.channels));
  return out.pixels;
}

/// One operation an image, always applied, with exactly this magnitude.
RandAugmentConfig only_one(double magnitude, bool increasing) {
  return {
      .magnitude = magnitude, .magnitude_std = 0, .layers = 1, .probability = 1, .increasing = increasing, .fill = {}};
}

/// How often each result comes up in many draws.
std::map<Pixels, int> outcomes(const RandAugmentConfig& config, const Image& image, int64_t draws) {
  const auto transform = make_rand_augment(config);
  std::map<Pixels, int> counts;
  for (int64_t item = 0; item < draws; ++item) ++counts[augmented(*transform, image, item)];
  return counts;
}

/// What the list of spec/image.md section 3.2 says of magnitude 9, ImageNet's fill apart.
std::vector<Pixels> expected_at_9(const Image& image, bool increasing) {
  constexpr auto kCubic = Interpolation::kBicubic;
  const auto map = [&](const AffineMap& m) { return affine(image, m, kCubic, {0, 0, 0}).pixels; };
  const double x = 0.9 * 0.45 * static_cast<double>(image.width), y = 0.9 * 0.45 * static_cast<double>(image.height);
  std::vector<Pixels> all = {autocontrast(image).pixels,
                             equalize(image).pixels,
                             invert(image).pixels,
                             rotate(image, 27, kCubic, {0, 0, 0}).pixels,
                             rotate(image, -27, kCubic, {0, 0, 0}).pixels,
                             posterize(image, increasing ? 1 : 3).pixels,
                             solarize(image, increasing ? 26 : 230).pixels,
                             solarize_add(image, 99).pixels,
                             map({1, 0.27, 0, 0, 1, 0}),
                             map({1, -0.27, 0, 0, 1, 0}),
                             map({1, 0, 0, 0.27, 1, 0}),
                             map({1, 0, 0, -0.27, 1, 0}),
                             map({1, 0, x, 0, 1, 0}),
                             map({1, 0, -x, 0, 1, 0}),
                             map({1, 0, 0, 0, 1, y}),
                             map({1, 0, 0, 0, 1, -y})};
  const auto factors = increasing ? std::vector<double>{1.81, 0.19} : std::vector<double>{1.72};
  for (const double factor : factors) {
    for (const auto adjust : {adjust_color, adjust_contrast, adjust_brightness, adjust_sharpness}) {
      all.push_back(adjust(image, factor).pixels);
    }
  }
  return all;
}

TEST_CASE("rand_augment: draws each of 15 operations alike, and no other, in both lists") {
  const bool increasing = GENERATE(true, false);
  CAPTURE(increasing);
  const Image image = crop(test::spec_image(), 3, 2, 30, 22);
  constexpr int64_t kDraws = 3000;  // 200 for each operation
  const auto counts = outcomes(only_one(9, increasing), image, kDraws);
  const auto expected = expected_at_9(image, increasing);
  CHECK(counts.size() == std::set<Pixels>(expected.begin(), expected.end()).size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    REQUIRE(counts.contains(expected[i]));
    const bool two_ways = (i >= 8 && i < 16) || i == 3 || i == 4 || (i >= 16 && increasing);
    const int mean = two_ways ? 100 : 200;
    CHECK(counts.at(expected[i]) > mean - 60);
    CHECK(counts.at(expected[i]) < mean + 60);
  }
}

TEST_CASE("rand_augment: at magnitude 0 nothing but the operations without an amount changes an image") {
  const Image image = crop(test::spec_image(), 3, 2, 30, 22);
  const auto counts = outcomes(only_one(0, true), image, 1000);
  // Unchanged, autocontrast, equalize, invert, and posterize to 4 bits.
  CHECK(counts.size() == 5);
  CHECK(counts.contains(image.pixels));
  CHECK(counts.contains(posterize(image, 4).pixels));
  CHECK(counts.contains(invert(image).pixels));
}

TEST_CASE("rand_augment: a probability of zero never applies, of a half applies none of two to a quarter") {
  const Image image = crop(test::spec_image(), 0, 0, 20, 16);
  RandAugmentConfig config;
  config.probability = 0;
  CHECK(outcomes(config, image, 100).size() == 1);
  config.probability = 0.5;
  const auto counts = outcomes(config, image, 2000);
  CHECK(counts.at(image.pixels) > 420);
  CHECK(counts.at(image.pixels) < 640);
  CHECK(counts.size() > 900);  // the magnitude is drawn, too
}

TEST_CASE("rand_augment: the clip at 10 makes black images, as often as a normal deviate passes it") {
  RandAugmentConfig config = only_one(9, true);
  config.magnitude_std = 0.5;
  const Image image = crop(test::spec_image(), 3, 2, 30, 22);  // bright enough to keep its highest bit somewhere
  constexpr int64_t kDraws = 40000;
  const auto counts = outcomes(config, image, kDraws);
  const double expected = kDraws / 15.0 * 0.02275;  // 61 of posterize alone
  const auto black = counts.find(Pixels(image.pixels.size(), 0));
  REQUIRE(black != counts.end());
  CHECK(black->second > expected / 2);
  CHECK(black->second < expected * 2);
  config.magnitude_max = 9.5;
  CHECK_FALSE(outcomes(config, image, kDraws).contains(Pixels(image.pixels.size(), 0)));
}

TEST_CASE("rand_augment: a pure function of seed, epoch and item, also for grey") {
  const auto transform = make_rand_augment({.probability = 1});
  const Image image = with_channels(test::spec_image(), GENERATE(1, 3));
  CHECK(augmented(*transform, image, 5) == augmented(*transform, image, 5));
  CHECK(augmented(*transform, image, 5) != augmented(*transform, image, 6));
  CHECK(augmented(*transform, image, 5) != augmented(*transform, image, 5, 1));
  for (int64_t item = 0; item < 200; ++item) augmented(*transform, image, item);
}

TEST_CASE("rand_augment: reads the texts of timm") {
  const auto config = parse_rand_augment("rand-m9-mstd0.5-inc1").value_or_throw();
  const RandAugmentConfig published;
  CHECK(config.magnitude == published.magnitude);
  CHECK(config.magnitude_std == published.magnitude_std);
  CHECK(config.magnitude_max == published.magnitude_max);
  CHECK(config.layers == published.layers);
  CHECK(config.probability == published.probability);
  CHECK(config.increasing == published.increasing);

  const auto plain = parse_rand_augment("rand").value_or_throw();
  CHECK(plain.magnitude == 10);
  CHECK(plain.magnitude_std == 0);
  CHECK_FALSE(plain.increasing);

  const auto other = parse_rand_augment("rand-n3-p0.75-inc0-mmax8-m7-mstd101").value_or_throw();
  CHECK(other.layers == 3);
  CHECK(other.probability == 0.75);
  CHECK_FALSE(other.increasing);
  CHECK(other.magnitude_max == 8);
  CHECK(other.magnitude == 7);
  CHECK(other.magnitude_std == 101);
}

TEST_CASE("rand_augment: says what is wrong with a text") {
  const auto message = [](const std::string& text) {
    const auto parsed = parse_rand_augment(text);
    REQUIRE_FALSE(parsed);
    CHECK_THAT(parsed.problem().cure, Contains("rand-m9-mstd0.5-inc1"));
    return parsed.problem().message;
  };
  CHECK_THAT(message("augmix-m5"), Contains("begins with \"rand\", or none, got \"augmix-m5\""));
  CHECK_THAT(message(""), Contains("got \"\""));
  CHECK_THAT(message("randy-m9"), Contains("begins with"));
  CHECK_THAT(message("rand-m"), Contains("letters and a number, got \"m\" in \"rand-m\""));
  CHECK_THAT(message("rand-"), Contains("letters and a number"));
  CHECK_THAT(message("rand-m9x"), Contains("letters and a number"));
  CHECK_THAT(message("rand-m1e999"), Contains("letters and a number"));
  CHECK_THAT(message("rand-m11"), Contains("m from 0 to 10"));
  CHECK_THAT(message("rand-p1.5"), Contains("p from 0 to 1"));
  CHECK_THAT(message("rand-n0"), Contains("n from 1 to 15"));
  CHECK_THAT(message("rand-n1.5"), Contains("n from 1 to 15"));
  CHECK_THAT(message("rand-inc2"), Contains("inc0 or inc1"));
  CHECK_THAT(message("rand-w0"), Contains("one of m, n, mstd, mmax, p, inc, got \"w0\""));
  CHECK_THAT(message("rand-m9-m8"), Contains("\"m\" once"));
}

TEST_CASE("color_jitter: each factor within its bounds, all orders drawn, nothing at zero") {
  const Image image = crop(test::spec_image(), 0, 0, 12, 10);
  CHECK(augmented(*make_color_jitter({0, 0, 0}), image, 1) == image.pixels);
  const auto brightness = make_color_jitter({.brightness = 0.5, .contrast = 0, .saturation = 0});
  const Image bright{2, 1, 1, {100, 100}};
  int lowest = 255, highest = 0;
  for (int64_t item = 0; item < 1000; ++item) {
    const int value = augmented(*brightness, bright, item)[0];
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
  }
  CHECK((lowest >= 50 && lowest <= 52));
  CHECK((highest >= 147 && highest <= 149));
  const auto all = make_color_jitter({});
  CHECK(augmented(*all, image, 1) == augmented(*all, image, 1));
  CHECK(augmented(*all, image, 1) != augmented(*all, image, 2));
}

}  // namespace
}  // namespace unireplk::data::image
