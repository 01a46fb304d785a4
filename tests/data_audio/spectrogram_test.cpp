#include "unireplk/data/audio/spectrogram.h"

#include <algorithm>
#include <vector>

#include "support/catch.h"

namespace unireplk::data::audio {
namespace {

RandomStream stream(int64_t item) { return Draw{.seed = 7, .epoch = 0, .item = item}.stream(1); }

TEST_CASE("masks: as wide as 0 to M - 1, and inside") {
  constexpr int64_t kDraws = 20000, kLength = 128, kMost = 48;
  std::vector<int64_t> seen(kMost);
  double sum = 0;
  for (int64_t i = 0; i < kDraws; ++i) {
    auto random = stream(i);
    const auto stripe = draw_stripe(kLength, kMost, random);
    REQUIRE((stripe.first >= 0 && stripe.count >= 0 && stripe.count < kMost && stripe.first + stripe.count <= kLength));
    ++seen[static_cast<size_t>(stripe.count)];
    sum += static_cast<double>(stripe.count);
  }
  CHECK(std::ranges::min(seen) > 0);
  CHECK(sum / kDraws == Approx((kMost - 1) / 2.0).margin(0.5));  // five standard errors
  auto random = stream(0);
  CHECK(draw_stripe(kLength, 0, random).count == 0);
}

TEST_CASE("masks: zero before the map is normalised") {
  std::vector<float> map{1, 2, 3, 4, 5, 6};  // 2 bins x 3 frames
  mask_and_normalise(map, 3, {.bins = {1, 1}, .frames = {2, 1}}, -4, 2);
  CHECK(map == std::vector<float>{1.25F, 1.5F, 1, 1, 1, 1});
}

TEST_CASE("noise: never negative, below a tenth, its own for each value") {
  double sum = 0;
  for (int64_t i = 0; i < 200; ++i) {
    std::vector<float> map(100);
    auto random = stream(i);
    add_noise(map, random);
    CHECK((std::ranges::min(map) >= 0 && std::ranges::max(map) < 0.1F));
    CHECK(std::ranges::min(map) < std::ranges::max(map));
    for (const float value : map) sum += value;
  }
  CHECK(sum / 20000 == Approx(0.025).margin(0.005));
}

TEST_CASE("roll: frames move around the end") {
  std::vector<float> map{0, 1, 2, 3, 10, 11, 12, 13};
  roll(map, 4, 1);
  CHECK(map == std::vector<float>{3, 0, 1, 2, 13, 10, 11, 12});
  roll(map, 4, -1);
  roll(map, 4, -9);
  CHECK(map == std::vector<float>{1, 2, 3, 0, 11, 12, 13, 10});
}

}  // namespace
}  // namespace unireplk::data::audio
