#include "unireplk/data/sampler.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <thread>

#include "support/catch.h"
#include "unireplk/core/error.h"

using namespace unireplk;
using namespace unireplk::data;
using Items = std::vector<int64_t>;

namespace {

/// -1: padding.
Items items_of(const std::vector<SampleKey>& keys) {
  Items items;
  for (const auto& key : keys) items.push_back(key.padding ? -1 : key.item);
  return items;
}

Items epoch_of(const Sampler& sampler, int64_t epoch, Rank rank = {}) {
  Items all;
  for (int64_t step = 0; step < sampler.steps(epoch); ++step) {
    const Items batch = items_of(sampler.batch(epoch, step, rank));
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

}  // namespace

TEST_CASE("shuffled_sampler: gives PyTorch's permutation") {
  CHECK(epoch_of(*shuffled_sampler(10, 1, 0), 0) == Items{4, 1, 7, 5, 3, 9, 0, 8, 6, 2});
  const auto imagenet = shuffled_sampler(1281167, 5, 1);
  CHECK(items_of(imagenet->batch(2, 0, {})) == Items{624704, 124707, 1267194, 1077010, 292439});  // seed + epoch = 3
}

TEST_CASE("shuffled_sampler: drops the last partial batch") {
  const auto sampler = shuffled_sampler(10, 4, 7);
  CHECK(sampler->steps(0) == 2);
  const Items items = epoch_of(*sampler, 3);
  CHECK(std::set<int64_t>(items.begin(), items.end()).size() == 8);
}

TEST_CASE("shuffled_sampler: ranks take turns and the epoch is padded with its beginning") {
  const auto sampler = shuffled_sampler(10, 1, 0, 4);  // three each, twelve in all
  CHECK(epoch_of(*sampler, 0, {0, 4}) == Items{4, 3, 6});
  CHECK(epoch_of(*sampler, 0, {1, 4}) == Items{1, 9, 2});
  CHECK(epoch_of(*sampler, 0, {2, 4}) == Items{7, 0, 4});
  CHECK(epoch_of(*sampler, 0, {3, 4}) == Items{5, 8, 1});
  CHECK(epoch_of(*shuffled_sampler(1, 1, 0, 3), 0, {2, 3}) == Items{0});
}

TEST_CASE("shuffled_sampler: is the same from several threads and in any order of epochs") {
  const auto sampler = shuffled_sampler(1000, 10, 5);
  const Items first = epoch_of(*sampler, 1);
  const Items second = epoch_of(*sampler, 2);
  CHECK(first != second);
  std::vector<Items> seen(4);
  {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < seen.size(); ++t) {
      threads.emplace_back([&, t] { seen[t] = epoch_of(*sampler, t % 2 == 0 ? 1 : 2); });
    }
  }
  for (size_t t = 0; t < seen.size(); ++t) CHECK(seen[t] == (t % 2 == 0 ? first : second));
}

TEST_CASE("shuffled_sampler: a batch larger than the data is the user's mistake") {
  CHECK_THROWS_WITH(shuffled_sampler(40, 64, 0),
                    "data.loader.batch_size: expected at most the 40 training samples of each process, got 64. "
                    "Use a smaller batch or more data.");
  CHECK_THROWS_AS(shuffled_sampler(40, 21, 0, 2), UserError);
  CHECK_NOTHROW(shuffled_sampler(40, 20, 0, 2));
}

TEST_CASE("shuffled_sampler: refuses another number of ranks") {
  CHECK_THROWS_AS(shuffled_sampler(10, 1, 0, 2)->batch(0, 0, {0, 1}), ContractError);
  CHECK_THROWS_AS(shuffled_sampler(10, 1, 0)->batch(0, 10, {}), ContractError);
}

TEST_CASE("shuffled_sampler: with aug_repeats copies stand side by side in an epoch that is no longer") {
  const Items order = epoch_of(*shuffled_sampler(11, 1, 4), 2);
  const auto sampler = shuffled_sampler(11, 5, 4, 1, {.aug_repeats = 3});
  CHECK(sampler->steps(2) == 2);
  for (int64_t step = 0; step < 2; ++step) {
    const auto batch = sampler->batch(2, step, {});
    REQUIRE(batch.size() == 5);
    for (int64_t i = 0; i < 5; ++i) {
      const int64_t position = step * 5 + i;
      const SampleKey& key = batch[static_cast<size_t>(i)];
      CHECK(key.item == order[static_cast<size_t>(position / 3)]);
      CHECK(key.view == position % 3);
      CHECK_FALSE(key.padding);
    }
  }
}

TEST_CASE("shuffled_sampler: copies of an item fall to different ranks, as different views") {
  const auto sampler = shuffled_sampler(12, 2, 0, 4, {.aug_repeats = 4});  // three each: one step of two
  for (int64_t i = 0; i < 2; ++i) {
    std::set<int64_t> items, views;
    for (int64_t rank = 0; rank < 4; ++rank) {
      const auto key = sampler->batch(0, 0, {rank, 4})[static_cast<size_t>(i)];
      items.insert(key.item);
      views.insert(key.view);
    }
    CHECK(items.size() == 1);
    CHECK(views == std::set<int64_t>{0, 1, 2, 3});
  }
}

TEST_CASE("sequential_sampler: visits everything once, in order") {
  const auto sampler = sequential_sampler(7, 3);
  CHECK(sampler->steps(0) == 3);
  CHECK(items_of(sampler->batch(0, 2, {})) == Items{6});
  Items expected(7);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(epoch_of(*sampler, 5) == expected);
}

TEST_CASE("sequential_sampler: pads short ranks") {
  const auto sampler = sequential_sampler(7, 2, 3);
  CHECK(sampler->steps(0) == 2);
  CHECK(epoch_of(*sampler, 0, {0, 3}) == Items{0, 3, 6});
  CHECK(epoch_of(*sampler, 0, {1, 3}) == Items{1, 4, -1});
  CHECK(epoch_of(*sampler, 0, {2, 3}) == Items{2, 5, -1});
}
