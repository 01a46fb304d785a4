#include "unireplk/analysis/floor.h"

#include "support/catch.h"
#include "unireplk/analysis/machine.h"
#include "unireplk/models/describe.h"

namespace unireplk::analysis {
namespace {

TEST_CASE("useful_taps: leaves out what meets padding") {
  CHECK(useful_taps(3, 1, 1) == 9);
  CHECK(useful_taps(3, 3, 1) == 7 * 7);          // rows of 2, 3 and 2 pixels
  CHECK(useful_taps(5, 3, 2) == 11 * 11);        // 3, 5 and 3
  CHECK(useful_taps(2, 13, 1) == 4 * 4);         // 1, 2 and 1
  CHECK(useful_taps(100, 13, 1) < 169 * 10000);  // all taps of all pixels
}

TEST_CASE("forward_flops: a little less than twice the multiply-adds of all taps") {
  for (const bool deploy : {false, true}) {
    auto options = models::variant_options("unireplknet_a");
    options.deploy = deploy;
    const double all_taps = 2.0 * static_cast<double>(models::count(options, 224, 224).macs);
    const double flops = forward_flops(options, 224);
    CHECK(flops < all_taps);
    CHECK(flops > 0.9 * all_taps);
  }
}

TEST_CASE("training_flops: three times forward, but for the gradient of the images") {
  const auto options = models::variant_options("unireplknet_a");
  const double first =
      2.0 * 3 * 20 * (3 * 16 - 1) * (3 * 16 - 1);  // 3 x 3 / 2 from 3 to 20 channels, 32 x 32 to 16 x 16
  CHECK(training_flops(options, 32) == Approx(3 * forward_flops(options, 32) - first));
}

TEST_CASE("quantile: between values in proportion") {
  CHECK(quantile({3, 1, 2}, 0) == 1);
  CHECK(quantile({3, 1, 2}, 1) == 3);
  CHECK(quantile({3, 1, 2}, 0.25) == 1.5);
  CHECK(median({4, 1, 2, 3}) == 2.5);
  CHECK(median({7}) == 7);
}

}  // namespace
}  // namespace unireplk::analysis
