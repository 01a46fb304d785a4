#include "unireplk/runner/kill_phase.h"

#include <fstream>

#include "support/catch.h"
#include "support/temporary_folder.h"

namespace unireplk::runner {
namespace {

namespace fs = std::filesystem;

/// What a training of 8 steps, validated after every fourth, would leave.
class Remains {
 public:
  Remains() { fs::create_directories(checkpoints()); }

  fs::path checkpoints() const { return folder_ / "checkpoints"; }
  void record(const std::string& text) const { std::ofstream(folder_ / "metrics.jsonl", std::ios::app) << text; }
  void step(int64_t number) const { record(R"({"kind":"step","step":)" + std::to_string(number) + ",\"loss\":1}\n"); }
  void validation(int64_t number) const { record(R"({"kind":"validation","step":)" + std::to_string(number) + "}\n"); }
  void steps(int64_t first, int64_t last) const {
    for (int64_t number = first; number <= last; ++number) step(number);
  }

  KillPhase phase(const std::string& said = "resumed from step_000000002: epoch 1") const {
    return phase_of_kill(folder_.path(), said, {.validations = {4, 8}, .last_step = 8});
  }
  Course course() const { return course_of(folder_.path()); }

 private:
  test::TemporaryFolder folder_;
};

}  // namespace

TEST_CASE("kill phase: the course of a training is what its metrics tell") {
  const Remains whole;
  whole.steps(1, 4);
  whole.validation(4);
  whole.steps(5, 7);
  CHECK(whole.course().validations == std::set<int64_t>{4});
  CHECK(whole.course().last_step == 7);
}

TEST_CASE("kill phase: a process that has not taken up the run was starting, whatever lies there") {
  const Remains killed;
  killed.steps(1, 4);
  fs::create_directory(killed.checkpoints() / ".tmp_step_000000004");
  CHECK(killed.phase("") == KillPhase::kStart);
  CHECK(killed.phase("device cpu, 1 threads") == KillPhase::kStart);
  CHECK(killed.phase("no checkpoint in runs/tiny: starting anew") == KillPhase::kCheckpoint);
}

TEST_CASE("kill phase: a validation lies between the record of its step and its own") {
  const Remains killed;
  CHECK(killed.phase() == KillPhase::kSteps);  // no record yet
  killed.steps(1, 3);
  CHECK(killed.phase() == KillPhase::kSteps);
  killed.step(4);
  CHECK(killed.phase() == KillPhase::kValidation);
  killed.validation(4);
  CHECK(killed.phase() == KillPhase::kSteps);
  killed.step(5);
  CHECK(killed.phase() == KillPhase::kSteps);
  killed.record(R"({"kind":"st)");  // killed while it wrote
  CHECK(killed.phase() == KillPhase::kSteps);
}

TEST_CASE("kill phase: a checkpoint that is half written goes before steps and validations") {
  const Remains killed;
  killed.steps(1, 4);
  fs::create_directory(killed.checkpoints() / "step_000000004");
  CHECK(killed.phase() == KillPhase::kValidation);
  for (const char* name : {".tmp_step_000000004", ".old_step_000000004"}) {
    fs::create_directory(killed.checkpoints() / name);
    CHECK(killed.phase() == KillPhase::kCheckpoint);
    fs::remove(killed.checkpoints() / name);
  }
}

TEST_CASE("kill phase: with the last step saved nothing is left to do") {
  const Remains killed;
  killed.steps(1, 8);
  killed.validation(8);
  fs::create_directory(killed.checkpoints() / "step_000000004");
  CHECK(killed.phase() == KillPhase::kSteps);
  fs::create_directory(killed.checkpoints() / "step_000000008");
  CHECK(killed.phase() == KillPhase::kEnd);
}

}  // namespace unireplk::runner
