#include "unireplk/train/profile.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/tiny_run.h"
#include "unireplk/core/error.h"
#include "unireplk/models/state_dict.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::TinyRun;

TrainConfig traced(int64_t start, int64_t steps) {
  auto config = test::tiny_config();
  config.profile = ProfileConfig{.start = start, .steps = steps};
  return config;
}

/// Names of all events of a trace.
std::multiset<std::string> events_of(const fs::path& file) {
  std::multiset<std::string> names;
  const auto trace = nlohmann::json::parse(test::content(file));
  for (const auto& event : trace.at("traceEvents")) {
    names.insert(event.at("name").get<std::string>());
  }
  return names;
}

std::set<std::string> steps_in(const std::multiset<std::string>& events) {
  std::set<std::string> steps;
  for (const auto& name : events) {
    if (name.starts_with("ProfilerStep#")) steps.insert(name);
  }
  return steps;
}

std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> names;
  if (!fs::exists(folder)) return names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename().string());
  return names;
}

TEST_CASE("profile: a trace holds the operators of its steps, and changes no bit") {
  const test::TemporaryFolder plain, folder;
  const test::CapturedLog log;
  TinyRun expected(plain.path()), tiny(folder.path(), traced(3, 2));
  CHECK(expected.trainer.run() == RunEnd::kFinished);
  CHECK(tiny.trainer.run() == RunEnd::kFinished);
  CHECK(files_in(plain / "profile").empty());
  REQUIRE(files_in(folder / "profile") == std::vector<std::string>{"step_000000003.json"});
  CHECK_THAT(log.text(), Contains("steps 3 to 4 traced: ") && Contains("step_000000003.json"));
  const auto events = events_of(folder / "profile" / "step_000000003.json");
  CHECK(steps_in(events) == std::set<std::string>{"ProfilerStep#3", "ProfilerStep#4"});
  CHECK(events.count("aten::relu") == 2);  // once in a forward pass; validations are not traced
  CHECK(events.count("ReluBackward0") == 2);
  const auto state = models::state_dict(*tiny.net), other = models::state_dict(*expected.net);
  for (size_t i = 0; i < state.size(); ++i) CHECK(state[i].second.equal(other[i].second));
  CHECK((test::content(folder / "metrics.jsonl") == test::content(plain / "metrics.jsonl")));
}

TEST_CASE("profile: a run that goes on in the midst traces what is left; one that goes on behind says so") {
  const test::TemporaryFolder folder;
  const test::CapturedLog log;
  const auto stop_at = [&](int64_t step, int64_t start) {
    const TinyRun* running = nullptr;
    TinyRun tiny(folder.path(), traced(start, 3),
                 {.stop_requested = [&] { return running && running->trainer.clock().step() == step; }});
    running = &tiny;
    tiny.trainer.resume();
    CHECK(tiny.trainer.run() == RunEnd::kStopped);
  };
  stop_at(4, 4);  // step 4 has been traced, and that is dropped
  CHECK(files_in(folder / "profile").empty());
  stop_at(8, 4);
  REQUIRE(files_in(folder / "profile") == std::vector<std::string>{"step_000000005.json"});
  CHECK(steps_in(events_of(folder / "profile" / "step_000000005.json")) ==
        std::set<std::string>{"ProfilerStep#5", "ProfilerStep#6"});
  stop_at(10, 4);
  CHECK_THAT(log.text(), Contains("nothing is traced, as steps 4 to 6 lie before step 9"));
}

TEST_CASE("profile: a run without the first step is refused; a folder that cannot be made ends it") {
  const test::TemporaryFolder folder;
  TinyRun tiny(folder.path(), traced(2, 1));
  CHECK_THROWS_WITH(check_trainable(traced(25, 1), tiny.task, 6, true, at::kCPU),
                    Contains("train.profile.start: expected one of the 24 steps of the run, got 25"));
  std::ofstream(folder / "profile") << "in the way";
  const test::CapturedLog log;
  CHECK_THROWS_AS(tiny.trainer.run(), UserError);
}

}  // namespace
}  // namespace unireplk::train
