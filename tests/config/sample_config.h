#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "unireplk/config/fields.h"
#include "unireplk/config/parse.h"
#include "unireplk/config/registry.h"

namespace unireplk::test {

using Optimizer = config::Choice<std::string(double)>;

enum class Precision { kFp32, kBf16 };

struct SgdConfig {
  double momentum = 0.9;

  static void fields(auto& self, auto&& visit) {
    visit("momentum", self.momentum, config::below_one, "Share of the last step that is kept.");
  }
};

struct AdamWConfig {
  double lr = 1e-3;
  Optimizer inner;

  static void fields(auto& self, auto&& visit) {
    visit("lr", self.lr, config::positive, "Base learning rate, after warm-up.");
    visit("inner", self.inner, "Wrapped optimizer.");
  }
};

struct Inner {
  int64_t depth = 2;
  int64_t width = 8;

  static void fields(auto& self, auto&& visit) {
    visit("depth", self.depth, config::at_least(1), "Layers.");
    visit("width", self.width, config::at_least(0), "Channels.");
  }

  void validate(config::Problems& problems) const {
    if (depth <= width) return;
    problems.add("depth", format("expected at most width ({}), got {}", width, depth), "Raise width.");
  }
};

/// A struct with every kind of member.
struct Sample {
  bool flag = false;
  int64_t count = 0;
  uint8_t small = 1;
  uint64_t seed = 0;
  double lr = 1e-3;
  std::string title;
  std::filesystem::path root;
  Precision precision = Precision::kFp32;
  std::optional<int64_t> limit;
  std::vector<int64_t> sizes;
  std::array<double, 2> betas{0.9, 0.99};
  std::map<std::string, double> scales;
  Inner inner;
  std::vector<Inner> list;
  Optimizer optimizer{"sgd"};
  Optimizer second;
  std::vector<Optimizer> sources;

  static void fields(auto& self, auto&& visit) {
    visit("flag", self.flag, "A switch.");
    visit("count", self.count, "Any integer.");
    visit("small", self.small, "A small integer.");
    visit("seed", self.seed, "Seed of everything random.");
    visit("lr", self.lr, config::positive, "Learning rate.");
    visit("title", self.title, "Title.");
    visit("root", self.root, config::non_empty, "Folder of the data.");
    visit("precision", self.precision, "Arithmetic.");
    visit("limit", self.limit, config::at_least(1), "Most items.");
    visit("sizes", self.sizes, config::at_least(1), "Sizes.");
    visit("betas", self.betas, config::below_one, "Decays.");
    visit("scales", self.scales, "Scales by name.");
    visit("inner", self.inner, "A nested struct.");
    visit("list", self.list, "A list of structs.");
    visit("optimizer", self.optimizer, "How to step.");
    visit("second", self.second, "Another one.");
    visit("sources", self.sources, "A list of choices.");
  }
};

inline config::Registries registries() {
  config::Registry<std::string(double)> optimizers{"optimizer"};
  optimizers.add<SgdConfig>("sgd", "Gradient descent with momentum",
                            [](const SgdConfig& c, double scale) { return format("sgd {}", c.momentum * scale); });
  optimizers.add<AdamWConfig>("adamw", "Adam with decoupled decay",
                              [](const AdamWConfig& c, double scale) { return format("adamw {}", c.lr * scale); });
  config::Registries all;
  all.add(std::move(optimizers));
  return all;
}

/// The messages of the UserError that `run` throws; empty when it throws none.
template <class F>
std::vector<std::string> messages(F run) {
  std::vector<std::string> out;
  try {
    run();
  } catch (const UserError& error) {
    for (const auto& problem : error.problems()) out.push_back(problem.text());
  }
  return out;
}

}  // namespace unireplk::test

template <>
struct unireplk::config::EnumNames<unireplk::test::Precision> {
  static constexpr std::pair<std::string_view, test::Precision> values[] = {{"fp32", test::Precision::kFp32},
                                                                            {"bf16", test::Precision::kBf16}};
};

namespace unireplk::test {

/// Parse `yaml` as the file a.yaml.
inline Sample parse_sample(const std::string& yaml) {
  return config::parse<Sample>(config::load_text(yaml, "a.yaml"), registries());
}

}  // namespace unireplk::test
