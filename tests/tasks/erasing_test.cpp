#include "unireplk/tasks/erasing.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "support/catch.h"
#include "unireplk/config/dump.h"
#include "unireplk/config/parse.h"
#include "unireplk/core/error.h"
#include "unireplk/tasks/classification.h"

namespace unireplk::tasks {
namespace {

using Catch::Matchers::Contains;

constexpr float kUntouched = 50;  // no normal deviate reaches it

at::Tensor erased(const ErasingConfig& config, uint64_t seed, int64_t batch = 1, int64_t height = 40,
                  int64_t width = 60) {
  auto maps = at::full({batch, 3, height, width}, kUntouched).contiguous(at::MemoryFormat::ChannelsLast);
  erase(maps, config, at::make_generator<at::CPUGeneratorImpl>(seed));
  CHECK(maps.is_contiguous(at::MemoryFormat::ChannelsLast));
  return maps;
}

TEST_CASE("erase: one rectangle within the bounds of area and shape, the same in all channels") {
  const ErasingConfig config{.probability = 1, .mode = ErasingMode::kConst};
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto map = erased(config, seed)[0];
    const auto gone = map == 0;
    CHECK((gone | (map == kUntouched)).all().item<bool>());
    CHECK((gone[0].equal(gone[1]) && gone[0].equal(gone[2])));
    const auto rows = static_cast<double>(gone[0].any(1).sum().item<int64_t>());
    const auto columns = static_cast<double>(gone[0].any(0).sum().item<int64_t>());
    const auto area = static_cast<double>(gone[0].sum().item<int64_t>());
    CHECK(area == rows * columns);
    // Each side is rounded by up to a half.
    CHECK((rows + 0.5) * (columns + 0.5) >= 0.02 * 2400);
    CHECK((rows - 0.5) * (columns - 0.5) <= 2400 / 3.0);
    CHECK((rows + 0.5) / (columns - 0.5) >= 0.3);
    CHECK((rows - 0.5) / (columns + 0.5) <= 1 / 0.3);
    CHECK((rows < 40 && columns < 60));
  }
}

TEST_CASE("erase: as many samples as the probability says, each with a rectangle of its own") {
  const auto maps = erased({.probability = 0.25, .mode = ErasingMode::kConst}, 1, 4000, 12, 12);
  const auto gone = (maps.select(1, 0) == 0).flatten(1);  // [B, pixels]
  const auto hit = gone.any(1).sum().item<int64_t>();
  CHECK((hit > 890 && hit < 1110));
  CHECK(gone.any(0).all().item<bool>());  // every pixel is reached, corners included
  CHECK((erased({.probability = 0}, 1, 50) == kUntouched).all().item<bool>());
}

TEST_CASE("erase: fills with noise for each pixel, or one value for each channel", "[numeric]") {
  const auto noise = erased({.probability = 1, .mode = ErasingMode::kPixel}, 2, 40);
  const auto values = noise.masked_select(noise != kUntouched);
  REQUIRE(values.numel() > 10000);
  CHECK(values.mean().item<double>() == Approx(0).margin(0.05));
  CHECK(values.std().item<double>() == Approx(1).margin(0.05));
  const auto plain = erased({.probability = 1, .mode = ErasingMode::kRand}, 2, 40);
  for (int64_t i = 0; i < 40; ++i) {
    std::vector<float> channel;
    for (int64_t c = 0; c < 3; ++c) {
      const auto inside = plain[i][c].masked_select(plain[i][c] != kUntouched);
      REQUIRE(inside.numel() > 0);
      CHECK((inside == inside[0]).all().item<bool>());
      channel.push_back(inside[0].item<float>());
    }
    CHECK((channel[0] != channel[1] && channel[1] != channel[2]));
  }
}

TEST_CASE("erase: several rectangles share the area") {
  const ErasingConfig config{.probability = 1, .mode = ErasingMode::kConst, .count = 4, .area = {0.3, 0.3}};
  double most = 0, least = 1;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const double share = (erased(config, seed) == 0).to(at::kDouble).mean().item<double>();
    most = std::max(most, share);
    least = std::min(least, share);
  }
  CHECK((most > 0.28 && most < 0.34));  // rounding; overlaps make it less
  CHECK(least < 0.27);
}

TEST_CASE("erase: gives up where no rectangle is smaller than the map") {
  const auto maps = erased({.probability = 1, .mode = ErasingMode::kConst, .area = {1, 1}, .aspect = {1, 1}}, 1);
  CHECK((maps == kUntouched).all().item<bool>());
  const auto wild = erased({.probability = 1, .mode = ErasingMode::kConst, .aspect = {1e-300, 1e300}}, 1, 20);
  CHECK(wild.numel() > 0);  // sides beyond any integer are no box
}

TEST_CASE("erase: follows from the seed alone") {
  const ErasingConfig config{.probability = 0.5};
  CHECK(erased(config, 7, 16).equal(erased(config, 7, 16)));
  CHECK_FALSE(erased(config, 7, 16).equal(erased(config, 8, 16)));
}

TEST_CASE("erasing config: a section of the task, read as it is dumped") {
  const auto read = [](const std::string& yaml) {
    return config::parse<ClassificationConfig>(config::load_text(yaml, "task.yaml"), {});
  };
  CHECK_FALSE(read("{}").erasing);
  const auto config = read("erasing: {mode: rand, count: 3}");
  REQUIRE(config.erasing);
  CHECK(config.erasing->mode == ErasingMode::kRand);
  CHECK(config.erasing->probability == 0.25);
  CHECK(config::dump(read(config::dump(config))) == config::dump(config));
  CHECK_THROWS_WITH(read("erasing: {area: [0.5, 0.1]}"), Contains("erasing.area") && Contains("smallest <= largest"));
  CHECK_THROWS_WITH(read("erasing: {aspect: [2, 1]}"), Contains("erasing.aspect"));
  CHECK_THROWS_WITH(read("erasing: {mode: white}"), Contains("mode"));
}

}  // namespace
}  // namespace unireplk::tasks
