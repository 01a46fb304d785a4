#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/files.h"
#include "support/process.h"

/// Runs of the program, and those of the tiny network.
namespace unireplk::test {

inline constexpr const char* kTiny = "tests/fixtures/tiny.yaml";

/// What a command that succeeds printed as JSON.
inline nlohmann::json json_line(const std::vector<std::string>& arguments) {
  const auto finished = unireplk(arguments);
  INFO(finished.err);
  REQUIRE(finished.exit_code == 0);
  return nlohmann::json::parse(finished.out);
}

/// Arguments that train the tiny network into `output`; metrics are written at every step.
inline std::vector<std::string> training(const std::filesystem::path& output,
                                         const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{unireplk_path(),    "train", "--resume", kTiny, "output=" + output.string(),
                                     "train.log_every=1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

inline int64_t count_lines(const std::filesystem::path& path) {
  const auto text = content(path);
  return std::count(text.begin(), text.end(), '\n');
}

/// The name of the checkpoint that `latest` tells.
inline std::string latest_of(const std::filesystem::path& run) {
  const auto text = content(run / "checkpoints" / "latest");
  return text.substr(0, text.find_last_not_of(" \n") + 1);
}

/// Files of the last checkpoint and the metrics, which must not depend on how often a run was interrupted.
inline void check_equal_runs(const std::filesystem::path& expected, const std::filesystem::path& actual) {
  const auto last = latest_of(expected);
  REQUIRE(latest_of(actual) == last);
  for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"}) {
    INFO(file);
    const auto bytes = content(expected / "checkpoints" / last / file);
    CHECK(!bytes.empty());
    CHECK((content(actual / "checkpoints" / last / file) == bytes));
  }
  CHECK((content(actual / "metrics.jsonl") == content(expected / "metrics.jsonl")));
}

}  // namespace unireplk::test
