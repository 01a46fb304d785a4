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

Items epoch_of(const Sampler& sampler, int64_t epoch, Rank rank = {}) {
  Items all;
  for (int64_t step = 0; step < sampler.steps(epoch); ++step) {
    const Items batch = sampler.batch(epoch, step, rank);
    all.insert(all.end(), batch.begin(), batch.end());
  }
  return all;
}

}  // namespace

TEST_CASE("shuffled_sampler: gives PyTorch's permutation") {
  CHECK(epoch_of(*shuffled_sampler(10, 1, 0), 0) == Items{4, 1, 7, 5, 3, 9, 0, 8, 6, 2});
  const auto imagenet = shuffled_sampler(1281167, 5, 1);
  CHECK(imagenet->batch(2, 0, {}) == Items{624704, 124707, 1267194, 1077010, 292439});  // seed + epoch = 3
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

TEST_CASE("sequential_sampler: visits everything once, in order") {
  const auto sampler = sequential_sampler(7, 3);
  CHECK(sampler->steps(0) == 3);
  CHECK(sampler->batch(0, 2, {}) == Items{6});
  Items expected(7);
  std::iota(expected.begin(), expected.end(), 0);
  CHECK(epoch_of(*sampler, 5) == expected);
}

TEST_CASE("sequential_sampler: pads short ranks with -1") {
  const auto sampler = sequential_sampler(7, 2, 3);
  CHECK(sampler->steps(0) == 2);
  CHECK(epoch_of(*sampler, 0, {0, 3}) == Items{0, 3, 6});
  CHECK(epoch_of(*sampler, 0, {1, 3}) == Items{1, 4, -1});
  CHECK(epoch_of(*sampler, 0, {2, 3}) == Items{2, 5, -1});
}
