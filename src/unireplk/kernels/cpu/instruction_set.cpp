#include "unireplk/kernels/instruction_set.h"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "unireplk/core/error.h"
#include "unireplk/core/format.h"
// every target that any kernel may have
#define HWY_DISABLED_TARGETS UNIREPLK_UNUSED_TARGETS
#include "unireplk/kernels/cpu/targets.h"
// behind the choice of targets
#include <hwy/targets.h>

namespace unireplk::kernels {
namespace {

constexpr const char* kVariable = "UNIREPLK_CPU_ISA";

std::string name_of(int64_t target) {
  if (target == HWY_AVX3) return "AVX512";
  if (target == HWY_AVX2) return "AVX2";
  if (target == HWY_NEON) return "NEON";
  return "baseline";
}

/// Names and Highway's targets, best first.
std::vector<std::pair<std::string, int64_t>> available() {
  hwy::SetSupportedTargetsForTest(0);
  std::vector<std::pair<std::string, int64_t>> found;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) found.emplace_back(name_of(target), target);
  return found;
}

std::string list(const std::vector<std::pair<std::string, int64_t>>& targets) {
  std::string names;
  for (const auto& [name, target] : targets) names += (names.empty() ? "" : ", ") + name;
  return names;
}

/// In use; also guards Highway's own state.
struct Current {
  std::mutex mutex;
  std::string name;
};

Current& current() {
  static Current instance;
  return instance;
}

void use(Current& state, const std::string& wanted, const std::string& origin) {
  const auto targets = available();
  auto found = targets.begin();
  if (!wanted.empty()) {
    found = std::find_if(targets.begin(), targets.end(), [&](const auto& target) { return target.first == wanted; });
  }
  if (found == targets.end()) {
    throw UserError({origin, format("expected an instruction set of this processor, got \"{}\"", wanted),
                     format("Choose from: {}.", list(targets))});
  }
  int64_t usable = 0;  // the lesser ones too: not every kernel is compiled for all
  for (auto target = found; target != targets.end(); ++target) usable |= target->second;
  hwy::GetChosenTarget().Update(usable);
  state.name = found->first;
}

}  // namespace

void prepare_dispatch() {
  static const bool prepared = [] {
    const char* wanted = std::getenv(kVariable);
    const std::lock_guard lock(current().mutex);
    if (current().name.empty()) use(current(), wanted ? wanted : "", kVariable);
    return true;
  }();
  static_cast<void>(prepared);
}

std::vector<std::string> instruction_sets() {
  const std::lock_guard lock(current().mutex);
  std::vector<std::string> names;
  for (const auto& [name, target] : available()) names.push_back(name);
  return names;
}

std::string instruction_set() {
  prepare_dispatch();
  const std::lock_guard lock(current().mutex);
  return current().name;
}

void force_instruction_set(const std::string& name) {
  prepare_dispatch();
  const char* wanted = std::getenv(kVariable);
  const std::lock_guard lock(current().mutex);
  use(current(), name.empty() && wanted ? wanted : name, "instruction set");
}

}  // namespace unireplk::kernels
