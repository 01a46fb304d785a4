#include "unireplk/data/class_names.h"

#include <algorithm>
#include <cstdint>

#include "unireplk/core/whole_number.h"
#include "unireplk/io/files.h"

namespace unireplk::data {
namespace {

constexpr int64_t kMaxNumberedClasses = 1 << 20;

std::vector<std::string> read_class_names(const std::filesystem::path& path) {
  auto names = io::read_lines(path);
  if (names.empty()) throw UserError({path.string(), "expected one class name a line, got none", ""});
  return names;
}

std::vector<std::string> numbered_classes(int64_t count) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < count; ++i) names.push_back(format("{}", i));
  return names;
}

}  // namespace

std::vector<std::string> sorted_classes(const std::set<std::string>& names) {
  std::vector<std::string> sorted(names.begin(), names.end());
  if (std::ranges::all_of(sorted, [](const auto& name) { return whole_number(name).has_value(); })) {
    std::ranges::stable_sort(sorted, {}, [](const auto& name) { return *whole_number(name); });
  }
  return sorted;
}

std::map<std::string, int64_t> labels_of(const std::vector<std::string>& classes, const std::string& place) {
  std::map<std::string, int64_t> labels;
  for (const auto& name : classes) {
    if (!labels.emplace(name, static_cast<int64_t>(labels.size())).second) {
      throw UserError({place, format("the class \"{}\" comes twice in `classes`", name), "Name it once."});
    }
  }
  return labels;
}

std::vector<std::string> classes_of(std::span<const int64_t> labels, const std::filesystem::path& labels_file,
                                    const std::optional<std::filesystem::path>& names_file) {
  const int64_t largest = labels.empty() ? 0 : *std::ranges::max_element(labels);
  auto names = names_file ? read_class_names(*names_file)
                          : numbered_classes(std::clamp(largest, int64_t{0}, kMaxNumberedClasses - 1) + 1);
  const auto count = static_cast<int64_t>(names.size());
  const auto wrong = std::ranges::find_if(labels, [&](int64_t label) { return label < 0 || label >= count; });
  if (wrong == labels.end()) return names;
  throw UserError({format("{}: item {}", labels_file.string(), wrong - labels.begin()),
                   format("expected a label in [0, {}], got {}", count - 1, *wrong),
                   names_file ? format("Give {} a line for every class.", names_file->string()) : ""});
}

}  // namespace unireplk::data
