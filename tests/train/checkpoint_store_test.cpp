#include "unireplk/train/checkpoint_store.h"
#include "unireplk/train/checkpoint_writer.h"

#include <chrono>
#include <fstream>
#include <thread>

#include "support/captured_log.h"
#include "support/catch.h"
#include "support/child.h"
#include "support/temporary_folder.h"
#include "train/keeper.h"
#include "unireplk/core/error.h"
#include "unireplk/io/files.h"

namespace unireplk::train {
namespace {

namespace fs = std::filesystem;
using Catch::Matchers::Contains;
using test::Child;
using test::Counter;
using test::Keeper;

using Steps = std::vector<int64_t>;

fs::path folder_of(const fs::path& store, int64_t step) { return store / format("step_{:09}", step); }

/// Write a checkpoint whose content tells its step.
void save(CheckpointStore& store, int64_t step, bool is_best = false) {
  Keeper model(static_cast<double>(step)), optimizer(static_cast<double>(-step));
  Counter clock(step);
  store.save(step, {{"model", &model}, {"optimizer", &optimizer}, {"clock", &clock}}, is_best);
}

/// The step of the newest sound checkpoint, after a look at its content.
int64_t newest_step(const CheckpointStore& store) {
  const auto checkpoint = store.newest();
  if (!checkpoint) return -1;
  Keeper model, optimizer;
  Counter clock;
  checkpoint->restore({{"model", &model}, {"optimizer", &optimizer}, {"clock", &clock}});
  const auto step = static_cast<double>(checkpoint->step());
  CHECK(model.tensor.equal(Keeper(step).tensor));
  CHECK(optimizer.tensor.equal(Keeper(-step).tensor));
  CHECK(clock.count == checkpoint->step());
  return checkpoint->step();
}

std::string pointed(const CheckpointStore& store, const std::string& pointer) {
  const auto path = store.pointed(pointer);
  return path ? path->filename().string() : "";
}

bool has_leftovers(const fs::path& store) {
  for (const auto& entry : fs::directory_iterator(store)) {
    if (entry.path().filename().string().starts_with('.')) return true;
  }
  return false;
}

void alter(const fs::path& path) {
  std::string bytes = io::read_file(path);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 4);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_CASE("checkpoint store: an empty one has no newest") {
  const test::TemporaryFolder folder;
  const CheckpointStore store(folder / "a/b", 3);
  CHECK(fs::is_directory(folder / "a/b"));
  CHECK_FALSE(store.newest());
  CHECK_FALSE(store.pointed("latest"));
  CHECK_FALSE(store.pointed("best"));
  CHECK(store.steps().empty());
}

TEST_CASE("checkpoint store: gives back the newest, and leaves nothing half done") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 3);
  save(store, 9);
  save(store, 123, /*is_best=*/true);
  CHECK(newest_step(store) == 123);
  CHECK(store.steps() == Steps{9, 123});
  CHECK(pointed(store, "latest") == "step_000000123");
  CHECK(pointed(store, "best") == "step_000000123");
  CHECK_FALSE(has_leftovers(folder.path()));
  save(store, 1'000'000'000'000);  // more digits than the name has places
  CHECK(newest_step(store) == 1'000'000'000'000);
  CHECK(pointed(store, "best") == "step_000000123");
}

TEST_CASE("checkpoint store: keeps the newest and the best") {
  const test::TemporaryFolder folder;
  const int64_t keep = GENERATE(1, 2, 3);
  CAPTURE(keep);
  CheckpointStore store(folder.path(), keep);
  for (const int64_t step : {10, 20, 30, 40, 50}) save(store, step, step == 20);
  CHECK(store.steps() == (keep == 1 ? Steps{20, 50} : keep == 2 ? Steps{20, 40, 50} : Steps{20, 30, 40, 50}));
  CHECK(pointed(store, "best") == "step_000000020");
  save(store, 60, /*is_best=*/true);
  CHECK(store.steps() == (keep == 1 ? Steps{60} : keep == 2 ? Steps{50, 60} : Steps{40, 50, 60}));
  CHECK(pointed(store, "best") == "step_000000060");
  save(store, 70);
  CHECK(pointed(store, "best") == "step_000000060");
  CHECK(fs::exists(folder_of(folder.path(), 60)));
}

TEST_CASE("checkpoint store: those of a future that was given up neither count nor go") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 2);
  for (const int64_t step : {10, 20}) save(store, step);
  alter(folder_of(folder.path(), 20) / "model.safetensors");
  save(store, 15);
  CHECK(store.steps() == Steps{10, 15, 20});
  const test::CapturedLog log;
  CHECK(newest_step(store) == 15);
  save(store, 20);  // reached again
  CHECK(store.steps() == Steps{15, 20});
  CHECK(newest_step(store) == 20);
}

TEST_CASE("checkpoint store: a step that is saved again is replaced") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 2);
  save(store, 10);
  Keeper other(0.5);
  store.save(10, {{"other", &other}}, false);
  CHECK(store.steps() == Steps{10});
  CHECK_FALSE(has_leftovers(folder.path()));
  Keeper read;
  store.newest()->restore({{"other", &read}});
  CHECK(read.number == 0.5);
  CHECK_FALSE(fs::exists(folder_of(folder.path(), 10) / "model.safetensors"));
}

TEST_CASE("checkpoint store: takes the newest that is sound, and names what it skips") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 9);
  for (const int64_t step : {1, 2, 3, 4, 5, 6}) save(store, step);
  alter(folder_of(folder.path(), 6) / "model.safetensors");
  fs::resize_file(folder_of(folder.path(), 5) / "optimizer.safetensors", 40);
  fs::remove(folder_of(folder.path(), 4) / "state.json");
  alter(folder_of(folder.path(), 3) / "state.json");
  fs::remove(folder_of(folder.path(), 2) / "model.safetensors");
  const test::CapturedLog log;
  CHECK(newest_step(store) == 1);
  const auto text = log.text();
  CHECK_THAT(text, Contains("step_000000006/model.safetensors: the checksum does not fit the content"));
  CHECK_THAT(text, Contains("step_000000005/optimizer.safetensors: expected"));
  CHECK_THAT(text, Contains("step_000000004/state.json: "));
  CHECK_THAT(text, Contains("step_000000003/state.json: "));
  CHECK_THAT(text, Contains("step_000000002/model.safetensors: cannot be read"));
  CHECK_THAT(text, !Contains("step_000000001"));

  alter(folder_of(folder.path(), 1) / "state.json");
  CHECK_THROWS_WITH(store.newest(), folder.path().string() +
                                        ": none of 6 checkpoints is sound. "
                                        "Remove the folder of the run to start it anew.");
}

TEST_CASE("checkpoint store: an empty folder or a file of a checkpoint's name is skipped") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 3);
  save(store, 1);
  fs::create_directory(folder_of(folder.path(), 2));
  std::ofstream(folder_of(folder.path(), 3)) << "?";
  for (const char* name : {"step_", "step_12a", "notes", "xstep_000000009"}) fs::create_directory(folder / name);
  const test::CapturedLog log;
  CHECK(newest_step(store) == 1);
  CHECK(store.steps() == Steps{1, 2, 3});
}

TEST_CASE("checkpoint store: a kill while writing leaves no folder that counts") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 3);
  save(store, 1);
  const size_t part = GENERATE(0u, 1u, 2u);  // killed before this one is written
  CAPTURE(part);
  Child child([&] {
    std::vector<Keeper> keepers(3);
    keepers[part].before_save = [] { raise(SIGKILL); };
    store.save(2, {{"a", &keepers[0]}, {"b", &keepers[1]}, {"c", &keepers[2]}}, true);
  });
  REQUIRE(child.wait() == 128 + SIGKILL);
  CHECK(has_leftovers(folder.path()));
  CHECK(CheckpointStore::has_leftovers(folder.path()));
  CHECK(store.steps() == Steps{1});
  CHECK(newest_step(store) == 1);
  CHECK(pointed(store, "latest") == "step_000000001");
  CheckpointStore again(folder.path(), 3);
  CHECK_FALSE(has_leftovers(folder.path()));
  CHECK_FALSE(CheckpointStore::has_leftovers(folder.path()));
  save(again, 2);
  CHECK(newest_step(again) == 2);
}

TEST_CASE("checkpoint store: a kill between the renames loses nothing") {
  const test::TemporaryFolder folder;
  {
    CheckpointStore store(folder.path(), 3);
    save(store, 1);
    save(store, 2);
  }
  const auto set_aside = folder / ".old_step_000000002";
  fs::rename(folder_of(folder.path(), 2), set_aside);
  CHECK(newest_step(CheckpointStore(folder.path(), 3)) == 2);
  CHECK_FALSE(has_leftovers(folder.path()));

  fs::copy(folder_of(folder.path(), 1), set_aside, fs::copy_options::recursive);  // the new one is in place already
  CHECK(newest_step(CheckpointStore(folder.path(), 3)) == 2);
  CHECK_FALSE(has_leftovers(folder.path()));

  std::ofstream(folder / "latest") << "step_000000001\n";  // not yet pointed to
  CHECK(newest_step(CheckpointStore(folder.path(), 3)) == 2);
}

TEST_CASE("checkpoint store: a future that was given up is gone") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 9);
  for (const int64_t step : {1, 2, 3, 4}) save(store, step, step == 1 || step == 4);
  store.go_back_to(2, 1);
  CHECK(store.steps() == std::vector<int64_t>{1, 2});
  CHECK(store.pointed("latest") == folder_of(folder.path(), 2));
  CHECK(store.pointed("best") == folder_of(folder.path(), 1));
  save(store, 3, true);
  store.go_back_to(2, -1);  // nothing had been measured then
  CHECK_FALSE(store.pointed("best"));
  CHECK(newest_step(store) == 2);
  save(store, 3);
  CHECK(store.newest(2)->step() == 2);
  CHECK(newest_step(store) == 3);
}

TEST_CASE("checkpoint store: a kill at any time leaves the newest sound") {
  const test::TemporaryFolder folder;
  int64_t last = 0;
  for (int64_t kills = 0; kills < 20; ++kills) {
    Child child([&] {
      CheckpointStore store(folder.path(), 2);
      for (int64_t step = last + 1;; ++step) {
        save(store, step, step % 3 == 0);
        save(store, step);  // replaces it
      }
    });
    const auto has_saved = [&, name = folder_of("", last + 1).string() + '\n'] {
      return fs::exists(folder / "latest") && io::read_file(folder / "latest") >= name;
    };
    while (!child.has_ended() && !has_saved()) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::microseconds(311 * kills));
    REQUIRE(child.kill() == 128 + SIGKILL);
    const test::CapturedLog log;
    const CheckpointStore store(folder.path(), 2);
    const int64_t step = newest_step(store);
    CHECK(step > last);
    CHECK_THAT(log.text(), !Contains("skipped"));
    last = step;
  }
  CheckpointStore store(folder.path(), 2);
  save(store, last + 1);
  CHECK(store.steps().size() <= 3);  // what the kills left to be removed has gone; two newest and the best stay
}

TEST_CASE("checkpoint store: a pointer that names no checkpoint is refused") {
  const test::TemporaryFolder folder;
  const CheckpointStore store(folder.path(), 3);
  for (const char* text : {"", "../elsewhere", "step_", "step_1x"}) {
    std::ofstream(folder / "best") << text;
    CHECK_THROWS_WITH(store.pointed("best"),
                      Contains("/best: expected the name of a checkpoint folder, got \"" + std::string(text) + '"'));
  }
  std::ofstream(folder / "best") << "step_000000005 \r\n";
  CHECK(pointed(store, "best") == "step_000000005");
}

/// Stands for a disk that is full in the middle of a checkpoint.
struct Unwritable : Stateful {
  void save(StateWriter&) const override { throw UserError({"disk", "is full", ""}); }
  void load(const StateReader&) override {}
};

TEST_CASE("checkpoint store: a checkpoint that cannot be written leaves the old ones and no remains") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 3);
  save(store, 1);
  Keeper model(2);
  Unwritable optimizer;
  CHECK_THROWS_WITH(store.save(2, {{"model", &model}, {"optimizer", &optimizer}}, true), Contains("is full"));
  CHECK_FALSE(has_leftovers(folder.path()));
  CHECK(store.steps() == Steps{1});
  CHECK(newest_step(store) == 1);
  CHECK(pointed(store, "best").empty());
}

TEST_CASE("checkpoint writer: writes the state of the moment it was asked") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 9);
  CheckpointWriter writer(store);
  Keeper model, optimizer;
  Counter clock;
  for (int64_t step = 1; step <= 3; ++step) {
    model.set(static_cast<double>(step));
    optimizer.set(static_cast<double>(-step));
    clock.count = step;
    writer.save(step, {{"model", &model}, {"optimizer", &optimizer}, {"clock", &clock}}, step == 2);
  }
  model.tensor.zero_();
  writer.finish();
  writer.finish();
  CHECK(store.steps() == Steps{1, 2, 3});
  CHECK(newest_step(store) == 3);
  CHECK(pointed(store, "best") == "step_000000002");
}

TEST_CASE("checkpoint writer: what went wrong on the disk is told at the next call") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder / "checkpoints", 9);
  CheckpointWriter writer(store);
  Keeper model(1);
  fs::remove_all(folder / "checkpoints");
  writer.save(1, {{"model", &model}}, false);
  CHECK_THROWS_WITH(writer.finish(), Contains("cannot make the folder: No such file or directory"));
  writer.save(1, {{"model", &model}}, false);
  const auto check_for_seconds = [&] {
    for (int i = 0; i < 10'000; ++i) {
      writer.check();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  CHECK_THROWS_WITH(check_for_seconds(), Contains("cannot make the folder: No such file or directory"));
  CHECK_NOTHROW(writer.check());
  fs::create_directory(folder / "checkpoints");
  writer.save(2, {{"model", &model}}, false);
  writer.finish();
  CHECK(store.steps() == Steps{2});
}

TEST_CASE("checkpoint store: a damaged pointer costs no checkpoint") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 1);
  save(store, 1, true);
  std::ofstream(folder / "best") << "nonsense";
  const test::CapturedLog log;
  save(store, 2);
  save(store, 3);
  CHECK(newest_step(store) == 3);
  CHECK_THAT(log.text(), Contains("best: expected the name of a checkpoint folder, got \"nonsense\""));
  CHECK_THROWS_AS(store.pointed("best"), UserError);
}

TEST_CASE("checkpoint store: `latest` is put right, whatever became of it") {
  const test::TemporaryFolder folder;
  CheckpointStore store(folder.path(), 3);
  save(store, 1);
  save(store, 2);
  const test::CapturedLog log;
  for (const char* text : {"nonsense", "step_000000009", ""}) {
    std::ofstream(folder / "latest") << text;
    store.mark_latest(2);
    CHECK(pointed(store, "latest") == "step_000000002");
  }
  fs::remove(folder / "latest");
  store.mark_latest(1);
  CHECK(pointed(store, "latest") == "step_000000001");
}

TEST_CASE("checkpoint store: a folder that cannot be made is named") {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "file") << "?";
  CHECK_THROWS_WITH(CheckpointStore(folder / "file/checkpoints", 3),
                    Contains("file/checkpoints: cannot be made: ") && Contains("Check `output` and its rights."));
}

}  // namespace
}  // namespace unireplk::train
