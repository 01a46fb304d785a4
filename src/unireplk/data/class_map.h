#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unireplk::data {

/// Of the key `class_map`, wherever a source has it.
inline constexpr std::string_view kClassMapHelp =
    "Other classes: a text file with one a line, in the order of their labels, or a CSV file that says which `class` "
    "each `name` becomes.";

/// Other classes than the data's own.
struct ClassMap {
  std::vector<std::string> classes;
  std::vector<std::optional<int64_t>> labels;  ///< the label of each class that the data have; none: left out
};

/// Read `class_map`. A file NAME.csv has columns `name`, a class that the data have, and `class`, what it becomes:
/// several names may become one class, and with nothing there the items of that name are left out; the classes are
/// sorted (class_names.h). Any other file names a class on each line, in the order of their labels. The file may name
/// classes that the data do not have.
///
/// \param found  the classes that the data have; \param place  where they were found, named in problems.
/// \throws UserError for a name that comes twice, and when a class of the data is not in the file or none is left.
ClassMap read_class_map(const std::filesystem::path& file, const std::vector<std::string>& found,
                        const std::string& place);

/// Give `items`, whose `label` is an index into `classes`, the classes that `file` says, if there is one.
template <class Item>
void map_classes(const std::optional<std::filesystem::path>& file, const std::string& place,
                 std::vector<std::string>& classes, std::vector<Item>& items) {
  if (!file) return;
  auto map = read_class_map(*file, classes, place);
  std::erase_if(items, [&](const Item& item) { return !map.labels[static_cast<size_t>(item.label)]; });
  for (auto& item : items) item.label = *map.labels[static_cast<size_t>(item.label)];
  classes = std::move(map.classes);
}

}  // namespace unireplk::data
