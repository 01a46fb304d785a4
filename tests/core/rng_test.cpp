#include "unireplk/core/rng.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;

namespace {

RandomStream stream_of(uint64_t seed, int64_t epoch = 0, int64_t item = 0, uint32_t number = 0) {
  return Draw{.seed = seed, .epoch = epoch, .item = item}.stream(number);
}

}  // namespace

TEST_CASE("philox4x32: equals the known answers of Random123") {
  using Words = std::array<uint32_t, 4>;
  const uint32_t all = 0xffffffff;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({all, all, all, all}, {all, all}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("RandomStream: hands out the words of consecutive counters") {
  RandomStream stream({1, 2}, {3, 4, 5});
  std::vector<uint32_t> got;
  for (int i = 0; i < 8; ++i) got.push_back(stream.bits());
  std::vector<uint32_t> expected;
  for (uint32_t block = 0; block < 2; ++block) {
    for (const uint32_t word : philox4x32({block, 3, 4, 5}, {1, 2})) expected.push_back(word);
  }
  CHECK(got == expected);
}

TEST_CASE("Draw: seed, epoch, item and stream number each change the values, nothing else does") {
  std::set<uint32_t> first_words;
  for (uint64_t seed : {0, 1}) {
    for (int64_t epoch : {0, 1}) {
      for (int64_t item : {int64_t{0}, int64_t{1}, int64_t{1} << 32}) {
        for (uint32_t number : {0u, 1u}) first_words.insert(stream_of(seed, epoch, item, number).bits());
      }
    }
  }
  CHECK(first_words.size() == 2 * 2 * 3 * 2);
  CHECK(stream_of(7, 8, 9, 10).bits() == stream_of(7, 8, 9, 10).bits());
}

TEST_CASE("Draw: views of an item draw different values, the first those of the item") {
  std::set<uint32_t> first_words;
  for (int32_t view : {0, 1, 2, 1 << 20}) {
    for (int64_t epoch : {0, 1}) {
      first_words.insert(Draw{.seed = 7, .epoch = epoch, .item = 9, .view = view}.stream(10).bits());
    }
  }
  CHECK(first_words.size() == 4 * 2);
  CHECK(first_words.contains(stream_of(7, 0, 9, 10).bits()));
  CHECK(stream_of(7, 8, 9, 10).bits() == 0xdba2c71a);  // or runs would not go on to the same bits
}

TEST_CASE("uniform: stays in [0, 1) and has the right mean and variance") {
  RandomStream stream = stream_of(1);
  constexpr int kCount = 100000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = stream.uniform();
    REQUIRE(value >= 0.0);
    REQUIRE(value < 1.0);
    sum += value;
    squares += value * value;
  }
  const double mean = sum / kCount;
  CHECK(mean == Approx(0.5).margin(0.005));  // five standard errors
  CHECK(squares / kCount - mean * mean == Approx(1.0 / 12).margin(0.003));
}

TEST_CASE("uniform: a range never yields its upper end, even where rounding would") {
  RandomStream stream = stream_of(2);
  const double high = std::nextafter(1.0, 2.0);
  for (int i = 0; i < 100; ++i) CHECK(stream.uniform(1.0, high) == 1.0);
}

TEST_CASE("integer: covers both ends evenly") {
  RandomStream stream = stream_of(3);
  std::array<int, 6> counts{};
  for (int i = 0; i < 60000; ++i) ++counts.at(static_cast<size_t>(stream.integer(-2, 3) + 2));
  for (const int count : counts) CHECK(count == Approx(10000).margin(500));
  CHECK(stream.integer(5, 5) == 5);
  const int64_t lowest = std::numeric_limits<int64_t>::min();
  const int64_t highest = std::numeric_limits<int64_t>::max();
  CHECK(stream.integer(lowest, highest) != stream.integer(lowest, highest));
  CHECK_THROWS_AS(stream.integer(1, 0), ContractError);
}

TEST_CASE("normal: has the asked mean and deviation, and its share inside one deviation") {
  RandomStream stream = stream_of(4);
  constexpr int kCount = 100000;
  double sum = 0;
  double squares = 0;
  int inside = 0;
  for (int i = 0; i < kCount; ++i) {
    const double value = stream.normal(3.0, 2.0);
    REQUIRE(std::isfinite(value));
    sum += value;
    squares += (value - 3.0) * (value - 3.0);
    inside += std::abs(value - 3.0) < 2.0 ? 1 : 0;
  }
  CHECK(sum / kCount == Approx(3.0).margin(0.03));
  CHECK(std::sqrt(squares / kCount) == Approx(2.0).margin(0.03));
  CHECK(static_cast<double>(inside) / kCount == Approx(0.6827).margin(0.008));
}

TEST_CASE("bernoulli: 0 never, 1 always") {
  RandomStream stream = stream_of(5);
  for (int i = 0; i < 1000; ++i) {
    CHECK_FALSE(stream.bernoulli(0.0));
    CHECK(stream.bernoulli(1.0));
  }
}

TEST_CASE("mix_seed: depends on every part and on their order") {
  CHECK(mix_seed({1, 2}) == mix_seed({1, 2}));
  CHECK(mix_seed({1, 2}) != mix_seed({2, 1}));
  CHECK(mix_seed({1, 2}) != mix_seed({1, 2, 0}));
  CHECK(mix_seed({0, 1}) != mix_seed({1, 0}));
}
