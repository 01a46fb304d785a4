#include <filesystem>
#include <nlohmann/json.hpp>

#include "runner/runs.h"
#include "support/temporary_folder.h"

namespace unireplk::test {

TEST_CASE("plan: measures micro-batches until the data end, and leaves nothing behind", "[numeric]") {
  const TemporaryFolder folder;
  const auto plan = json_line({"plan", kTiny, "--json", "--steps", "2", "output=" + (folder / "runs").string(),
                               "data.loader.batch_size=1024", "train.accumulate_steps=3"});
  CHECK(plan.at("samples_per_step") == 3072);
  CHECK(plan.at("steps") == 2);  // one an epoch: 3500 items
  const auto& sizes = plan.at("sizes");
  REQUIRE(sizes.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    const auto& row = sizes[i];
    CHECK(row.at("micro_batch") == 1024 << i);
    CHECK(row.at("fits") == true);
    CHECK(row.at("peak_mib") > 50);
    CHECK(row.at("step_ms") > 0);
    CHECK(row.at("hours").get<double>() ==
          Approx(2 * 3072 / (1024 << i) * row.at("step_ms").get<double>() / 3.6e6).epsilon(0.6));
  }
  CHECK(sizes[1].at("peak_mib") > sizes[0].at("peak_mib"));
  CHECK(!sizes[1].contains("accumulate_steps"));
  CHECK(plan.at("batch_size") == 1024);
  CHECK(plan.at("accumulate_steps") == 3);
  CHECK(plan.at("hours") == sizes[0].at("hours"));
  CHECK(std::filesystem::is_empty(folder / "runs"));
}

TEST_CASE("plan: a size that cannot be measured is told with its reason") {
  const TemporaryFolder folder;
  const auto finished = unireplk({"plan", kTiny, "output=" + folder.path().string(), "data.loader.batch_size=1"});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err, Catch::Contains("micro-batches of 1: exit code ") && Catch::Contains("norm"));
  CHECK(std::filesystem::is_empty(folder.path()));
}

}  // namespace unireplk::test
