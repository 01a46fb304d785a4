#include "unireplk/train/checkpoint.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "support/catch.h"
#include "support/files.h"
#include "support/temporary_folder.h"
#include "train/keeper.h"
#include "unireplk/core/error.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::content;
using test::Counter;
using test::Keeper;

void overwrite(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// What reading says of a checkpoint; empty when it is sound.
std::string reading_complaint(const fs::path& folder) {
  try {
    Checkpoint::read(folder);
    return "";
  } catch (const UserError& error) {
    return error.what();
  }
}

/// A checkpoint of three parts in a folder of its own.
class Written {
 public:
  Written() {
    Checkpoint::write(folder.path(), 123, {{"model", &model}, {"optimizer", &optimizer}, {"clock", &clock}});
  }

  fs::path state() const { return folder / "state.json"; }

  test::TemporaryFolder folder;
  Keeper model{0.25}, optimizer{-3};  // with another last digit they are other numbers
  Counter clock{(int64_t{1} << 53) + 1};
};

TEST_CASE("checkpoint: every part comes back to the bit") {
  const double number = GENERATE(0.1 + 0.2, -0.0, std::numeric_limits<double>::denorm_min(),
                                 std::numeric_limits<double>::infinity(), std::nan(""));
  test::TemporaryFolder folder;
  Keeper model(1), optimizer(2);
  model.number = number;
  Counter clock((int64_t{1} << 53) + 1);
  Checkpoint::write(folder.path(), 123, {{"model", &model}, {"optimizer", &optimizer}, {"clock", &clock}});
  const auto checkpoint = Checkpoint::read(folder.path());
  CHECK(checkpoint.step() == 123);
  CHECK(checkpoint.folder() == folder.path());
  Keeper model_again, optimizer_again;
  Counter clock_again;
  checkpoint.restore({{"clock", &clock_again}, {"model", &model_again}, {"optimizer", &optimizer_again}});
  CHECK(model_again.tensor.equal(model.tensor));
  CHECK(optimizer_again.tensor.equal(optimizer.tensor));
  CHECK(std::bit_cast<uint64_t>(model_again.number) == std::bit_cast<uint64_t>(number));
  CHECK(clock_again.count == clock.count);
}

TEST_CASE("checkpoint: a file for each part with tensors, and the state") {
  const Written written;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(written.folder.path())) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"model.safetensors", "optimizer.safetensors", "state.json"});
}

TEST_CASE("checkpoint: may hold more than is asked for, not less") {
  const Written written;
  const auto checkpoint = Checkpoint::read(written.folder.path());
  Keeper model, ema;
  checkpoint.restore({{"model", &model}});
  CHECK(model.number == written.model.number);
  CHECK_THROWS_WITH(checkpoint.restore({{"model", &model}, {"ema", &ema}}),
                    written.folder.path().string() +
                        ": holds no state of \"ema\". "
                        "Resume with the settings the run was started with.");
}

TEST_CASE("checkpoint: a tensor file that is missing, cut, longer or altered is named") {
  const Written written;
  const auto path = written.folder / GENERATE(as<std::string>(), "model.safetensors", "optimizer.safetensors");
  const auto bytes = content(path);
  REQUIRE(reading_complaint(written.folder.path()).empty());

  fs::remove(path);
  CHECK_THAT(reading_complaint(written.folder.path()), Contains(path.string() + ": cannot be read"));
  overwrite(path, "");
  CHECK_THAT(reading_complaint(written.folder.path()),
             Contains(format("{}: expected {} bytes, got 0", path.string(), bytes.size())));
  overwrite(path, bytes.substr(0, bytes.size() - 1));
  CHECK_THAT(reading_complaint(written.folder.path()), Contains(path.string() + ": expected"));
  overwrite(path, bytes + '\0');
  CHECK_THAT(reading_complaint(written.folder.path()), Contains(path.string() + ": expected"));
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    overwrite(path, altered);
    INFO("byte " << i);
    CHECK_THAT(reading_complaint(written.folder.path()),
               Contains(path.string() + ": the checksum does not fit the content"));
  }
  overwrite(path, bytes);
  CHECK(reading_complaint(written.folder.path()).empty());
}

TEST_CASE("checkpoint: state.json that is missing, cut or altered anywhere is named") {
  const Written written;
  const auto bytes = content(written.state());
  const auto place = written.state().string();
  fs::remove(written.state());
  CHECK_THAT(reading_complaint(written.folder.path()), Contains(place));
  for (size_t size = 0; size + 1 < bytes.size(); ++size) {  // the line end at the end may go
    overwrite(written.state(), bytes.substr(0, size));
    INFO("cut to " << size);
    CHECK_THAT(reading_complaint(written.folder.path()), Contains(place));
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    auto altered = bytes;
    altered[i] = static_cast<char>(altered[i] ^ 1);
    overwrite(written.state(), altered);
    INFO("byte " << i << " of\n" << altered);
    CHECK_THAT(reading_complaint(written.folder.path()), Contains(place));
  }
}

TEST_CASE("checkpoint: JSON that is no state is refused") {
  const Written written;
  for (const char* text : {"null", "[]", "{}", "1", "{\"format_version\": 1}", "{\"format_version\": \"1\"}",
                           "{\"format_version\": 1, \"crc32\": 0, \"checkpoint\": {}}"}) {
    INFO(text);
    overwrite(written.state(), text);
    const auto complaint = reading_complaint(written.folder.path());
    CHECK_THAT(complaint, Contains(written.state().string()) && !Contains("json.exception"));
    CHECK_THAT(complaint, Catch::EndsWith(". The checkpoint is damaged: use another one."));
  }
  overwrite(written.state(), "{\"format_version\": \"1\"}");
  CHECK_THAT(reading_complaint(written.folder.path()),
             Contains("state.json: format_version: expected an integer, got \"1\"."));
}

TEST_CASE("checkpoint: another format version is told as such") {
  const Written written;
  auto document = nlohmann::json::parse(content(written.state()));
  REQUIRE(document.at("format_version") == 1);
  document["format_version"] = 2;
  overwrite(written.state(), document.dump());
  CHECK(reading_complaint(written.folder.path()) ==
        written.state().string() + ": format version 2 is newer than 1. Use a newer unireplk.");
  document["format_version"] = 0;
  overwrite(written.state(), document.dump());
  CHECK_THAT(reading_complaint(written.folder.path()), Contains("format version 0"));
}

}  // namespace
}  // namespace unireplk::train
