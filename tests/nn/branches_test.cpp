#include "unireplk/nn/branches.h"

#include "nn/print_branch.h"
#include "support/catch.h"
#include "unireplk/core/error.h"

namespace unireplk::nn {
namespace {

using Catch::Matchers::Contains;
using List = std::vector<Branch>;

TEST_CASE("default_branches: the published table") {
  CHECK(default_branches(5) == List{{3, 1}, {3, 2}});
  CHECK(default_branches(7) == List{{5, 1}, {3, 2}, {3, 3}});
  CHECK(default_branches(9) == List{{5, 1}, {5, 2}, {3, 3}, {3, 4}});
  CHECK(default_branches(11) == List{{5, 1}, {5, 2}, {3, 3}, {3, 4}, {3, 5}});
  CHECK(default_branches(13) == List{{5, 1}, {7, 2}, {3, 3}, {3, 4}, {3, 5}});
  CHECK(default_branches(15) == List{{5, 1}, {7, 2}, {3, 3}, {3, 5}, {3, 7}});
  CHECK(default_branches(17) == List{{5, 1}, {9, 2}, {3, 4}, {3, 5}, {3, 7}});
}

TEST_CASE("default_branches: the rule beyond the table") {
  CHECK(default_branches(19) == List{{5, 1}, {9, 2}, {3, 4}, {3, 6}, {3, 9}});
  CHECK(default_branches(23) == List{{5, 1}, {11, 2}, {3, 5}, {3, 8}, {3, 11}});
  CHECK(default_branches(31) == List{{5, 1}, {15, 2}, {3, 7}, {3, 11}, {3, 15}});
  CHECK(default_branches(51) == List{{5, 1}, {25, 2}, {3, 12}, {3, 18}, {3, 25}});
  for (int64_t k = 5; k <= 127; k += 2) CHECK_NOTHROW(check_branches(k, default_branches(k)));
}

TEST_CASE("default_branches: refuses even and small kernels") {
  CHECK_THROWS_WITH(default_branches(14), Contains("kernel size 14: expected an odd size >= 5"));
  CHECK_THROWS_AS(default_branches(3), UserError);
}

TEST_CASE("check_branches: names what does not fit") {
  CHECK_NOTHROW(check_branches(13, {}));
  CHECK_THROWS_WITH(check_branches(13, {{5, 1}, {7, 3}}), Contains("[7, 3]") && Contains("must be at most 13"));
  CHECK_THROWS_WITH(check_branches(13, {{4, 1}}), Contains("expected an odd kernel"));
  CHECK_THROWS_WITH(check_branches(13, {{3, 0}}), Contains("expected a dilation >= 1"));
  CHECK_THROWS_WITH(check_branches(13, {{3, 2}, {3, 2}}), Contains("given twice"));
  CHECK_THROWS_AS(check_branches(13, {{3, int64_t{1} << 62}}), UserError);
}

TEST_CASE("Branch: name and extent") {
  CHECK(Branch{7, 2}.name() == "k7_2");
  CHECK(Branch{7, 2}.extent() == 13);
}

}  // namespace
}  // namespace unireplk::nn
