#include "unireplk/data/file_list.h"

#include <map>
#include <set>
#include <utility>

#include "unireplk/core/some_of.h"
#include "unireplk/data/class_map.h"
#include "unireplk/data/class_names.h"
#include "unireplk/data/labelled_files.h"
#include "unireplk/io/csv_file.h"

namespace unireplk::data {
namespace {

/// The names that a column holds.
std::vector<std::string> names_in(const formats::CsvTable& table, size_t column) {
  std::set<std::string> names;
  for (const auto& row : table.rows) names.insert(row.fields[column]);
  names.erase("");
  return sorted_classes(names);
}

/// Collects the rows of a list, and what is wrong with them.
class ListReader {
 public:
  ListReader(const formats::CsvTable& table, const std::vector<std::string>& classes)
      : table_(table), classes_(classes), labels_(labels_of(classes, table.place)) {}

  std::vector<LabelledFile> read(size_t path, size_t label) {
    std::vector<LabelledFile> files;
    for (const auto& row : table_.rows) {
      const auto found = labels_.find(row.fields[label]);
      if (row.fields[path].empty()) {
        refuse(row, "expected the path of a file, got nothing", "Remove the row.");
      } else if (found == labels_.end()) {
        refuse(row, format("there is no class \"{}\"", row.fields[label]),
               "The classes are " + some_of(classes_) + ".");
      } else {
        files.push_back({row.fields[path], found->second});
      }
      if (problems_.size() == kMaxProblems) break;
    }
    if (!problems_.empty()) throw UserError(std::move(problems_));
    return files;
  }

 private:
  void refuse(const formats::CsvRow& row, std::string message, std::string cure) {
    problems_.push_back({place_of(table_.place, row.line), std::move(message), std::move(cure)});
  }

  const formats::CsvTable& table_;
  const std::vector<std::string>& classes_;
  std::map<std::string, int64_t> labels_;
  std::vector<Problem> problems_;
};

}  // namespace

std::unique_ptr<Source> make_file_list(const FileListConfig& config) {
  const auto table = io::read_csv_table(config.file);
  if (table.rows.empty()) {
    throw UserError({table.place, "expected a row for each file, got none", "Add rows below the names of columns."});
  }
  const size_t label = table.column(config.label);
  auto classes = config.classes.empty() ? names_in(table, label) : config.classes;
  auto files = ListReader(table, classes).read(table.column(config.path), label);
  map_classes(config.class_map, table.place, classes, files);
  return labelled_files(config.root.value_or(config.file.parent_path()), std::move(classes), std::move(files));
}

}  // namespace unireplk::data
