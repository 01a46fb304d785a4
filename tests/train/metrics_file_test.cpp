#include "unireplk/train/metrics_file.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/temporary_folder.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"
#include "unireplk/io/state_file.h"

namespace unireplk::train {
namespace {

using Json = nlohmann::json;

StepRecord step_of(int64_t step) {
  return {.step = step,
          .epoch = step / 10,
          .lr = 0.1 + 0.2,
          .loss = 1.0 / static_cast<double>(step),
          .grad_norm = 1e-300,
          .parts = {{"boxes", 0.25}, {"classes", -1e22}}};
}

ValidationRecord validation_of(int64_t step) {
  const auto metrics = [](double top1) {
    return std::vector<tasks::Metric>{{.name = "top1", .value = top1, .unit = "%"},
                                      {.name = "loss", .value = 2.5, .unit = ""}};
  };
  return {.step = step, .epoch = 1, .results = {{"model", metrics(41.5)}, {"ema", metrics(100.0 / 3)}}};
}

std::vector<Json> lines_of(const std::filesystem::path& path) {
  std::vector<Json> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) lines.push_back(Json::parse(line));
  return lines;
}

io::StateBuffer state_of(const MetricsFile& file) {
  io::StateBuffer state;
  file.save(state);
  return state;
}

TEST_CASE("metrics file: a line for every step and validation, numbers to the bit") {
  const test::TemporaryFolder folder;
  MetricsFile file(folder / "metrics.jsonl");
  const std::vector<StepRecord> records{step_of(3), step_of(11)};
  file.on_steps(records);
  file.on_steps({});
  file.on_validation(validation_of(11));
  const auto lines = lines_of(folder / "metrics.jsonl");
  REQUIRE(lines.size() == 3);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(lines[i] == Json{{"kind", "step"},
                           {"step", records[i].step},
                           {"epoch", records[i].epoch},
                           {"lr", 0.1 + 0.2},
                           {"loss", records[i].loss},
                           {"grad_norm", 1e-300},
                           {"boxes", 0.25},
                           {"classes", -1e22}});
  }
  CHECK(lines[2] == Json{{"kind", "validation"},
                         {"step", 11},
                         {"epoch", 1},
                         {"model", {{"top1", 41.5}, {"loss", 2.5}}},
                         {"ema", {{"top1", 100.0 / 3}, {"loss", 2.5}}}});
}

TEST_CASE("metrics file: is cut back to the checkpoint and goes on there") {
  const test::TemporaryFolder folder;
  const auto path = folder / "metrics.jsonl";
  std::string at_checkpoint;
  io::StateBuffer state;
  {
    MetricsFile file(path);
    file.on_steps(std::vector{step_of(1), step_of(2)});
    state = state_of(file);
    at_checkpoint = io::read_file(path);
    file.on_steps(std::vector{step_of(3)});
    file.on_validation(validation_of(3));
  }
  std::ofstream(path, std::ios::app) << "{\"kind\":\"st";  // killed within a line
  MetricsFile file(path);
  file.load(state);
  CHECK(io::read_file(path) == at_checkpoint);
  file.on_steps(std::vector{step_of(3)});
  const auto lines = lines_of(path);
  REQUIRE(lines.size() == 3);
  CHECK(lines[2].at("step") == 3);
}

TEST_CASE("metrics file: an existing one is kept until it is cut back") {
  const test::TemporaryFolder folder;
  MetricsFile(folder / "m").on_steps(std::vector{step_of(1)});
  MetricsFile(folder / "m").on_steps(std::vector{step_of(2)});
  CHECK(lines_of(folder / "m").size() == 2);
}

TEST_CASE("metrics file: one shorter than the checkpoint remembers is left alone, with a warning") {
  const test::TemporaryFolder folder;
  io::StateBuffer state;
  {
    MetricsFile file(folder / "m");
    file.on_steps(std::vector{step_of(1), step_of(2)});
    state = state_of(file);
  }
  std::filesystem::remove(folder / "m");
  MetricsFile file(folder / "m");
  file.on_steps(std::vector{step_of(7)});
  const test::CapturedLog log;
  file.load(state);
  CHECK_THAT(log.text(), Catch::Contains("m: records of before the checkpoint are missing"));
  CHECK(lines_of(folder / "m").size() == 1);
}

TEST_CASE("metrics file: one that cannot be opened is named") {
  const test::TemporaryFolder folder;
  CHECK_THROWS_WITH(MetricsFile(folder.path()), Catch::Contains(folder.path().string() + ": cannot open the file"));
}

}  // namespace
}  // namespace unireplk::train
