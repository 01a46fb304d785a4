#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"
#include "support/temporary_folder.h"

namespace unireplk::test {
namespace {

using Catch::Matchers::Contains;

/// Two steps of training with a config that `init` wrote.
Finished train_a_little(const std::string& config, const TemporaryFolder& folder, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"train", config, "output=" + folder.path().string(), "device=cpu", "train.max_steps=2",
                             "train.schedule.warmup_epochs=0"});
  return unireplk(more);
}

nlohmann::json drafted(const std::string& data, const std::string& config) {
  const auto finished = unireplk({"init", "--data", data, "--output", config, "--json"});
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  return nlohmann::json::parse(finished.out);
}

}  // namespace

TEST_CASE("init: a table over time becomes a config that forecasts", "[numeric]") {
  const TemporaryFolder folder;
  constexpr int kRows = 600;
  std::ifstream whole("examples/data/etth1/ETTh1.csv");
  std::string first_rows;
  std::string line;
  for (int i = 0; i <= kRows && std::getline(whole, line); ++i) first_rows += line + '\n';
  write_file(folder / "etth1.csv", first_rows);
  const auto config = (folder / "etth1.yaml").string();
  const auto found = drafted((folder / "etth1.csv").string(), config);
  CHECK((found["channels"] == 7 && found["rows"] == kRows));
  const auto trained = train_a_little(config, folder, {"data.loader.batch_size=2", "task.baselines=[]"});
  INFO(trained.err);
  CHECK(trained.exit_code == 0);
}

TEST_CASE("init: data that no modality knows are refused, with what would be taken") {
  const TemporaryFolder folder;
  std::ofstream(folder / "table.csv") << "a,b\n1,2\n";
  const auto finished = unireplk({"init", "--data", (folder / "table.csv").string()});
  CHECK(finished.exit_code == 2);
  CHECK_THAT(finished.err,
             Contains("images in one sub-folder for each class, or sounds") && Contains("`date`; got none"));
  CHECK_THAT(unireplk({"init", "--data", (folder / "nowhere").string()}).err,
             Contains("`date`; got nothing at all. Check the path."));
}

}  // namespace unireplk::test
