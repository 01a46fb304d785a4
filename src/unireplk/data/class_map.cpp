#include "unireplk/data/class_map.h"

#include <algorithm>
#include <map>
#include <set>

#include "unireplk/core/log.h"
#include "unireplk/core/some_of.h"
#include "unireplk/data/class_names.h"
#include "unireplk/io/csv_file.h"
#include "unireplk/io/files.h"

namespace unireplk::data {
namespace {

namespace fs = std::filesystem;

/// A name and what it becomes, as a line of the file says.
struct MapLine {
  int line;
  std::string name;
  std::string becomes;
};

std::vector<MapLine> lines_of_table(const fs::path& file) {
  const auto table = io::read_csv_table(file);
  const size_t name = table.column("name"), becomes = table.column("class");
  std::vector<MapLine> lines;
  for (const auto& row : table.rows) lines.push_back({row.line, row.fields[name], row.fields[becomes]});
  return lines;
}

std::vector<MapLine> lines_of_list(const fs::path& file) {
  std::vector<MapLine> lines;
  for (auto& name : io::read_lines(file)) {
    const std::string becomes = name;
    lines.push_back({static_cast<int>(lines.size()) + 1, std::move(name), becomes});
  }
  return lines;
}

/// What each name becomes. \throws UserError for lines without a name or with one that came before.
std::map<std::string, MapLine> by_name(const std::vector<MapLine>& lines, const fs::path& file) {
  std::map<std::string, MapLine> result;
  std::vector<Problem> problems;
  for (const auto& line : lines) {
    const auto [other, is_new] = result.emplace(line.name, line);
    if (line.name.empty()) {
      problems.push_back({place_of(file, line.line), "expected the name of a class, got nothing", "Remove the line."});
    } else if (!is_new) {
      problems.push_back({place_of(file, line.line),
                          format("the class \"{}\" stands in line {} already", line.name, other->second.line),
                          "Name it once."});
    }
    if (problems.size() == kMaxProblems) break;
  }
  if (!problems.empty()) throw UserError(std::move(problems));
  return result;
}

/// The classes in the order of their labels: sorted, or as the lines have them.
std::vector<std::string> classes_of(const std::vector<MapLine>& lines, bool sorted) {
  std::vector<std::string> in_order;
  for (const auto& line : lines) {
    if (!line.becomes.empty()) in_order.push_back(line.becomes);
  }
  return sorted ? sorted_classes({in_order.begin(), in_order.end()}) : in_order;
}

/// \throws UserError when the file does not name every class of the data.
void check_complete(const std::map<std::string, MapLine>& lines, const std::vector<std::string>& found,
                    const fs::path& file, const std::string& place) {
  std::vector<std::string> missing;
  for (const auto& name : found) {
    if (!lines.contains(name)) missing.push_back(name);
  }
  if (missing.empty()) return;
  throw UserError({file.string(),
                   format("expected a line for every class of {}, got none for {}", place, some_of(missing)),
                   "Add them; in a CSV file a name with no class leaves its items out."});
}

void tell_empty_classes(const ClassMap& map, const fs::path& file) {
  const std::set<std::optional<int64_t>> used(map.labels.begin(), map.labels.end());
  std::vector<std::string> empty;
  for (size_t label = 0; label < map.classes.size(); ++label) {
    if (!used.contains(static_cast<int64_t>(label))) empty.push_back(map.classes[label]);
  }
  if (!empty.empty()) {
    log_info("{}: {} of {} classes have no item: {}", file.string(), empty.size(), map.classes.size(), some_of(empty));
  }
}

}  // namespace

ClassMap read_class_map(const fs::path& file, const std::vector<std::string>& found, const std::string& place) {
  const bool is_table = file.extension() == ".csv";
  const auto lines = is_table ? lines_of_table(file) : lines_of_list(file);
  const auto named = by_name(lines, file);
  check_complete(named, found, file, place);
  ClassMap map{.classes = classes_of(lines, is_table), .labels = {}};
  const auto labels = labels_of(map.classes, file.string());
  for (const auto& name : found) {
    const auto& becomes = named.at(name).becomes;
    map.labels.push_back(becomes.empty() ? std::nullopt : std::optional(labels.at(becomes)));
  }
  if (std::ranges::none_of(map.labels, [](const auto& label) { return label.has_value(); })) {
    throw UserError({file.string(), format("leaves out every class of {}", place), "Name a class for some."});
  }
  tell_empty_classes(map, file);
  return map;
}

}  // namespace unireplk::data
